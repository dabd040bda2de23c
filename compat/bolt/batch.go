package bolt

import (
	"errors"
	"fmt"
	"sync"

	"github.com/lightningdb/lightning/internal/clock"
)

// batcher brings functions of several goroutines into one transaction. It is safe for concurrent
// use.
type batcher struct {
	mu      sync.Mutex
	waiting []*call
	timer   clock.Timer
}

// call is one call of Batch.
type call struct {
	fn  func(*Tx) error
	err chan error
}

// errAlone tells the caller of Batch to run his function by himself, since it has failed among
// others.
var errAlone = errors.New("run alone")

// Batch runs fn as Update does, together with functions that other goroutines hand to Batch within
// DB.MaxBatchDelay: so one commit serves all of them. fn may be called more than once, and its
// effects outside of the transaction must not add up.
func (db *DB) Batch(fn func(*Tx) error) error {
	c := &call{fn: fn, err: make(chan error, 1)}
	db.batch.add(db, c)
	err := <-c.err
	if errors.Is(err, errAlone) {
		return db.Update(fn)
	}
	return err
}

// add has a call wait for others, or starts all that wait.
func (b *batcher) add(db *DB, c *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, c)
	if len(b.waiting) == 1 {
		b.timer = clock.System.AfterFunc(db.MaxBatchDelay, func() { db.runBatch(b.take()) })
	}
	if len(b.waiting) >= db.MaxBatchSize {
		b.timer.Stop()
		go db.runBatch(b.waiting)
		b.waiting = nil
	}
}

func (b *batcher) take() []*call {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.waiting
	b.waiting = nil
	return calls
}

// runBatch runs calls in one transaction; one that fails is taken out, for its caller to run it
// alone, and the others are run again.
func (db *DB) runBatch(calls []*call) {
	for len(calls) > 0 {
		failed := -1
		err := db.Update(func(tx *Tx) error {
			for i, c := range calls {
				if err := c.guarded(tx); err != nil {
					failed = i
					return err
				}
			}
			return nil
		})
		if failed < 0 {
			for _, c := range calls {
				c.err <- err
			}
			return
		}
		calls[failed].err <- errAlone
		calls = append(calls[:failed:failed], calls[failed+1:]...)
	}
}

// guarded runs the function; where it panics it has failed, and panics again for its own caller.
func (c *call) guarded(tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.fn(tx)
}
