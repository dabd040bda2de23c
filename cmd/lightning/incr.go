package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
)

func newIncrCommand() *cobra.Command {
	var keys keyFlags
	durability := newDurability(lightning.DurabilitySync)
	cmd := &cobra.Command{
		Use:   "incr DIR KEY [DELTA]",
		Short: "Count up the number in a key",
		Long: `Incr adds DELTA, or 1, to the number in a key and prints the sum. A key that is not
there counts as 0. The number is stored in 8 bytes, little-endian, as the merge operator
add-int64 has it. Before a negative DELTA write --.`,
		Example: `  lightning incr my.db visits
  lightning incr my.db balance 250
  lightning incr my.db -- balance -100`,
		Args: arguments(2, "DIR", "KEY", "DELTA"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keys.decode(args[1])
			if err != nil {
				return err
			}
			delta := int64(1)
			if len(args) > 2 {
				if delta, err = strconv.ParseInt(args[2], 10, 64); err != nil {
					return usagef("DELTA is %q: it must be a whole number", args[2])
				}
			}
			opts := lightning.Options{Durability: durability.value}
			return createStore(cmd.Context(), cmd.ErrOrStderr(), args[0], keys.keyspace, opts,
				func(_ *lightning.DB, target store) error {
					sum, err := target.Increment(key, delta)
					if err == nil {
						_, err = fmt.Fprintln(cmd.OutOrStdout(), sum)
					}
					return err
				})
		},
	}
	keys.register(cmd)
	cmd.Flags().Var(durability, "durability", "what the write must survive before incr returns")
	return cmd
}
