// Package view answers reads. A State is what can be read at some moment; a
// Reader has the current one, and the newest sequence number that is visible in
// it. Gets, iterators and snapshots need nothing else: neither the log nor the
// commit pipeline, nor any lock that is held during I/O.
package view

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
)

// Config is what a Reader works with.
type Config struct {
	Clock     clock.Clock
	Timeline  *timeline.Timeline
	Keyspaces *keyspace.Registry
	Store     *store.Store // disposes of unused tables
	Janitor   *janitor.Janitor
	Hot       *hotcache.Cache // nil: none
	// TrackHandles records the stack that made each iterator and snapshot.
	TrackHandles bool
	// Installed is called with each new current state, under a lock that readers
	// do not take. It must not wait.
	Installed func(s *State)
	// SnapshotClosed is called when a snapshot has gone. It must not wait.
	SnapshotClosed func()
}

// Reader answers all reads of a database. Its methods are safe for concurrent
// use.
//
// Invariant: the newest visible number follows the data. Whoever loads the state
// after the number sees everything up to it.
type Reader struct {
	// Epochs are the guards of point reads. What they may see is freed only
	// after all of them have ended.
	Epochs epoch.Domain

	cfg     Config
	hot     *hotcache.Cache
	visible atomic.Uint64 // the newest sequence number that readers may see
	flushed atomic.Uint64 // the newest one that is in a table
	state   atomic.Pointer[State]
	closed  atomic.Bool

	handles   handleRegistry
	snapshots snapshotList

	// joins keeps new snapshots out while operands are applied: an operand that
	// the memtable joins with older ones must not come to stand for some that a
	// snapshot sees and some that it does not, because nobody could take it apart
	// again.
	joins sync.Mutex
	// mu makes a change of the state, and of the visible number with it, one step
	// for those who list the snapshots. Readers do not take it.
	mu sync.Mutex
}

// Init makes the reader ready. The first state must be installed before reads.
func (r *Reader) Init(cfg Config) { r.cfg, r.hot = cfg, cfg.Hot }

// State returns the current read state. It stays as it is only for its user in
// a guard, and current only for those who alone may replace it.
func (r *Reader) State() *State { return r.state.Load() }

// Pin returns the current read state with a reference, which the caller gives
// back with Release.
func (r *Reader) Pin() *State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state.Load()
	s.refs.Add(1)
	return s
}

// Change is a new read state in the making: it begins as the current one. A Tree
// that is replaced comes with a reference, which passes to the state.
type Change struct {
	Mem        *Flushable
	Immutables []*Flushable
	Tree       *store.Tree
	// Visible is the newest visible number from now on; 0: as it was.
	Visible base.SeqNum
}

// Update makes what fn makes of the current read state current. fn must not wait.
func (r *Reader) Update(fn func(c *Change)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.state.Load()
	c := Change{}
	if old != nil {
		c = Change{Mem: old.Mem, Immutables: old.Immutables, Tree: old.Tree}
	}
	fn(&c)
	s := &State{
		Mem: c.Mem, Immutables: c.Immutables, Tree: c.Tree,
		operators: r.cfg.Keyspaces, timeline: r.cfg.Timeline,
	}
	s.refs.Store(1)
	s.flushables(func(m *Flushable) bool { m.refs.Add(1); return true })
	if old != nil && old.Tree == s.Tree {
		s.Tree.Ref()
	}
	invariant.Yield()
	r.state.Store(s)
	invariant.Yield()
	if old != nil {
		r.cfg.Janitor.Add(func() {
			r.Epochs.Synchronize()
			r.Release(old)
		})
	}
	r.cfg.Installed(s)
	if c.Visible != 0 {
		r.visible.Store(uint64(c.Visible))
	}
}

// Publish lets readers see everything up to a sequence number.
func (r *Reader) Publish(last base.SeqNum) { r.visible.Store(uint64(last)) }

// VisibleSeq returns the newest sequence number that readers see.
func (r *Reader) VisibleSeq() base.SeqNum { return base.SeqNum(r.visible.Load()) }

// NoteFlushed notes that everything up to a sequence number is in tables, which
// are about to be installed.
func (r *Reader) NoteFlushed(last base.SeqNum) { r.flushed.Store(uint64(last)) }

// FlushedSeq returns the newest sequence number that is in a table.
func (r *Reader) FlushedSeq() base.SeqNum { return base.SeqNum(r.flushed.Load()) }

// now returns the current read state and the newest sequence number visible
// in it. The caller is in an epoch guard. State and number belong together:
// when the state changed between the two loads, the number could lie past what
// the state holds, or the state could have dropped versions that the number
// needs, so both are loaded again.
func (r *Reader) now() (*State, base.SeqNum) {
	for {
		s := r.state.Load()
		invariant.Yield()
		seq := base.SeqNum(r.visible.Load())
		if s == r.state.Load() {
			return s, seq
		}
	}
}

// ReadPoint is what a reader of several keys sees: writes up to a sequence
// number, and of those that expire the ones that do so after a time.
type ReadPoint struct {
	Seq  base.SeqNum
	Time base.Instant
}

// nowTimed is now for a reader of several keys. A compaction that dropped keys
// which expire after the reader's time, and was installed before he took his
// state, would show him some of those that expire together and others not; then
// both are chosen again.
func (r *Reader) nowTimed() (*State, ReadPoint) {
	for {
		at := r.cfg.Timeline.ReadTime()
		invariant.Yield()
		s, seq := r.now()
		if !r.cfg.Timeline.Purged(at) {
			return s, ReadPoint{seq, at}
		}
	}
}

// Metered calls fn with the current state and the newest visible number, inside a
// guard. It returns false when the database is closed.
func (r *Reader) Metered(fn func(s *State, visible base.SeqNum)) bool {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return false
	}
	s, seq := r.now()
	fn(s, seq)
	return true
}

// acquire takes a reference on the current read state for a new handle, which
// it registers, together with what a reader sees in it now. Close waits for the
// guard, so it sees the handle.
func (r *Reader) acquire(kind string) (*State, ReadPoint, *handle, error) {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return nil, ReadPoint{}, nil, base.ErrClosed
	}
	s, at := r.nowTimed()
	s.refs.Add(1)
	return s, at, r.openHandle(kind), nil
}

func (r *Reader) openHandle(kind string) *handle {
	return r.handles.open(kind, r.cfg.Clock.Now(), r.cfg.TrackHandles)
}

// Release gives back a reference on a read state. What is no longer used goes
// to the janitor.
func (r *Reader) Release(s *State) {
	if s.refs.Add(-1) > 0 {
		return
	}
	unused := s.Tree.Unref()
	var memories []*Flushable
	s.flushables(func(m *Flushable) bool {
		if m.refs.Add(-1) == 0 {
			memories = append(memories, m)
		}
		return true
	})
	if len(unused)+len(memories) == 0 {
		return
	}
	r.cfg.Janitor.Add(func() {
		for _, m := range memories {
			m.Free()
		}
		r.cfg.Store.Dispose(unused)
	})
}

// Closed reports whether Close was called.
func (r *Reader) Closed() bool { return r.closed.Load() }

// Close makes reads fail from now on. It reports whether they did already.
func (r *Reader) Close() (before bool) { return r.closed.Swap(true) }

// GiveUp gives up the current read state, once all readers have left it. Handles
// keep what they hold.
func (r *Reader) GiveUp() {
	if s := r.state.Load(); s != nil {
		r.cfg.Janitor.Add(func() {
			r.Epochs.Synchronize()
			r.Release(s)
		})
	}
}

// Leaks describes the handles that are open, or returns nil.
func (r *Reader) Leaks() error { return r.handles.leaks() }

// WhenIdle runs fn once no handle is open, which may be now.
func (r *Reader) WhenIdle(fn func()) { r.handles.whenIdle(fn) }

// OpenHandles returns the numbers of open iterators and snapshots, and the age of
// the oldest.
func (r *Reader) OpenHandles() (iterators, snapshots int, oldest time.Duration) {
	return r.handles.count(r.cfg.Clock.Now())
}
