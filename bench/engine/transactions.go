package engine

import (
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"go.etcd.io/bbolt"
)

// Update does what Badger's documentation says of a conflict: again.
func (s badgerSession) Update(fn func(Tx) error) error {
	for {
		err := s.db.Update(func(txn *badger.Txn) error { return fn(badgerTx{txn}) })
		if !errors.Is(err, badger.ErrConflict) {
			return err
		}
	}
}

func (s badgerSession) View(fn func(Tx) error) error {
	return s.db.View(func(txn *badger.Txn) error { return fn(badgerTx{txn}) })
}

type badgerTx struct{ txn *badger.Txn }

func (tx badgerTx) AppendGet(dst, key []byte) ([]byte, bool, error) {
	return badgerGet(tx.txn, dst, key)
}

// Put copies: Badger uses the slices until the commit is done, and the caller
// needs its buffers for the next ones.
func (tx badgerTx) Put(key, value []byte) error {
	return tx.txn.Set(slices.Clone(key), slices.Clone(value))
}

func (tx badgerTx) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	return badgerScan(tx.txn, lo, limit, fn)
}

func (s bboltSession) Update(fn func(Tx) error) error {
	return s.change(func(tx *bbolt.Tx) error { return fn(bboltTx{tx.Bucket(bboltBucket)}) })
}

func (s bboltSession) View(fn func(Tx) error) error {
	return s.db.View(func(tx *bbolt.Tx) error { return fn(bboltTx{tx.Bucket(bboltBucket)}) })
}

type bboltTx struct{ bucket *bbolt.Bucket }

func (tx bboltTx) AppendGet(dst, key []byte) ([]byte, bool, error) {
	value := tx.bucket.Get(key)
	return append(dst, value...), value != nil, nil
}

// Put copies the value, which bbolt uses until the commit; keys it copies itself.
func (tx bboltTx) Put(key, value []byte) error { return tx.bucket.Put(key, slices.Clone(value)) }

func (tx bboltTx) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	c := tx.bucket.Cursor()
	for k, v := c.Seek(lo); k != nil && limit > 0; k, v = c.Next() {
		if err := fn(k, v); err != nil {
			return err
		}
		limit--
	}
	return nil
}
