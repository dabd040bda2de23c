package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lightningdb/lightning/internal/torture"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

func TestTorture(t *testing.T) { runScripts(t, "torture") }

// tortured runs 'lightning torture' with suites of a test.
func tortured(ctx context.Context, suites []torture.Suite, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	status := execute(ctx, newRootCommand(suites), append([]string{"torture"}, args...), nil, &stdout, &stderr)
	return outcome{status, stdout.String(), stderr.String()}
}

// quiet is a suite that finds nothing.
func quiet(name string) torture.Suite {
	return torture.Suite{Name: name, About: "does little", Round: func(_ context.Context, _ uint64, tally *ledger.Tally) error {
		tally.Add(ledger.Flips, 1000)
		return nil
	}}
}

// elapsedTimes matches what differs from run to run.
var elapsedTimes = regexp.MustCompile(`after [0-9.]+ (ns|µs|ms|s)`)

func TestTortureTellsOfFailures(t *testing.T) {
	name := filepath.Join(t.TempDir(), "torture.jsonl")
	failing := torture.Suite{Name: "unkind", Round: func(_ context.Context, seed uint64, _ *ledger.Tally) error {
		if seed == 8 {
			return errors.New("row lost\nexpected a, found b")
		}
		return nil
	}}
	got := tortured(t.Context(), []torture.Suite{quiet("kind"), failing},
		"--seed", "7", "--rounds", "3", "--workers", "1", "--ledger", name)
	want := outcome{exitRoundsFailed, `seed 7, kind unkind, 3 rounds each, 1 worker

FAILED suite unkind, seed 8, after #
  row lost
  expected a, found b
to repeat it: lightning torture --suite unkind --seed 8 --rounds 1

kind    3 rounds, 3,000 flipped bits, no failures
unkind  3 rounds, 1 failure
done after #: 6 rounds, 1 failure
ledger: ` + name + "\n", "lightning torture: 1 of 6 rounds failed\n"}
	if got.stdout = elapsedTimes.ReplaceAllString(got.stdout, "after #"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	report := program(t.Context(), nil, "torture", "report", name)
	if report.status != exitOK || !strings.Contains(report.stdout, "\nFailures:\n\n- unkind, seed 8: row lost\n") {
		t.Errorf("the report: %+v", report)
	}
}

// TestTortureInterrupted: ctrl-C in the middle of a round.
func TestTortureInterrupted(t *testing.T) {
	name := filepath.Join(t.TempDir(), "torture.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	waiting := torture.Suite{Name: "slow", Round: func(ctx context.Context, seed uint64, _ *ledger.Tally) error {
		if seed == 2 {
			cancel()
			<-ctx.Done()
		}
		return nil
	}}
	got := tortured(ctx, []torture.Suite{waiting}, "--seed", "0", "--workers", "1", "--ledger", name)
	if got.status != exitInterrupted || got.stderr != "lightning torture: interrupted\n" ||
		!strings.Contains(got.stdout, "\nslow  2 rounds, no failures\nended early after ") {
		t.Errorf("got %+v", got)
	}
	report := program(t.Context(), nil, "torture", "report", name)
	if !strings.HasPrefix(report.stdout, "1 campaign (1 cut short), ") || !strings.Contains(report.stdout, "| 0..1 |") {
		t.Errorf("the report: %+v", report)
	}
}

// closedPipe is an output that nobody reads.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, errPipeClosing }

// A campaign whose failures nobody reads ends.
func TestTortureEndsWhenNobodyReads(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	endless := torture.Suite{Name: "endless", Round: func(_ context.Context, seed uint64, _ *ledger.Tally) error {
		if seed > 10_000 {
			cancel()
		}
		return nil
	}}
	root := newRootCommand([]torture.Suite{endless})
	var stderr bytes.Buffer
	status := execute(ctx, root, []string{"torture", "--ledger", "", "--seed", "0"}, nil, closedPipe{}, &stderr)
	if status != exitOK || stderr.Len() > 0 {
		t.Errorf("exit code %d, %q", status, stderr.String())
	}
}

func TestTortureLeavesOutWhatCannotRun(t *testing.T) {
	picky := quiet("picky")
	picky.Needs = func() error { return errors.New("it needs root") }
	both := []torture.Suite{quiet("kind"), picky}
	got := tortured(t.Context(), both, "--rounds", "1", "--ledger", "")
	if got.status != exitOK || !strings.Contains(got.stdout, "\nleft out: picky: it needs root\n") ||
		!strings.Contains(got.stdout, ": 1 round, no failures\n") {
		t.Errorf("got %+v", got)
	}
	got = tortured(t.Context(), both, "--suite", "kind,picky", "--rounds", "1", "--ledger", "")
	if want := (outcome{exitError, "", "lightning torture: suite picky cannot run here: it needs root\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = tortured(t.Context(), both[1:], "--rounds", "1", "--ledger", "")
	if want := "lightning torture: no suite can run here; left out: picky: it needs root\n"; got.stderr != want {
		t.Errorf("got %+v, want %q", got, want)
	}
	got = tortured(t.Context(), both, "--list")
	want := "kind   does little\npicky  does little\n       cannot run here: it needs root\n"
	if got != (outcome{exitOK, want, ""}) {
		t.Errorf("got %+v, want %q", got, want)
	}
}

// Two campaigns that write in turns to one ledger would make it unreadable.
func TestTortureOneCampaignToALedger(t *testing.T) {
	name := filepath.Join(t.TempDir(), "torture.jsonl")
	file, err := openLedger(name)
	if err != nil {
		t.Fatal(err)
	}
	got := tortured(t.Context(), []torture.Suite{quiet("kind")}, "--rounds", "1", "--ledger", name)
	if want := (outcome{exitError, "", "lightning torture: " + name + " is in use by another campaign\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	got = tortured(t.Context(), []torture.Suite{quiet("kind")}, "--rounds", "1", "--ledger", name)
	if got.status != exitOK {
		t.Errorf("got %+v", got)
	}
}

// A campaign was killed while it wrote a line: the next one takes off the piece.
func TestTortureAfterTornLedger(t *testing.T) {
	name := filepath.Join(t.TempDir(), "torture.jsonl")
	kind := []torture.Suite{quiet("kind")}
	if got := tortured(t.Context(), kind, "--rounds", "1", "--ledger", name); got.status != exitOK {
		t.Fatalf("%+v", got)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text[:len(text)-9], 0o644); err != nil {
		t.Fatal(err)
	}
	if got := tortured(t.Context(), kind, "--rounds", "2", "--ledger", name); got.status != exitOK {
		t.Fatalf("%+v", got)
	}
	report := program(t.Context(), nil, "torture", "report", name)
	if report.status != exitOK || !strings.HasPrefix(report.stdout, "2 campaigns (1 cut short), ") ||
		!strings.Contains(report.stdout, "| kind | 3 | 0 | ") {
		t.Errorf("the report: %+v", report)
	}
}

func TestTortureProgressFitsTheTerminal(t *testing.T) {
	totals := func(rounds, failed int64, counts map[string]int64) ledger.Totals {
		return ledger.Totals{Rounds: rounds, Failed: failed, Counts: counts}
	}
	summary := torture.Summary{Elapsed: 754 * time.Second, Suites: []torture.SuiteSummary{
		{Name: "crash", Totals: totals(1204, 0, map[string]int64{ledger.Operations: 9e9, ledger.States: 81_204})},
		{Name: "fault", Totals: totals(99, 2, map[string]int64{ledger.Faults: 1_500_000})},
		{Name: "linear", Totals: totals(1, 0, nil)},
	}}
	forms := progressForms(summary, time.Hour)
	for width := range 200 {
		if line := fitting(forms, width); utf8.RuneCountInString(line) > width {
			t.Errorf("%q in %d columns", line, width)
		}
	}
	for width, want := range map[int]string{
		119: "12m34s of 1h0m0s; crash 81.2 K crash states; fault 1.50 M faults; linear 1 round; 2 failures",
		90:  "12m34s of 1h0m0s, 1.30 K rounds, 81.2 K crash states, 1.50 M faults, 2 failures",
		70:  "12m34s of 1h0m0s, 1.30 K rounds, 81.2 K crash states, 2 failures",
		50:  "12m34s of 1h0m0s, 1.30 K rounds, 2 failures",
		40:  "12m34s, 1.30 K rounds, 2 failures",
		20:  "12m34s, 2 failures",
		11:  "2 failures",
		5:   "",
	} {
		if got := fitting(forms, width); got != want {
			t.Errorf("%d columns: got %q, want %q", width, got, want)
		}
	}
	if got := progressForms(torture.Summary{}, 0)[0]; got != "0s; no failures" {
		t.Errorf("at first: %q", got)
	}
}

// Without a terminal there is a line every half minute.
func TestTortureProgressWithoutTerminal(t *testing.T) {
	var out bytes.Buffer
	p := newTortureProgress(&out, &torture.Campaign{For: time.Hour})
	for second := range 100 {
		p.update(torture.Summary{Elapsed: time.Duration(second) * time.Second})
		p.clear()
	}
	want := "30s of 1h0m0s; no failures\n1m0s of 1h0m0s; no failures\n1m30s of 1h0m0s; no failures\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestShortCount(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1.00 K", 9994: "9.99 K", 9995: "10.0 K", 99_949: "99.9 K", 99_950: "100 K",
		999_999: "1000 K", 1_000_000: "1.00 M", 123_456_789: "123 M", 5_000_000_000: "5.00 G",
	} {
		if got := shortCount(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// A report is what docs/reliability.md shows.
func TestTortureReportText(t *testing.T) {
	var r ledger.Report
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, e := range []ledger.Entry{
		{Campaign: &ledger.Campaign{Program: "v1.0.0", Go: "go1.26", System: "linux/amd64", Suites: []string{"crash", "fault"}, Started: started}},
		{Round: &ledger.Round{Suite: "crash", Seed: 1, MS: 3_600_000, Counts: map[string]int64{ledger.Operations: 5, ledger.States: 12345}}},
		{Round: &ledger.Round{Suite: "crash", Seed: 2, MS: 2000, Error: "row lost\nmore"}},
		{End: &ledger.End{Complete: true}},
		{Campaign: &ledger.Campaign{Program: "v1.0.1", Go: "go1.26", System: "linux/amd64", Suites: []string{"crash"}, Started: started.AddDate(0, 1, 0)}},
		{Round: &ledger.Round{Suite: "crash", Seed: 2, MS: 2000}},
	} {
		r.Add(e)
	}
	want := `2 campaigns (1 cut short), begun 2026-01-02 to 2026-02-02

- v1.0.0, go1.26, linux/amd64
- v1.0.1, go1.26, linux/amd64

| suite | rounds | failed | time | what it did | seeds |
|---|---:|---:|---:|---|---|
| crash | 3 | 1 | 1h0m4s | 12,345 crash states, 5 operations | 1..2 |
| fault | 0 | 0 | 0s |  |  |
| all | 3 | 1 | 1h0m4s | 12,345 crash states, 5 operations |  |

Of the rounds, 1 had a seed that the suite had had before.

Failures:

- crash, seed 2: row lost
`
	if got := reportText(&r); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := reportText(&ledger.Report{}); !strings.HasPrefix(got, "0 campaigns\n\n| suite |") {
		t.Errorf("an empty report is %q", got)
	}
}
