package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
)

func newDelCommand() *cobra.Command {
	var keys keyFlags
	var from, to string
	durability := newDurability(lightning.Sync)
	cmd := &cobra.Command{
		Use:   "del DIR {KEY | --from KEY --to KEY}",
		Short: "Delete a key or a range of keys",
		Long: `Del deletes a key; if the key is not there, the exit code is 1. With --from and
--to it deletes all keys from the first, inclusive, to the second, exclusive, in
one step, however many there are.`,
		Example: `  lightning del my.db greeting
  lightning del my.db --from 2024- --to 2025-`,
		Args: arguments(1, "DIR", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			isRange := cmd.Flags().Changed("from") || cmd.Flags().Changed("to")
			lo, hi, err := deleteBounds(&keys, args[1:], isRange, from, to)
			if err != nil {
				return err
			}
			opts := lightning.Options{Durability: durability.value}
			return writeStore(args[0], keys.keyspace, opts, func(_ *lightning.DB, target store) error {
				if isRange {
					return target.DeleteRange(lo, hi)
				}
				return deleteKey(target, lo, keys.show(lo))
			})
		},
	}
	keys.register(cmd)
	cmd.Flags().StringVar(&from, "from", "", "first key to delete")
	cmd.Flags().StringVar(&to, "to", "", "first key after the range to delete")
	cmd.Flags().Var(durability, "durability", "what the write must survive before del returns")
	return cmd
}

// deleteBounds returns the key to delete as lo, or the range [lo, hi).
func deleteBounds(keys *keyFlags, rest []string, isRange bool, from, to string) (lo, hi []byte, err error) {
	if !isRange {
		if len(rest) == 0 {
			return nil, nil, usagef("missing argument KEY (or --from and --to)")
		}
		lo, err = keys.decode(rest[0])
		return lo, nil, err
	}
	if len(rest) > 0 {
		return nil, nil, usagef("give either KEY or --from and --to, not both")
	}
	if from == "" || to == "" {
		return nil, nil, usagef("--from and --to go together")
	}
	if lo, err = keys.decode(from); err != nil {
		return nil, nil, err
	}
	if hi, err = keys.decode(to); err != nil {
		return nil, nil, err
	}
	if bytes.Compare(lo, hi) >= 0 {
		return nil, nil, usagef("--from must sort before --to")
	}
	return lo, hi, nil
}

// deleteKey deletes a key that must be there.
func deleteKey(target store, key []byte, shown string) error {
	found, err := target.Has(key)
	if err != nil {
		return err
	}
	if !found {
		return errNoKey(shown)
	}
	return target.Delete(key)
}
