package view

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/ranked"
)

// handleRegistry knows the iterators, snapshots and transactions that are open: for those
// who drop old records, for the metrics and for the report on Close.
type handleRegistry struct {
	pins pins // of snapshots and transactions

	forgotten, expired tallies

	mu     ranked.Mutex[ranked.Handles]
	live   *handle // the newest iterator
	count  int
	newest base.SeqNum // of those that were opened while one was open
	idle   func()      // run once, when the last handle is closed

	// These are set under mu, and looked at by those who pin or unpin without it.
	joining atomic.Bool // operands are being applied: nothing is opened
	waiting atomic.Bool // there is a function that waits for idleness
}

// handle is one open iterator.
type handle struct {
	iterator *Iterator
	own      bool // the database's own, which counts as nobody's handle
	at       ReadPoint
	since    time.Time
	stack    []byte // who made it; only with Options.TrackHandles
	listed   bool   // whether somebody keeps something for it

	older, newer *handle // in the registry
}

// add adds a handle. The caller holds h.mu.
func (h *handleRegistry) add(n *handle) {
	if n.older = h.live; n.older != nil {
		n.older.newer = n
	}
	h.live = n
	h.count++
}

// remove takes a handle out. The caller holds h.mu.
func (h *handleRegistry) remove(n *handle) {
	if n.older != nil {
		n.older.newer = n.newer
	}
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		h.live = n.older
	}
	n.older, n.newer = nil, nil
	h.count--
}

// all yields the handles. The caller holds h.mu.
func (h *handleRegistry) all(yield func(n *handle) bool) {
	for n := h.live; n != nil && yield(n); n = n.older {
	}
}

// openAt adds a handle, whose read point is chosen as one step with it. It returns false,
// with nothing done, while operands are being applied.
func (h *handleRegistry) openAt(n *handle, choose func() ReadPoint) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.joining.Load() {
		return false
	}
	n.at = choose()
	h.add(n)
	h.newest = max(h.newest, n.at.Seq)
	return true
}

// close removes a handle, and reports whether somebody keeps something for it.
func (h *handleRegistry) close(n *handle) (listed bool) {
	h.mu.Lock()
	h.remove(n)
	if h.count == 0 {
		h.newest = 0
	}
	listed = n.listed
	fn := h.takeIdle()
	h.mu.Unlock()
	fn()
	return listed
}

// unpin releases a pin, as close removes a handle.
func (h *handleRegistry) unpin(p *pin) (listed bool) {
	listed = p.release()
	if h.waiting.Load() {
		h.mu.Lock()
		fn := h.takeIdle()
		h.mu.Unlock()
		fn()
	}
	return listed
}

// iterators returns the open ones.
func (h *handleRegistry) iterators() []*Iterator {
	h.mu.Lock()
	defer h.mu.Unlock()
	its := make([]*Iterator, 0, h.count)
	for n := range h.all {
		its = append(its, n.iterator)
	}
	return its
}

// points returns what the iterators see, in no order, for somebody who keeps it.
func (h *handleRegistry) points() []ReadPoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	points := make([]ReadPoint, 0, h.count)
	for n := range h.all {
		if n.iterator.expired.Load() {
			continue
		}
		n.listed = true
		points = append(points, n.at)
	}
	return points
}

// listed returns what snapshots and iterators read at, in no order, for somebody who keeps
// it. An iterator of a snapshot may outlive it: so it is looked for later.
func (h *handleRegistry) listed() []ReadPoint {
	var points []ReadPoint
	for p := range h.pins.all {
		if at, ok := p.list(); ok {
			points = append(points, at)
		}
	}
	return append(points, h.points()...)
}

// join says that operands are being applied, or are no more. It returns what the newest
// of the iterators that are open sees, or more.
func (h *handleRegistry) join(joining bool) base.SeqNum {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.joining.Store(joining)
	return h.newest
}

// whenIdle runs fn once no handle is open, which may be now.
func (h *handleRegistry) whenIdle(fn func()) {
	h.mu.Lock()
	h.idle = fn
	h.waiting.Store(true)
	now := h.takeIdle()
	h.mu.Unlock()
	now()
}

// takeIdle returns the function that waits for idleness if its time has come,
// or else one that does nothing. The caller holds h.mu, and runs it without.
func (h *handleRegistry) takeIdle() func() {
	if h.count > 0 || h.idle == nil || h.pins.any() {
		return func() {}
	}
	fn := h.idle
	h.idle = nil
	h.waiting.Store(false)
	return fn
}

// ErrLeaked is matched by the error of Close when handles were left open.
var ErrLeaked = errors.New("handles were left open")

// leaks describes what is open, or returns nil.
func (h *handleRegistry) leaks() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var own int
	var open HandleCounts
	var stacks strings.Builder
	note := func(kind string, stack []byte) {
		if stack != nil {
			fmt.Fprintf(&stacks, "\n%s opened by:\n%s", kind, stack)
		}
	}
	for n := range h.all {
		if n.own {
			own++
			note("scan of the database", n.stack)
			continue
		}
		open[KindIterator]++
		note(KindIterator.String(), n.stack)
	}
	for p, word := range h.pins.all {
		kind := p.kindOf(word)
		open[kind]++
		if stack := p.stack.Load(); stack != nil {
			note(kind.String(), *stack)
		}
	}
	if own == 0 && open == (HandleCounts{}) {
		return nil
	}
	return fmt.Errorf("%w: iterators: %d, snapshots: %d, transactions: %d%s", ErrLeaked,
		open[KindIterator], open[KindSnapshot], open[KindTransaction], stacks.String())
}

// Handles is a picture of the handles of users.
type Handles struct {
	Open HandleCounts
	// Forgotten were closed because nobody could reach them; Expired were open for too long.
	// Both count from the beginning.
	Forgotten, Expired HandleCounts
	// Oldest is when the oldest that is open was opened; the zero time: none is.
	Oldest time.Time
	// Seq is the oldest sequence number that one of them reads at, if Pinning.
	Seq     base.SeqNum
	Pinning bool
}

// see adds a handle that is open.
func (h *Handles) see(kind HandleKind, opened time.Time) {
	h.Open[kind]++
	if !opened.IsZero() && (h.Oldest.IsZero() || opened.Before(h.Oldest)) {
		h.Oldest = opened
	}
}

// pin adds what one that is open reads at.
func (h *Handles) pin(seq base.SeqNum) {
	if !h.Pinning || seq < h.Seq {
		h.Seq, h.Pinning = seq, true
	}
}

// picture returns a picture of the handles.
func (h *handleRegistry) picture() Handles {
	now := Handles{Forgotten: h.forgotten.counts(), Expired: h.expired.counts()}
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range h.all {
		if n.own {
			continue
		}
		now.see(KindIterator, n.since)
		if !n.iterator.expired.Load() {
			now.pin(n.at.Seq)
		}
	}
	for p, word := range h.pins.all {
		now.see(p.kindOf(word), p.opened().At)
		if !p.hasExpired() {
			now.pin(p.seqOf(word))
		}
	}
	return now
}
