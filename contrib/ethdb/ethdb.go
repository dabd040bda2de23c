// Package ethdb lets a Lightning database be the key-value store of go-ethereum: Store is an
// ethdb.KeyValueStore.
//
//	store, err := ethdb.Open("chaindata", nil)
//	...
//	db := rawdb.NewDatabase(store)
//
// It is a module of its own, so that go-ethereum weighs on nobody else. Ancient items stay in geth's
// freezer. How durable a write is, is for lightning.Options to say; geth syncs by itself where it must
// (SyncKeyValue), so DurabilityAsync is as safe for it as what its own engines do.
//
// A Store is safe for concurrent use; a batch and an iterator are used by one goroutine at a time.
package ethdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/ethdb"

	"github.com/lightningdb/lightning"
)

// Store is a key-value store of go-ethereum in a Lightning database.
type Store struct{ db *lightning.DB }

var _ ethdb.KeyValueStore = (*Store)(nil)

// Open opens the database in a directory, making one if there is none. Nil options are
// DurabilityAsync, which is what geth's own engines do.
func Open(dir string, o *lightning.Options) (*Store, error) {
	if o == nil {
		o = &lightning.Options{Durability: lightning.DurabilityAsync}
	}
	db, err := lightning.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return New(db), nil
}

// New returns a store over the default keyspace of an open database, which Close closes.
func New(db *lightning.DB) *Store { return &Store{db: db} }

// Lightning returns the database beneath.
func (s *Store) Lightning() *lightning.DB { return s.db }

// Has reports whether key has a value.
func (s *Store) Has(key []byte) (bool, error) { return s.db.Has(key) }

// Get returns the value of key in a slice of the caller's own, or lightning.ErrNotFound.
func (s *Store) Get(key []byte) ([]byte, error) { return s.db.Get(key) }

// Put sets the value of key.
func (s *Store) Put(key, value []byte) error { return s.db.Put(key, value) }

// Delete removes key.
func (s *Store) Delete(key []byte) error { return s.db.Delete(key) }

// DeleteRange removes all keys in [start, end), nil meaning no bound, in constant time. A range that
// ends before it begins has none.
func (s *Store) DeleteRange(start, end []byte) error {
	return emptyIfInvalid(s.db.DeleteRange(start, end))
}

// emptyIfInvalid takes a range that ends before it begins for an empty one, as geth does.
func emptyIfInvalid(err error) error {
	if errors.Is(err, lightning.ErrInvalidRange) {
		return nil
	}
	return err
}

// Compact compacts [start, limit), nil meaning no bound.
func (s *Store) Compact(start, limit []byte) error {
	return emptyIfInvalid(s.db.Compact(context.Background(), start, limit))
}

// SyncKeyValue makes every write that was acknowledged durable.
func (s *Store) SyncKeyValue() error { return s.db.SyncLog(context.Background()) }

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Stat describes the database in some lines for people.
func (s *Store) Stat() (string, error) {
	m := s.db.Metrics()
	text := "level    files         size      records\n"
	for i, l := range m.Levels {
		text += fmt.Sprintf("%5d %8d %9d MiB %12d\n", i, l.Files, l.SizeBytes>>20, l.Records)
	}
	text += fmt.Sprintf("blobs %8d %9d MiB\n", m.Blobs.Files, m.Blobs.SizeBytes>>20)
	text += fmt.Sprintf("write amplification %.2f, compaction debt %d MiB, memory %d of %d MiB\n",
		m.WriteAmplification(), m.Compactions.DebtBytes>>20, m.Memory.OffHeapBytes>>20, m.Memory.BudgetBytes>>20)
	return text, nil
}

// NewBatch returns an empty batch.
func (s *Store) NewBatch() ethdb.Batch { return &batch{inner: s.db.NewBatch()} }

// NewBatchWithSize is NewBatch: a batch grows as it is filled.
func (s *Store) NewBatchWithSize(int) ethdb.Batch { return s.NewBatch() }

// NewIterator returns an iterator over the keys with a prefix, from prefix+start on. It must be
// released.
func (s *Store) NewIterator(prefix, start []byte) ethdb.Iterator {
	o := lightning.IterOptions{Prefix: prefix}
	if len(start) > 0 {
		o.Lower = append(append([]byte{}, prefix...), start...)
	}
	it, err := s.db.Iterator(o)
	return &iterator{it: it, err: err}
}

// batch is a batch of writes. Its size is counted as geth does: keys and values.
type batch struct {
	inner     *lightning.Batch
	sizeBytes int
}

func (b *batch) Put(key, value []byte) error {
	b.sizeBytes += len(key) + len(value)
	return b.inner.Put(key, value)
}

func (b *batch) Delete(key []byte) error {
	b.sizeBytes += len(key)
	return b.inner.Delete(key)
}

func (b *batch) DeleteRange(start, end []byte) error {
	b.sizeBytes += len(start) + len(end)
	return emptyIfInvalid(b.inner.DeleteRange(start, end))
}

func (b *batch) ValueSize() int { return b.sizeBytes }

func (b *batch) Write() error { return b.inner.Commit() }

func (b *batch) Reset() {
	b.inner.Reset()
	b.sizeBytes = 0
}

// Close lets go of the memory.
func (b *batch) Close() { b.Reset() }

// Replay makes the writes of the batch in another one, or in a store.
func (b *batch) Replay(w ethdb.KeyValueWriter) error {
	for op := range b.inner.All() {
		if err := replay(w, &op); err != nil {
			return err
		}
	}
	return nil
}

func replay(w ethdb.KeyValueWriter, op *lightning.BatchOp) error {
	switch op.Kind {
	case lightning.ChangePut:
		return w.Put(op.Key, op.Value)
	case lightning.ChangeDelete:
		return w.Delete(op.Key)
	case lightning.ChangeDeleteRange:
		if deleter, ok := w.(ethdb.KeyValueRangeDeleter); ok {
			return deleter.DeleteRange(op.Key, op.End)
		}
		return fmt.Errorf("replay: %T does not delete ranges", w)
	}
	return fmt.Errorf("replay: an operation of kind %v", op.Kind)
}

// iterator is an iterator, or what has kept it from being made.
type iterator struct {
	it  *lightning.Iterator
	err error
}

func (i *iterator) Next() bool { return i.it != nil && i.it.Next() }

func (i *iterator) Error() error {
	if i.it == nil {
		return i.err
	}
	return i.it.Err()
}

func (i *iterator) Key() []byte {
	if i.it == nil {
		return nil
	}
	return i.it.Key()
}

func (i *iterator) Value() []byte {
	if i.it == nil {
		return nil
	}
	return i.it.Value()
}

// Release may be called more than once.
func (i *iterator) Release() {
	if i.it != nil {
		i.err = i.it.Close()
		i.it = nil
	}
}
