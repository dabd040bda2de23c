package engine

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/event"
)

// health says whether the database accepts writes. It keeps the first failed
// write of the log or the manifest, or failed sync of the directory: from then on
// reads go on and every write gets the same error. After a failed sync nobody
// knows what is on the disk, so nothing may be built on it.
//
// All methods are safe for concurrent use and never wait.
type health struct {
	events   *event.Sink
	readOnly bool
	closed   func() bool
	// failed is called once, when writes begin to be refused.
	failed func()

	failure atomic.Pointer[failure]
}

// failure is why a database refuses writes.
type failure struct{ err error }

// poison notes the first failure and returns what every write gets from then
// on.
//
// A log or manifest that Close has closed did not fail: the caller was late.
func (h *health) poison(what string, err error) error {
	if errors.Is(err, base.ErrClosed) {
		return base.ErrClosed
	}
	f := &failure{fmt.Errorf("writes are refused after a failed %s write: %w", what, err)}
	if h.failure.CompareAndSwap(nil, f) {
		h.events.WritesRefused(what, err)
		h.failed()
	}
	return h.err()
}

// err returns the failure that makes the database refuse writes, or nil.
func (h *health) err() error {
	if f := h.failure.Load(); f != nil {
		return f.err
	}
	return nil
}

// writable returns the error that a write gets now, or nil.
func (h *health) writable() error {
	if h.closed() {
		return base.ErrClosed
	}
	if h.readOnly {
		return base.ErrReadOnly
	}
	return h.err()
}

// outcome is the error of the last job of a background worker; nil if that went
// well. It is safe for concurrent use.
type outcome struct{ last atomic.Pointer[failure] }

func (o *outcome) set(err error) {
	if err == nil {
		o.last.Store(nil)
		return
	}
	o.last.Store(&failure{err})
}

func (o *outcome) err() error {
	if f := o.last.Load(); f != nil {
		return f.err
	}
	return nil
}
