// Package expirer is the worker that has handles expire which are open for too long.
package expirer

import (
	"context"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/view"
)

// Expirer has handles expire. Run is for one goroutine.
type Expirer struct {
	Reads *view.Reader
	Clock clock.Clock
	Age   time.Duration // 0: none expires
}

// expiryLooks is how often the worker looks at handles within the age that they may have: they
// get older than that by one of so many.
const expiryLooks = 8

// Run is the worker, until ctx ends.
func (e *Expirer) Run(ctx context.Context) {
	if e.Age == 0 {
		return
	}
	for signal.Sleep(ctx, e.Clock, e.Age/expiryLooks) {
		view.ExpireHandles(e.Reads, e.Clock.Now().Add(-e.Age))
	}
}
