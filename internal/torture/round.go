package torture

import (
	"context"
	"fmt"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// contender is a suite that competes with others for time. Only the goroutine of
// the campaign uses it.
type contender struct {
	Suite
	begun   int64
	running []*round
	used    time.Duration // by rounds that have ended
	totals  ledger.Totals // of them
}

// charge is how much time the suite has had. A round that runs counts for at
// least what rounds took before it; else all idle workers would go to the same
// suite.
func (c *contender) charge(now time.Time) time.Duration {
	usual := c.used / time.Duration(max(1, c.totals.Rounds))
	charge := c.used
	for _, b := range c.running {
		charge += max(usual, now.Sub(b.start))
	}
	return charge
}

// round is a round under way. The goroutine of attempt writes end and err, and
// then hands it back.
type round struct {
	suite    *contender
	seed     uint64
	start    time.Time
	watchdog clock.Timer
	tally    ledger.Tally
	end      time.Time
	err      error
}

// attempt runs the round and returns it. A panic is an error of the round.
func (b *round) attempt(ctx context.Context) *round {
	defer func() { b.end = clock.System.Now() }()
	b.err = b.guarded(ctx)
	return b
}

func (b *round) guarded(ctx context.Context) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("panic: %v\n%s", what, panicStack())
		}
	}()
	return b.suite.Round(ctx, b.seed, &b.tally)
}

// panicStack tells where a panic comes from, when a deferred function calls it.
// It has the base names of files only, because ledgers are published.
func panicStack() string {
	const depth = 100
	callers := make([]uintptr, depth)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	var b strings.Builder
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "(*round).guarded") || !more {
			return strings.TrimSuffix(b.String(), "\n")
		}
		fmt.Fprintf(&b, "%s (%s:%d)\n", frame.Function, path.Base(frame.File), frame.Line)
	}
}

// stacks returns the stacks of all goroutines.
func stacks() string {
	const stacksBytesMax = 64 << 20
	for size := 1 << 20; ; size *= 2 {
		text := make([]byte, size)
		if n := runtime.Stack(text, true); n < size || size >= stacksBytesMax {
			return string(text[:n])
		}
	}
}
