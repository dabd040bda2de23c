package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/wal"
)

const (
	// maxImmutables is how many full memtables may wait for their flush before
	// commits wait too.
	maxImmutables = 2
	// firstLogBytes is the prepared size of a database's first log segment;
	// later ones are prepared at the size that the last one reached.
	firstLogBytes = 256 << 10
	// maxLogBufferBytes bounds the buffer of the log; small budgets have a
	// smaller one.
	maxLogBufferBytes = 1 << 20
	retryDelay        = time.Second
	// maxRangeDeletes is how many range deletes end a memtable. Overlapping
	// ones take memory with the square of their number, outside of the budget:
	// a queue that trims [first, here) again and again is the common case.
	maxRangeDeletes = 512
)

// makeRoom rotates the memtable when the group does not fit in it. A large
// group goes into no memtable, but what came before it must be older in the
// read state too, so the memtable ends where it begins. Where large groups alone
// have filled a log segment, it is left, or no flush could ever set it free.
// Called by the leader.
func (db *DB) makeRoom(memBytes int64, large bool) error {
	mem := db.state.Load().mem
	switch {
	case !large && mem.empty():
		return nil // see isLarge
	case !large && int64(mem.table.AvailableBytes()) >= memBytes &&
		mem.table.RangeDeleteCount() < maxRangeDeletes:
		return nil
	case large && mem.empty() && db.logSegmentBytes() < int64(db.opts.MemtableBytes):
		err := db.waitForFlushes(0)
		db.mu.Unlock()
		return err
	}
	return db.rotate()
}

// isLarge reports whether records, encoded in so many bytes, may not fit in an
// empty memtable.
func (db *DB) isLarge(records int, bytes int64) bool {
	limit := int64(db.opts.MemtableBytes)
	return bytes > limit || int64(memtable.LoadBound(records, int(bytes))) > limit
}

// logSegmentBytes is how much of the log is in the current segment. Called by
// the leader.
func (db *DB) logSegmentBytes() int64 {
	return int64(db.log.Appended() - db.counters.logStart)
}

// rotate turns the memtable into an immutable one and begins a new memtable
// and log segment. Called by the leader.
func (db *DB) rotate() error {
	err := db.waitForFlushes(1)
	defer db.mu.Unlock()
	if err != nil {
		return err
	}
	return db.switchMemtable()
}

// waitForFlushes blocks until one more immutable memtable may be added, and a
// log segment is prepared where one is needed, or until it is plain that this
// will not happen soon. It returns with db.mu held.
func (db *DB) waitForFlushes(logsNeeded int) error {
	f := &db.fields
	start := db.opts.Clock.Now()
	var err error
	stopErr := db.waitFor(db.stopped, func() bool {
		full := len(db.lockedState().imms) >= maxImmutables
		noLog := logsNeeded > 0 && f.preparedLog == 0
		switch failed := db.failure.Load(); {
		case failed != nil:
			err = failed.err
		case full && f.flushErr != nil:
			err = fmt.Errorf("writes wait for a flush that fails: %w", f.flushErr)
		case noLog && f.logErr != nil:
			err = fmt.Errorf("writes wait for a log segment: %w", f.logErr)
		default:
			return !full && !noLog
		}
		return true
	})
	db.counters.stallNS.Add(int64(db.opts.Clock.Now().Sub(start)))
	if stopErr != nil {
		return base.ErrClosed
	}
	return err
}

// switchMemtable does the rotation. The leader holds db.mu.
func (db *DB) switchMemtable() error {
	rs := db.lockedState()
	next, err := db.newMemory()
	if err != nil {
		return err
	}
	before := db.log.Appended()
	num := db.fields.preparedLog
	if err := db.log.Rotate(num); err != nil {
		next.free()
		if db.log.Failure() == nil {
			return fmt.Errorf("rotate the log: %w", err) // it goes on as it was
		}
		return db.poisonLocked("log", err)
	}
	db.fields.preparedLog = 0
	db.fields.logBytes = min(max(int64(before-db.counters.logStart), firstLogBytes),
		int64(db.opts.MemtableBytes))
	db.counters.logStart = before
	db.history.begin(num, before, db.pipeline.lastSeq+1)
	next.firstLog, next.firstPosition = num, before
	rs.mem.lastSeq = db.pipeline.lastSeq
	imms := append([]*memory{rs.mem}, rs.imms...)
	if rs.mem.empty() {
		imms = rs.imms
	}
	db.install(next, imms, rs.tree)
	return nil
}

// applyLarge makes a batch that is too large for a memtable a part of the read
// state in its own right. Its bytes are copied: the batch stays the caller's.
func (db *DB) applyLarge(payloads [][]byte, first, last base.SeqNum) error {
	var size int
	for _, p := range payloads {
		size += len(p)
	}
	buf := make([]byte, 0, size)
	for _, p := range payloads {
		buf = append(buf, p...)
	}
	large, err := newLargeBatch(buf, first)
	if err != nil {
		return db.poison("memtable", err)
	}
	if db.hot != nil {
		db.hot.BeginAll()
		defer db.hot.EndAll()
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	rs := db.lockedState()
	m := &memory{
		large: large, lastSeq: last,
		firstLog: rs.mem.firstLog, firstPosition: rs.mem.firstPosition,
	}
	db.install(rs.mem, append([]*memory{m}, rs.imms...), rs.tree)
	invariant.Yield()
	db.publish(last)
	return nil
}

// newMemory makes an empty memtable.
func (db *DB) newMemory() (*memory, error) {
	t, err := memtable.New(&db.memory, db.opts.MemtableBytes)
	if err != nil {
		return nil, fmt.Errorf("allocate memtable: %w", err)
	}
	return &memory{table: t, capBytes: int64(db.opts.MemtableBytes)}, nil
}

// poisonLocked is poison for callers that hold db.mu.
func (db *DB) poisonLocked(what string, err error) error {
	db.mu.Unlock()
	defer db.mu.Lock()
	return db.poison(what, err)
}

// flushLogLater makes sure that what was appended reaches the operating system
// within the promised delay.
func (db *DB) flushLogLater() {
	if !db.pipeline.flushPending.CompareAndSwap(false, true) {
		return
	}
	db.pipeline.flushTimer = db.opts.Clock.AfterFunc(db.opts.AsyncDelay, func() {
		db.pipeline.flushPending.Store(false)
		if db.failure.Load() != nil || db.closed.Load() {
			return
		}
		if err := db.log.Flush(); err != nil && !db.closed.Load() {
			db.poison("log", err)
		}
	})
}

// keepLogs is the worker that has the next log segment ready before it is
// needed: a segment that flushes have freed, or a new one. The manifest names
// a segment before the first record goes into it.
func (db *DB) keepLogs(ctx context.Context) {
	defer db.workers.Done()
	for rotated := false; ; rotated = true {
		err := db.waitFor(ctx, func() bool { return db.fields.preparedLog == 0 })
		db.mu.Unlock()
		if err != nil {
			return
		}
		err = db.prepareLog()
		if err == nil && rotated {
			// What the last rotation left behind is made durable here: its file
			// can be closed then, and commits that never sync still lose little
			// in a power cut.
			if syncErr := db.log.Sync(); syncErr != nil {
				err = db.poison("log", syncErr)
			}
		}
		db.noteBackground("prepare log segment", &db.fields.logErr, err)
		if err != nil && (db.failure.Load() != nil || !db.sleep(ctx, retryDelay)) {
			return
		}
	}
}

func (db *DB) prepareLog() error {
	num := db.newFileNum()
	db.mu.Lock()
	var old base.FileNum
	if n := len(db.fields.freeLogs); n > 0 {
		old = db.fields.freeLogs[n-1]
		db.fields.freeLogs = db.fields.freeLogs[:n-1]
		db.history.forget(old)
	}
	size := db.fields.logBytes
	db.mu.Unlock()
	var err error
	if old != 0 {
		err = wal.Recycle(db.logConfig(), old, num, size)
	} else {
		err = wal.Prepare(db.logConfig(), num, size)
	}
	if err != nil {
		return err
	}
	err = db.edit(&manifest.Edit{AddLogs: []base.FileNum{num}}, func(*manifest.Version) {
		db.fields.logs = append(db.fields.logs, num)
		db.fields.preparedLog = num
	})
	if errors.Is(err, manifest.ErrRefused) {
		db.removeLog(num)
	}
	return err
}

func (db *DB) logConfig() wal.Config {
	return wal.Config{
		FS: db.opts.FS, Dir: db.dir, DBID: db.id,
		BufferBytes: int(min(maxLogBufferBytes, db.opts.MemoryBudget/32)),
	}
}

// sleep waits for d on the database's clock; it returns false when ctx ends.
func (db *DB) sleep(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	timer := db.opts.Clock.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

// noteBackground keeps the outcome of a background job in *last, which db.mu
// guards, for those who wait for such jobs.
func (db *DB) noteBackground(job string, last *error, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err != nil && !errors.Is(err, context.Canceled) {
		db.opts.Logger.Error("background work failed", "job", job, "err", err)
	}
	*last = err
	db.makeSpace(err)
	db.broadcast()
}
