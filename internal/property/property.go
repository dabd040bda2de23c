// Package property runs tests of properties: functions that draw what they need
// and fail if what must hold for everything does not hold for that. Only tests
// import it.
//
// Whatever is drawn is made of a list of numbers, the choices. They come from a
// seed while a failure is looked for; then they are taken out and made smaller as
// long as the property fails. Small choices give simple values, so what is shown
// in the end is a simple counterexample, although nothing here knows the values
// (after MacIver and Donaldson 2020).
//
// A run fails by Fatal, by Error and by a panic. What is drawn is drawn by one
// goroutine; others that a property starts end before it does.
package property

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// Flags of the tests that use this package.
var (
	seedFlag = flag.Uint64("property.seed", 0, "repeat what failed with this seed")
	runsFlag = flag.Int("property.runs", 100, "how often each property is run")
)

// maxShrink is how long choices are made fewer and smaller.
const maxShrink = 15 * time.Second

// T is one run of a property. Failures and logs are its own; the rest of
// testing.TB is that of the test, such as directories and cleanups.
type T struct {
	testing.TB
	choices []uint64
	next    int             // the choice that is taken next, of those that are there
	rng     *rand.Rand      // makes those that are not; without it they are 0
	log     strings.Builder // what the run says and, without rng, what was drawn
	nested  int             // draws that are part of others are not logged
	failed  bool
}

// Check runs a property again and again. The first failure ends the test, with
// the seed that repeats it and the simplest draws that fail as well.
func Check(t testing.TB, property func(t *T)) {
	t.Helper()
	seed, runs := *seedFlag, 1
	if seed == 0 {
		seed, runs = rand.Uint64(), *runsFlag
		if testing.Short() {
			runs = (runs + 4) / 5
		}
	}
	for ; runs > 0; runs, seed = runs-1, seed+1 {
		run := &T{TB: t, rng: rand.New(rand.NewPCG(seed, 0))}
		if run.fails(property) {
			t.Fatalf("-property.seed=%d repeats this failure:\n%s", seed, shrink(run, property).log.String())
			return
		}
	}
}

// fails runs the property, in a goroutine that a failure can end.
func (t *T) fails(property func(t *T)) bool {
	end := make(chan struct{})
	go func() {
		defer close(end)
		defer func() {
			if reason := recover(); reason != nil {
				t.Errorf("panic: %v\n%s", reason, debug.Stack())
			}
		}()
		property(t)
	}()
	<-end
	return t.failed
}

// choose makes a choice below n; all numbers are below 0.
func (t *T) choose(n uint64) uint64 {
	if t.next == len(t.choices) {
		t.choices = append(t.choices, 0)
		switch {
		case t.rng == nil:
		case n == 0:
			t.choices[t.next] = t.rng.Uint64()
		default:
			t.choices[t.next] = t.rng.Uint64N(n)
		}
	}
	choice := &t.choices[t.next]
	if n > 0 {
		*choice = min(*choice, n-1) // it may have been made for something else
	}
	t.next++
	return *choice
}

// shrink returns the run with the fewest and smallest choices it finds that
// fails.
func shrink(failed *T, property func(t *T)) *T {
	best := &T{TB: failed.TB, choices: failed.choices}
	if !best.fails(property) {
		failed.note("a second run with the same draws does not fail")
		return failed
	}
	end := clock.System.Now().Add(maxShrink)
	try := func(choices []uint64) bool {
		run := &T{TB: best.TB, choices: choices}
		if clock.System.Now().After(end) || !run.fails(property) {
			return false
		}
		run.choices = run.choices[:run.next]
		simpler := len(run.choices) < len(best.choices) ||
			len(run.choices) == len(best.choices) && slices.Compare(run.choices, best.choices) < 0
		if simpler {
			best = run
		}
		return simpler
	}
	for again := true; again; {
		before := best
		for size := len(best.choices); size > 0; size = smaller(size) {
			for at := 0; at < len(best.choices); {
				if !try(slices.Concat(best.choices[:at], best.choices[min(at+size, len(best.choices)):])) {
					at += max(size-8, 1)
				}
			}
		}
		for at := 0; at < len(best.choices); at++ {
			lower(&best, at, try)
		}
		again = best != before
	}
	return best
}

// smaller returns how many choices to take out after size of them: fewer and
// fewer, and of a few all counts, to hit on what belongs together.
func smaller(size int) int {
	if size > 8 {
		return size / 2
	}
	return size - 1
}

// lower makes one choice as small as it finds. What a number is chosen for often
// depends on the one or two before it, so these are tried with the largest
// numbers after them, to be made smaller in turn.
func lower(best **T, at int, try func([]uint64) bool) {
	least := uint64(0)
	for step := (*best).choices[at]; at < len((*best).choices) && least < (*best).choices[at]; step /= 2 {
		lowered := slices.Clone((*best).choices)
		lowered[at] -= min(max(step, 1), lowered[at]-least)
		ok := try(slices.Clone(lowered))
		for after := at + 1; !ok && after <= at+2 && after < len(lowered); after++ {
			lowered[after] = math.MaxUint64
			ok = try(slices.Clone(lowered))
		}
		if !ok {
			least = lowered[at] + 1
		}
	}
}

// note logs something.
func (t *T) note(format string, args ...any) { fmt.Fprintf(&t.log, format+"\n", args...) }

// Log and the others do for the run what they do for a test.
func (t *T) Log(args ...any)                 { t.note("%s", strings.TrimSuffix(fmt.Sprintln(args...), "\n")) }
func (t *T) Logf(format string, args ...any) { t.note(format, args...) }
func (t *T) Fail()                           { t.failed = true }
func (t *T) Failed() bool                    { return t.failed }

func (t *T) Error(args ...any) {
	t.Log(args...)
	t.Fail()
}

func (t *T) Errorf(format string, args ...any) {
	t.Logf(format, args...)
	t.Fail()
}

func (t *T) FailNow() {
	t.Fail()
	runtime.Goexit()
}

func (t *T) Fatal(args ...any) {
	t.Log(args...)
	t.FailNow()
}

func (t *T) Fatalf(format string, args ...any) {
	t.Logf(format, args...)
	t.FailNow()
}
