package lightning_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Files of level 0 are not compressed. Those that overlapped nothing changed
// level without being rewritten, so a load in key order, or one that fitted in
// a memtable, stayed uncompressed for good, also after Compact.
func TestSortedLoadIsCompressed(t *testing.T) {
	for _, compression := range []lightning.Compression{lightning.CompressionFast, lightning.CompressionSmall, lightning.CompressionNone} {
		for _, rows := range []int{1000, 40_000} { // one level-0 file, and several
			db, err := lightning.Open("db", &lightning.Options{FS: memfs.New(), MemoryBudget: 4 << 20, Compression: compression})
			if err != nil {
				t.Fatal(err)
			}
			value := bytes.Repeat([]byte("same "), 50)
			for i := range rows {
				b := db.NewBatch()
				if err := b.Put(fmt.Appendf(nil, "%08d", i), value); err != nil {
					t.Fatal(err)
				}
				if err := b.CommitWith(lightning.DurabilityAsync); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Compact(context.Background(), nil, nil); err != nil {
				t.Fatal(err)
			}
			m := db.Metrics()
			raw := uint64(rows * (8 + len(value)))
			if compression == lightning.CompressionNone {
				if m.Compactions.Moves == 0 {
					t.Errorf("%d rows: uncompressed files that overlap nothing were not moved", rows)
				}
			} else if m.DiskBytes() > raw/4 {
				t.Errorf("%v, %d rows: %d bytes take %d on disk", compression, rows, raw, m.DiskBytes())
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
