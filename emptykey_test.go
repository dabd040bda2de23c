package lightning_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// emptyKeyVerbs are what databases, keyspaces and transactions share.
type emptyKeyVerbs interface {
	Put(key, value []byte) error
	PutWithTTL(key, value []byte, ttl time.Duration) error
	Get(key []byte) ([]byte, error)
	Has(key []byte) (bool, error)
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
	Iterator(o lightning.IterOptions) (*lightning.Iterator, error)
}

// TestEmptyKey: a key of no bytes is a key like all others, the smallest one, in
// every verb; and a bound of no bytes is that key, where nil is none.
func TestEmptyKey(t *testing.T) {
	fs := memfs.New()
	opts := small(fs)
	opts.LogArchive = lightning.LogArchiveOptions{SizeBytes: 1 << 20}
	db := open(t, opts)
	named, err := db.Keyspace(context.Background(), "named", nil)
	must(t, err)
	for name, v := range map[string]emptyKeyVerbs{"db": db, "keyspace": named} {
		t.Run(name, func(t *testing.T) { emptyKeyIn(t, v, func() { must(t, db.Flush(t.Context())) }) })
	}
	must(t, db.Update(func(tx *lightning.Tx) error {
		emptyKeyIn(t, tx, func() {})
		return tx.Put([]byte{}, []byte("committed"))
	}))
	b := db.NewBatch()
	must(t, b.Put(nil, []byte("batch")))
	must(t, b.In(named).Put(nil, []byte("batch")))
	must(t, b.Commit())
	counts, err := db.Keyspace(context.Background(), "counts", &lightning.KeyspaceOptions{Merge: lightning.MergeAddInt64})
	must(t, err)
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	must(t, counts.Merge(nil, one))
	must(t, counts.Merge([]byte{}, one))
	must(t, db.MultiGet([][]byte{{'x'}, nil, {}}, func(i int, value []byte, err error) error {
		if i > 0 && (err != nil || string(value) != "batch") || i == 0 && err == nil {
			t.Errorf("multi-get %d: %q, %v", i, value, err)
		}
		return nil
	}))
	seen := false
	for batch, err := range db.Changes(t.Context(), 0) {
		must(t, err)
		for c := range batch.All() {
			seen = seen || c.Kind == lightning.ChangePut && len(c.Key) == 0 && string(c.Value) == "committed"
		}
		if batch.Last == db.Metrics().VisibleSeq {
			break
		}
	}
	if !seen {
		t.Error("the feed does not have it")
	}
	must(t, db.Compact(t.Context(), nil, nil))
	must(t, db.Close())
	db = open(t, opts)
	if v, err := db.Get(nil); err != nil || string(v) != "batch" {
		t.Errorf("after a reopen: %q, %v", v, err)
	}
	counts, err = db.Keyspace(context.Background(), "counts", nil)
	must(t, err)
	if v, err := counts.Get(nil); err != nil || !bytes.Equal(v, []byte{2, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("merged: %x, %v", v, err)
	}
}

func emptyKeyIn(t *testing.T, v emptyKeyVerbs, flush func()) {
	t.Helper()
	must(t, v.DeleteRange(nil, nil))
	if has, err := v.Has(nil); has || err != nil {
		t.Errorf("has it before: %v, %v", has, err)
	}
	rows := func(o lightning.IterOptions) (keys []string) {
		it, err := v.Iterator(o)
		must(t, err)
		for it.Next() {
			keys = append(keys, string(it.Key()))
			if it.Key() == nil {
				t.Error("the key of a row is nil")
			}
		}
		must(t, it.Close())
		return keys
	}
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: rows %q, want %q", what, got, want)
			return
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: rows %q, want %q", what, got, want)
			}
		}
	}
	must(t, v.Put([]byte{}, []byte("1")))
	must(t, v.Put([]byte("a"), nil))
	flush()
	if value, err := v.Get(nil); err != nil || string(value) != "1" {
		t.Errorf("get: %q, %v", value, err)
	}
	expect("all", rows(lightning.IterOptions{}), "", "a")
	expect("from the empty key", rows(lightning.IterOptions{Lower: []byte{}}), "", "a")
	expect("below the empty key", rows(lightning.IterOptions{Upper: []byte{}}))
	expect("above it", rows(lightning.IterOptions{Lower: []byte{0}}), "a")
	expect("prefix of no bytes", rows(lightning.IterOptions{Prefix: []byte{}}), "", "a")
	it, err := v.Iterator(lightning.IterOptions{})
	must(t, err)
	if !it.SeekGE(nil) || len(it.Key()) != 0 || it.SeekLT([]byte{}) || !it.SeekLT([]byte("a")) || len(it.Key()) != 0 {
		t.Errorf("seeks: at %q", it.Key())
	}
	must(t, it.Close())
	must(t, v.DeleteRange(nil, []byte{})) // nothing is below it
	expect("after deleting nothing", rows(lightning.IterOptions{}), "", "a")
	must(t, v.DeleteRange([]byte{}, []byte{0}))
	expect("after deleting it", rows(lightning.IterOptions{}), "a")
	must(t, v.PutWithTTL(nil, []byte("2"), time.Hour))
	must(t, v.Delete([]byte{}))
	expect("after deleting it again", rows(lightning.IterOptions{}), "a")
}
