package badger

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning"
)

// Txn is a transaction: it sees the database as it was when it began, with its own writes over it.
// It must be ended, with Commit or Discard.
type Txn struct {
	db        *DB
	inner     *lightning.Tx
	rows      *lightning.Tx // in the keyspace; nil: there is none
	update    bool
	written   bool
	discarded bool
	failure   error // why it could not begin
}

// NewTransaction begins a transaction. One that cannot begin says so with each verb. In a read-only
// database all are for reading.
func (db *DB) NewTransaction(update bool) *Txn {
	update = update && !db.options.ReadOnly
	txn := &Txn{db: db, update: update}
	if db.closed.Load() {
		txn.failure = ErrDBClosed
		return txn
	}
	txn.inner, txn.failure = db.inner.Begin(lightning.TxOptions{ReadOnly: !update})
	if txn.failure == nil && db.space != nil {
		txn.rows = txn.inner.In(db.space)
	}
	return txn
}

// View runs fn in a transaction that reads.
func (db *DB) View(fn func(txn *Txn) error) error {
	txn := db.NewTransaction(false)
	defer txn.Discard() // also where fn panics
	if txn.failure != nil {
		return txn.failure
	}
	return fn(txn)
}

// Update runs fn in a transaction and commits it if fn returns nil. When that meets a conflict it
// returns ErrConflict: fn is not run again.
func (db *DB) Update(fn func(txn *Txn) error) error {
	txn := db.NewTransaction(true)
	defer txn.Discard() // also where fn panics
	if txn.failure != nil {
		return txn.failure
	}
	if err := fn(txn); err != nil {
		return err
	}
	return txn.Commit()
}

// usable says why the transaction cannot read a key.
func (txn *Txn) usable(key []byte) error {
	switch {
	case len(key) == 0:
		return ErrEmptyKey
	case txn.failure != nil:
		return txn.failure
	case txn.discarded:
		return ErrDiscardedTxn
	}
	return nil
}

// writable says why the transaction cannot write a key.
func (txn *Txn) writable(key []byte) error {
	if !txn.update {
		return ErrReadOnlyTxn
	}
	return txn.usable(key)
}

// Get returns the item of a key, or ErrKeyNotFound.
func (txn *Txn) Get(key []byte) (*Item, error) {
	if err := txn.usable(key); err != nil {
		return nil, err
	}
	if txn.rows == nil {
		return nil, ErrKeyNotFound
	}
	item := &Item{txn: txn, key: bytes.Clone(key)}
	return item, item.load()
}

// Set sets the value of a key.
func (txn *Txn) Set(key, value []byte) error { return txn.SetEntry(NewEntry(key, value)) }

// SetEntry writes an entry.
func (txn *Txn) SetEntry(e *Entry) error {
	if err := txn.writable(e.Key); err != nil {
		return err
	}
	txn.written = true
	ttl, forever, expired := e.ttl()
	switch {
	case expired:
		return txn.rows.Delete(e.Key)
	case forever:
		return txn.rows.Put(e.Key, e.row())
	}
	return txn.rows.PutWithTTL(e.Key, e.row(), ttl)
}

// Delete removes a key. One that is not there is no error.
func (txn *Txn) Delete(key []byte) error {
	if err := txn.writable(key); err != nil {
		return err
	}
	txn.written = true
	return txn.rows.Delete(key)
}

// Commit makes what was written take effect, or returns ErrConflict, and ends the transaction.
func (txn *Txn) Commit() error {
	switch {
	case txn.failure != nil:
		return txn.failure
	case txn.discarded && txn.written:
		return ErrDiscardedTxn
	case txn.discarded:
		return nil
	}
	txn.discarded = true
	err := txn.inner.Commit()
	if errors.Is(err, lightning.ErrConflict) {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

// CommitWith commits in another goroutine and calls cb, which may be nil, with what came of it. The
// transaction must not be used any more.
func (txn *Txn) CommitWith(cb func(error)) {
	go func() {
		err := txn.Commit()
		if cb != nil {
			cb(err)
		}
	}()
}

// Discard ends the transaction without writing anything. After Commit it does nothing, so that it
// can be deferred.
func (txn *Txn) Discard() {
	if txn.discarded || txn.inner == nil {
		return
	}
	txn.discarded = true
	txn.inner.Rollback()
}
