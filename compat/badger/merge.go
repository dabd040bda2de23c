package badger

import (
	"errors"
	"sync/atomic"

	"github.com/lightningdb/lightning"
)

// MergeFunc returns what an existing value and one that was added come to. It must not change
// either.
type MergeFunc func(existing, added []byte) []byte

// MergeOperator adds to the value of a key. Each Add is a transaction; where many add to one key, a
// keyspace with a merge operator of its own is faster: see lightning.MergeOperator.
type MergeOperator struct {
	db      *DB
	fn      MergeFunc
	key     []byte
	stopped atomic.Bool
}

// GetMergeOperator returns an operator for a key. Values are joined as they are added: there is no
// work in the background, and so no time for it.
func (db *DB) GetMergeOperator(key []byte, fn MergeFunc) *MergeOperator {
	return &MergeOperator{db: db, fn: fn, key: key}
}

// Add joins a value with the one that is there; if there is none it becomes the value.
func (op *MergeOperator) Add(value []byte) error {
	if err := op.usable(); err != nil {
		return err
	}
	return op.db.inner.Update(func(tx *lightning.Tx) error {
		rows, joined := tx.In(op.db.space), value
		row, err := rows.Get(op.key)
		if err == nil {
			existing, _, err := splitRow(row)
			if err != nil {
				return err
			}
			joined = op.fn(existing, value)
		} else if !errors.Is(err, lightning.ErrNotFound) {
			return err
		}
		return rows.Put(op.key, (&Entry{Value: joined}).row())
	})
}

// Get returns the value, in a slice of the caller's own, or ErrKeyNotFound.
func (op *MergeOperator) Get() (value []byte, err error) {
	if err := op.usable(); err != nil {
		return nil, err
	}
	err = op.db.View(func(txn *Txn) error {
		item, err := txn.Get(op.key)
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	return value, err
}

// Stop ends the use of the operator.
func (op *MergeOperator) Stop() { op.stopped.Store(true) }

func (op *MergeOperator) usable() error {
	switch {
	case op.stopped.Load() || op.fn == nil:
		return ErrInvalidRequest
	case len(op.key) == 0:
		return ErrEmptyKey
	}
	return op.db.writable()
}
