package lightning

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/txn"
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
	// ReadOnly makes every write fail with ErrReadOnly. A read-only transaction
	// never waits, never conflicts and never slows a writer.
	ReadOnly bool
	// Isolation of a transaction that writes.
	Isolation Isolation
	// Context, if not nil, makes all verbs fail once it is done.
	Context context.Context
	// LockTimeout bounds how long GetForUpdate and LockRange wait for another
	// transaction, if it is positive; they then fail with ErrLockTimeout.
	LockTimeout time.Duration
}

// Tx is a transaction: reads show the database as it was when the transaction
// began, with the transaction's own writes over it, and Commit makes all writes
// take effect at once, or none.
//
// A transaction locks nothing and waits for nobody before Commit. It must be
// ended, with Commit or Rollback: until then the versions that it sees are kept
// on disk. It may be larger than memory: when its writes take more than
// Tree.MemtableBytes they go to files of its own. A Tx is used by one goroutine at
// a time.
type Tx struct {
	core  *txCore
	space *space
}

// txCore is what the views of a transaction share.
type txCore struct {
	db      *DB
	options TxOptions
	snap    *engine.Snapshot
	writes  txn.Writes
	reads   txn.Reads
	cursors []*txn.Cursor // open ones
	touched []*engine.KeyspaceInfo
	spill   *engine.Spill // what of writes is in files; nil: nothing
	owner   *txn.Owner    // of locks; nil before the first
	hasRead bool          // something that is not its own write
	failure error         // the first one that ended a Range
	// savepoints are those that can be used, in the order in which they were set.
	savepoints    []savepoint
	lastSavepoint int
	ended         bool
}

// ErrTxEnded says that a transaction was committed or rolled back before.
var ErrTxEnded = errors.New("transaction has ended")

// ErrDeadlock says that a lock was refused, because its holder waits, perhaps
// through others, for this transaction. It should be rolled back and run again.
var ErrDeadlock = txn.ErrDeadlock

// ErrLockTimeout says that a lock was not free within TxOptions.LockTimeout.
var ErrLockTimeout = txn.ErrLockTimeout

// ErrConflict is matched by every *ConflictError.
var ErrConflict = txn.ErrConflict

// Begin begins a transaction. See DB.Update and DB.View, which end it by
// themselves.
func (db *DB) Begin(o TxOptions) (*Tx, error) {
	if o.Isolation > SnapshotIsolation {
		return nil, &OptionError{Field: "Isolation", Value: o.Isolation.String(), Rule: "one of the constants"}
	}
	if db.opts.ReadOnly && !o.ReadOnly {
		return nil, ErrReadOnly
	}
	if o.Context != nil && o.Context.Err() != nil {
		return nil, context.Cause(o.Context)
	}
	snap, err := db.engine.Snapshot()
	if err != nil {
		return nil, err
	}
	return &Tx{core: &txCore{db: db, options: o, snap: snap}, space: &db.space}, nil
}

// Options returns the options that the transaction was begun with.
func (tx *Tx) Options() TxOptions { return tx.core.options }

// In returns a view of the transaction that reads and writes the keyspace k.
// All views of a transaction are the same transaction. Through a keyspace of
// another database every verb fails with ErrForeignKeyspace.
func (tx *Tx) In(k *Keyspace) *Tx {
	s := tx.space.in(k)
	return &Tx{core: tx.core, space: &s}
}

// usable says why the transaction cannot be used, if it cannot.
func (c *txCore) usable() error {
	if c.ended {
		return ErrTxEnded
	}
	if ctx := c.options.Context; ctx != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// check says why a key cannot be read or written, and notes its keyspace: a
// transaction does not commit if one that it used was dropped meanwhile.
func (tx *Tx) check(key []byte) error {
	if err := tx.core.usable(); err != nil {
		return err
	}
	if err := tx.space.check(key); err != nil {
		return err
	}
	tx.touch()
	return nil
}

func (tx *Tx) touch() {
	info := tx.space.info
	if info != nil && !slices.Contains(tx.core.touched, info) {
		tx.core.touched = append(tx.core.touched, info)
	}
}

// tracked returns where reads are noted; nil if nobody will ask.
func (c *txCore) tracked() *txn.Reads {
	if c.options.ReadOnly || c.options.Isolation == SnapshotIsolation {
		return nil
	}
	return &c.reads
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
	if err := tx.check(key); err != nil {
		return dst, err
	}
	var stack [keyStackBytes]byte
	full := tx.space.key(stack[:0], key)
	value, outcome, err := tx.core.writes.Get(full)
	if err != nil {
		return dst, err
	}
	switch outcome {
	case txn.Present:
		return append(dst, value...), nil
	case txn.Deleted:
		return dst, ErrNotFound
	case txn.Merged:
		under, err := tx.core.read([]byte{}, full)
		if err == ErrNotFound {
			under = nil
		} else if err != nil {
			return dst, err
		}
		return tx.appendMerged(dst, full, under)
	}
	dst, err = tx.core.read(dst, full)
	return dst, err
}

// read appends the value of an internal key under the transaction's own writes,
// and notes that it was read.
func (c *txCore) read(dst, full []byte) ([]byte, error) {
	c.hasRead = true
	reads := c.tracked()
	if reads != nil {
		reads.AddPoint(full)
	}
	dst, expiry, err := c.snap.AppendGetExpiry(dst, full)
	if expiry != 0 && reads != nil {
		reads.AddExpiry(full, expiry)
	}
	return dst, err
}

// Has reports whether key has a value.
func (tx *Tx) Has(key []byte) (bool, error) {
	_, err := tx.AppendGet(nil, key)
	return found(err)
}

// writable is check for writes.
func (tx *Tx) writable(key []byte) error {
	if tx.core.options.ReadOnly {
		return ErrReadOnly
	}
	return tx.check(key)
}

// Put sets the value of key. Both slices are copied.
func (tx *Tx) Put(key, value []byte) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	if err := checkValue(value); err != nil {
		return err
	}
	var stack [keyStackBytes]byte
	return tx.put(tx.space.key(stack[:0], key), value, tx.space.defaultExpiry())
}

// Delete removes key. Deleting a key that does not exist is no error.
func (tx *Tx) Delete(key []byte) error {
	if err := tx.writable(key); err != nil {
		return err
	}
	if err := tx.core.makeRoom(); err != nil {
		return err
	}
	var stack [keyStackBytes]byte
	tx.core.writes.Delete(tx.space.key(stack[:0], key))
	return nil
}

// DeleteRange removes all keys in [lo, hi), in constant time however many there
// are; nil for a bound means that there is none.
func (tx *Tx) DeleteRange(lo, hi []byte) error {
	first, end, empty, err := tx.writableSpan(lo, hi)
	if err != nil || empty {
		return err
	}
	tx.core.writes.DeleteRange(first, end)
	return nil
}

// writableSpan is writable for a range, which it translates as space.span does.
func (tx *Tx) writableSpan(lo, hi []byte) (first, end []byte, empty bool, err error) {
	if tx.core.options.ReadOnly {
		return nil, nil, false, ErrReadOnly
	}
	if err := tx.core.usable(); err != nil {
		return nil, nil, false, err
	}
	first, end, empty, err = tx.space.span(lo, hi)
	if err == nil && !empty {
		tx.touch()
	}
	return first, end, empty, err
}

// Iterator returns an iterator over the keyspace as the transaction sees it
// now: writes of the transaction that follow do not change what it shows. Any
// number of iterators may be open, and must be closed; those that are still
// open when the transaction ends answer ErrTxEnded.
func (tx *Tx) Iterator(o IterOptions) (*Iterator, error) {
	if err := tx.core.usable(); err != nil {
		return nil, err
	}
	bounds, err := tx.space.bounds(o)
	if err != nil {
		return nil, err
	}
	tx.touch()
	bounds.PrefixBytes = 0
	rows, err := tx.core.snap.NewIterator(bounds)
	if err != nil {
		return nil, err
	}
	c, err := txn.NewCursor(txn.Scope{
		Rows: rows, Lower: bounds.Lower, Upper: bounds.Upper, Reads: tx.core.tracked(),
		Expires: tx.core.snap.Expires(), Operators: tx.space.engine,
	}, &tx.core.writes)
	if err != nil {
		_ = rows.Close() // just opened
		return nil, err
	}
	tx.core.hasRead = true
	tx.core.cursors = append(tx.core.cursors, c)
	return &Iterator{tx: &txIterator{core: tx.core, cursor: c}, prefix: tx.space.prefix}, nil
}

// Scan calls fn with the rows of a range, as DB.Scan does.
func (tx *Tx) Scan(o ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) (err error) {
	it, err := tx.Iterator(o.IterOptions)
	if err != nil {
		return err
	}
	return it.scan(o.Reverse, fn)
}

// Range returns the rows in [lo, hi), ascending, for use with range; nil for a
// bound means that there is none. They are as Iterator shows them when the loop
// begins; key and value are valid for one turn of it.
//
// An error ends the loop as the end of the rows does. The transaction remembers
// it, and Commit, DB.View and DB.Update return it, so that nobody takes a damaged
// file for the end of the data; Scan returns it at once, and has prefixes and the
// other direction.
func (tx *Tx) Range(lo, hi []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		all := ScanOptions{IterOptions: IterOptions{Lower: lo, Upper: hi}}
		err := tx.Scan(all, func(rows iter.Seq2[[]byte, []byte]) error {
			rows(yield)
			return nil
		})
		if tx.core.failure == nil {
			tx.core.failure = err
		}
	}
}

// txIterator is the part of an Iterator that belongs to a transaction.
type txIterator struct {
	core   *txCore
	cursor *txn.Cursor // nil once closed
	err    error
}

// usable reports whether the iterator can be moved, and notes why not.
func (it *txIterator) usable() bool {
	switch {
	case it.cursor == nil:
		it.err = base.ErrInvalidHandle
	case it.core.usable() != nil:
		it.err = it.core.usable()
	default:
		return true
	}
	return false
}

func (it *txIterator) valid() bool { return it.cursor != nil && it.err == nil && it.cursor.Valid() }

func (it *txIterator) failure() error {
	if it.err != nil || it.cursor == nil {
		return it.err
	}
	return it.cursor.Err()
}

func (it *txIterator) close() error {
	if it.cursor == nil {
		return base.ErrInvalidHandle
	}
	err := it.failure()
	c := it.cursor
	it.cursor = nil
	it.core.cursors = slices.DeleteFunc(it.core.cursors, func(o *txn.Cursor) bool { return o == c })
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}

// ErrSavepoint says that a savepoint was given up: by Release of it or of an
// earlier one, or by going back to an earlier one.
var ErrSavepoint = errors.New("savepoint was given up")

// Savepoint is a place in a transaction to come back to.
type Savepoint struct {
	core *txCore
	savepoint
	index int // in txCore.savepoints, if it is there
}

type savepoint struct {
	step txn.Step
	id   int
}

// Savepoint returns the present place.
func (tx *Tx) Savepoint() Savepoint {
	c := tx.core
	c.lastSavepoint++
	s := savepoint{step: c.writes.Step(), id: c.lastSavepoint}
	c.savepoints = append(c.savepoints, s)
	return Savepoint{core: c, savepoint: s, index: len(c.savepoints) - 1}
}

// RollbackTo takes back all that the transaction has written since the
// savepoint, which can be used again; those that were set later are given up.
// What was read since then counts as read.
func (tx *Tx) RollbackTo(s Savepoint) error {
	if err := tx.core.knows(s); err != nil {
		return err
	}
	tx.core.savepoints = tx.core.savepoints[:s.index+1]
	tx.core.writes.TakeBack(s.step)
	return nil
}

// Release gives a savepoint up, with those that were set after it: what was
// written since stays part of the transaction, and RollbackTo refuses them from
// then on.
func (tx *Tx) Release(s Savepoint) error {
	if err := tx.core.knows(s); err != nil {
		return err
	}
	tx.core.savepoints = tx.core.savepoints[:s.index]
	return nil
}

// knows says why a savepoint cannot be used, if it cannot.
func (c *txCore) knows(s Savepoint) error {
	if err := c.usable(); err != nil {
		return err
	}
	if s.core != c {
		return errors.New("savepoint belongs to another transaction")
	}
	if s.index >= len(c.savepoints) || c.savepoints[s.index] != s.savepoint {
		return ErrSavepoint
	}
	return nil
}

// Commit makes the writes take effect, with the database's durability, and ends
// the transaction. When another commit has changed what it depends on, it
// returns a *ConflictError, and nothing is written. Once Commit has begun to
// write it is not cancelled by the context: its answer says what happened.
func (tx *Tx) Commit() error { return tx.commit(tx.core.db.space.durability) }

// CommitWith commits with a durability of its own. A transaction that went to files
// is on stable storage in any case.
func (tx *Tx) CommitWith(d Durability) error {
	if d > Async {
		return &OptionError{Field: "Durability", Value: d.String(), Rule: "Sync, Flush or Async"}
	}
	return tx.commit(d.engine())
}

func (tx *Tx) commit(d engine.Durability) error {
	c := tx.core
	if err := c.usable(); err != nil {
		if !c.ended {
			c.end()
		}
		return err
	}
	defer c.end()
	if c.failure != nil {
		return c.failure
	}
	if c.spill != nil {
		return c.commitSpilled()
	}
	if c.options.ReadOnly || c.writes.Len() == 0 {
		return nil // it is serialized where it has read
	}
	batch, err := c.batch()
	if err != nil {
		return err
	}
	return c.db.engine.CommitChecked(batch, d, c.claim())
}

// batch returns the writes as the engine takes them.
func (c *txCore) batch() (*engine.Batch, error) {
	b := new(engine.Batch)
	for _, info := range c.touched {
		b.Touch(info)
	}
	return b, c.writes.Replay(batchSink{b})
}

// batchSink writes internal keys to a batch.
type batchSink struct{ *engine.Batch }

func (s batchSink) Put(key, value []byte) error { return s.Set(nil, key, value) }
func (s batchSink) PutExpiring(key, value []byte, expiry base.Instant) error {
	return s.SetExpiring(nil, key, value, expiry)
}
func (s batchSink) Merge(key, operand []byte) error { return s.Batch.Merge(nil, key, operand) }
func (s batchSink) Delete(key []byte) error         { return s.Batch.Delete(nil, key) }

// claim returns what must not have changed.
func (c *txCore) claim() *engine.Check {
	if c.options.Isolation == SnapshotIsolation {
		c.writes.Each(c.reads.AddPoint, c.reads.AddSpan)
	}
	for _, cursor := range c.cursors {
		cursor.Flush()
	}
	if c.reads.Empty() {
		return nil
	}
	c.reads.Freeze()
	return &engine.Check{Since: c.snap.Seq(), Reads: &c.reads}
}

// Rollback ends the transaction and drops its writes. A second call, or one
// after Commit, does nothing, so that it can be deferred.
func (tx *Tx) Rollback() {
	if !tx.core.ended {
		tx.core.end()
	}
}

func (c *txCore) end() {
	c.ended = true
	if c.spill != nil {
		c.spill.Drop()
	}
	_ = c.snap.Close() // open until now
	if c.owner != nil {
		c.db.locks.Release(c.owner)
	}
	c.writes, c.reads = txn.Writes{}, txn.Reads{}
}
