package engine

import (
	"context"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
)

// Close writes what is in memory to tables, so that the next open has no log
// to replay, and releases everything. It waits for calls that are in progress.
// Iterators that are still open stop working, keep what they hold until they
// are closed, and are reported with an error that matches ErrLeaked. A second
// call returns base.ErrClosed.
func (db *DB) Close() error {
	err := db.commits.Alone(context.Background(), func() error {
		if db.reads.Close() {
			return base.ErrClosed
		}
		db.segments.StopTimer()
		db.health.StopWatch()
		db.timeline.Stop()
		return nil
	})
	if err != nil {
		return err
	}
	// From here on no commit reaches the log, and the workers go on with what
	// they have until they are told to stop.
	db.stop()
	db.compactor.purge.stop()
	db.changed.Notify() // to those who wait for work that nobody will do now
	db.workers.Wait()
	db.spills.Close()
	var errs []error
	if !db.opts.ReadOnly {
		errs = append(errs, db.settle(), db.segments.Log().Close(), db.versions.close(), db.reserve.Close())
	}
	errs = append(errs, db.releaseMemory(), db.lock.Close())
	endWhenIdle(db)
	return errors.Join(errs...)
}

// settle flushes all memory and takes the log segments off the manifest. After a
// failed write nothing more is written: the log has it.
func (db *DB) settle() error {
	if err := db.health.Err(); err != nil {
		return err
	}
	lastSeq := db.commits.LastSeq()
	if err := db.writer.SealInPlace(lastSeq); err != nil {
		return err
	}
	err := db.reserve.Try(0, func() error { return db.flusher.flush(context.Background(), 1) })
	if err == nil {
		err = db.segments.DropAll(lastSeq)
	}
	switch {
	case err != nil:
	case db.reserve.Missing():
		db.reserve.Take() // the log has given up its space
	default:
		db.reserve.Cover(0, false) // less is needed: nothing is in memory
	}
	return err
}

// abandon undoes what a failed Open did.
func (db *DB) abandon() {
	db.reads.Close()
	db.stop()
	if db.segments != nil && db.segments.Log() != nil {
		db.segments.Log().Close()
	}
	db.versions.close()
	if db.writer != nil {
		db.writer.DropReplayed()
	}
	if db.reserve != nil {
		db.reserve.Close()
	}
	db.releaseMemory()
	if db.lock != nil {
		db.lock.Close()
	}
	endWhenIdle(db)
}

// releaseMemory gives up the current read state and waits until everything that
// nobody else holds is released. It returns what handles are still open, and what
// went wrong with reads that nobody was told.
func (db *DB) releaseMemory() error {
	db.reads.GiveUp()
	if db.archive != nil {
		db.archive.Close()
	}
	db.janitor.Stop()
	if db.hot != nil {
		db.hot.Free() // the gets that used it have left their epoch
	}
	return errors.Join(db.reads.Leaks(), db.reads.Missed())
}

// endWhenIdle gives up what open handles still need: the last of them to be closed
// does it, or this call.
func endWhenIdle(db *DB) {
	db.reads.WhenIdle(func() {
		if leaked := db.cache.Close(); leaked != 0 {
			db.events.CacheLeaked(leaked)
		}
		if db.io != nil {
			db.io.Close()
		}
		if db.held == nil {
			return
		}
		if err := db.held.Close(); err != nil {
			db.events.CleanupFailed(db.dir, err)
		}
	})
}
