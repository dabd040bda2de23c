// Package engine is the database itself: it takes commits, keeps the read
// state, flushes memtables, schedules compactions and recovers after a crash.
// Keys here are internal: the keyspace prefix is part of them.
//
// docs/locks.md has all locks, in the order in which they are taken.
// Readers take none of them: they enter an epoch and load the read state.
package engine

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/wal"
)

// DB is an open database. All methods are safe for concurrent use.
type DB struct {
	dir    string
	opts   Options
	id     base.DBID
	lock   io.Closer
	memory offheap.Accountant
	epochs epoch.Domain
	// timeline tells when records expire.
	timeline timeline
	cache    *framecache.Cache
	hot      *hotcache.Cache // nil: none
	// operators are the merge operators by keyspace; nil as long as there are none.
	operators atomic.Pointer[map[uint64]*merge.Operator]

	// visible is the newest sequence number that readers may see. It follows
	// the data: whoever loads the read state after it sees everything up to it.
	visible atomic.Uint64
	// flushedSeq is the newest sequence number that is in a table.
	flushedSeq atomic.Uint64
	// unloggedSeq is the newest sequence number that was committed past the log.
	unloggedSeq atomic.Uint64
	state       atomic.Pointer[readState]
	closed      atomic.Bool

	pipeline pipeline
	pace     pacer
	log      *wal.Log // nil in a read-only database

	// joins keeps new snapshots out while operands are applied: an operand that
	// the memtable joins with older ones must not come to stand for some that a
	// snapshot sees and some that it does not, because nobody could take it apart
	// again. It is taken before mu.
	joins ranked.Mutex[ranked.Joins]

	manifestMu ranked.Mutex[ranked.ManifestEdit]
	manifest   *manifest.Log // nil in a read-only database

	mu       ranked.Mutex[ranked.State]
	changed  chan struct{} // closed and replaced whenever something under mu changes
	fields   guarded
	tables   map[base.FileNum]*table
	handles  handleRegistry
	janitor  janitor
	history  changeHistory
	feeds    feedSignal
	workers  sync.WaitGroup
	stop     context.CancelFunc
	stopped  context.Context
	counters counters

	// failure is the first failed write of the log or the manifest, or failed
	// sync of the directory; no write is accepted after it.
	failure atomic.Pointer[failure]
}

// guarded are the fields that DB.mu protects.
type guarded struct {
	snapshots   snapshotList
	nextFileNum base.FileNum
	logs        []base.FileNum         // that the manifest names, oldest first
	freeLogs    []base.FileNum         // that nobody needs any more, ready for reuse
	preparedLog base.FileNum           // ready to be rotated to; 0: being prepared
	logBytes    int64                  // size for the next prepared segment
	claimed     map[base.FileNum]bool  // inputs of the running job, and files about to go
	quarantined map[base.FileNum]error // damaged, and how: no job may read them
	manual      []*manualCompaction
	purge       purging
	keyspaces   keyspaceSet
	spills      map[*Spill]bool // of open transactions; nil once the database is closed
	spilling    int             // calls that write or remove files of transactions
	// The outcome of the last job of each background worker.
	flushErr, compactErr, logErr error
}

// readState is everything a read needs: what is in memory and the tree of
// files. It is immutable; DB.state points to the current one and holds a
// reference on it.
//
// Point reads use it inside an epoch guard without counting; longer readers
// take a reference. The current state's own reference is given back only after
// all guards that may have loaded it have ended.
type readState struct {
	refs atomic.Int32
	mem  *memory
	imms []*memory // not yet flushed, newest first
	tree *tree
}

// lockedState returns the current read state; the caller holds DB.mu, so it
// stays current.
func (db *DB) lockedState() *readState { return db.state.Load() }

// install makes a new read state current. The caller holds db.mu. The tree's
// reference passes to the state when it is a new one; an old tree is shared.
func (db *DB) install(mem *memory, imms []*memory, t *tree) {
	rs := &readState{mem: mem, imms: imms, tree: t}
	rs.refs.Store(1)
	mem.refs.Add(1)
	for _, m := range imms {
		m.refs.Add(1)
	}
	old := db.state.Load()
	if old != nil && old.tree == t {
		t.refs.Add(1)
	}
	invariant.Yield()
	db.state.Store(rs)
	invariant.Yield()
	if old != nil {
		db.janitor.add(func() {
			db.epochs.Synchronize()
			db.release(old)
		})
	}
	db.resizeCache(rs)
	db.pace.update(rs, &db.opts)
	db.broadcast()
}

// acquire takes a reference on the current read state for a new handle, which
// it registers, together with what a reader sees in it now. Close waits for the
// guard, so it sees the handle.
func (db *DB) acquire(kind string) (*readState, snapshotAt, *handle, error) {
	g := db.epochs.Enter()
	defer g.Exit()
	if db.closed.Load() {
		return nil, snapshotAt{}, nil, base.ErrClosed
	}
	rs, at := db.viewNow()
	rs.refs.Add(1)
	return rs, at, db.handles.open(kind, &db.opts), nil
}

// view returns the current read state and the newest sequence number visible
// in it. The caller is in an epoch guard. State and number belong together:
// when the state changed between the two loads, the number could lie past what
// the state holds, or the state could have dropped versions that the number
// needs, so both are loaded again.
func (db *DB) view() (*readState, base.SeqNum) {
	for {
		rs := db.state.Load()
		invariant.Yield()
		seq := base.SeqNum(db.visible.Load())
		if rs == db.state.Load() {
			return rs, seq
		}
	}
}

// release gives back a reference on a read state. What is no longer used goes
// to the janitor.
func (db *DB) release(rs *readState) {
	if rs.refs.Add(-1) > 0 {
		return
	}
	unused := rs.tree.unref()
	var memories []*memory
	for _, m := range append([]*memory{rs.mem}, rs.imms...) {
		if m.refs.Add(-1) == 0 {
			memories = append(memories, m)
		}
	}
	if len(unused)+len(memories) == 0 {
		return
	}
	db.janitor.add(func() {
		for _, m := range memories {
			m.free()
		}
		db.disposeTables(unused)
	})
}

// resizeCache gives the cache what the memtables leave of the budget.
func (db *DB) resizeCache(rs *readState) {
	reserved := rs.mem.reservedBytes() + db.opts.HotCacheBytes
	for _, m := range rs.imms {
		reserved += m.reservedBytes()
	}
	db.cache.SetCapacity(max(db.opts.MemoryBudget-reserved, db.opts.MemoryBudget/8))
}

// broadcast wakes everybody who waits for a change. The caller holds db.mu.
func (db *DB) broadcast() {
	close(db.changed)
	db.changed = make(chan struct{})
}

// waitFor blocks until ready, called under db.mu, returns true, or ctx ends.
// It returns with db.mu held in either case.
func (db *DB) waitFor(ctx context.Context, ready func() bool) error {
	db.mu.Lock()
	for !ready() {
		changed := db.changed
		db.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			db.mu.Lock()
			return ctx.Err()
		}
		db.mu.Lock()
	}
	return nil
}

// newFileNum gives out a file number.
func (db *DB) newFileNum() base.FileNum {
	db.mu.Lock()
	defer db.mu.Unlock()
	n := db.fields.nextFileNum
	db.fields.nextFileNum++
	return n
}

// edit appends e to the manifest, durably, and then calls done under db.mu
// with the new version, before anything else can change it. A failed append
// poisons the database; whether the disk has the edit is unknown then, so the
// caller leaves every file alone that the edit names, added or removed. The
// next open sees which of them are orphans. On a full disk an edit is refused
// without an effect (manifest.ErrRefused): the caller takes back what it did
// for it, and may try again.
func (db *DB) edit(e *manifest.Edit, done func(v *manifest.Version)) error {
	db.manifestMu.Lock()
	defer db.manifestMu.Unlock()
	if f := db.failure.Load(); f != nil {
		return f.err
	}
	db.mu.Lock()
	e.NextFileNum = db.fields.nextFileNum
	db.mu.Unlock()
	e.ClockMark = db.timeline.moment()
	if err := db.manifest.Append(e); errors.Is(err, manifest.ErrRefused) {
		return err
	} else if err != nil {
		return db.poison("manifest", err)
	}
	raise(&db.timeline.mark, int64(e.ClockMark))
	v := db.manifest.State().Version
	db.mu.Lock()
	defer db.mu.Unlock()
	done(v)
	db.broadcast()
	return nil
}

// failure is why a database refuses writes.
type failure struct{ err error }

// writable returns the error that a write gets now, or nil.
func (db *DB) writable() error {
	if db.closed.Load() {
		return base.ErrClosed
	}
	if db.opts.ReadOnly {
		return base.ErrReadOnly
	}
	if f := db.failure.Load(); f != nil {
		return f.err
	}
	return nil
}
