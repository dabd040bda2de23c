package view

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

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
}

// handle is one open iterator, snapshot or transaction.
type handle struct {
	kind  string
	since time.Time
	stack []byte // who made it; only with Options.TrackHandles
}

func (h *handleRegistry) open(kind string, now time.Time, track bool) *handle {
	n := &handle{kind: kind, since: now}
	if track {
		n.stack = debug.Stack()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.live == nil {
		h.live = make(map[*handle]struct{})
	}
	h.live[n] = struct{}{}
	return n
}

func (h *handleRegistry) close(n *handle) {
	h.mu.Lock()
	delete(h.live, n)
	fn := h.takeIdle()
	h.mu.Unlock()
	fn()
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
