package engine

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// Close writes what is in memory to tables, so that the next open has no log
// to replay, and releases everything. It waits for calls that are in progress.
// Iterators that are still open stop working, keep what they hold until they
// are closed, and are reported with an error that matches ErrLeaked. A second
// call returns base.ErrClosed.
func (db *DB) Close() error {
	var errs []error
	err := db.alone(func() error {
		if db.closed.Swap(true) {
			return base.ErrClosed
		}
		if timer := db.pipeline.flushTimer; timer != nil {
			timer.Stop() // what it would write, Close makes durable
		}
		db.timeline.stop()
		return nil
	})
	if err != nil {
		return err
	}
	// From here on no commit reaches the log, and the workers go on with what
	// they have until they are told to stop.
	db.stop()
	db.mu.Lock()
	db.fields.purge.stop()
	db.broadcast() // to those who wait for work that nobody will do now
	db.mu.Unlock()
	db.workers.Wait()
	db.dropSpills()
	if !db.opts.ReadOnly {
		errs = append(errs, db.settleForClose(), db.log.Close(), db.manifest.Close())
	}
	errs = append(errs, db.dropState())
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	return errors.Join(errs...)
}

// settleForClose flushes all memory and takes the log segments off the
// manifest. After a failed write nothing more is written: the log has it.
func (db *DB) settleForClose() error {
	if f := db.failure.Load(); f != nil {
		return f.err
	}
	db.mu.Lock()
	rs := db.lockedState()
	if !rs.mem.empty() {
		next, err := db.newMemory()
		if err != nil {
			db.mu.Unlock()
			return err
		}
		next.firstLog, next.firstPosition = rs.mem.firstLog, rs.mem.firstPosition
		rs.mem.lastSeq = db.pipeline.lastSeq
		db.install(next, append([]*memory{rs.mem}, rs.imms...), rs.tree)
	}
	waiting := len(db.lockedState().imms)
	db.mu.Unlock()
	if waiting > 0 {
		if err := db.flushImmutables(context.Background()); err != nil {
			return err
		}
	}
	return db.removeAllLogs()
}

func (db *DB) removeAllLogs() error {
	if err := db.log.Close(); err != nil {
		return db.poison("log", err)
	}
	db.history.finishLog(db.log.Appended(), db.pipeline.lastSeq)
	db.mu.Lock()
	logs := append([]base.FileNum(nil), db.fields.logs...)
	spent := append(logs, db.fields.freeLogs...)
	db.fields.freeLogs = nil
	db.mu.Unlock()
	err := db.edit(&manifest.Edit{RemoveLogs: logs, LogStart: uint64(db.log.Appended())}, func(*manifest.Version) { db.fields.logs = nil })
	if err != nil {
		return err
	}
	if db.opts.History.enabled() {
		db.spendLogs(spent)
		return nil
	}
	for _, n := range spent {
		db.removeLog(n)
	}
	return nil
}

// dropState gives up the current read state and waits until everything that
// nobody else holds is released. It returns what handles are still open; the
// last of them to be closed releases the rest.
func (db *DB) dropState() error {
	if rs := db.state.Load(); rs != nil {
		db.janitor.add(func() {
			db.epochs.Synchronize()
			db.release(rs)
		})
	}
	db.history.stopTimer()
	db.janitor.stop()
	if db.hot != nil {
		db.hot.Free() // the gets that used it have left their epoch
	}
	leaks := db.handles.leaks()
	db.handles.whenIdle(func() {
		if leaked := db.cache.Close(); leaked != 0 {
			db.opts.Logger.Error("block cache closed with blocks in use", "bytes", leaked)
		}
	})
	return leaks
}

func newDBID() base.DBID {
	var id base.DBID
	rand.Read(id[:])
	return id
}
