// Package health says whether a database still accepts writes, and what became of
// its background work.
package health

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/event"
)

// Health says whether the database accepts writes. It keeps the first failed
// write of the log or the manifest, or failed sync of the directory, or the loss of
// the lock: from then on reads go on and every write gets the same error. After a failed sync nobody
// knows what is on the disk, so nothing may be built on it.
//
// All methods are safe for concurrent use and never wait.
type Health struct {
	// Config is set before the first use.
	Config
	failure atomic.Pointer[failure]
	watch   lockWatch
}

// Config is what a Health works with.
type Config struct {
	Events   *event.Sink
	ReadOnly bool
	Closed   func() bool
	// Failed is called once, when writes begin to be refused. It must not wait.
	Failed func()
}

// failure is why a database refuses writes.
type failure struct{ err error }

// Poison notes the first failure and returns what every write gets from then
// on.
//
// A log or manifest that Close has closed did not fail: the caller was late.
func (h *Health) Poison(what string, err error) error {
	if errors.Is(err, base.ErrClosed) {
		return base.ErrClosed
	}
	return h.refuse(what, fmt.Errorf("writes are refused after a failed %s write: %w", what, err))
}

// refuse makes every write get an error from now on, unless one is there already.
func (h *Health) refuse(what string, err error) error {
	f := &failure{err}
	if h.failure.CompareAndSwap(nil, f) {
		h.Events.WritesRefused(what, err)
		h.Failed()
	}
	return h.Err()
}

// Err returns the failure that makes the database refuse writes, or nil.
func (h *Health) Err() error {
	if f := h.failure.Load(); f != nil {
		return f.err
	}
	return nil
}

// Writable returns the error that a write gets now, or nil.
func (h *Health) Writable() error {
	if h.Closed() {
		return base.ErrClosed
	}
	if h.ReadOnly {
		return base.ErrReadOnly
	}
	return h.Err()
}

// Outcome is the error of the last job of a background worker; nil if that went
// well. It is safe for concurrent use.
type Outcome struct{ last atomic.Pointer[failure] }

// Set notes how a job went.
func (o *Outcome) Set(err error) {
	if err == nil {
		o.last.Store(nil)
		return
	}
	o.last.Store(&failure{err})
}

// Err returns what went wrong with the last job, or nil.
func (o *Outcome) Err() error {
	if f := o.last.Load(); f != nil {
		return f.err
	}
	return nil
}
