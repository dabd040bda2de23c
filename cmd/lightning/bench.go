package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/cmd/lightning/internal/workload"
)

// benchFlags say what bench measures and where.
type benchFlags struct {
	config      workload.Config
	workloads   []string
	memory      byteSize
	durability  *choice[lightning.Durability]
	compression *choice[lightning.Compression]
}

func newBenchCommand() *cobra.Command {
	flags := benchFlags{
		memory: 256 << 20, durability: newDurability(lightning.Async), compression: newCompression(),
	}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine with Lightning DB",
		Long: `Bench fills a new database with random records, reads them back in several ways,
checks every answer, and prints rates and latencies. It works in a temporary
directory and removes it, unless --dir says where to keep it.

Rates count all operations. Latencies are of a sample, so that reading the clock
does not weigh on the rates; the table says of what sample.

Workloads:
` + describeWorkloads(),
		Example: `  lightning bench
  lightning bench --records 5000000 --memory 2GiB
  lightning bench --workloads fill,settle,get-hot --durability sync --goroutines 16`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().Int64VarP(&flags.config.Records, "records", "n", 1_000_000, "how many records")
	cmd.Flags().IntVarP(&flags.config.Goroutines, "goroutines", "g", 2, "how many goroutines")
	cmd.Flags().IntVar(&flags.config.ValueBytes, "value-bytes", 100, "size of a value; a key has 16 bytes")
	cmd.Flags().IntVar(&flags.config.BatchRecords, "batch", 1, "puts to a commit")
	cmd.Flags().DurationVar(&flags.config.ReadTime, "time", 3*time.Second,
		"how long each workload of random reads runs")
	cmd.Flags().StringVar(&flags.config.Dir, "dir", "",
		"keep the database in this directory, which must be new or empty")
	cmd.Flags().StringSliceVarP(&flags.workloads, "workloads", "w", workload.Names(), "what to run, fill first")
	cmd.Flags().Var(&flags.memory, "memory", "memory budget")
	cmd.Flags().Var(flags.durability, "durability", "what each commit must survive before the next one")
	cmd.Flags().Var(flags.compression, "compression", "how to compress (the values do not get smaller)")
	return cmd
}

func describeWorkloads() string {
	var text strings.Builder
	for _, name := range workload.Names() {
		fmt.Fprintf(&text, "  %s %s\n", console.Left(name, 12), workload.Describe(name))
	}
	return strings.TrimSuffix(text.String(), "\n")
}

func (f *benchFlags) run(ctx context.Context, out io.Writer) error {
	f.config.MemoryBudget = int64(f.memory)
	f.config.Durability = f.durability.value
	f.config.Compression = f.compression.value
	if err := f.validate(); err != nil {
		return err
	}
	if f.config.Dir != "" {
		if err := claimEmptyDir(f.config.Dir); err != nil {
			return err
		}
	} else {
		temporary, err := os.MkdirTemp("", "lightning-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		f.config.Dir = temporary
	}
	runner, err := workload.Open(f.config)
	if err != nil {
		return err
	}
	table := &benchTable{out: out, style: console.StyleFor(out), config: &f.config}
	err = f.measure(ctx, runner, table)
	if closeErr := runner.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	return table.footer()
}

func (f *benchFlags) validate() error {
	if err := f.config.Validate(); err != nil {
		return usageError{err.Error()}
	}
	for i, name := range f.workloads {
		if workload.Describe(name) == "" {
			return usagef("no workload %q: there are %s", name, strings.Join(workload.Names(), ", "))
		}
		if first := i == 0; first != (name == "fill") {
			return usagef("--workloads must begin with fill, and have it once")
		}
	}
	if len(f.workloads) == 0 {
		return usagef("--workloads is empty")
	}
	return nil
}

func (f *benchFlags) measure(ctx context.Context, runner *workload.Runner, table *benchTable) error {
	if err := table.header(f); err != nil {
		return err
	}
	for _, name := range f.workloads {
		table.begin(name)
		result, err := runner.Run(ctx, name)
		table.end()
		if err != nil {
			return err
		}
		if err := table.row(result); err != nil {
			return err
		}
	}
	return nil
}

// benchTable prints results as they come.
type benchTable struct {
	out     io.Writer
	style   console.Style
	config  *workload.Config
	sampled []string      // what latencies are of, each once
	filling time.Duration // fill and settle together
	settled bool
}

func (t *benchTable) header(f *benchFlags) error {
	puts := "single puts"
	if t.config.BatchRecords > 1 {
		puts = fmt.Sprintf("batches of %d", t.config.BatchRecords)
	}
	compression := t.config.Compression
	if compression == lightning.DefaultCompression {
		compression = lightning.Fast // that is what the default means
	}
	_, err := fmt.Fprintf(t.out,
		"%s of %d B + %d B (%s), %s\n%s, %s, compression %s, memory budget %s\n\n%s\n",
		console.CountOf(t.config.Records, "record"), workload.KeyBytes, t.config.ValueBytes,
		console.Bytes(t.config.RawBytes()), console.CountOf(int64(t.config.Goroutines), "goroutine"),
		puts, f.durability, compression, console.Bytes(t.config.MemoryBudget),
		t.style.Bold(benchLine("workload", "operations", "time", "rate", "p50", "p99", "p99.9", "max")))
	return err
}

// benchLine lays out a line of the table, 80 columns wide.
func benchLine(name, operations, elapsed, rate string, latencies ...string) string {
	line := console.Left(name, 12) + console.Right(" "+operations, 18) +
		console.Right(" "+elapsed, 8) + console.Right(" "+rate, 10)
	for _, latency := range latencies {
		line += console.Right(" "+latency, 8)
	}
	return line
}

// begin shows on a terminal what is running now.
func (t *benchTable) begin(name string) {
	if console.CanRedraw(t.out) {
		fmt.Fprint(t.out, t.style.Dim(name+" …"))
	}
}

// end removes what begin showed.
func (t *benchTable) end() {
	if console.CanRedraw(t.out) {
		fmt.Fprint(t.out, "\r\x1b[K")
	}
}

func (t *benchTable) row(result workload.Result) error {
	switch result.Name {
	case "fill":
		t.filling += result.Elapsed
	case "settle":
		t.filling += result.Elapsed
		t.settled = true
	}
	if result.Latency == nil {
		rate := ""
		if !result.Single {
			rate = console.Rate(result.Operations, result.Elapsed)
		}
		_, err := fmt.Fprintln(t.out, strings.TrimRight(benchLine(result.Name,
			operationsText(result), console.Duration(result.Elapsed), rate), " "))
		return err
	}
	if !slices.Contains(t.sampled, result.Sampled) {
		t.sampled = append(t.sampled, result.Sampled)
	}
	quantile := func(percent float64) string {
		return console.Duration(time.Duration(result.Latency.ValueAtQuantile(percent)))
	}
	_, err := fmt.Fprintln(t.out, benchLine(result.Name, operationsText(result),
		console.Duration(result.Elapsed), console.Rate(result.Operations, result.Elapsed),
		quantile(50), quantile(99), quantile(99.9),
		console.Duration(time.Duration(result.Latency.Max()))))
	return err
}

func operationsText(result workload.Result) string {
	if result.Single {
		return result.Unit
	}
	return console.CountOf(result.Operations, strings.TrimSuffix(result.Unit, "s"))
}

// footer prints what concerns the whole run; the database is closed by then.
func (t *benchTable) footer() error {
	lines := []string{"", "latencies: " + strings.Join(t.sampled, ", ")}
	if t.settled {
		lines = append(lines, "fill including settle: "+console.Rate(t.config.Records, t.filling))
	}
	if peak, ok := workload.PeakResidentBytes(); ok {
		lines = append(lines, fmt.Sprintf("peak resident memory: %s, with a budget of %s",
			console.Bytes(peak), console.Bytes(t.config.MemoryBudget)))
	}
	size, err := dirBytes(t.config.Dir)
	if err != nil {
		return err
	}
	lines = append(lines, fmt.Sprintf("on disk: %s for %s of keys and values",
		console.Bytes(size), console.Bytes(t.config.RawBytes())))
	_, err = fmt.Fprintln(t.out, strings.Join(lines, "\n"))
	return err
}

// dirBytes adds up the sizes of the files in dir.
func dirBytes(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	return total, err
}
