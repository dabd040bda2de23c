// Package engine is the database itself. It wires the rooms that do the work:
//
//   - view answers reads, from a state that it is given;
//   - commit brings commits into one order, and writer does what they need;
//   - segments keeps the log, versions.go the manifest, store the tables;
//   - flusher.go and compactor.go are the workers that move data down;
//   - feed delivers changes, spill holds what transactions cannot keep in memory;
//   - open.go, recovery.go and close.go begin and end it all.
//
// Keys here are internal: the keyspace prefix is part of them. docs/locks.md has
// all locks and their order. Readers meet none that is held during I/O, but for
// that of the very file that they need.
package engine

import (
	"context"
	"io"
	"sync"

	"github.com/lightningdb/lightning/internal/aio"
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/checkpoint"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/expirer"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/heal"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/prover"
	"github.com/lightningdb/lightning/internal/reserve"
	"github.com/lightningdb/lightning/internal/segments"
	"github.com/lightningdb/lightning/internal/sharing"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/spill"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/internal/verify"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/writer"
	"github.com/lightningdb/lightning/vfs"
)

// DB is an open database. All methods are safe for concurrent use.
type DB struct {
	dir   string
	opts  Options
	id    base.DBID
	held  vfs.Dir // the directory
	outer vfs.FS  // in which it was found
	files *filepool.Pool
	io    *aio.Reader // of many reads at once
	lock  io.Closer   // of the directory

	reads   view.Reader
	commits commit.Pipeline

	// Checkpoints takes them, and Verifier looks for damage.
	Checkpoints checkpoint.Taker
	Verifier    verify.Online
	scrubber    verify.Scrubber

	memory    offheap.Accountant
	budget    budget
	cache     *framecache.Cache
	hot       *hotcache.Cache // nil: none
	events    *event.Sink
	janitor   *janitor.Janitor
	timeline  *timeline.Timeline
	keyspaces *keyspace.Registry
	store     *store.Store
	archive   *feed.Archive
	spills    *spill.Spills

	reserve  *reserve.Reserve
	segments *segments.Segments
	writer   *writer.Writer

	changed   signal.Changes
	health    health.Health
	versions  versions
	claims    claims
	flusher   flusher
	compactor compactor
	prover    prover.Prover
	keeper    keeper
	reaper    reaper
	healer    *heal.Healer
	sharing   *sharing.Worker
	expirer   expirer.Expirer
	counters  counters
	recovered recovered

	workers sync.WaitGroup
	stopped context.Context
	stop    context.CancelFunc
}

// Reads answers the reads of the database.
func (db *DB) Reads() *view.Reader { return &db.reads }

// Commits takes single writes; see Commit for batches.
func (db *DB) Commits() *commit.Pipeline { return &db.commits }

// Commit writes a batch atomically. The batch can be read and reset afterwards. ctx
// ends its waiting in line, and for room.
func (db *DB) Commit(ctx context.Context, b *batch.Batch, d commit.Durability) error {
	if b.Len() == 0 {
		return db.health.Writable()
	}
	return db.commits.Commit(ctx, b, d, nil)
}

// CommitTx is Commit for a transaction, whose batch is written only if what it has
// read still holds; otherwise it returns a *txn.ConflictError, and nothing is
// written. reads may be nil, and so may ctx, which ends its waiting in line.
func (db *DB) CommitTx(ctx context.Context, b *batch.Batch, d commit.Durability, reads *view.ReadSet) error {
	if b.Len() == 0 {
		return db.health.Writable()
	}
	err := db.commits.Commit(ctx, b, d, reads)
	db.counters.transaction(err)
	return err
}

// Spills are the places for what cannot be kept in memory until it is committed.
func (db *DB) Spills() *spill.Spills { return db.spills }

// Now returns the time by which records expire.
func (db *DB) Now() base.Instant { return db.timeline.Now() }

// Feed returns a feed of changes that begins with the commit that has number from,
// or with the oldest one there is where from is 0.
func (db *DB) Feed(from base.SeqNum) (*feed.Feed, error) {
	if db.reads.Closed() {
		return nil, base.ErrClosed
	}
	return db.archive.Feed(from)
}

// Flush writes everything that is in memory now to tables.
func (db *DB) Flush(ctx context.Context) error {
	if err := db.health.Writable(); err != nil {
		return err
	}
	var upTo base.SeqNum
	err := db.commits.Alone(ctx, func() error {
		if err := db.health.Writable(); err != nil {
			return err
		}
		upTo = db.commits.LastSeq()
		if db.reads.State().Mem.Empty() {
			return nil
		}
		return writer.RotateWithin(ctx, db.writer, upTo)
	})
	if err != nil {
		return err
	}
	return db.flusher.await(ctx, db.stopped, upTo)
}

// Compact brings everything in [lo, hi) (nil: unbounded) into one sorted run
// and returns when it is there.
func (db *DB) Compact(ctx context.Context, lo, hi []byte) error {
	if err := db.Flush(ctx); err != nil {
		return err
	}
	return db.compactor.compact(ctx, db.stopped, lo, hi)
}

// SyncLog makes every acknowledged commit durable. A sync cannot be called back: when
// ctx ends first, it goes on by itself.
func (db *DB) SyncLog(ctx context.Context) error {
	if err := db.health.Writable(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	done := make(chan error, 1)
	sync := func() { done <- db.segments.Sync() }
	if ctx.Done() == nil {
		sync()
	} else {
		go sync()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// DurableSeq returns the newest sequence number up to which everything is on
// stable storage.
func (db *DB) DurableSeq() base.SeqNum {
	log := db.segments.Log()
	if log == nil {
		return db.reads.VisibleSeq()
	}
	return max(log.DurableSeq(), db.reads.FlushedSeq())
}
