// Package session holds the protocol of transactions: what they see, when their
// writes go to files, how they take locks, go back to savepoints and commit, and
// when they are run again. It stands between the engine, which has snapshots and
// validates and applies what was written, and the public package, which checks
// limits and translates keys. What one transaction remembers is in package txn.
//
// Keys are internal: they include the prefix of their keyspace. The Manager is
// safe for concurrent use; a Tx, with its iterators, is used by one goroutine at
// a time.
package session

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/txn"
)

// Manager begins the transactions of a database and has what they share: the
// locks.
type Manager struct {
	engine store
	config Config
	locks  txn.Locks
}

// Config are the settings of a manager.
type Config struct {
	// SpillBytes is how much memory the writes of a transaction may take before
	// they go to files.
	SpillBytes int64
	// ReadOnly makes Begin refuse transactions that may write.
	ReadOnly bool
	Logger   *slog.Logger
}

// NewManager returns a manager over an open engine, which stays the caller's.
func NewManager(db *engine.DB, c Config) *Manager {
	return &Manager{engine: store{db}, config: c}
}

// Close ends the waiting for locks, now and from now on, with base.ErrClosed. It
// comes before the engine is closed, and may come again.
func (m *Manager) Close() { m.locks.Close() }

// Options are the options of a transaction.
type Options struct {
	// ReadOnly makes every write fail with base.ErrReadOnly.
	ReadOnly bool
	// FirstCommitterWins makes the commit look only at what was written, and not
	// at what was read: snapshot isolation.
	FirstCommitterWins bool
	// Context, if not nil, makes all verbs fail once it is done.
	Context context.Context
	// LockTimeout bounds the waiting for a lock, if it is positive.
	LockTimeout time.Duration
}

// Begin begins a transaction, which must be ended with Commit or Rollback.
func (m *Manager) Begin(o Options) (*Tx, error) {
	if m.config.ReadOnly && !o.ReadOnly {
		return nil, base.ErrReadOnly
	}
	if o.Context != nil && o.Context.Err() != nil {
		return nil, context.Cause(o.Context)
	}
	snap, err := m.engine.snapshot()
	if err != nil {
		return nil, err
	}
	return &Tx{manager: m, options: o, snap: snap}, nil
}

// View runs fn in a read-only transaction.
func (m *Manager) View(fn func(tx *Tx) error) error {
	tx, err := m.Begin(Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // also where fn panics
	if err := fn(tx); err != nil {
		return err
	}
	return tx.failure
}

// Update runs fn in a transaction and commits it; in a new one, after a pause,
// as often as the commit meets a conflict. An error of fn ends it, and is
// returned. So does the context of the options: the error is then that of the
// context, joined with the last conflict.
func (m *Manager) Update(o Options, d Durability, fn func(tx *Tx) error) error {
	for attempt := 0; ; attempt++ {
		err := m.attempt(o, d, fn)
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

func (m *Manager) attempt(o Options, d Durability, fn func(tx *Tx) error) error {
	tx, err := m.Begin(o)
	if err != nil {
		return err
	}
	defer tx.Rollback() // also where fn panics
	if err := fn(tx); err != nil {
		return err
	}
	err = tx.Commit(d)
	if errors.Is(err, txn.ErrConflict) {
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
