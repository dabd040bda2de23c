package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// fakeSuite has rounds that take some time.
func fakeSuite(name string, takes time.Duration) Suite {
	return Suite{Name: name, Round: func(ctx context.Context, _ uint64, tally *ledger.Tally) error {
		tally.Add(ledger.States, 2)
		select {
		case <-ctx.Done():
		case <-time.After(takes):
		}
		return nil
	}}
}

// conduct runs a campaign, and wants a ledger that can be read. It returns the
// ledger's rounds.
func conduct(t *testing.T, ctx context.Context, c *Campaign) (Summary, []ledger.Round, error) {
	t.Helper()
	var file bytes.Buffer
	c.Ledger, c.Hang = &file, 2*time.Minute
	summary, err := c.Run(ctx)
	var rounds []ledger.Round
	var end *ledger.End
	tail, readErr := ledger.Read(&file, func(e ledger.Entry) {
		if e.Round != nil {
			rounds = append(rounds, *e.Round)
		}
		end = e.End
	})
	if readErr != nil || tail.Torn {
		t.Fatalf("the ledger cannot be read: %v", readErr)
	}
	if end == nil || end.Complete != summary.Complete {
		t.Fatalf("the ledger ends with %+v, the campaign with %+v", end, summary)
	}
	return summary, rounds, err
}

func TestSuitesGetTheSameTime(t *testing.T) {
	for _, workers := range []int{1, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			c := &Campaign{For: 2 * time.Minute, Workers: workers, Suites: []Suite{
				fakeSuite("long", 3*time.Second), fakeSuite("short", 10*time.Millisecond),
				fakeSuite("medium", 250*time.Millisecond),
			}}
			summary, _, err := conduct(t, t.Context(), c)
			if err != nil || !summary.Complete {
				t.Fatalf("%+v, %v", summary, err)
			}
			if summary.Elapsed < c.For || summary.Elapsed > c.For+3*time.Second {
				t.Errorf("%d workers: it took %v", workers, summary.Elapsed)
			}
			share := int64(workers) * c.For.Milliseconds() / 3
			for _, s := range summary.Suites {
				if s.MS < share*93/100 || s.MS > share*107/100 {
					t.Errorf("%d workers: suite %s had %d ms, not about %d", workers, s.Name, s.MS, share)
				}
			}
		})
	}
}

func TestRoundsHaveSeedsInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := make(chan Summary, 1000)
		c := &Campaign{
			Seed: 1000, Rounds: 7, Workers: 2,
			Suites:   []Suite{fakeSuite("a", time.Second), fakeSuite("b", 3*time.Second)},
			Progress: func(s Summary) { ready <- s },
		}
		summary, rounds, err := conduct(t, t.Context(), c)
		if err != nil || !summary.Complete || summary.Totals().Rounds != 14 || summary.Totals().Counts[ledger.States] != 28 {
			t.Fatalf("%+v, %v", summary, err)
		}
		seeds := map[string][]uint64{}
		for _, r := range rounds {
			seeds[r.Suite] = append(seeds[r.Suite], r.Seed)
		}
		for _, s := range c.Suites {
			slices.Sort(seeds[s.Name])
			if want := []uint64{1000, 1001, 1002, 1003, 1004, 1005, 1006}; !slices.Equal(seeds[s.Name], want) {
				t.Errorf("suite %s had the seeds %v", s.Name, seeds[s.Name])
			}
		}
		// Two workers share 28 seconds of work: a tick each half second, and 14 ends.
		if calls := len(ready); calls < 14+25 {
			t.Errorf("progress was told %d times", calls)
		}
	})
}

func TestFailuresAreEnteredAndTheCampaignGoesOn(t *testing.T) {
	suite := Suite{Name: "odd", Round: func(_ context.Context, seed uint64, tally *ledger.Tally) error {
		tally.Add(ledger.Faults, 1)
		switch seed {
		case 11:
			return fmt.Errorf("row lost in %s", filepath.Join(os.TempDir(), "x"))
		case 13:
			panic("out of cheese")
		}
		return nil
	}}
	var failures []Failure
	c := &Campaign{
		Suites: []Suite{suite}, Seed: 10, Rounds: 5, Workers: 1,
		Failed: func(f Failure) { failures = append(failures, f) },
	}
	summary, rounds, err := conduct(t, t.Context(), c)
	totals := summary.Totals()
	if err != nil || !summary.Complete || totals.Rounds != 5 || totals.Failed != 2 || totals.Counts[ledger.Faults] != 5 {
		t.Fatalf("%+v, %v", summary, err)
	}
	if len(failures) != 2 || failures[0].Seed != 11 || failures[1].Seed != 13 || failures[1].Suite != "odd" {
		t.Fatalf("told of %+v", failures)
	}
	if full := failures[0].Err.Error(); !strings.Contains(full, os.TempDir()) {
		t.Errorf("the printed failure lost its directory: %q", full)
	}
	if want := filepath.Join("row lost in TMPDIR", "x"); rounds[1].Error != want {
		t.Errorf("entered %q, not %q", rounds[1].Error, want)
	}
	first, stack, _ := strings.Cut(rounds[3].Error, "\n")
	if first != "panic: out of cheese" || !strings.Contains(stack, "torture.TestFailuresAre") ||
		!strings.Contains(stack, "(campaign_test.go:") || strings.ContainsAny(stack, `\`) ||
		strings.Contains(stack, "guarded") {
		t.Errorf("entered %q", rounds[3].Error)
	}
	if _, file, _, _ := runtime.Caller(0); strings.Contains(stack, filepath.ToSlash(filepath.Dir(file))) {
		t.Errorf("the stack tells where the source is: %q", stack)
	}
}

func TestHangEndsTheCampaign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hanging := Suite{Name: "stuck", Round: func(_ context.Context, seed uint64, tally *ledger.Tally) error {
			tally.Add(ledger.Kills, 3)
			if seed == 5 {
				<-release // and not for ctx
			}
			return nil
		}}
		var failures []Failure
		c := &Campaign{
			Suites: []Suite{hanging, fakeSuite("other", time.Second)}, Seed: 5, For: time.Hour, Workers: 2,
			Failed: func(f Failure) { failures = append(failures, f) },
		}
		start := time.Now()
		summary, rounds, err := conduct(t, t.Context(), c)
		if !errors.Is(err, ErrHang) || summary.Complete || time.Since(start) != 2*time.Minute {
			t.Fatalf("%+v, %v after %v", summary, err, time.Since(start))
		}
		if len(failures) != 1 || failures[0].Seed != 5 || !strings.Contains(failures[0].Stacks, "TestHangEndsTheCampaign") {
			t.Fatalf("told of %+v", failures)
		}
		at := slices.IndexFunc(rounds, func(r ledger.Round) bool { return r.Error != "" })
		if at < 0 || rounds[at].Counts[ledger.Kills] != 3 || rounds[at].Error != "a round hangs: it has not ended after 2m0s" {
			t.Fatalf("entered %+v", rounds)
		}
		close(release) // its end, now, must harm nobody
	})
}

// A round may end at the moment when it is found hanging. It counts once.
func TestRoundEndsAtTheMomentItHangs(t *testing.T) {
	for range 20 { // because chance decides which is heard first
		synctest.Test(t, func(t *testing.T) {
			c := &Campaign{
				Suites: []Suite{fakeSuite("late", 2*time.Minute), fakeSuite("quick", time.Second)},
				Rounds: 200, Workers: 2,
			}
			summary, rounds, err := conduct(t, t.Context(), c)
			if failed := summary.Totals().Failed; (err != nil) != (failed > 0) {
				t.Fatalf("%+v, %v", summary, err)
			}
			seeds := map[string]bool{}
			for _, r := range rounds {
				name := fmt.Sprint(r.Suite, r.Seed)
				if seeds[name] {
					t.Fatalf("round %s was entered twice", name)
				}
				seeds[name] = true
			}
		})
	}
}

// TestHangingRoundEndsLater ends a round that was found hanging, while the
// campaign still waits for another one.
func TestHangingRoundEndsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf := Suite{Name: "deaf", Round: func(_ context.Context, seed uint64, _ *ledger.Tally) error {
			switch seed {
			case 0:
				time.Sleep(3*time.Minute - time.Second) // hangs, and ends before round 2
				return errors.New("row lost")
			case 1:
				time.Sleep(90 * time.Second)
			case 2:
				time.Sleep(100 * time.Second)
			}
			return nil
		}}
		c := &Campaign{Suites: []Suite{deaf}, Rounds: 3, Workers: 2}
		summary, rounds, err := conduct(t, t.Context(), c)
		if !errors.Is(err, ErrHang) || summary.Elapsed != 190*time.Second || summary.Complete {
			t.Fatalf("%+v, %v", summary, err)
		}
		if len(rounds) != 2 || rounds[0].Seed != 1 || rounds[1].Seed != 0 || rounds[1].Error == "" {
			t.Fatalf("entered %+v", rounds)
		}
	})
}

// Nothing is left to begin when these campaigns end early.
func TestLastRoundDecidesWhetherItIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		c := &Campaign{Suites: []Suite{fakeSuite("interrupted", time.Minute)}, Rounds: 1, Workers: 1}
		if summary, _, err := conduct(t, ctx, c); err != nil || summary.Complete {
			t.Errorf("%+v, %v", summary, err)
		}
		c = &Campaign{Suites: []Suite{fakeSuite("hanging", time.Hour)}, Rounds: 1, Workers: 1}
		if summary, _, err := conduct(t, t.Context(), c); !errors.Is(err, ErrHang) || summary.Complete {
			t.Errorf("%+v, %v", summary, err)
		}
	})
}

func TestInterruptLeavesAWholeLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10500*time.Millisecond, cancel)
		c := &Campaign{Suites: []Suite{fakeSuite("a", time.Second)}, For: time.Hour, Workers: 3}
		summary, rounds, err := conduct(t, ctx, c)
		if err != nil || summary.Complete || summary.Elapsed != 10500*time.Millisecond {
			t.Fatalf("%+v, %v", summary, err)
		}
		// The three that were interrupted do not count.
		if len(rounds) != 30 || summary.Totals().Rounds != 30 || summary.Totals().Failed != 0 {
			t.Fatalf("%d rounds, %+v", len(rounds), summary)
		}
	})
}

// A failure found in the last moment is not lost.
func TestFailureOfInterruptedRoundCounts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := &Campaign{Rounds: 2, Workers: 1, Suites: []Suite{{
		Name: "a", Round: func(context.Context, uint64, *ledger.Tally) error {
			cancel()
			return errors.New("row lost")
		},
	}}}
	summary, rounds, err := conduct(t, ctx, c)
	if err != nil || summary.Complete || len(rounds) != 1 || rounds[0].Error != "row lost" {
		t.Fatalf("%+v, %+v, %v", summary, rounds, err)
	}
}

// fullFile takes some lines, and then no more.
type fullFile struct {
	mu    sync.Mutex
	lines int
}

var errFull = errors.New("no space left")

func (f *fullFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lines--; f.lines < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestLedgerThatCannotBeWrittenEndsTheCampaign(t *testing.T) {
	for lines := range 4 {
		synctest.Test(t, func(t *testing.T) {
			c := &Campaign{
				Suites: []Suite{fakeSuite("a", time.Second)}, For: time.Hour, Workers: 2, Hang: time.Minute,
				Ledger: &fullFile{lines: lines},
			}
			summary, err := c.Run(t.Context())
			if !errors.Is(err, errFull) || summary.Complete || summary.Elapsed > 3*time.Second {
				t.Errorf("%d lines: %+v, %v", lines, summary, err)
			}
		})
	}
}

// TestLedgerLines gives the ledger of a campaign to the letter.
func TestLedgerLines(t *testing.T) {
	here := time.Local
	time.Local = time.FixedZone("elsewhere", 3600)
	defer func() { time.Local = here }()
	synctest.Test(t, func(t *testing.T) {
		bad := Suite{Name: "bad", Round: func(context.Context, uint64, *ledger.Tally) error {
			time.Sleep(7 * time.Millisecond)
			return errors.New(`found <nil>, not "a"`)
		}}
		var file bytes.Buffer
		c := &Campaign{
			Suites: []Suite{fakeSuite("good", time.Second), bad}, Seed: 1<<64 - 1, Rounds: 2, Workers: 1,
			Hang: time.Minute, Program: "v1.2.3", Ledger: &file,
		}
		if _, err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := `{"campaign":{"ledger":1,"program":"v1.2.3","go":"GO","system":"OS","seed":18446744073709551615,"suites":["good","bad"],"workers":1,"started":"2000-01-01T00:00:00Z"}}
{"round":{"suite":"good","seed":18446744073709551615,"ms":1000,"counts":{"crash states":2}}}
{"round":{"suite":"bad","seed":18446744073709551615,"ms":7,"error":"found <nil>, not \"a\""}}
{"round":{"suite":"bad","seed":0,"ms":7,"error":"found <nil>, not \"a\""}}
{"round":{"suite":"good","seed":0,"ms":1000,"counts":{"crash states":2}}}
{"end":{"complete":true,"ms":2014,"failed":2,"suites":{"bad":{"rounds":2,"failed":2,"ms":14},"good":{"rounds":2,"failed":0,"ms":2000,"counts":{"crash states":4}}}}}
`
		want = strings.NewReplacer("GO", runtime.Version(), "OS", runtime.GOOS+"/"+runtime.GOARCH).Replace(want)
		if got := file.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestImpossibleCampaigns(t *testing.T) {
	good := Campaign{Suites: Suites(), Workers: 1, Hang: time.Minute, Rounds: 1}
	for name, change := range map[string]func(c *Campaign){
		"no suites":       func(c *Campaign) { c.Suites = nil },
		"no workers":      func(c *Campaign) { c.Workers = 0 },
		"no hang":         func(c *Campaign) { c.Hang = 0 },
		"negative time":   func(c *Campaign) { c.For = -1 },
		"negative rounds": func(c *Campaign) { c.Rounds = -1 },
	} {
		c := good
		change(&c)
		if _, err := c.Run(t.Context()); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
}

func TestSuiteTable(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Suites() {
		if s.Name == "" || strings.ContainsAny(s.Name, ", ") || s.About == "" || s.Round == nil || seen[s.Name] {
			t.Errorf("bad entry %+v", s)
		}
		seen[s.Name] = true
	}
}
