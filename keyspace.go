package lightning

import (
	"context"
	"iter"

	"github.com/lightningdb/lightning/internal/keyspace"
)

// Keyspace is a handle to a named keyspace: an independent range of keys in
// the same database, log and commit order. It has the verbs of DB, which work
// the same way. It needs no closing, and is safe for concurrent use. After the
// keyspace was dropped every verb but Flush fails with ErrKeyspaceDropped.
type Keyspace struct {
	space space
	db    *DB
}

func newKeyspace(db *DB, info *keyspace.Info) *Keyspace {
	k := &Keyspace{space: db.space, db: db}
	k.space.info = info
	k.space.prefix = keyspace.AppendPrefix(nil, info.ID)
	return k
}

// Name returns the keyspace's name.
func (k *Keyspace) Name() string { return k.space.info.Name }

// Get is DB.Get in this keyspace.
func (k *Keyspace) Get(key []byte) ([]byte, error) { return k.space.get(key) }

// AppendGet is DB.AppendGet in this keyspace.
func (k *Keyspace) AppendGet(dst, key []byte) ([]byte, error) { return k.space.appendGet(dst, key) }

// GetFunc is DB.GetFunc in this keyspace.
func (k *Keyspace) GetFunc(key []byte, fn func(value []byte) error) error {
	return k.space.getFunc(key, fn)
}

// Has is DB.Has in this keyspace.
func (k *Keyspace) Has(key []byte) (bool, error) { return k.space.has(key) }

// MultiGet is DB.MultiGet in this keyspace.
func (k *Keyspace) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	return k.space.multiGet(nil, keys, fn)
}

// Put is DB.Put in this keyspace.
func (k *Keyspace) Put(key, value []byte) error { return k.space.put(key, value, k.space.durability) }

// Delete is DB.Delete in this keyspace.
func (k *Keyspace) Delete(key []byte) error { return k.space.delete(key, k.space.durability) }

// DeleteRange is DB.DeleteRange in this keyspace.
func (k *Keyspace) DeleteRange(lo, hi []byte) error {
	return k.space.deleteRange(lo, hi, k.space.durability)
}

// NewBatch returns an empty batch that writes to this keyspace.
func (k *Keyspace) NewBatch() *Batch { return newBatch(&k.space) }

// Snapshot returns a view of the database at this moment whose verbs read this
// keyspace.
func (k *Keyspace) Snapshot() (*Snapshot, error) {
	if k.space.info.Dropped() {
		return nil, ErrKeyspaceDropped
	}
	s, err := k.db.Snapshot()
	if err != nil {
		return nil, err
	}
	return s.In(k), nil
}

// Iterator is DB.Iterator in this keyspace.
func (k *Keyspace) Iterator(o IterOptions) (*Iterator, error) { return k.space.iterator(nil, o) }

// Scan is DB.Scan in this keyspace.
func (k *Keyspace) Scan(o ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error {
	return k.space.scan(nil, o, fn)
}

// Flush is DB.Flush: it writes out all keyspaces, as they share the memtable,
// and so works after this one was dropped, too.
func (k *Keyspace) Flush(ctx context.Context) error { return k.db.Flush(ctx) }

// Compact is DB.Compact in this keyspace; nil bounds mean all of it.
func (k *Keyspace) Compact(ctx context.Context, lo, hi []byte) error {
	return k.space.compact(ctx, lo, hi)
}
