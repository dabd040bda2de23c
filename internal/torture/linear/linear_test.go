package linear

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

// TestRound runs every kind of round through the door that campaigns use.
func TestRound(t *testing.T) {
	var tally ledger.Tally
	for seed := range uint64(len(kinds())) {
		if err := Round(t.Context(), 1000+seed, &tally); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{ledger.Histories, ledger.Operations, ledger.States} {
		if tally.Count(name) == 0 {
			t.Errorf("no %s were counted", name)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for seed := range uint64(len(kinds())) {
		if err := Round(ended, seed, &tally); err != nil {
			t.Errorf("a round whose context had ended: %v", err)
		}
	}
}

// TestCrew shows that a crew reports the first error and a panic, and ends the
// others.
func TestCrew(t *testing.T) {
	failure := errors.New("failure")
	c := newCrew(t.Context())
	c.start("one", func() error { return failure })
	c.start("other", func() error { <-c.ctx.Done(); return errors.New("later") })
	if err := c.wait(); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	c = newCrew(t.Context())
	c.start("one", func() error { panic("at the disco") })
	c.start("other", func() error { <-c.ctx.Done(); return nil })
	err := c.wait()
	if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "one: panic: at the disco") {
		t.Errorf("got %v", err)
	}
	// A member that waits for what the one that panicked holds is not waited for.
	other := newCrew(t.Context())
	release := make(chan bool)
	other.start("other", func() error { <-release; return nil })
	if got := other.endAfter(err); got != err {
		t.Errorf("got %v", got)
	}
	close(release)
	if err := other.endAfter(failure); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
}

// TestCrewThatHangs shows that a goroutine that does not come back is reported.
func TestCrewThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t.Context())
		release := make(chan bool)
		c.start("one", func() error { <-release; return nil })
		start := time.Now()
		if err := c.wait(); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "TestCrewThatHangs") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != stuckAfter {
			t.Errorf("reported after %v", took)
		}
		close(release)
	})
}

func TestBursts(t *testing.T) { testKind(t, runBursts, 8) }

func TestLives(t *testing.T) { testKind(t, runLives, 40) }

func TestVersions(t *testing.T) { testKind(t, runVersions, 10) }

func TestStress(t *testing.T) { testKind(t, runStress, 10) }

func testKind(t *testing.T, run func(context.Context, uint64, *ledger.Tally) error, seeds uint64) {
	if testing.Short() {
		seeds = (seeds + 3) / 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			var tally ledger.Tally
			if err := run(t.Context(), seed, &tally); err != nil {
				t.Fatal(err)
			}
			t.Log(tally.Counts())
		})
	}
}
