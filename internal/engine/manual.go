package engine

import (
	"context"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/ranked"
)

// manualCompaction is a request to bring [lo, hi) into one sorted run. wrote is
// the worker's; done and err are guarded by the queue.
type manualCompaction struct {
	lo, hi []byte
	ctx    context.Context
	wrote  map[base.FileNum]bool // files that were written for it
	done   bool
	err    error
}

// manualQueue is the requests that wait, in order. It is safe for concurrent use.
type manualQueue struct {
	mu       ranked.Mutex[ranked.ManualQueue]
	requests []*manualCompaction
}

func (q *manualQueue) add(m *manualCompaction) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.requests = append(q.requests, m)
}

// first returns the request that is served next, or nil.
func (q *manualQueue) first() *manualCompaction {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.requests) == 0 {
		return nil
	}
	return q.requests[0]
}

// complete takes the first request, which is m, off the queue.
func (q *manualQueue) complete(m *manualCompaction, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m.done, m.err = true, err
	q.requests = q.requests[1:]
}

// state returns whether a request is done, and its error.
func (q *manualQueue) state(m *manualCompaction) (done bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return m.done, m.err
}

// compact brings everything in [lo, hi) into one sorted run and returns when it is
// there. What is in memory is not part of it.
func (c *compactor) compact(ctx, stopped context.Context, lo, hi []byte) error {
	m := &manualCompaction{lo: lo, hi: hi, ctx: ctx, wrote: map[base.FileNum]bool{}}
	c.manual.add(m)
	c.changed.Notify()
	err := c.changed.Wait(ctx, func() bool {
		done, _ := c.manual.state(m)
		return done || stopped.Err() != nil || c.health.Err() != nil
	})
	if err != nil {
		return err
	}
	done, err := c.manual.state(m)
	switch {
	case done && err == nil:
		return nil
	case stopped.Err() != nil: // which is also why the job failed, if one did
		return base.ErrClosed
	case done:
		return err
	}
	return c.health.Err()
}

// purging is when the next purge may begin, and the timer that wakes the worker
// then. It is safe for concurrent use.
type purging struct {
	mu        ranked.Mutex[ranked.Purging]
	restUntil time.Time
	timer     clock.Timer
	stopped   bool
}

func (p *purging) until() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restUntil
}

func (p *purging) rest(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restUntil = until
}

// setTimer replaces the timer, unless stop was called.
func (p *purging) setTimer(start func() clock.Timer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	if !p.stopped {
		p.timer = start()
	}
}

// stop ends the timer, for good.
func (p *purging) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
	}
}
