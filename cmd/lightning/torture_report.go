package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/vfs"
)

func newTortureReportCommand() *cobra.Command {
	var format *choice[outputFormat]
	cmd := &cobra.Command{
		Use:   "report FILE...",
		Short: "Add up ledgers of torture",
		Long: `Report adds up ledgers, each of one or more campaigns, to a table in Markdown: how
many rounds each suite ran, how many failed, what they did, how long they took,
and with which seeds. The time is that of the rounds, of which several run at
once. A campaign that was killed counts with the rounds that it had entered; a
ledger that is damaged is refused, and the line told.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("missing argument FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var report ledger.Report
			for _, name := range args {
				if err := addLedger(&report, name); err != nil {
					return err
				}
			}
			if format.value == formatJSON {
				return printJSON(cmd.OutOrStdout(), resultOf(&report))
			}
			_, err := io.WriteString(cmd.OutOrStdout(), reportText(&report))
			return err
		},
	}
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

// reportResult is a report in the form of its JSON.
type reportResult struct {
	Campaigns int            `json:"campaigns"`
	CutShort  int            `json:"cut_short"`
	First     time.Time      `json:"first,omitzero"`
	Last      time.Time      `json:"last,omitzero"`
	Programs  []string       `json:"programs"`
	Suites    []suiteResult  `json:"suites"`
	Failures  []ledger.Round `json:"failures"`
}

func resultOf(r *ledger.Report) *reportResult {
	result := &reportResult{
		Campaigns: r.Campaigns, CutShort: r.CutShort, First: r.First, Last: r.Last,
		Programs: append([]string{}, r.Programs...), Suites: []suiteResult{}, Failures: append([]ledger.Round{}, r.Failures...),
	}
	for _, s := range r.Suites {
		result.Suites = append(result.Suites, suiteResult{s.Name, s.Totals, s.Seeds.String(), s.Repeated})
	}
	return result
}

func addLedger(report *ledger.Report, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close() // only read from
	if _, err := ledger.Read(file, report.Add); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// reportText is the report in Markdown.
func reportText(r *ledger.Report) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s", console.CountOf(int64(r.Campaigns), "campaign"))
	if r.CutShort > 0 {
		fmt.Fprintf(&text, " (%s cut short)", console.Count(int64(r.CutShort)))
	}
	if r.Campaigns > 0 {
		fmt.Fprintf(&text, ", begun %s to %s", r.First.Format(time.DateOnly), r.Last.Format(time.DateOnly))
	}
	text.WriteString("\n")
	for i, program := range r.Programs {
		if i == 0 {
			text.WriteString("\n")
		}
		fmt.Fprintf(&text, "- %s\n", program)
	}
	text.WriteString("\n| suite | rounds | failed | time | what it did | seeds |\n|---|---:|---:|---:|---|---|\n")
	repeated := int64(0)
	for _, s := range r.Suites {
		reportRow(&text, s.Name, s.Totals, s.Seeds.String())
		repeated += s.Repeated
	}
	reportRow(&text, "all", r.Totals(), "")
	if repeated > 0 {
		fmt.Fprintf(&text, "\nOf the rounds, %s had a seed that the suite had had before.\n", console.Count(repeated))
	}
	if len(r.Failures) > 0 {
		text.WriteString("\nFailures:\n\n")
	}
	for _, f := range r.Failures {
		first, _, _ := strings.Cut(f.Error, "\n")
		fmt.Fprintf(&text, "- %s, seed %d: %s\n", f.Suite, f.Seed, first)
	}
	return text.String()
}

func reportRow(text *strings.Builder, name string, t ledger.Totals, seeds string) {
	var counts []string
	for _, what := range ledger.Sorted(t.Counts) {
		counts = append(counts, console.Count(t.Counts[what])+" "+what)
	}
	fmt.Fprintf(text, "| %s | %s | %s | %s | %s | %s |\n", name, console.Count(t.Rounds), console.Count(t.Failed),
		elapsedText(time.Duration(t.MS)*time.Millisecond), strings.Join(counts, ", "), seeds)
}

// ledgerFile is a ledger open for adding to it. While it is open no other process
// can add to it: two campaigns in turns could not be told apart.
type ledgerFile struct {
	*os.File
	lock     io.Closer
	lockName string
}

// openLedger opens a ledger, or makes one. A file that is no whole ledger is
// refused, and stays as it is; only a piece of a line that a killed campaign left
// at the end is taken off.
func openLedger(name string) (_ *ledgerFile, err error) {
	l := &ledgerFile{lockName: name + ".lock"}
	l.lock, err = vfs.OS.Lock(l.lockName)
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%s is in use by another campaign", name)
	}
	if err != nil {
		return nil, err
	}
	if l.File, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, errors.Join(err, l.unlock())
	}
	if err := l.seekEnd(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), l.Close())
	}
	return l, nil
}

func (l *ledgerFile) seekEnd() error {
	tail, err := ledger.Read(l.File, func(ledger.Entry) {})
	if err != nil {
		return err
	}
	if tail.Torn {
		if err := error(nil); err != nil {
			return err
		}
	}
	_, err = l.Seek(tail.WholeBytes, io.SeekStart)
	return err
}

// Close closes the file. What it holds is synced: it shall outlive a machine that
// is tormented.
func (l *ledgerFile) Close() error {
	return errors.Join(l.Sync(), l.File.Close(), l.unlock())
}

func (l *ledgerFile) unlock() error {
	// The name goes while the lock is held, so that it is nobody else's. Where
	// the system does not remove what is open it stays, which does no harm.
	_ = os.Remove(l.lockName)
	return l.lock.Close()
}
