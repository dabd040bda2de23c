package main

import (
	"bytes"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
)

func newGetCommand() *cobra.Command {
	var keys keyFlags
	var form recordForm
	var take bool
	cmd := &cobra.Command{
		Use:   "get DIR KEY",
		Short: "Print the value of a key",
		Long: `Get prints the value of a key; if the key is not there, the exit code is 1. With --take
it deletes the key as well, in one step: of several who take it, one gets the value. It is deleted
before it is printed.

` + formatHelp,
		Example: `  lightning get my.db greeting
  lightning get my.db --hex 00ff --format quoted
  lightning get my.db ticket --take`,
		Args: arguments(2, "DIR", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keys.decode(args[1])
			if err != nil {
				return err
			}
			if take {
				if form.expiry {
					return usagef("--expiry is of a key that stays, and --take deletes it")
				}
				return writeStore(args[0], keys.keyspace, lightning.Options{}, func(_ *lightning.DB, target store) error {
					return takeValue(target, key, keys.show(key), form.printer(cmd, target))
				})
			}
			return readStore(args[0], keys.keyspace, func(_ *lightning.DB, target store) error {
				return printValue(target, key, keys.show(key), form.printer(cmd, target))
			})
		},
	}
	keys.register(cmd)
	cmd.Flags().BoolVar(&take, "take", false, "delete the key, in the same step")
	form.register(cmd)
	return cmd
}

// printValue prints the value of a key that must be there.
func printValue(target store, key []byte, shown string, out *printer) error {
	value, err := target.GetReader(key)
	if errors.Is(err, lightning.ErrNotFound) {
		return errNoKey(shown)
	}
	if err != nil {
		return err
	}
	defer value.Close() // only read from
	expiresAt, err := target.ExpiresAt(key)
	if err != nil && !errors.Is(err, lightning.ErrNotFound) { // just expired
		return err
	}
	if err := out.value(value, expiresAt); err != nil {
		return err
	}
	return out.flush()
}

// takeValue deletes a key that must be there, and prints the value that it had.
func takeValue(target store, key []byte, shown string, out *printer) error {
	value, err := target.GetAndDelete(key)
	if errors.Is(err, lightning.ErrNotFound) {
		return errNoKey(shown)
	}
	if err != nil {
		return err
	}
	if err := out.value(bytes.NewReader(value), time.Time{}); err != nil {
		return err
	}
	return out.flush()
}
