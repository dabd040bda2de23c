package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
)

func newTouchCommand() *cobra.Command {
	var keys keyFlags
	var ttl time.Duration
	durability := newDurability(lightning.DurabilitySync)
	cmd := &cobra.Command{
		Use:   "touch DIR KEY [--ttl TIME]",
		Short: "Set how long a key lives",
		Long: `Touch has a key expire after a time from now on, whenever it would have expired, or
without --ttl never. Its value stays. If the key is not there, the exit code is 1. Before
a key that begins with a dash write --.`,
		Example: `  lightning touch my.db session --ttl 30m
  lightning touch my.db token`,
		Args: arguments(2, "DIR", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keys.decode(args[1])
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("ttl") {
				ttl = lightning.Forever
			} else if ttl <= 0 {
				return usagef("--ttl is %v: it must be positive", ttl)
			}
			opts := lightning.Options{Durability: durability.value}
			return writeStore(args[0], keys.keyspace, opts, func(_ *lightning.DB, target store) error {
				err := target.Touch(key, ttl)
				if errors.Is(err, lightning.ErrNotFound) {
					return errNoKey(keys.show(key))
				}
				return err
			})
		},
	}
	keys.register(cmd)
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long the key lives (default for ever)")
	cmd.Flags().Var(durability, "durability", "what the write must survive before touch returns")
	return cmd
}
