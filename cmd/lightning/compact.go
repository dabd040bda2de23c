package main

import (
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
it now, for all keyspaces. With --keyspace it does so for one, and with --from
and --to for a range of it, or of the default one.`,
		Args: arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			lo, hi, err := keys.bounds(from, to)
			if err != nil {
				return err
			}
			return runCompact(cmd, args[0], keys.keyspace, lightning.Options{MemoryBudget: int64(memory)}, lo, hi)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "first key to compact")
	cmd.Flags().StringVar(&to, "to", "", "first key after the range to compact")
	keys.register(cmd)
	cmd.Flags().Var(&memory, "memory", "memory budget")
	return cmd
}

func runCompact(cmd *cobra.Command, dir, keyspace string, opts lightning.Options, lo, hi []byte) error {
	// Before opening: an open database has prepared log segments. Where there
	// is nothing to measure, opening fails too, and says it better.
	before, _ := dirBytes(dir)
	start := time.Now()
	err := writeStore(dir, keyspace, opts, func(_ *lightning.DB, target store) error {
		return target.Compact(cmd.Context(), lo, hi)
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
