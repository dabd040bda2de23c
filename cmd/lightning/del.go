package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
)

func newDelCommand() *cobra.Command {
	var keys keyFlags
	var what deletion
	var value string
	durability := newDurability(lightning.DurabilitySync)
	cmd := &cobra.Command{
		Use:   "del DIR {KEY | --prefix KEY | --from KEY --to KEY}",
		Short: "Delete a key or a range of keys",
		Long: `Del deletes a key; if the key is not there, or with --if-value has another value
than this, the exit code is 1. With --from and
--to it deletes all keys from the first, inclusive, to the second, exclusive, and
with --prefix those that begin with it, in one step, however many there are. A
bound that is not given or empty is open: --from '' alone deletes all keys. Before
a key that begins with a dash write --.`,
		Example: `  lightning del my.db greeting
  lightning del my.db lock --if-value "$HOSTNAME"
  lightning del my.db --prefix user/
  lightning del my.db --from 2024- --to 2025-
  lightning del my.db -- -5`,
		Args: arguments(1, "DIR", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := cmd.Flags().Changed
			what.isPrefix, what.isRange = given("prefix"), given("from") || given("to")
			lo, hi, err := what.bounds(&keys, args[1:])
			if err != nil {
				return err
			}
			if given("if-value") && (what.isPrefix || what.isRange) {
				return usagef("--if-value is for a KEY, not for many")
			}
			opts := lightning.Options{Durability: durability.value}
			return writeStore(args[0], keys.keyspace, opts, func(_ *lightning.DB, target store) error {
				if what.isPrefix || what.isRange {
					return target.DeleteRange(lo, hi)
				}
				if given("if-value") {
					return deleteValue(target, lo, []byte(value), keys.show(lo))
				}
				return deleteKey(target, lo, keys.show(lo))
			})
		},
	}
	keys.register(cmd)
	cmd.Flags().StringVarP(&what.prefix, "prefix", "p", "", "delete the keys that begin with this")
	cmd.Flags().StringVar(&what.from, "from", "", "first key to delete")
	cmd.Flags().StringVar(&what.to, "to", "", "first key after the range to delete")
	cmd.Flags().StringVar(&value, "if-value", "", "leave a key that does not have this value as it is")
	cmd.Flags().Var(durability, "durability", "what the write must survive before del returns")
	return cmd
}

// deletion says what to delete: a key, if it is neither a prefix nor a range.
type deletion struct {
	prefix, from, to  string
	isPrefix, isRange bool
}

// bounds returns the key to delete as lo, or the range [lo, hi), where nil is
// an open end.
func (d *deletion) bounds(keys *keyFlags, rest []string) (lo, hi []byte, err error) {
	switch {
	case d.isPrefix && d.isRange:
		return nil, nil, usagef("give either --prefix or --from and --to, not both")
	case (d.isPrefix || d.isRange) && len(rest) > 0:
		return nil, nil, usagef("give either KEY or --prefix, --from and --to, not both")
	case d.isPrefix && d.prefix == "":
		// Rather a prefix that got lost than the wish to delete everything.
		return nil, nil, usagef("--prefix is empty; --from '' deletes all keys")
	case d.isPrefix:
		lo, err = keys.bound(d.prefix)
		return lo, afterPrefix(lo), err
	case d.isRange:
		return keys.bounds(d.from, d.to)
	case len(rest) == 0:
		return nil, nil, usagef("missing argument KEY (or --prefix, or --from and --to)")
	}
	lo, err = keys.decode(rest[0])
	return lo, nil, err
}

// afterPrefix returns the first key after those that begin with prefix; nil if
// there is none.
func afterPrefix(prefix []byte) []byte {
	// bytes.TrimRight knows only characters: it would take \xfe for \xff.
	for n := len(prefix); n > 0; n-- {
		if last := prefix[n-1]; last < 0xff {
			return append(bytes.Clone(prefix[:n-1]), last+1)
		}
	}
	return nil
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

// deleteValue deletes a key that must have a value.
func deleteValue(target store, key, value []byte, shown string) error {
	deleted, err := target.CompareAndDelete(key, value)
	if err == nil && !deleted {
		err = errOtherValue(shown)
	}
	return err
}
