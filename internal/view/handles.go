package view

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/ranked"
)

const (
	iteratorKind    = "iterator"
	snapshotKind    = "snapshot"
	transactionKind = "transaction"
	ownKind         = "scan of the database" // which is nobody's handle
)

// handleRegistry knows the iterators, snapshots and transactions that are open, for the
// metrics and for the report on Close.
type handleRegistry struct {
	mu   ranked.Mutex[ranked.Handles]
	live map[*handle]struct{}
	idle func() // run once, when the last handle is closed

	joining bool        // operands are being applied: no iterator is opened
	newest  base.SeqNum // of the iterators that were opened while one was open
	opened  int         // iterators
}

// handle is one open iterator, snapshot or transaction.
type handle struct {
	kind  string
	since time.Time
	stack []byte // who made it; only with Options.TrackHandles

	iterator *Iterator // nil: another handle. With it:
	at       ReadPoint // what it sees
	listed   bool      // whether somebody keeps something for it
}

func newHandle(kind string, now time.Time, track bool) *handle {
	n := &handle{kind: kind, since: now}
	if track {
		n.stack = debug.Stack()
	}
	return n
}

func (h *handleRegistry) open(n *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(n)
}

// add adds a handle. The caller holds h.mu.
func (h *handleRegistry) add(n *handle) {
	if h.live == nil {
		h.live = make(map[*handle]struct{})
	}
	h.live[n] = struct{}{}
}

// openAt is open for an iterator, whose read point is chosen as one step with it. It
// returns false, with nothing done, while operands are being applied.
func (h *handleRegistry) openAt(n *handle, choose func() ReadPoint) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.joining {
		return false
	}
	n.at = choose()
	h.add(n)
	h.opened++
	h.newest = max(h.newest, n.at.Seq)
	return true
}

// close removes a handle, and reports whether somebody keeps something for it.
func (h *handleRegistry) close(n *handle) (listed bool) {
	h.mu.Lock()
	delete(h.live, n)
	if n.iterator != nil {
		if h.opened--; h.opened == 0 {
			h.newest = 0
		}
	}
	listed = n.listed
	fn := h.takeIdle()
	h.mu.Unlock()
	fn()
	return listed
}

// iterators returns the open ones.
func (h *handleRegistry) iterators() []*Iterator {
	h.mu.Lock()
	defer h.mu.Unlock()
	its := make([]*Iterator, 0, h.opened)
	for n := range h.live {
		if n.iterator != nil {
			its = append(its, n.iterator)
		}
	}
	return its
}

// points returns what the iterators see, in no order, for somebody who keeps it.
func (h *handleRegistry) points() []ReadPoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	points := make([]ReadPoint, 0, h.opened)
	for n := range h.live {
		if n.iterator != nil {
			n.listed = true
			points = append(points, n.at)
		}
	}
	return points
}

// join says that operands are being applied, or are no more. It returns what the newest
// of the iterators that are open sees, or more.
func (h *handleRegistry) join(joining bool) base.SeqNum {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.joining = joining
	return h.newest
}

// whenIdle runs fn once no handle is open, which may be now.
func (h *handleRegistry) whenIdle(fn func()) {
	h.mu.Lock()
	h.idle = fn
	now := h.takeIdle()
	h.mu.Unlock()
	now()
}

// takeIdle returns the function that waits for idleness if its time has come,
// or else one that does nothing. The caller holds h.mu, and runs it without.
func (h *handleRegistry) takeIdle() func() {
	if len(h.live) > 0 || h.idle == nil {
		return func() {}
	}
	fn := h.idle
	h.idle = nil
	return fn
}

// ErrLeaked is matched by the error of Close when handles were left open.
var ErrLeaked = errors.New("handles were left open")

// leaks describes what is open, or returns nil.
func (h *handleRegistry) leaks() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	counts := map[string]int{}
	var stacks strings.Builder
	for n := range h.live {
		counts[n.kind]++
		if n.stack != nil {
			fmt.Fprintf(&stacks, "\n%s opened by:\n%s", n.kind, n.stack)
		}
	}
	if len(counts) == 0 {
		return nil
	}
	return fmt.Errorf("%w: iterators: %d, snapshots: %d, transactions: %d%s", ErrLeaked,
		counts[iteratorKind], counts[snapshotKind], counts[transactionKind], stacks.String())
}

// count returns the numbers of open handles and the age of the oldest. A
// transaction counts as the snapshot that it has.
func (h *handleRegistry) count(now time.Time) (iterators, snapshots int, oldest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range h.live {
		switch n.kind {
		case ownKind:
			continue
		case iteratorKind:
			iterators++
		default:
			snapshots++
		}
		oldest = max(oldest, now.Sub(n.since))
	}
	return iterators, snapshots, oldest
}
