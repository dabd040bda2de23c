package lightning

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// View runs fn in a read-only transaction: all that it reads is of one moment.
func (db *DB) View(fn func(tx *Tx) error) error {
	tx, err := db.Begin(TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.core.failure
}

// Update runs fn in a strictly serializable transaction and commits it. If fn
// returns an error, nothing is written, and that error is returned. If the
// commit meets a conflict, fn is run again in a new transaction, after a short
// random wait that grows, until it gets through: so fn should have no effects
// outside of the transaction.
func (db *DB) Update(fn func(tx *Tx) error) error { return db.UpdateWith(TxOptions{}, fn) }

// UpdateWith is Update with options. Their context ends the attempts, too; the
// error is then that of the context, joined with the last conflict.
func (db *DB) UpdateWith(o TxOptions, fn func(tx *Tx) error) error {
	for attempt := 0; ; attempt++ {
		err := db.attempt(o, fn)
		if !errors.As(err, new(*retry)) {
			return err
		}
		if stopped := pauseBeforeRetry(o.Context, attempt); stopped != nil {
			return errors.Join(stopped, errors.Unwrap(err))
		}
	}
}

// retry marks a conflict of the commit, in contrast to one that fn returns.
type retry struct{ error }

func (r *retry) Unwrap() error { return r.error }

func (db *DB) attempt(o TxOptions, fn func(tx *Tx) error) error {
	tx, err := db.Begin(o)
	if err != nil {
		return err
	}
	defer tx.Rollback() // also where fn panics
	if err := fn(tx); err != nil {
		return err
	}
	err = tx.Commit()
	if errors.Is(err, ErrConflict) {
		return &retry{err}
	}
	return err
}

// The wait before the n-th retry is random, up to this, doubled each time.
const (
	retryPauseMin = 20 * time.Microsecond
	retryPauseMax = 10 * time.Millisecond
)

// pauseBeforeRetry waits; it returns the context's error if that is done
// before.
func pauseBeforeRetry(ctx context.Context, attempt int) error {
	limit := min(retryPauseMin<<min(attempt, 16), retryPauseMax)
	over := make(chan struct{})
	timer := clock.System.AfterFunc(rand.N(limit), func() { close(over) })
	defer timer.Stop()
	var done <-chan struct{}
	if ctx != nil {
		done = ctx.Done()
	}
	select {
	case <-over:
		return nil
	case <-done:
		return context.Cause(ctx)
	}
}
