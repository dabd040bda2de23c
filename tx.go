package lightning

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"runtime"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/session"
)

// Isolation says what a transaction that writes is kept apart from.
type Isolation uint8

const (
	// StrictSerializable makes the outcome that of running the transactions one
	// after the other, in an order that agrees with real time: what was read,
	// absent keys and whole ranges included, is still so at the moment of the
	// commit, or the commit fails with ErrConflict.
	StrictSerializable Isolation = iota
	// SnapshotIsolation looks only at what the transaction has written: the
	// first one to commit a change of a key wins. Two transactions that read
	// what the other one writes may both commit (write skew).
	SnapshotIsolation
)

func (i Isolation) String() string {
	switch i {
	case StrictSerializable:
		return "strict serializable"
	case SnapshotIsolation:
		return "snapshot"
	}
	return fmt.Sprintf("isolation(%d)", uint8(i))
}

// TxOptions are the options of a transaction. The zero value is a strictly
// serializable one that may write.
type TxOptions struct {
	// ReadOnly makes every write fail with ErrTxReadOnly. A read-only transaction
	// never waits, never conflicts and never slows a writer.
	ReadOnly bool
	// Isolation of a transaction that writes.
	Isolation Isolation
	// Context, if not nil, makes all verbs fail once it is done.
	Context context.Context
	// LockTimeout bounds how long GetForUpdate and LockRange wait for another
	// transaction; they then fail with ErrLockTimeout. Default 10 s; negative: no
	// bound. A transaction inside of another one, in the same goroutine, waits in
	// vain for what the outer one has locked.
	LockTimeout time.Duration
	// MaxTries and MaxTime bound how often, and for how long, Update runs its
	// function again because of conflicts. It then fails with a
	// *TooManyConflictsError. Default 1,000 times and 30 s.
	MaxTries int
	MaxTime  time.Duration
}

// session translates the options, or says why they cannot be.
func (o TxOptions) session() (session.Options, error) {
	if o.Isolation > SnapshotIsolation {
		return session.Options{}, &OptionError{Field: "Isolation", Value: o.Isolation.String(), Rule: "one of the constants"}
	}
	return session.Options{
		ReadOnly: o.ReadOnly, FirstCommitterWins: o.Isolation == SnapshotIsolation,
		Context: o.Context, LockTimeout: o.LockTimeout, MaxTries: o.MaxTries, MaxTime: o.MaxTime,
	}, nil
}

// update is DB.UpdateWith.
func update(db *DB, o TxOptions, fn func(tx *Tx) error) error {
	if err := db.usable(); err != nil {
		return err
	}
	if fn == nil {
		return errNilFunction
	}
	options, err := o.session()
	if err != nil {
		return err
	}
	return db.sessions.Update(options, db.space.durability, func(tx *session.Tx) error {
		return fn(&Tx{inner: tx, space: &db.space})
	})
}

// Tx is a transaction: reads show the database as it was when the transaction
// began, with the transaction's own writes over it, and Commit makes all writes
// take effect at once, or none.
//
// A transaction locks nothing and waits for nobody before Commit. It must be
// ended, with Commit or Rollback: until then the versions that it sees are kept
// on disk. It may be larger than memory: when its writes take more than
// Tree.MemtableBytes they go to files of its own. It comes from DB.Begin, Update or
// View: the zero Tx is as one of a database that was closed.
//
// A Tx is used by one goroutine at a time, with its iterators and queries. A call that
// comes while another goroutine is in one does nothing and returns ErrConcurrentUse.
// Such a transaction cannot be committed: Commit returns ErrConcurrentUse too.
type Tx struct {
	inner *session.Tx
	space *space
	begun *begun // nil: it ends by itself
}

// begun is what a transaction that was begun with DB.Begin, its views and its iterators have in
// common. If none of them can be reached any more, it was forgotten, and is rolled back. The
// transaction itself does not lead here.
type begun struct {
	cleanup runtime.Cleanup
	inner   *session.Tx
}

// mind has the transaction rolled back if it is forgotten.
func (tx *Tx) mind() *Tx {
	tx.begun = &begun{inner: tx.inner}
	tx.begun.cleanup = runtime.AddCleanup(tx.begun, session.RollbackForgotten, tx.inner)
	return tx
}

// ended says that the transaction is about to be ended, and is not to be minded any more.
func (tx *Tx) ending() {
	if tx.begun != nil {
		tx.begun.cleanup.Stop()
	}
}

// Options returns the options that the transaction was begun with.
func (tx *Tx) Options() TxOptions {
	o := tx.inner.Options()
	options := TxOptions{ReadOnly: o.ReadOnly, Context: o.Context, LockTimeout: o.LockTimeout, MaxTries: o.MaxTries, MaxTime: o.MaxTime}
	if o.FirstCommitterWins {
		options.Isolation = SnapshotIsolation
	}
	return options
}

// In returns a view of the transaction that reads and writes the keyspace k.
// All views of a transaction are the same transaction. Through a keyspace of
// another database every verb fails with ErrForeignKeyspace.
func (tx *Tx) In(k *Keyspace) *Tx {
	s := tx.space.orNone().in(k)
	return &Tx{inner: tx.inner, space: &s, begun: tx.begun}
}

// writable says why a key cannot be written, if it cannot.
func (tx *Tx) writable(key []byte) error {
	if err := tx.inner.Writable(); err != nil {
		return err
	}
	return tx.space.check(key)
}

// writableSpan is writable for a range, which it translates as space.span does.
func (tx *Tx) writableSpan(lo, hi []byte) (first, end []byte, empty bool, err error) {
	if err := tx.inner.Writable(); err != nil {
		return nil, nil, false, err
	}
	return tx.space.span(lo, hi)
}

// Get returns the value of key in a slice that belongs to the caller, or
// ErrNotFound.
func (tx *Tx) Get(key []byte) ([]byte, error) {
	value, err := tx.AppendGet(nil, key)
	if err == nil && value == nil {
		value = []byte{}
	}
	return value, err
}

// AppendGet appends the value of key to dst, as DB.AppendGet does.
func (tx *Tx) AppendGet(dst, key []byte) ([]byte, error) {
	if tx.space == nil {
		return dst, ErrClosed
	}
	if err := tx.space.check(key); err != nil {
		return dst, cmp.Or(tx.inner.Usable(), err)
	}
	var stack [keyStackBytes]byte
	return tx.inner.AppendGet(dst, tx.space.info, tx.space.key(stack[:0], key))
}

// Has reports whether key has a value.
func (tx *Tx) Has(key []byte) (bool, error) {
	_, err := tx.AppendGet(nil, key)
	return found(err)
}

// ExpiresAt returns when key expires, the zero time if never; or ErrNotFound. It counts as
// a read of the key.
func (tx *Tx) ExpiresAt(key []byte) (time.Time, error) {
	if tx.space == nil {
		return time.Time{}, ErrClosed
	}
	if err := tx.space.check(key); err != nil {
		return time.Time{}, cmp.Or(tx.inner.Usable(), err)
	}
	expiry, err := session.Expiry(tx.inner, tx.space.info, tx.space.key(nil, key))
	return asTime(expiry), err
}

// MultiGet looks up all keys, as DB.MultiGet does; they count as read as far as fn was
// called for them. fn may use the transaction: what it writes there shows in the keys that
// are still to come. The value is valid until fn returns, and must not be written to.
func (tx *Tx) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	if tx.space == nil {
		return ErrClosed
	}
	if err := tx.inner.Usable(); err != nil {
		return err
	}
	return tx.space.multiGet(txGets{tx}, keys, fn)
}

// txGets are the gets of many keys of a transaction.
type txGets struct{ tx *Tx }

func (g txGets) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	return session.MultiGet(g.tx.inner, g.tx.space.info, keys, fn)
}

// Put sets the value of key. Both slices are copied.
func (tx *Tx) Put(key, value []byte) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	if err := tx.space.checkValue(key, value); err != nil {
		return err
	}
	expiry, err := tx.space.defaultExpiry()
	if err != nil {
		return err
	}
	return tx.put(key, value, expiry)
}

// PutWithTTL sets the value of key for some time, as DB.PutWithTTL does. The time
// runs from this call.
func (tx *Tx) PutWithTTL(key, value []byte, ttl time.Duration) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	if err := tx.space.checkTTL(ttl); err != nil {
		return err
	}
	if err := tx.space.checkValue(key, value); err != nil {
		return err
	}
	expiry, err := tx.space.expiry(ttl)
	if err != nil {
		return err
	}
	return tx.put(key, value, expiry)
}

// PutUntil sets the value of key until an instant, as ExpiresAt of another key tells it;
// the zero time: for ever. Keys that are put until the same instant are there or gone
// together, to every reader. Where the instant has passed the key is absent from then on.
func (tx *Tx) PutUntil(key, value []byte, expiresAt time.Time) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	expiry, err := tx.space.expiryAt(expiresAt)
	if err != nil {
		return err
	}
	if err := tx.space.checkValue(key, value); err != nil {
		return err
	}
	return tx.put(key, value, expiry)
}

func (tx *Tx) put(key, value []byte, expiry base.Instant) error {
	var stack [keyStackBytes]byte
	return tx.inner.Put(tx.space.info, tx.space.key(stack[:0], key), value, expiry)
}

// Merge applies an operand to key, as Keyspace.Merge does. It does not count as
// a read of the key: transactions that only merge into it do not conflict.
func (tx *Tx) Merge(key, operand []byte) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	if err := tx.space.checkOperand(key, operand); err != nil {
		return err
	}
	return tx.inner.Merge(tx.space.info, tx.space.key(nil, key), operand)
}

// Delete removes key. Deleting a key that does not exist is no error.
func (tx *Tx) Delete(key []byte) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	var stack [keyStackBytes]byte
	return tx.inner.Delete(tx.space.info, tx.space.key(stack[:0], key))
}

// DeleteRange removes all keys in [lo, hi), in constant time however many there
// are; nil for a bound means that there is none.
func (tx *Tx) DeleteRange(lo, hi []byte) error {
	first, end, empty, err := tx.writableSpan(lo, hi)
	if err != nil || empty {
		return err
	}
	return tx.inner.DeleteRange(tx.space.info, first, end)
}

// GetForUpdate locks key until the transaction ends, and returns its value as
// Get does, in a slice that belongs to the caller. Where many transactions change
// the same keys, waiting for the lock costs less than conflicts do. It waits for
// others that hold the lock, in the order in which they came; if that would never
// end it fails with ErrDeadlock.
//
// A lock keeps out only transactions that ask for it: a write without one can
// still make the commit fail with ErrConflict. What is read is the newest state:
// the transaction's view moves on to it if nothing that was read before has
// changed. If something has, it fails with ErrConflict here already.
func (tx *Tx) GetForUpdate(key []byte) ([]byte, error) {
	if err := tx.writable(key); err != nil {
		return nil, err
	}
	full := tx.space.key(nil, key)
	if err := tx.inner.Lock(tx.space.info, full, base.Successor(nil, full)); err != nil {
		return nil, err
	}
	return tx.Get(key)
}

// LockRange locks all keys in [lo, hi), absent ones included; nil for a bound
// means that there is none. See GetForUpdate.
func (tx *Tx) LockRange(lo, hi []byte) error {
	first, end, empty, err := tx.writableSpan(lo, hi)
	if err != nil || empty {
		return err
	}
	return tx.inner.Lock(tx.space.info, first, end)
}

// Iterator returns an iterator over the keyspace as the transaction sees it
// now: writes of the transaction that follow do not change what it shows. Any
// number of iterators may be open, and must be closed; those that are still
// open when the transaction ends answer ErrTxEnded.
func (tx *Tx) Iterator(o IterOptions) (*Iterator, error) {
	rows, err := tx.walk(o)
	if err != nil {
		return nil, err
	}
	it := newIterator(tx.space, rows, tx.inner.InUse())
	it.inTx, it.tx = true, tx.begun
	return it, nil
}

// walk returns the rows within bounds. They must be closed, by one who has entered
// the transaction.
func (tx *Tx) walk(o IterOptions) (rows, error) {
	if err := tx.inner.Usable(); err != nil {
		return nil, err
	}
	bounds, err := tx.space.bounds(o)
	if err != nil {
		return nil, err
	}
	it, err := tx.inner.Iterator(tx.space.info, bounds)
	if err != nil {
		return nil, err
	}
	return lentBy(tx.space.lender, it), nil
}

// Scan calls fn with the rows of a range, as DB.Scan does. Key and value are valid
// for one turn of the loop, and must not be written to. The transaction may be used
// in the loop.
func (tx *Tx) Scan(o ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) (err error) {
	rows, err := tx.walk(o.IterOptions)
	if err != nil {
		return err
	}
	return (&scan{rows: rows, reverse: o.Reverse, tx: tx.inner.InUse(), late: tx.inner.NoteFailure}).run(fn)
}

// Count is DB.Count in the transaction, with its own writes. The whole range counts as read.
func (tx *Tx) Count(ctx context.Context, lo, hi []byte) (int64, error) {
	return count(ctx, lo, hi, tx.Scan)
}

// Range returns the rows in [lo, hi), ascending, for use with range; nil for a
// bound means that there is none. They are as Iterator shows them when the loop
// begins. Key and value are valid for one turn of it, and must not be written to.
//
// An error ends the loop as the end of the rows does. The transaction remembers
// it: Err returns it, and so do Commit, DB.View and DB.Update, so that nobody takes a
// damaged file for the end of the data. Whoever ends a transaction with Rollback has
// to ask Err. Scan returns an error at once, and has prefixes and the other
// direction.
func (tx *Tx) Range(lo, hi []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		all := ScanOptions{IterOptions: IterOptions{Lower: lo, Upper: hi}}
		err := tx.Scan(all, func(rows iter.Seq2[[]byte, []byte]) error {
			rows(yield)
			return nil
		})
		if err != nil {
			tx.inner.NoteFailure(err)
		}
	}
}

// Err returns what nobody was told yet: the error that ended a loop over Range, or
// ErrConcurrentUse if several goroutines were in the transaction at a time. It is
// what Commit returns then, and can still be asked for when the transaction has
// ended.
func (tx *Tx) Err() error { return tx.inner.Err() }

// Savepoint is a place in a transaction to come back to.
type Savepoint struct{ inner session.Savepoint }

// Savepoint returns the present place.
func (tx *Tx) Savepoint() Savepoint { return Savepoint{tx.inner.Savepoint()} }

// RollbackTo takes back all that the transaction has written since the
// savepoint, which can be used again; those that were set later are given up.
// What was read since then counts as read. Iterators, and loops over Scan and Range,
// that were begun after the savepoint and show some of it end with ErrRolledBack.
func (tx *Tx) RollbackTo(s Savepoint) error { return tx.inner.RollbackTo(s.inner) }

// Release gives a savepoint up, with those that were set after it: what was
// written since stays part of the transaction, and RollbackTo refuses them from
// then on.
func (tx *Tx) Release(s Savepoint) error { return tx.inner.Release(s.inner) }

// Commit makes the writes take effect, with the database's durability, and ends
// the transaction. When another commit has changed what it depends on, it
// returns a *ConflictError, and nothing is written. Once Commit has begun to
// write it is not cancelled by the context: its answer says what happened.
func (tx *Tx) Commit() error {
	defer tx.ending()
	return tx.inner.Commit(tx.space.orNone().durability)
}

// CommitWith commits with a durability of its own. A transaction that went to files
// is on stable storage in any case.
func (tx *Tx) CommitWith(d Durability) error {
	if d > DurabilityAsync {
		return &OptionError{Field: "Durability", Value: d.String(), Rule: "DurabilitySync, DurabilityBuffered or DurabilityAsync"}
	}
	defer tx.ending()
	return tx.inner.Commit(d.engine())
}

// Rollback ends the transaction and drops its writes. A second call, or one
// after Commit, does nothing, so that it can be deferred. While another goroutine is in
// a call, the transaction ends when that one does.
func (tx *Tx) Rollback() {
	defer tx.ending()
	tx.inner.Rollback()
}
