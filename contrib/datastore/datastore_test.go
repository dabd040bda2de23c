package datastore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dstest "github.com/ipfs/go-datastore/test"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/contrib/datastore"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func open(t *testing.T) *datastore.Store {
	t.Helper()
	store, err := datastore.Open("store", &lightning.Options{
		FS: memfs.New(), MemoryBudget: 16 << 20, Durability: lightning.DurabilityAsync,
	})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	return store
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

// The suite that go-datastore has for datastores.
func TestSuiteOfGoDatastore(t *testing.T) { dstest.SubtestAll(t, open(t)) }

func TestTimesToLive(t *testing.T) {
	ctx, store, key := t.Context(), open(t), ds.NewKey("/a")
	wantErr(t, store.SetTTL(ctx, key, time.Hour), ds.ErrNotFound)
	_, err := store.GetExpiration(ctx, key)
	wantErr(t, err, ds.ErrNotFound)
	must(t, store.Put(ctx, key, []byte("1")))
	at, err := store.GetExpiration(ctx, key)
	if err != nil || !at.IsZero() {
		t.Errorf("%v, %v", at, err)
	}
	must(t, store.SetTTL(ctx, key, time.Hour))
	must(t, store.PutWithTTL(ctx, ds.NewKey("/b"), nil, 2*time.Hour))
	results, err := store.Query(ctx, query.Query{ReturnExpirations: true})
	must(t, err)
	entries, err := results.Rest()
	must(t, err)
	for i, e := range entries {
		left := time.Until(e.Expiration)
		if most := time.Duration(i+1) * time.Hour; left > most || left < most-time.Minute {
			t.Errorf("%s expires in %v", e.Key, left)
		}
	}
	if len(entries) != 2 {
		t.Errorf("%d entries", len(entries))
	}
}

// A transaction sees its own writes, is seen when it has committed, and meets conflicts.
func TestTransactions(t *testing.T) {
	ctx, store, a, b := t.Context(), open(t), ds.NewKey("/a"), ds.NewKey("/b")
	must(t, store.Put(ctx, a, []byte("old")))
	tx, err := store.NewTransaction(ctx, false)
	must(t, err)
	value, err := tx.Get(ctx, a)
	if err != nil || string(value) != "old" {
		t.Errorf("%q, %v", value, err)
	}
	must(t, tx.Put(ctx, b, []byte("12345")))
	must(t, tx.Delete(ctx, a))
	if has, err := tx.Has(ctx, a); has || err != nil {
		t.Errorf("%v, %v", has, err)
	}
	size, err := tx.GetSize(ctx, a)
	wantErr(t, err, ds.ErrNotFound)
	if size != -1 {
		t.Errorf("size %d", size)
	}
	if size, err := tx.GetSize(ctx, b); size != 5 || err != nil {
		t.Errorf("%d, %v", size, err)
	}
	results, err := tx.Query(ctx, query.Query{KeysOnly: true})
	must(t, err)
	if entries, err := results.Rest(); err != nil || len(entries) != 1 || entries[0].Key != "/b" {
		t.Errorf("%v, %v", entries, err)
	}
	other, err := store.NewTransaction(ctx, false)
	must(t, err)
	_, err = other.Get(ctx, a)
	must(t, err)
	must(t, other.Put(ctx, a, nil))
	must(t, tx.Commit(ctx))
	tx.Discard(ctx)
	wantErr(t, other.Commit(ctx), lightning.ErrConflict)
	reader, err := store.NewTransaction(ctx, true)
	must(t, err)
	wantErr(t, reader.Put(ctx, a, nil), lightning.ErrReadOnly)
	reader.Discard(ctx)
}

// Results end with the context, and what they held is given back.
func TestContextsEnd(t *testing.T) {
	store := open(t)
	must(t, store.Put(t.Context(), ds.NewKey("/a"), nil))
	ctx, cancel := context.WithCancel(t.Context())
	results, err := store.Query(ctx, query.Query{})
	must(t, err)
	cancel()
	if _, err := results.Rest(); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	must(t, results.Close())
	if n := store.Lightning().Metrics().Handles.Iterators; n != 0 {
		t.Errorf("%d iterators are open", n)
	}
	for _, err := range []error{
		store.Put(ctx, ds.NewKey("/b"), nil), store.Delete(ctx, ds.NewKey("/a")), store.Sync(ctx, ds.NewKey("/")),
		store.SetTTL(ctx, ds.NewKey("/a"), time.Hour), store.CollectGarbage(ctx), store.Check(ctx),
	} {
		wantErr(t, err, context.Canceled)
	}
}

func TestUpkeep(t *testing.T) {
	ctx := t.Context()
	store, err := datastore.Open(t.TempDir(), nil)
	must(t, err)
	b, err := store.Batch(ctx)
	must(t, err)
	must(t, b.Put(ctx, ds.NewKey("/a"), make([]byte, 1000)))
	must(t, b.Commit(ctx))
	must(t, store.Check(ctx))
	must(t, store.CollectGarbage(ctx))
	if n, err := store.DiskUsage(ctx); err != nil || n == 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
	must(t, store.Sync(ctx, ds.NewKey("/")))
	must(t, store.Close())
	_, err = store.Get(ctx, ds.NewKey("/a"))
	wantErr(t, err, lightning.ErrClosed)
}
