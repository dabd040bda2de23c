package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
)

func newGetCommand() *cobra.Command {
	var keys keyFlags
	var form recordForm
	cmd := &cobra.Command{
		Use:   "get DIR KEY",
		Short: "Print the value of a key",
		Long:  "Get prints the value of a key; if the key is not there, the exit code is 1.\n\n" + formatHelp,
		Example: `  lightning get my.db greeting
  lightning get my.db --hex 00ff --format quoted`,
		Args: arguments(2, "DIR", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keys.decode(args[1])
			if err != nil {
				return err
			}
			return readStore(args[0], keys.keyspace, func(_ *lightning.DB, target store) error {
				value, err := target.GetReader(key)
				if errors.Is(err, lightning.ErrNotFound) {
					return errNoKey(keys.show(key))
				}
				if err != nil {
					return err
				}
				defer value.Close() // only read from
				expiresAt, err := target.ExpiresAt(key)
				if err != nil && !errors.Is(err, lightning.ErrNotFound) { // just expired
					return err
				}
				out := form.printer(cmd, target)
				if err := out.value(value, expiresAt); err != nil {
					return err
				}
				return out.flush()
			})
		},
	}
	keys.register(cmd)
	form.register(cmd)
	return cmd
}
