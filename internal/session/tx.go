package session

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
)

// ErrEnded says that a transaction was committed or rolled back before.
var ErrEnded = errors.New("transaction has ended")

// ErrReadOnly says that a transaction that only reads was to write. It matches
// base.ErrReadOnly, which speaks of the database.
var ErrReadOnly error = readOnlyTx{}

type readOnlyTx struct{}

func (readOnlyTx) Error() string { return "transaction is read-only" }

func (readOnlyTx) Is(target error) bool { return target == base.ErrReadOnly }

// Tx is a transaction: a snapshot, its own writes over it, and a note of all
// that it has looked at, which its commit has validated.
//
// One goroutine at a time is in a verb: another one that comes meanwhile gets
// inuse.ErrConcurrentUse, and then Commit does, because what the other one has
// asked for was not done.
//
// Invariants: until it ends, the snapshot is open and is what all its reads are
// of, those of open iterators included; what was read, and may matter at the
// commit, is in reads or in an open iterator; every keyspace that it used, if it may
// write, is in keyspaces. Once it has ended it holds no snapshot, no files and no locks, and
// all verbs but Rollback fail with ErrEnded. The nil Tx is one of a database that
// was never opened.
type Tx struct {
	manager    *Manager
	options    Options
	inUse      inuse.Word
	snap       *view.Snapshot
	first      view.Snapshot // what it begins with
	iterators  []*Iterator   // open ones
	hasRead    bool          // something that is not its own write
	failure    error         // see NoteFailure
	savepoints savepoints
	ended      atomic.Bool // also for those who are not in
	*changes               // nil: it is read-only
}

// changes is what only a transaction has that may write: read-only ones are small.
type changes struct {
	own       ownWrites
	reads     txn.Reads
	keyspaces []*Keyspace // used ones but the default one
	owner     *txn.Owner  // of locks; nil before the first
	lost      error       // a conflict or deadlock that a lock met
	claimed   view.ReadSet
}

// nothingWritten is what a read-only transaction has written. It stays empty.
var nothingWritten txn.Writes

// written returns what the transaction has written, for one who looks at it.
func (c *changes) written() *txn.Writes {
	if c == nil {
		return &nothingWritten
	}
	return &c.own.writes
}

// Options returns the options that the transaction was begun with.
func (tx *Tx) Options() Options {
	if tx == nil {
		return Options{}
	}
	return tx.options
}

// enter begins a verb of a transaction, which ends with inUse.Leave.
func enter(tx *Tx) error {
	if tx == nil {
		return base.ErrClosed
	}
	return tx.inUse.Begin()
}

// Usable says why the transaction cannot be used, if it cannot. All verbs say the
// same.
func (tx *Tx) Usable() error {
	if tx == nil {
		return base.ErrClosed
	}
	if tx.ended.Load() {
		return ErrEnded
	}
	if tx.manager.engine.closed() {
		return base.ErrClosed
	}
	if ctx := tx.options.Context; ctx != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// RollbackForgotten rolls a transaction back that nobody can reach any more.
func RollbackForgotten(tx *Tx) {
	if !tx.ended.Load() {
		view.NoteForgotten(tx.manager.engine.engine.Reads(), view.KindTransaction, tx.snap.Opened())
	}
	tx.Rollback()
}

// Writable is Usable for verbs that write.
func (tx *Tx) Writable() error {
	if err := tx.Usable(); err != nil {
		return err
	}
	if tx.options.ReadOnly {
		return ErrReadOnly
	}
	return nil
}

// InUse returns the word of those who are in the transaction. Whoever does anything
// with one of its iterators enters it; the verbs of the transaction do so
// themselves.
func (tx *Tx) InUse() *inuse.Word { return &tx.inUse }

// use notes a keyspace, nil for the default one: a transaction that writes does not commit
// if one that it used was dropped meanwhile.
func (tx *Tx) use(k *Keyspace) {
	if k != nil && tx.changes != nil && !slices.Contains(tx.keyspaces, k) {
		tx.keyspaces = append(tx.keyspaces, k)
	}
}

// NoteFailure makes Err return an error that the one who met it could not: the
// first one counts.
func (tx *Tx) NoteFailure(err error) {
	if enter(tx) != nil {
		return // which Err says
	}
	defer tx.inUse.Leave()
	if tx.failure == nil {
		tx.failure = err
	}
}

// Err returns what nobody was told: an error that was noted, or that the
// transaction was used by several goroutines at a time. Commit returns it, and so
// does View. It stays when the transaction has ended.
func (tx *Tx) Err() error {
	if err := enter(tx); err != nil {
		return err
	}
	defer tx.inUse.Leave()
	return cmp.Or(tx.failure, tx.inUse.Err())
}

// tracked returns where reads are noted; nil if nobody will ask.
func (tx *Tx) tracked() *txn.Reads {
	if tx.changes == nil || tx.options.FirstCommitterWins {
		return nil
	}
	return &tx.reads
}

// AppendGet appends the value of key, which is in keyspace k, to dst. Where there
// is none it returns base.ErrNotFound, and dst as it was.
func (tx *Tx) AppendGet(dst []byte, k *Keyspace, key []byte) ([]byte, error) {
	if err := enter(tx); err != nil {
		return dst, err
	}
	dst, err := tx.get(dst, k, key)
	tx.inUse.Leave() // which costs more if it is deferred
	return dst, err
}

func (tx *Tx) get(dst []byte, k *Keyspace, key []byte) ([]byte, error) {
	if tx.changes == nil && tx.options.Context == nil && !tx.ended.Load() {
		return tx.read(dst, key) // which finds out whether the database was closed
	}
	if err := tx.Usable(); err != nil {
		return dst, err
	}
	if tx.changes == nil {
		return tx.read(dst, key)
	}
	tx.use(k)
	value, outcome, err := tx.own.writes.Get(key)
	if err != nil {
		return dst, err
	}
	switch outcome {
	case txn.Present:
		return append(dst, value...), nil
	case txn.Deleted:
		return dst, base.ErrNotFound
	case txn.Merged:
		return tx.appendMerged(dst, key)
	}
	return tx.read(dst, key)
}

// appendMerged appends what the transaction's operands make of the value under
// them, if there is one.
func (tx *Tx) appendMerged(dst, key []byte) ([]byte, error) {
	under, err := tx.read([]byte{}, key)
	if err == base.ErrNotFound {
		under = nil
	} else if err != nil {
		return dst, err
	}
	operands, err := tx.own.writes.Operands(nil, key)
	if err != nil {
		return dst, err
	}
	return tx.manager.engine.MergeOperator(key).Fold(dst, key, under, operands)
}

// read appends the value of a key under the transaction's own writes, and notes
// that it was read.
func (tx *Tx) read(dst, key []byte) ([]byte, error) {
	tx.hasRead = true
	reads := tx.tracked()
	if reads != nil {
		reads.AddPoint(key)
	}
	dst, expiry, err := tx.snap.AppendGetExpiry(dst, key)
	if expiry != 0 && reads != nil {
		reads.AddExpiry(key, expiry)
	}
	return dst, err
}

// Put sets the value of key, which is in keyspace k, until expiry; 0: for ever.
// Both slices are copied.
func (tx *Tx) Put(k *Keyspace, key, value []byte, expiry base.Instant) error {
	if err := enter(tx); err != nil {
		return err
	}
	defer tx.inUse.Leave()
	if err := tx.beginWrite(k); err != nil {
		return err
	}
	if expiry == 0 {
		tx.own.writes.Put(key, value)
	} else {
		tx.own.writes.PutExpiring(key, value, expiry)
	}
	return nil
}

// Delete removes key, which is in keyspace k.
func (tx *Tx) Delete(k *Keyspace, key []byte) error {
	if err := enter(tx); err != nil {
		return err
	}
	defer tx.inUse.Leave()
	if err := tx.beginWrite(k); err != nil {
		return err
	}
	tx.own.writes.Delete(key)
	return nil
}

// DeleteRange removes the keys in [lo, hi), all of which are in keyspace k. Both
// bounds are copied.
func (tx *Tx) DeleteRange(k *Keyspace, lo, hi []byte) error {
	if err := enter(tx); err != nil {
		return err
	}
	defer tx.inUse.Leave()
	if err := tx.Writable(); err != nil {
		return err
	}
	tx.use(k)
	tx.own.writes.DeleteRange(lo, hi) // which stays in memory: see txn.Writes
	return nil
}

// Merge applies an operand to key, which is in keyspace k and accepts it. It does
// not count as a read of the key. Both slices are copied.
func (tx *Tx) Merge(k *Keyspace, key, operand []byte) error {
	if err := enter(tx); err != nil {
		return err
	}
	defer tx.inUse.Leave()
	if err := tx.beginWrite(k); err != nil {
		return err
	}
	value, outcome, err := tx.own.writes.Get(key)
	if err != nil {
		return err
	}
	switch outcome {
	case txn.Untouched, txn.Merged:
		tx.own.writes.Merge(key, operand)
		return nil
	case txn.Present:
		if value == nil {
			value = []byte{}
		}
	}
	out, err := tx.manager.engine.MergeOperator(key).Fold(nil, key, value, [][]byte{operand})
	if err != nil {
		return err
	}
	tx.own.writes.Put(key, out)
	return nil
}

// beginWrite says why a write to a keyspace cannot be, and makes room for it.
func (tx *Tx) beginWrite(k *Keyspace) error {
	if err := tx.Writable(); err != nil {
		return err
	}
	tx.use(k)
	if tx.own.sizeBytes() < tx.manager.config.SpillBytes {
		return nil
	}
	return tx.own.toFiles(tx.manager.engine, tx.savepoints.steps())
}
