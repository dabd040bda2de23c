// Package datastore lets a Lightning database be the datastore of go-ipfs and its kin: Store is a
// datastore.Batching with transactions, times to live, disk usage, checks and garbage collection.
//
//	store, err := datastore.Open("datastore", nil)
//
// It is a module of its own, so that go-datastore weighs on nobody else. A key is stored as its string;
// a query walks over the keys with its prefix, in their order, and sorts only for other orders.
//
// A Store is safe for concurrent use; a batch and a transaction are used by one goroutine at a time.
package datastore

import (
	"context"
	"errors"
	"fmt"
	"time"

	ds "github.com/ipfs/go-datastore"

	"github.com/lightningdb/lightning"
)

// Store is a datastore in a Lightning database.
type Store struct{ db *lightning.DB }

var (
	_ ds.Batching            = (*Store)(nil)
	_ ds.TxnDatastore        = (*Store)(nil)
	_ ds.TTLDatastore        = (*Store)(nil)
	_ ds.PersistentDatastore = (*Store)(nil)
	_ ds.CheckedDatastore    = (*Store)(nil)
	_ ds.GCDatastore         = (*Store)(nil)
)

// Open opens the database in a directory, making one if there is none. Nil options are
// DurabilityAsync: callers use Sync for what must not be lost.
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

// New returns a datastore over the default keyspace of an open database, which Close closes.
func New(db *lightning.DB) *Store { return &Store{db: db} }

// Lightning returns the database beneath.
func (s *Store) Lightning() *lightning.DB { return s.db }

// notFound translates an error.
func notFound(err error) error {
	if errors.Is(err, lightning.ErrNotFound) {
		return ds.ErrNotFound
	}
	return err
}

// Get returns the value of a key in a slice of the caller's own, or datastore.ErrNotFound.
func (s *Store) Get(ctx context.Context, key ds.Key) ([]byte, error) { return get(ctx, s.db, key) }

// Has reports whether a key has a value.
func (s *Store) Has(ctx context.Context, key ds.Key) (bool, error) { return has(ctx, s.db, key) }

// GetSize returns the length of the value of a key, or -1 and datastore.ErrNotFound.
func (s *Store) GetSize(ctx context.Context, key ds.Key) (int, error) {
	if err := ctx.Err(); err != nil {
		return -1, context.Cause(ctx)
	}
	size := -1
	err := s.db.GetFunc(key.Bytes(), func(value []byte) error {
		size = len(value)
		return nil
	})
	return size, notFound(err)
}

// getter are the reads that DB and Tx share.
type getter interface {
	Get(key []byte) ([]byte, error)
	Has(key []byte) (bool, error)
}

func get(ctx context.Context, from getter, key ds.Key) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	value, err := from.Get(key.Bytes())
	return value, notFound(err)
}

func has(ctx context.Context, from getter, key ds.Key) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return from.Has(key.Bytes())
}

// Put sets the value of a key.
func (s *Store) Put(ctx context.Context, key ds.Key, value []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.db.Put(key.Bytes(), value)
}

// Delete removes a key. One that is not there is no error.
func (s *Store) Delete(ctx context.Context, key ds.Key) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.db.Delete(key.Bytes())
}

// Sync makes all writes durable, whatever the prefix.
func (s *Store) Sync(ctx context.Context, _ ds.Key) error { return s.db.SyncLog(ctx) }

// PutWithTTL sets the value of a key for some time.
func (s *Store) PutWithTTL(ctx context.Context, key ds.Key, value []byte, ttl time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.db.PutWithTTL(key.Bytes(), value, ttl)
}

// SetTTL has a key live for some time from now on, or returns datastore.ErrNotFound.
func (s *Store) SetTTL(ctx context.Context, key ds.Key, ttl time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return notFound(s.db.Touch(key.Bytes(), ttl))
}

// GetExpiration returns when a key expires, the zero time if never; or datastore.ErrNotFound.
func (s *Store) GetExpiration(ctx context.Context, key ds.Key) (time.Time, error) {
	if ctx.Err() != nil {
		return time.Time{}, context.Cause(ctx)
	}
	at, err := s.db.ExpiresAt(key.Bytes())
	return at, notFound(err)
}

// DiskUsage returns the bytes of all tables. What is in memory yet, and in the log, is not among them.
func (s *Store) DiskUsage(ctx context.Context) (uint64, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return s.db.Metrics().DiskBytes(), nil
}

// Check verifies all files, and returns what is damaged.
func (s *Store) Check(ctx context.Context) error {
	report, err := s.db.Verify(ctx, lightning.VerifyOptions{})
	if err != nil {
		return err
	}
	var damage []error
	for _, d := range report.Damage {
		damage = append(damage, d)
	}
	if len(damage) > 0 {
		return fmt.Errorf("%d places are damaged: %w", len(damage), errors.Join(damage...))
	}
	return nil
}

// CollectGarbage compacts everything. Space is given back without it, too, in the background.
func (s *Store) CollectGarbage(ctx context.Context) error { return s.db.Compact(ctx, nil, nil) }

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// Batch returns an empty batch.
func (s *Store) Batch(ctx context.Context) (ds.Batch, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return &batch{s.db.NewBatch()}, nil
}

// batch is a batch of writes, which is one commit.
type batch struct{ inner *lightning.Batch }

func (b *batch) Put(_ context.Context, key ds.Key, value []byte) error {
	return b.inner.Put(key.Bytes(), value)
}

func (b *batch) Delete(_ context.Context, key ds.Key) error { return b.inner.Delete(key.Bytes()) }

// Commit writes the batch, which is empty then.
func (b *batch) Commit(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := b.inner.Commit()
	if err == nil {
		b.inner.Reset()
	}
	return err
}
