// Package view answers reads. A State is what can be read at some moment; a
// Reader has the current one, and the newest sequence number that is visible in
// it. Gets, iterators and snapshots need nothing else: neither the log nor the
// commit pipeline, nor any lock that is held during I/O.
package view

import (
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/ranked"
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
	// Freed is called, as Installed is, when memory of states that were current before
	// has been given back.
	Freed func(s *State)
	// Events is told of handles that were forgotten, or have expired.
	Events *event.Sink
	// SnapshotClosed is called when a snapshot has gone. It must not wait.
	SnapshotClosed func()
}

// Reader answers all reads of a database. Its methods are safe for concurrent
// use.
type Reader struct {
	// Epochs are the guards of point reads. What they may see is freed only
	// after all of them have ended.
	Epochs epoch.Domain
	// Dead knows where iterators have found nothing. Writers tell it.
	Dead *deadrange.Map

	states
	cfg      Config
	hot      hotReads
	closed   atomic.Bool
	handles  handleRegistry
	missed   atomic.Pointer[error] // see NoteMissed
	measures measures

	// joins keeps new snapshots out while operands are applied: an operand that
	// the memtable joins with older ones must not come to stand for some that a
	// snapshot sees and some that it does not, because nobody could take it apart
	// again.
	joins ranked.Mutex[ranked.Joins]
}

// Init makes the reader ready. The first state must be installed before reads.
func (r *Reader) Init(cfg Config) {
	r.cfg, r.hot = cfg, hotReads{cfg.Hot, r}
	r.measures.clock = cfg.Clock
	r.Dead = deadrange.New(func(lo, hi []byte, after base.SeqNum) bool { return mayHaveAdded(r, lo, hi, after) })
	r.states.cfg, r.states.epochs, r.states.replaced = &r.cfg, &r.Epochs, r.parkOld
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

// acquire takes a reference on the current read state; nil once the database is closed,
// which waits for the guard.
func (r *Reader) acquire() *State {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return nil
	}
	s := r.current.Load()
	s.refs.Add(1)
	return s
}

// Closed reports whether Close was called.
func (r *Reader) Closed() bool { return r.closed.Load() }

// Close makes reads fail from now on. It reports whether they did already.
func (r *Reader) Close() (before bool) { return r.closed.Swap(true) }

// Leaks describes the handles that are open, or returns nil.
func (r *Reader) Leaks() error { return r.handles.leaks() }

// NoteMissed has Close return an error that the one who met it could not be told:
// the first one counts.
func (r *Reader) NoteMissed(err error) { r.missed.CompareAndSwap(nil, &err) }

// Missed returns what NoteMissed was told, or nil.
func (r *Reader) Missed() error {
	if missed := r.missed.Load(); missed != nil {
		return *missed
	}
	return nil
}

// WhenIdle runs fn once no handle is open, which may be now.
func (r *Reader) WhenIdle(fn func()) { r.handles.whenIdle(fn) }

// Handles returns a picture of the handles of users.
func (r *Reader) Handles() Handles { return r.handles.picture() }
