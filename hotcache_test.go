package lightning_test

import (
	"bytes"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestHotRecordsFollowWrites reads a key until it is surely in the hot-record
// cache, changes it in each way there is, and reads it again.
func TestHotRecordsFollowWrites(t *testing.T) {
	db := open(t, small(memfs.New()))
	key := []byte("hot")
	batch := func(fill func(b *lightning.Batch) error, fillerBytes int) error {
		b := db.NewBatch()
		must(t, fill(b))
		if fillerBytes > 0 { // more than a memtable: it goes another way
			must(t, b.Put([]byte("filler"), make([]byte, fillerBytes)))
		}
		return b.Commit()
	}
	put := func(b *lightning.Batch) error { return b.Put(key, []byte("new")) }
	remove := func(b *lightning.Batch) error { return b.Delete(key) }
	removeRange := func(b *lightning.Batch) error { return b.DeleteRange([]byte("a"), []byte("z")) }
	for _, c := range []struct {
		name  string
		write func() error
		want  string // empty: not found
	}{
		{"put", func() error { return db.Put(key, []byte("new")) }, "new"},
		{"delete", func() error { return db.Delete(key) }, ""},
		{"range delete", func() error { return db.DeleteRange([]byte("a"), []byte("z")) }, ""},
		{"batch", func() error { return batch(put, 0) }, "new"},
		{"large batch that puts", func() error { return batch(put, 1<<20) }, "new"},
		{"large batch that deletes", func() error { return batch(remove, 1<<20) }, ""},
		{"large batch that deletes a range", func() error { return batch(removeRange, 1<<20) }, ""},
	} {
		must(t, db.Put(key, []byte("old")))
		for range 100 {
			if v, err := db.Get(key); err != nil || string(v) != "old" {
				t.Fatalf("before %s: %q, %v", c.name, v, err)
			}
		}
		must(t, c.write())
		for range 100 {
			v, err := db.Get(key)
			if c.want == "" && err != lightning.ErrNotFound || c.want != "" && !bytes.Equal(v, []byte(c.want)) {
				t.Fatalf("after %s: %q, %v", c.name, v, err)
			}
		}
	}
}
