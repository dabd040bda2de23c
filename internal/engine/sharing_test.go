package engine

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const mib = 1 << 20

// Where records are read at random that fit in the budget, they come to the cache of hot
// records, whatever it was made for; and all memory together stays in the budget.
func TestMemoryMovesToRecords(t *testing.T) {
	const rows = 15_000
	opts := testOptions(memfs.New())
	opts.MemoryBudget, opts.HotCacheBytes = 16*mib, mib/2
	db := openTest(t, opts)
	defer func() { must(t, db.Close()) }()
	fill(t, db, "a", rows)
	must(t, db.Compact(context.Background(), nil, nil))
	value := make([]byte, 50)
	rng := rand.New(rand.NewPCG(3, 4))
	var buf []byte
	for n := 0; db.hot.SizeBytes() < 2*mib; n++ {
		if n == 20_000_000 {
			t.Fatalf("%d bytes of hot records after %d gets", db.hot.SizeBytes(), n)
		}
		var err error
		buf, err = db.reads.AppendGet(buf[:0], fmt.Appendf([]byte{0}, "a%05d", rng.IntN(rows)))
		if err != nil || !bytes.Equal(buf, value) {
			t.Fatalf("%x, %v", buf, err)
		}
		if total := db.memory.Total(); total > opts.MemoryBudget+2*mib {
			t.Fatalf("%d bytes in use, the budget is %d", total, opts.MemoryBudget)
		}
	}
	if n := db.memory.Bytes(offheap.OwnerHotCache); n < 2*mib && !invariant.Enabled { // memory goes on moving there
		t.Errorf("%d bytes are counted", n)
	}
	// What is written now is what is read now.
	for i := range 1000 {
		key := fmt.Appendf(nil, "a%05d", i)
		must(t, db.Commits().Set(nil, []byte{0}, key, []byte("new"), commit.Async))
		if got, err := db.reads.AppendGet(nil, append([]byte{0}, key...)); err != nil || string(got) != "new" {
			t.Fatalf("%q is %q, %v", key, got, err)
		}
	}
}

// A cache that has room for all records gets those, too, that nobody has asked for: all but those
// whose buckets are full. Those of the smaller cache before are taken over where they lie; copies of
// them would take the room of a tenth of the others.
func TestLargeCacheIsFilled(t *testing.T) {
	if invariant.Enabled {
		t.Skip("memory moves by chance, and a part is filled")
	}
	const rows = 10_000
	opts := testOptions(memfs.New())
	opts.MemoryBudget, opts.HotCacheBytes = 16*mib, mib/2
	db := openTest(t, opts)
	defer func() { must(t, db.Close()) }()
	fill(t, db, "a", rows)
	must(t, db.Compact(context.Background(), nil, nil))
	key := func(i int) []byte { return fmt.Appendf([]byte{0}, "a%05d", i) }
	for i := range rows { // so that the blocks are in memory
		_, err := db.reads.AppendGet(nil, key(i))
		must(t, err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	filled := func() (n int) {
		for i := rows / 2; i < rows; i++ {
			if db.hot.Seems(base.Hash(key(i))) {
				n++
			}
		}
		return n
	}
	for n := 0; n%100_000 != 0 || filled() < rows/2*97/100; n++ {
		if n == 20_000_000 {
			t.Fatalf("%d of %d records are there that nobody asks for", filled(), rows/2)
		}
		_, err := db.reads.AppendGet(nil, key(rng.IntN(rows/2)))
		must(t, err)
	}
}

// So they do in a database that is read only, in which nothing is ever committed.
func TestMemoryMovesReadOnly(t *testing.T) {
	const rows = 15_000
	opts := testOptions(memfs.New())
	opts.MemoryBudget, opts.HotCacheBytes = 16*mib, mib/2
	db := openTest(t, opts)
	fill(t, db, "a", rows)
	must(t, db.Close())
	opts.ReadOnly = true
	db = openTest(t, opts)
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 0; db.hot.SizeBytes() < 2*mib; n++ {
		if n == 20_000_000 {
			t.Fatalf("%d bytes of hot records after %d gets", db.hot.SizeBytes(), n)
		}
		_, err := db.reads.AppendGet(nil, fmt.Appendf([]byte{0}, "a%05d", rng.IntN(rows)))
		must(t, err)
	}
	must(t, db.Close())
}
