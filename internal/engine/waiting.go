package engine

import (
	"context"
	"sync"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// changes wakes those who wait until something in the engine has changed, so that
// they look again. It is safe for concurrent use; the zero value is ready.
type changes struct {
	mu sync.Mutex
	ch chan struct{} // nil: nobody waits
}

// watch returns a channel that the next notify closes. What the caller waits for
// must be looked at after the call, or a change in between would be missed.
func (c *changes) watch() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch == nil {
		c.ch = make(chan struct{})
	}
	return c.ch
}

// notify wakes everybody who waits.
func (c *changes) notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch != nil {
		close(c.ch)
		c.ch = nil
	}
}

// wait blocks until ready returns true, or ctx ends. ready is called without any
// lock, and must only look.
func (c *changes) wait(ctx context.Context, ready func() bool) error {
	for {
		changed := c.watch()
		if ready() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// retryDelay is how long a background worker rests after a failure.
const retryDelay = time.Second

// sleep waits for d on a clock; it returns false when ctx ends.
func sleep(ctx context.Context, c clock.Clock, d time.Duration) bool {
	over := make(chan struct{})
	timer := c.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}
