package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

func newCompactCommand() *cobra.Command {
	var from, to string
	var keys keyFlags
	memory := byteSize(256 << 20)
	cmd := &cobra.Command{
		Use:   "compact DIR",
		Short: "Rewrite the files of a database so that they hold only what is live",
		Long: `Compact rewrites the files of a database until nothing is left to do: what was
deleted or replaced is gone from the disk, and reads are at their fastest. A
database does this by itself as it goes; after a large load or delete this does
it now. With --from and --to it does so for a range of the default keyspace.`,
		Args: arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			lo, hi, err := compactBounds(&keys, from, to)
			if err != nil {
				return err
			}
			return runCompact(cmd, args[0], lightning.Options{MemoryBudget: int64(memory)}, lo, hi)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "first key to compact")
	cmd.Flags().StringVar(&to, "to", "", "first key after the range to compact")
	cmd.Flags().BoolVar(&keys.hex, "hex", false, "keys on the command line are in hexadecimal")
	cmd.Flags().Var(&memory, "memory", "memory budget")
	return cmd
}

// compactBounds decodes the range; a bound that is not given is nil.
func compactBounds(keys *keyFlags, from, to string) (lo, hi []byte, err error) {
	if from != "" {
		if lo, err = keys.decode(from); err != nil {
			return nil, nil, err
		}
	}
	if to != "" {
		if hi, err = keys.decode(to); err != nil {
			return nil, nil, err
		}
	}
	if hi != nil && bytes.Compare(lo, hi) > 0 {
		return nil, nil, usagef("--from must not sort after --to")
	}
	return lo, hi, nil
}

func runCompact(cmd *cobra.Command, dir string, opts lightning.Options, lo, hi []byte) error {
	// Before opening: an open database has prepared log segments. Where there
	// is nothing to measure, opening fails too, and says it better.
	before, _ := dirBytes(dir)
	start := time.Now()
	err := writeStore(dir, "", opts, func(db *lightning.DB, _ store) error {
		return db.Compact(cmd.Context(), lo, hi)
	})
	if errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	after, err := dirBytes(dir)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "compacted in %s: %s before, %s now\n",
		console.Duration(time.Since(start)), console.Bytes(before), console.Bytes(after))
	return err
}
