package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/internal/torture"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// tortureProgress shows how far a campaign is: on a terminal on one line that is
// redrawn, else as a line now and then. One goroutine uses it.
type tortureProgress struct {
	out     io.Writer
	limit   time.Duration // of the campaign; 0 where there is none
	redraws bool
	shown   time.Duration // into the campaign, when the last line was written
}

// tortureLineInterval is the time between two lines where there is no terminal.
const tortureLineInterval = 30 * time.Second

func newTortureProgress(out io.Writer, c *torture.Campaign) *tortureProgress {
	return &tortureProgress{out: out, limit: c.For, redraws: console.CanRedraw(out)}
}

// update tells what was done up to now. The line is decoration: a terminal that
// went away is no failure.
func (p *tortureProgress) update(s torture.Summary) {
	interval := tortureLineInterval
	if p.redraws {
		interval = progressInterval
	}
	if s.Elapsed-p.shown < interval {
		return
	}
	p.shown = s.Elapsed
	forms := progressForms(s, p.limit)
	if !p.redraws {
		fmt.Fprintln(p.out, forms[0])
		return
	}
	// The last column stays free: some terminals wrap when it is written to.
	fmt.Fprintf(p.out, "\r%s\x1b[K", fitting(forms, console.Width(p.out)-1))
}

// clear removes the line, so that something else can be written there.
func (p *tortureProgress) clear() {
	if p.redraws {
		fmt.Fprint(p.out, "\r\x1b[K") // decoration, as above
	}
}

// progressForms returns what to show, from the fullest form to the shortest.
func progressForms(s torture.Summary, limit time.Duration) []string {
	elapsed := elapsedText(s.Elapsed)
	head := elapsed
	if limit > 0 {
		head += " of " + limit.String()
	}
	totals := s.Totals()
	failed := failedText(totals.Failed)
	suites := []string{head}
	for _, suite := range s.Suites {
		suites = append(suites, suite.Name+" "+mainText(suite.Totals))
	}
	forms := []string{strings.Join(append(suites, failed), "; ")}
	// Counts of all suites: as many as fit, those that matter most first.
	counts := []string{}
	for _, what := range ledger.Sorted(totals.Counts) {
		counts = append(counts, shortCount(totals.Counts[what])+" "+what)
	}
	rounds := roundsText(totals.Rounds)
	for n := len(counts); n >= 0; n-- {
		forms = append(forms, strings.Join(append([]string{head, rounds}, append(counts[:n:n], failed)...), ", "))
	}
	return append(forms, elapsed+", "+rounds+", "+failed, elapsed+", "+failed, failed)
}

// mainText is the one count that says most about a suite.
func mainText(t ledger.Totals) string {
	for _, what := range ledger.Sorted(t.Counts) {
		return shortCount(t.Counts[what]) + " " + what
	}
	return roundsText(t.Rounds)
}

func roundsText(n int64) string {
	if n == 1 {
		return "1 round"
	}
	return shortCount(n) + " rounds"
}

// totalsText tells all that was counted, to the last one.
func totalsText(t ledger.Totals) string {
	parts := []string{console.CountOf(t.Rounds, "round")}
	for _, what := range ledger.Sorted(t.Counts) {
		parts = append(parts, console.Count(t.Counts[what])+" "+what)
	}
	return strings.Join(append(parts, failedText(t.Failed)), ", ")
}

func failedText(rounds int64) string {
	if rounds == 0 {
		return "no failures"
	}
	return console.CountOf(rounds, "failure")
}

// shortCount prints a number with about three digits: 12.3 K.
func shortCount(n int64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "K"}} {
		switch value := float64(n) / unit.size; {
		case value >= 99.95:
			return fmt.Sprintf("%.0f %s", value, unit.name)
		case value >= 9.995:
			return fmt.Sprintf("%.1f %s", value, unit.name)
		case value >= 1:
			return fmt.Sprintf("%.2f %s", value, unit.name)
		}
	}
	return fmt.Sprint(n)
}

// elapsedText prints a time of minutes and hours: 1h2m3s.
func elapsedText(d time.Duration) string {
	if d > 0 && d < 10*time.Second {
		return console.Duration(d)
	}
	return d.Round(time.Second).String()
}
