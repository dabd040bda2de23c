package view

import (
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/event"
)

// Handles that grow too old expire: what they see is not kept any more, and they say so from
// then on. They still have to be closed.
//
// Who uses a handle looks whether it has expired after he has taken a read state; who drops
// what nobody sees passes by those that have expired. A handle expires before it is passed by
// for the first time, so a state that lacks what it saw is never taken for its own.

// ExpireHandles expires the handles of users that were opened before a time. It may be called
// by one goroutine at a time.
func ExpireHandles(r *Reader, before time.Time) {
	for p, word := range r.handles.pins.all {
		if opened := p.opened(); p.expire(before) {
			noteExpired(r, p.kindOf(word), opened)
		}
	}
	for _, it := range r.handles.expireIterators(before) {
		it.giveUp()
		noteExpired(r, KindIterator, it.Opened())
	}
}

// noteExpired counts a handle that has expired. What it alone has kept can go.
func noteExpired(r *Reader, kind HandleKind, opened Opened) {
	r.handles.expired[kind].Add(1)
	event.HandleExpired(r.cfg.Events, describe(&r.cfg, kind, opened))
	r.cfg.SnapshotClosed()
}

// opened returns when, and where, the snapshot of a pin was opened; the zero time just then.
func (p *pin) opened() (o Opened) {
	if since := p.since.Load(); since != 0 {
		o.At = time.Unix(0, max(since, -since))
	}
	if stack := p.stack.Load(); stack != nil {
		o.Stack = *stack
	}
	return o
}

// expire expires the snapshot of a pin, if it was opened before a time, and reports whether it
// did. It spares one who takes the pin meanwhile, since he opens at another time.
func (p *pin) expire(before time.Time) bool {
	since := p.since.Load()
	return since > 0 && since < before.UnixNano() && p.since.CompareAndSwap(since, -since)
}

// hasExpired reports whether the snapshot of a pin has expired.
func (p *pin) hasExpired() bool { return p.since.Load() < 0 }

// expireIterators marks the iterators that were opened before a time, and returns them.
func (h *handleRegistry) expireIterators(before time.Time) (expired []*Iterator) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range h.all {
		if !n.own && n.since.Before(before) && !n.iterator.expired.Swap(true) {
			expired = append(expired, n.iterator)
		}
	}
	return expired
}

// giveUp gives back what an iterator that has expired does not show, if nobody is in; whoever
// moves it finds that it has expired.
func (it *Iterator) giveUp() {
	it.stale.Store(true)
	if !it.mu.TryLock() {
		return // it is being closed, or moves on
	}
	defer it.mu.Unlock()
	core := it.core
	if core != nil && core.state != nil && core.options.Word != nil && !core.options.Word.Busy() {
		core.park(it.reader)
	}
}

// Opened returns when, and where, the iterator was opened.
func (it *Iterator) Opened() Opened { return Opened{it.handle.since, it.handle.stack} }

// failExpired fails a move of an iterator that has expired.
func (it *Iterator) failExpired() bool {
	it.err = base.ErrHandleExpired
	return false
}
