package txn

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
)

var (
	// ErrDeadlock says that waiting for a lock would never end: its holder waits,
	// perhaps through others, for one who asks.
	ErrDeadlock = errors.New("deadlock")
	// ErrLockTimeout says that a lock did not become free in time.
	ErrLockTimeout = errors.New("lock timeout")
)

// Locks are exclusive locks on intervals of keys, held by transactions. They
// keep out only those who ask for a lock.
//
// Who comes first is served first: a request waits for the holders of what it
// overlaps and for all that wait before it for something that it overlaps, so
// nobody starves. A request that would close a circle of waiting is refused.
//
// Invariants: held intervals are sorted and disjoint; those of one owner that
// touch may be separate entries. The zero Locks has none. It is safe for
// concurrent use.
type Locks struct {
	mu      sync.Mutex
	held    []heldLock
	waiting []*lockWait // the oldest first
	closed  bool
}

// Owner is a transaction that holds locks. It has at most one request at a
// time.
type Owner struct{ wait *lockWait }

type heldLock struct {
	Span
	owner *Owner
}

type lockWait struct {
	Span
	owner *Owner
	done  chan struct{} // closed when it is granted, or refused with err
	err   error
}

// Lock locks the keys in [lo, hi) for an owner, who may hold a part of them
// already. It waits until the context is done, or for at most the timeout if
// that is positive.
func (l *Locks) Lock(ctx context.Context, o *Owner, lo, hi []byte, timeout time.Duration) error {
	w := &lockWait{Span: Span{bytes.Clone(lo), bytes.Clone(hi)}, owner: o, done: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return base.ErrClosed
	}
	if !l.blocked(w, l.waiting) {
		l.grant(w)
		l.mu.Unlock()
		return nil
	}
	o.wait = w
	l.waiting = append(l.waiting, w)
	if l.circle(o) {
		l.withdraw(w)
		l.mu.Unlock()
		return ErrDeadlock
	}
	l.mu.Unlock()
	return l.await(ctx, w, timeout)
}

// await waits for a request to be granted.
func (l *Locks) await(ctx context.Context, w *lockWait, timeout time.Duration) error {
	expired := make(chan struct{})
	if timeout > 0 {
		timer := clock.System.AfterFunc(timeout, func() { close(expired) })
		defer timer.Stop()
	}
	var err error
	select {
	case <-w.done:
		return w.err
	case <-expired:
		err = ErrLockTimeout
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-w.done: // meanwhile
		return w.err
	default:
		l.withdraw(w)
		return err
	}
}

// Release gives up all locks of an owner.
func (l *Locks) Release(o *Owner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = slices.DeleteFunc(l.held, func(h heldLock) bool { return h.owner == o })
	l.grantWaiting()
}

// Close refuses all that wait, and all requests from now on, with
// base.ErrClosed.
func (l *Locks) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, w := range l.waiting {
		w.owner.wait, w.err = nil, base.ErrClosed
		close(w.done)
	}
	l.waiting = nil
}

// Held returns the number of intervals that are locked, and of requests that
// wait.
func (l *Locks) Held() (locks, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held), len(l.waiting)
}

// from returns the index of the first held interval that ends behind a key.
func (l *Locks) from(key []byte) int {
	i, _ := slices.BinarySearchFunc(l.held, key, func(h heldLock, key []byte) int {
		if bytes.Compare(h.Hi, key) <= 0 {
			return -1
		}
		return 1
	})
	return i
}

// blockers calls fn for the owners that a request waits for, until it returns
// false: holders, and those of the requests before it.
func (l *Locks) blockers(w *lockWait, before []*lockWait, fn func(*Owner) bool) {
	for i := l.from(w.Lo); i < len(l.held) && bytes.Compare(l.held[i].Lo, w.Hi) < 0; i++ {
		if l.held[i].owner != w.owner && !fn(l.held[i].owner) {
			return
		}
	}
	for _, other := range before {
		if other == w {
			return
		}
		if other.overlaps(&w.Span) && l.lacks(w, other) && !fn(other.owner) {
			return
		}
	}
}

func (s *Span) overlaps(other *Span) bool {
	return bytes.Compare(s.Lo, other.Hi) < 0 && bytes.Compare(other.Lo, s.Hi) < 0
}

// lacks says whether what two requests both want is not all held by the owner
// of the first: nobody waits for those who wait for what he has.
func (l *Locks) lacks(w, other *lockWait) bool {
	lo, hi := w.Lo, w.Hi
	if bytes.Compare(other.Lo, lo) > 0 {
		lo = other.Lo
	}
	if bytes.Compare(other.Hi, hi) < 0 {
		hi = other.Hi
	}
	for i := l.from(lo); i < len(l.held) && bytes.Compare(l.held[i].Lo, lo) <= 0; i++ {
		if l.held[i].owner != w.owner {
			return true
		}
		if lo = l.held[i].Hi; bytes.Compare(lo, hi) >= 0 {
			return false
		}
	}
	return true
}

// blocked says whether a request must wait.
func (l *Locks) blocked(w *lockWait, before []*lockWait) (blocked bool) {
	l.blockers(w, before, func(*Owner) bool { blocked = true; return false })
	return blocked
}

// circle says whether an owner who waits waits for itself.
func (l *Locks) circle(start *Owner) (found bool) {
	seen := map[*Owner]bool{}
	var visit func(o *Owner) bool // false ends the search
	visit = func(o *Owner) bool {
		if o.wait == nil || seen[o] {
			return true
		}
		seen[o] = true
		l.blockers(o.wait, l.waiting, func(next *Owner) bool {
			found = found || next == start
			return !found && visit(next)
		})
		return !found
	}
	visit(start)
	return found
}

// grant gives a request what of its interval its owner does not hold yet.
func (l *Locks) grant(w *lockWait) {
	lo := w.Lo
	i := l.from(lo)
	for ; i < len(l.held) && bytes.Compare(l.held[i].Lo, w.Hi) < 0; i++ {
		if h := l.held[i]; bytes.Compare(lo, h.Lo) < 0 {
			l.held = slices.Insert(l.held, i, heldLock{Span{lo, h.Lo}, w.owner})
			i++
		}
		lo = l.held[i].Hi
	}
	if bytes.Compare(lo, w.Hi) < 0 {
		l.held = slices.Insert(l.held, i, heldLock{Span{lo, w.Hi}, w.owner})
	}
	w.owner.wait = nil
	close(w.done)
}

// grantWaiting grants all that nothing is in the way of any more, in order.
func (l *Locks) grantWaiting() {
	still := l.waiting[:0:0]
	for _, w := range l.waiting {
		if l.blocked(w, still) {
			still = append(still, w)
		} else {
			l.grant(w)
		}
	}
	l.waiting = still
}

// withdraw takes a request back; others may have waited behind it.
func (l *Locks) withdraw(w *lockWait) {
	w.owner.wait = nil
	l.waiting = slices.DeleteFunc(l.waiting, func(o *lockWait) bool { return o == w })
	l.grantWaiting()
}

// LockKey locks one key. See Lock.
func (l *Locks) LockKey(ctx context.Context, o *Owner, key []byte, timeout time.Duration) error {
	return l.Lock(ctx, o, key, base.Successor(nil, key), timeout)
}
