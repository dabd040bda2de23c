package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/internal/workload"
)

// benchFlags say what bench measures and where.
type benchFlags struct {
	config      workload.Config
	batch       int // puts to a commit of fill
	workloads   []string
	dir         string
	memory      byteSize
	durability  *choice[lightning.Durability]
	compression *choice[lightning.Compression]
	format      *choice[outputFormat]
}

func newBenchCommand() *cobra.Command {
	flags := benchFlags{
		memory: 256 << 20, durability: newDurability(lightning.DurabilityAsync), compression: newCompression(),
	}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine with Lightning DB",
		Long: `Bench fills a new database with random records, reads them back in several ways,
checks every answer, and prints rates and latencies. It works in a temporary
directory and removes it, unless --dir says where to keep it.

Rates count all operations. Where reading the clock would weigh on them,
latencies are of a sample; the table says of what sample. Before the first reads
everything is read once, for at most ten seconds, and before each workload it
runs for --warm-up; that is not measured.

Workloads that are run if --workloads does not say:
` + describeRows(defaultRows()) + `
More workloads:
` + describeRows(otherRows()) + `
A workload is the same thing here and in the comparison with other databases
(bench/ in the source), and touches the same keys.`,
		Example: `  lightning bench
  lightning bench --records 5000000 --memory 2GiB
  lightning bench --workloads fill,settle,get-hot --durability sync -g 16
  lightning bench --workloads fill,settle,ycsb-a,ycsb-b --json`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().Int64VarP(&flags.config.Records, "records", "n", 1_000_000, "how many records")
	cmd.Flags().IntVarP(&flags.config.Goroutines, "goroutines", "g", 2, "how many goroutines")
	cmd.Flags().IntVar(&flags.config.ValueBytes, "value-bytes", 100, "size of a value; a key has 16 bytes")
	cmd.Flags().IntVar(&flags.batch, "batch", 1, "puts to a commit of fill")
	cmd.Flags().DurationVar(&flags.config.Time, "time", 3*time.Second,
		"how long each workload runs that has no end of its own")
	cmd.Flags().DurationVar(&flags.config.WarmUp, "warm-up", 100*time.Millisecond, "how long it runs before")
	cmd.Flags().StringVar(&flags.dir, "dir", "",
		"keep the database in this directory, which must be new or empty")
	cmd.Flags().StringSliceVarP(&flags.workloads, "workloads", "w", names(defaultRows()), "what to run, fill first")
	cmd.Flags().Lookup("workloads").DefValue = "those above"
	cmd.Flags().Var(&flags.memory, "memory", "memory budget")
	cmd.Flags().Var(flags.durability, "durability", "what each commit must survive before the next one")
	cmd.Flags().Var(flags.compression, "compression", "how to compress (the values do not get smaller)")
	flags.format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

// describeRows lists workloads for the help.
func describeRows(rows []benchRow) string {
	var text strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&text, "  %s  %s\n", console.Left(row.name, 18), row.what)
	}
	return text.String()
}

func (f *benchFlags) run(ctx context.Context, out io.Writer) (err error) {
	rows, err := f.chosen()
	if err != nil {
		return err
	}
	if f.dir != "" {
		if err := claimEmptyDir(f.dir); err != nil {
			return err
		}
	} else {
		temporary, err := os.MkdirTemp("", "lightning-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		f.dir = temporary
	}
	b := &benchRun{flags: f}
	b.work.Config = f.config
	if err := b.open(); err != nil {
		return err
	}
	var shown benchOutput = newBenchTable(out, f)
	if f.format.value == formatJSON {
		shown = benchJSON{out, f}
	}
	err = measure(ctx, b, rows, shown)
	if closeErr := b.close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	return shown.end()
}

// chosen returns the workloads to run, and reports what makes no sense.
func (f *benchFlags) chosen() (rows []benchRow, err error) {
	for _, check := range []struct {
		bad  bool
		rule string
	}{
		{f.config.Records < 1, "there must be at least 1 record"},
		{f.config.ValueBytes < 0, "the value size must not be negative"},
		{f.config.ValueBytes > lightning.MaxValueBytes,
			fmt.Sprintf("the value size must be at most %d bytes", lightning.MaxValueBytes)},
		{f.config.Goroutines < 1, "there must be at least 1 goroutine"},
		{f.batch < 1, "a batch must have at least 1 record"},
		{f.config.Time <= 0, "the time must be positive"},
		{f.config.WarmUp < 0, "the warm-up must not be negative"},
		{len(f.workloads) == 0, "--workloads is empty"},
	} {
		if check.bad {
			return nil, usageError{check.rule}
		}
	}
	all := append(defaultRows(), otherRows()...)
	for i, name := range f.workloads {
		at := slices.IndexFunc(all, func(row benchRow) bool { return row.name == name })
		switch {
		case at < 0:
			return nil, usagef("no workload %q: there are %s", name, strings.Join(names(all), ", "))
		case (i == 0) != (name == "fill"):
			return nil, usagef("--workloads must begin with fill, and have it once")
		case name == "delete-half" && i < len(f.workloads)-1:
			return nil, usagef("delete-half can only be the last of --workloads: it leaves records out")
		case strings.HasPrefix(name, "tx-") && f.config.ValueBytes < workload.VersionedBytes:
			return nil, usagef("%s needs values of at least %d bytes", name, workload.VersionedBytes)
		case strings.HasPrefix(name, "tx-") && f.config.Records < 16:
			return nil, usagef("%s needs at least 16 records", name)
		}
		rows = append(rows, all[at])
	}
	return rows, nil
}

func measure(ctx context.Context, b *benchRun, rows []benchRow, shown benchOutput) error {
	if err := shown.begin(); err != nil {
		return err
	}
	for _, row := range rows {
		shown.running(row.name)
		outcome, err := row.run(b, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		if err := shown.row(row.name, &outcome); err != nil {
			return err
		}
	}
	return nil
}
