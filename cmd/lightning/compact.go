package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

func newCompactCommand() *cobra.Command {
	var from, to string
	var keys keyFlags
	memory := byteSize(256 << 20)
	var dropHistory bool
	var format *choice[outputFormat]
	cmd := &cobra.Command{
		Use:   "compact DIR",
		Short: "Rewrite the files of a database so that they hold only what is live",
		Long: `Compact rewrites the files of a database until nothing is left to do: what was
deleted or replaced is in none of its tables, and reads are at their fastest. A
database does this by itself as it goes; after a large load or delete this does
it now, for all keyspaces. With --keyspace it does so for one, and with --from
and --to for a range of it, or of the default one.

The log archive still has what was written, deleted data too: the program keeps
up to 64 MiB of it, for 'lightning changes'. --drop-history deletes it, of all
keyspaces.`,
		Args: arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			lo, hi, err := keys.bounds(from, to)
			if err != nil {
				return err
			}
			opts := lightning.Options{MemoryBudget: int64(memory)}
			if dropHistory {
				opts.LogArchive.SizeBytes = noArchive
			}
			result, err := runCompact(cmd.Context(), args[0], keys.keyspace, opts, lo, hi)
			switch {
			case err != nil:
				return err
			case format.value == formatJSON:
				return printJSON(cmd.OutOrStdout(), result)
			}
			return result.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "first key to compact")
	cmd.Flags().StringVar(&to, "to", "", "first key after the range to compact")
	keys.register(cmd)
	cmd.Flags().BoolVar(&dropHistory, "drop-history", false, "delete the log archive, which 'lightning changes' reads")
	cmd.Flags().Var(&memory, "memory", "memory budget")
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

// compactResult is what compact prints, in the form of its JSON.
type compactResult struct {
	Seconds      float64 `json:"seconds"`
	BeforeBytes  int64   `json:"before_bytes"`
	AfterBytes   int64   `json:"after_bytes"`
	ArchiveBytes int64   `json:"archive_bytes"` // of these, in the log archive
}

func runCompact(
	ctx context.Context, dir, keyspace string, opts lightning.Options, lo, hi []byte,
) (r compactResult, err error) {
	// Before opening: an open database has prepared log segments. Where there
	// is nothing to measure, opening fails too, and says it better.
	r.BeforeBytes, _ = dirBytes(dir)
	start := time.Now()
	err = writeStore(dir, keyspace, opts, func(_ *lightning.DB, target store) error {
		return target.Compact(ctx, lo, hi)
	})
	r.Seconds = time.Since(start).Seconds()
	if errors.Is(err, context.Canceled) {
		return r, errInterrupted
	}
	if err != nil {
		return r, err
	}
	entries, err := os.ReadDir(dir)
	for _, size := range archivedSegments(entries) {
		r.ArchiveBytes += size
	}
	if err == nil {
		r.AfterBytes, err = dirBytes(dir)
	}
	return r, err
}

func (r *compactResult) print(w io.Writer) error {
	text := fmt.Sprintf("compacted in %s: %s before, %s now", console.Duration(asDuration(r.Seconds)),
		console.Bytes(r.BeforeBytes), console.Bytes(r.AfterBytes))
	if r.ArchiveBytes > 0 {
		text += fmt.Sprintf("; %s of it are the log archive, which keeps what was written, deleted data too "+
			"(--drop-history deletes it)", console.Bytes(r.ArchiveBytes))
	}
	_, err := fmt.Fprintln(w, console.Fill(text, 2, console.LineWidth(w)))
	return err
}

func asDuration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
