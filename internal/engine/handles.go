package engine

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/ranked"
)

const (
	iteratorKind = "iterator"
	snapshotKind = "snapshot"
)

// handleRegistry knows the iterators and snapshots that are open, for the
// metrics and for the report on Close.
type handleRegistry struct {
	mu   ranked.Mutex[ranked.Handles]
	live map[*handle]struct{}
	idle func() // run once, when the last handle is closed
}

// handle is one open iterator or snapshot.
type handle struct {
	kind  string
	since time.Time
	stack []byte // who made it; only with Options.TrackHandles
}

func (h *handleRegistry) open(kind string, opts *Options) *handle {
	n := &handle{kind: kind, since: opts.Clock.Now()}
	if opts.TrackHandles {
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
	h.runIdle()
}

// whenIdle runs fn once no handle is open, which may be now.
func (h *handleRegistry) whenIdle(fn func()) {
	h.mu.Lock()
	h.idle = fn
	h.runIdle()
}

// runIdle gives up h.mu and runs the function that waits for idleness, if its
// time has come.
func (h *handleRegistry) runIdle() {
	var fn func()
	if len(h.live) == 0 {
		fn, h.idle = h.idle, nil
	}
	h.mu.Unlock()
	if fn != nil {
		fn()
	}
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
	return fmt.Errorf("%w: iterators: %d, snapshots: %d%s",
		ErrLeaked, counts[iteratorKind], counts[snapshotKind], stacks.String())
}

// count returns the numbers of open handles and the age of the oldest.
func (h *handleRegistry) count(now time.Time) (iterators, snapshots int, oldest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range h.live {
		if n.kind == snapshotKind {
			snapshots++
		} else {
			iterators++
		}
		oldest = max(oldest, now.Sub(n.since))
	}
	return iterators, snapshots, oldest
}
