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
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// LockTimeout bounds the waiting for a lock; 0: ten seconds, negative: no bound.
	LockTimeout time.Duration
	// MaxTries and MaxTime end Update after so many attempts, or so long; 0: 1,000
	// and 30 seconds.
	MaxTries int
	MaxTime  time.Duration
}

// lockTimeoutDefault is the bound where the options say none: whoever waits for
// himself, in a transaction inside of another, would wait for ever.
const lockTimeoutDefault = 10 * time.Second

// lockTimeout returns the bound; 0: none.
func (o *Options) lockTimeout() time.Duration {
	return max(cmp.Or(o.LockTimeout, lockTimeoutDefault), 0)
}

// Begin begins a transaction, which must be ended with Commit or Rollback.
func (m *Manager) Begin(o Options) (*Tx, error) {
	if m.config.ReadOnly && !o.ReadOnly {
		return nil, base.ErrReadOnly
	}
	if o.Context != nil && o.Context.Err() != nil {
		return nil, context.Cause(o.Context)
	}
	tx := &Tx{manager: m, options: o}
	tx.snap = &tx.first
	if !o.ReadOnly {
		tx.changes = new(changes)
	}
	if err := m.engine.open(tx.snap); err != nil {
		return nil, err
	}
	return tx, nil
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
	return tx.Err()
}

// The limits of Update where the options do not say. They are there to end what
// can never succeed, such as a function that writes around its transaction.
const (
	maxTriesDefault = 1000
	maxTimeDefault  = 30 * time.Second
)

// ErrTooManyConflicts is matched by every *TooManyConflictsError.
var ErrTooManyConflicts = errors.New("too many conflicts")

// TooManyConflictsError says that an Update was given up, since every attempt met a
// conflict. It matches ErrTooManyConflicts, and what the last attempt met: a
// *txn.ConflictError names the key.
type TooManyConflictsError struct {
	Tries int
	Time  time.Duration // from the first attempt to the end of the last
	Err   error         // of the last attempt
}

func (e *TooManyConflictsError) Error() string {
	return fmt.Sprintf("given up after %d attempts in %v, each of which met a conflict: %v",
		e.Tries, e.Time.Round(time.Millisecond), e.Err)
}

// Is makes errors.Is(err, ErrTooManyConflicts) true.
func (e *TooManyConflictsError) Is(target error) bool { return target == ErrTooManyConflicts }

// Unwrap returns what the last attempt met.
func (e *TooManyConflictsError) Unwrap() error { return e.Err }

// Update runs fn in a transaction and commits it; in a new one, after a pause,
// as often as it meets a conflict, at the commit or at a lock, up to the limits of
// the options. Another error of fn ends it, and is returned. So does the context of
// the options: the error is then that of the context, joined with the last conflict.
func (m *Manager) Update(o Options, d Durability, fn func(tx *Tx) error) error {
	maxTries, maxTime := cmp.Or(o.MaxTries, maxTriesDefault), cmp.Or(o.MaxTime, maxTimeDefault)
	start := clock.System.Now()
	for tries := 1; ; tries++ {
		err := m.attempt(o, d, fn)
		if err == nil {
			return nil
		}
		if !errors.As(err, new(*retry)) {
			return err
		}
		err = errors.Unwrap(err)
		if took := clock.System.Now().Sub(start); tries >= maxTries || took >= maxTime {
			return &TooManyConflictsError{Tries: tries, Time: took, Err: err}
		}
		if stopped := pauseBeforeRetry(o.Context, tries-1); stopped != nil {
			return errors.Join(stopped, err)
		}
	}
}

// retry marks what the transaction of an attempt has met itself, in contrast to what
// fn brings from elsewhere.
type retry struct{ error }

func (r *retry) Unwrap() error { return r.error }

func (m *Manager) attempt(o Options, d Durability, fn func(tx *Tx) error) error {
	tx, err := m.Begin(o)
	if err != nil {
		return err
	}
	defer tx.Rollback() // also where fn panics
	if err := fn(tx); err != nil {
		if tx.changes.lostBy(err) {
			return &retry{err}
		}
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
