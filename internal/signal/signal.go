// Package signal is how goroutines wait for each other's progress.
package signal

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/ranked"
)

// Changes wakes those who wait until something has changed, so that they look
// again. Where nobody waits a notification costs one load. It is safe for
// concurrent use; the zero value is ready. Its lock is a leaf.
type Changes struct {
	waiting atomic.Bool
	mu      ranked.Mutex[ranked.Changes]
	ch      chan struct{} // nil: nobody waits
}

// Watch returns a channel that the next Notify closes. What the caller waits for
// must be looked at after the call, or a change in between would be missed.
func (c *Changes) Watch() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch == nil {
		c.ch = make(chan struct{})
	}
	c.waiting.Store(true)
	return c.ch
}

// Notify wakes everybody who waits.
func (c *Changes) Notify() {
	if !c.waiting.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting.Store(false)
	if c.ch != nil {
		close(c.ch)
		c.ch = nil
	}
}

// Wait blocks until ready returns true, or ctx ends. ready must only look.
func (c *Changes) Wait(ctx context.Context, ready func() bool) error {
	for {
		changed := c.Watch()
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

// Sleep waits for d on a clock; it returns false when ctx ends.
func Sleep(ctx context.Context, c clock.Clock, d time.Duration) bool {
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
