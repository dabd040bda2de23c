package badger

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"github.com/lightningdb/lightning"
)

// DB is a database with the API of Badger.
type DB struct {
	options Options
	inner   *lightning.DB
	owned   bool                // Close closes inner
	space   *lightning.Keyspace // nil: read-only, and nothing was ever written
	closed  atomic.Bool
}

// Open opens a database, making one if there is none.
func Open(o Options) (*DB, error) {
	dir := o.Dir
	if o.InMemory && dir == "" {
		dir = "memory"
	}
	inner, err := lightning.Open(dir, o.lightning())
	if err != nil {
		return nil, err
	}
	db, err := New(inner, o)
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	db.owned = true
	return db, nil
}

// New returns the keys in a keyspace of an open database, which stays the caller's: Close does not
// close it. Of the options it takes ReadOnly and Keyspace.
func New(inner *lightning.DB, o Options) (*DB, error) {
	db := &DB{options: o, inner: inner}
	var err error
	db.space, err = inner.Keyspace(context.Background(), o.Keyspace, nil)
	if o.ReadOnly && errors.Is(err, lightning.ErrKeyspaceNotFound) {
		return db, nil
	}
	return db, err
}

// Lightning returns the database beneath, for what Badger has no verbs for.
func (db *DB) Lightning() *lightning.DB { return db.inner }

// Opts returns the options that the database was opened with.
func (db *DB) Opts() Options { return db.options }

// IsClosed reports whether Close was called.
func (db *DB) IsClosed() bool { return db.closed.Load() }

// Close closes the database. Further calls do nothing. Transactions must have ended: those that have
// not fail from then on, and Close returns lightning.ErrLeaked.
func (db *DB) Close() error {
	if db.closed.Swap(true) || !db.owned {
		return nil
	}
	return db.inner.Close()
}

// writable says why the database cannot be written to past a transaction.
func (db *DB) writable() error {
	switch {
	case db.closed.Load():
		return ErrDBClosed
	case db.options.ReadOnly:
		return lightning.ErrReadOnly
	}
	return nil
}

// Sync makes what was committed durable.
func (db *DB) Sync() error {
	if db.closed.Load() {
		return ErrDBClosed
	}
	return db.inner.SyncLog(context.Background())
}

// Size returns the bytes of tables with keys and small values, and of those with large values.
func (db *DB) Size() (lsm, vlog int64) {
	m := db.inner.Metrics()
	vlog = int64(m.Blobs.SizeBytes)
	return int64(m.DiskBytes()) - vlog, vlog
}

// RunValueLogGC returns ErrNoRewrite: space is given back in the background, without being asked.
func (db *DB) RunValueLogGC(discardRatio float64) error {
	if err := db.writable(); err != nil {
		return err
	}
	if discardRatio <= 0 || discardRatio >= 1 {
		return ErrInvalidRequest
	}
	return ErrNoRewrite
}

// Flatten compacts all keys into one sorted run. How many workers do that is the database's own
// choice.
func (db *DB) Flatten(int) error {
	if err := db.writable(); err != nil {
		return err
	}
	return db.space.Compact(context.Background(), nil, nil)
}

// DropAll removes all keys of the keyspace, as one commit. Writes go on meanwhile, and those that
// come behind it stay.
func (db *DB) DropAll() error {
	if err := db.writable(); err != nil {
		return err
	}
	return db.space.DeleteRange(nil, nil)
}

// DropPrefix removes all keys with one of the prefixes, as one commit.
func (db *DB) DropPrefix(prefixes ...[]byte) error {
	if err := db.writable(); err != nil {
		return err
	}
	b := db.space.NewBatch()
	for _, p := range prefixes {
		if err := b.DeleteRange(p, prefixEnd(p)); err != nil {
			return err
		}
	}
	return b.Commit()
}

// prefixEnd returns the smallest key behind all with a prefix, nil if there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// KV is a change that Subscribe tells of. Its slices belong to the callee.
type KV struct {
	Key, Value []byte
	UserMeta   byte
	ExpiresAt  uint64 // seconds since 1970; 0: never
	// Deleted says that the key was removed or, with End, that all keys in [Key, End) were, nil for
	// an End meaning that there is none.
	Deleted, Range bool
	End            []byte
	Seq            uint64 // of the commit, in the database beneath
}

// Subscribe calls cb with each change of a key that has the prefix, from now on and in the order in
// which they were made, until ctx ends, which returns its error, or cb returns one. The
// subscription begins during the call.
func (db *DB) Subscribe(ctx context.Context, cb func(kv *KV) error, prefix []byte) error {
	switch {
	case db.closed.Load():
		return ErrDBClosed
	case cb == nil || db.space == nil:
		return ErrInvalidRequest
	}
	for c, err := range db.space.Watch(ctx, lightning.WatchOptions{Prefix: prefix}) {
		if err != nil {
			return err
		}
		kv, err := newKV(&c)
		if err == nil {
			err = cb(kv)
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func newKV(c *lightning.WatchedChange) (*KV, error) {
	kv := &KV{Key: c.Key, Seq: c.Seq}
	switch c.Kind {
	case lightning.ChangePut:
		value, meta, err := splitRow(c.Value)
		kv.Value, kv.UserMeta, kv.ExpiresAt = value, meta, unixSeconds(c.ExpiresAt)
		return kv, err
	case lightning.ChangeDelete:
		kv.Deleted = true
	case lightning.ChangeDeleteRange:
		kv.Deleted, kv.Range, kv.End = true, true, c.End
	default:
		return nil, errRow
	}
	return kv, nil
}
