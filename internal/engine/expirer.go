package engine

import (
	"context"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/view"
)

// expirer is the worker that has handles expire which are open for too long.
type expirer struct {
	reads *view.Reader
	clock clock.Clock
	age   time.Duration // 0: none expires
}

// expiryLooks is how often the worker looks at handles within the age that they may have: they
// get older than that by one of so many.
const expiryLooks = 8

// run is the worker.
func (e *expirer) run(ctx context.Context) {
	if e.age == 0 {
		return
	}
	for signal.Sleep(ctx, e.clock, e.age/expiryLooks) {
		view.ExpireHandles(e.reads, e.clock.Now().Add(-e.age))
	}
}
