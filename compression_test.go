package lightning_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
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

// textOf makes values of words, of which S2 leaves nearly twice as much as Zstandard.
func textOf(rng *rand.Rand) []byte {
	words := []string{"request", "failed", "with", "timeout", "while", "reading", "the", "response", "body", "from", "upstream"}
	var b []byte
	for range 20 {
		b = append(append(b, words[rng.IntN(len(words))]...), ' ')
	}
	return fmt.Appendf(b, "%d", rng.IntN(1e6))
}

// What blocks give back decides: by default the bottom level is as small as with CompressionSmall,
// or nearly, where that takes far less than CompressionFast, and values apart from their keys are
// compressed as their keys are.
func TestCompressionByWhatBlocksGiveBack(t *testing.T) {
	sizes, apart := map[lightning.Compression]uint64{}, map[lightning.Compression]uint64{}
	for _, compression := range []lightning.Compression{lightning.CompressionDefault, lightning.CompressionFast, lightning.CompressionSmall} {
		rng := rand.New(rand.NewPCG(1, 2))
		db, err := lightning.Open("db", &lightning.Options{FS: memfs.New(), MemoryBudget: 4 << 20, Compression: compression})
		if err != nil {
			t.Fatal(err)
		}
		load, err := db.BulkLoader()
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40_000 {
			value := textOf(rng)
			if i%1000 == 0 {
				for len(value) < 8<<10 {
					value = append(value, textOf(rng)...)
				}
			}
			if err := load.Put(fmt.Appendf(nil, "%08d", i), value); err != nil {
				t.Fatal(err)
			}
		}
		if err := load.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := db.Compact(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
		m := db.Metrics()
		sizes[compression], apart[compression] = m.DiskBytes(), m.Blobs.SizeBytes
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fast, small, byDefault := sizes[lightning.CompressionFast], sizes[lightning.CompressionSmall], sizes[lightning.CompressionDefault]
	t.Logf("fast %d, small %d, default %d", fast, small, byDefault)
	if small*3 > fast*2 {
		t.Errorf("small takes %d bytes, fast %d", small, fast)
	}
	if fast, small := apart[lightning.CompressionFast], apart[lightning.CompressionSmall]; small == 0 || small*3 > fast*2 {
		t.Errorf("values apart from their keys: small takes %d bytes, fast %d", small, fast)
	}
	if byDefault > (small+fast)/2 {
		t.Errorf("the default takes %d bytes, where small takes %d and fast %d", byDefault, small, fast)
	}
}
