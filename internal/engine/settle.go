package engine

import (
	"context"

	"github.com/lightningdb/lightning/internal/base"
)

// Compact brings everything in [lo, hi) (nil: unbounded) into one sorted run
// and returns when it is there.
func (db *DB) Compact(ctx context.Context, lo, hi []byte) error {
	if err := db.Flush(ctx); err != nil {
		return err
	}
	m := &manualCompaction{lo: lo, hi: hi, ctx: ctx, wrote: map[base.FileNum]bool{}}
	db.mu.Lock()
	db.fields.manual = append(db.fields.manual, m)
	db.broadcast()
	db.mu.Unlock()
	var closed bool
	err := db.waitFor(ctx, func() bool {
		closed = db.stopped.Err() != nil
		return m.done || closed || db.failure.Load() != nil
	})
	defer db.mu.Unlock()
	switch {
	case err != nil:
		return err
	case m.done && m.err == nil:
		return nil
	case closed: // which is also why the job failed, if one did
		return base.ErrClosed
	case m.done:
		return m.err
	}
	return db.failure.Load().err
}

// Flush writes everything that is in memory now to tables.
func (db *DB) Flush(ctx context.Context) error {
	if err := db.writable(); err != nil {
		return err
	}
	var upTo base.SeqNum
	err := db.alone(func() error {
		if err := db.writable(); err != nil {
			return err
		}
		upTo = db.pipeline.lastSeq
		if db.state.Load().mem.empty() {
			return nil
		}
		return db.rotate()
	})
	if err != nil {
		return err
	}
	return db.awaitFlush(ctx, upTo)
}

// awaitFlush waits until nothing that waits for its flush is as old as upTo.
func (db *DB) awaitFlush(ctx context.Context, upTo base.SeqNum) error {
	var flushErr error
	err := db.waitFor(ctx, func() bool {
		imms := db.lockedState().imms
		switch f := db.failure.Load(); {
		case len(imms) == 0 || imms[len(imms)-1].lastSeq > upTo:
			return true
		case f != nil:
			flushErr = f.err
		case db.stopped.Err() != nil: // before flushErr, which it may have caused
			flushErr = base.ErrClosed
		case db.fields.flushErr != nil:
			flushErr = db.fields.flushErr
		default:
			return false
		}
		return true
	})
	db.mu.Unlock()
	if err != nil {
		return err
	}
	return flushErr
}

// SyncLog makes every acknowledged commit durable.
func (db *DB) SyncLog() error {
	if err := db.writable(); err != nil {
		return err
	}
	if err := db.log.Sync(); err != nil {
		return db.poison("log", err)
	}
	return nil
}
