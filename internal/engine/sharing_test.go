package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/reuse"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const mib = 1 << 20

// asked is who asks for records and blocks, as if both caches were warm.
type asked struct {
	records, blocks *reuse.Curve
	rng             *rand.Rand
}

func newAsked() *asked {
	curve := func(itemBytes int64) *reuse.Curve {
		return reuse.New(reuse.Config{MinBytes: 4 * mib, MaxBytes: 256 * mib, ItemBytes: itemBytes, Due: func() {}})
	}
	return &asked{curve(recordBytesMean), curve(blockBytesMean), rand.New(rand.NewPCG(1, 2))}
}

// gets asks for random ones of so many records, of which a hot-record cache has a share.
func (a *asked) gets(n, records int, hot float64) {
	for range n {
		i := a.rng.IntN(records)
		answered := a.rng.Float64() < hot
		a.records.Use(base.Hash(fmt.Appendf(nil, "record %d", i)), 180, answered)
		if !answered {
			a.scan(i/50, 1)
		}
	}
}

// scan asks for blocks.
func (a *asked) scan(from, n int) {
	for i := range n {
		a.blocks.Use(base.Hash(fmt.Appendf(nil, "block %d", from+i)), blockBytesMean, true)
	}
}

// TestDemand asks for what memory is to go to, for reads of several kinds.
func TestDemand(t *testing.T) {
	const allRecords = 180 // bytes of each
	for name, c := range map[string]struct {
		reads  func(a *asked)
		now    int64 // MiB, of 256
		data   int64 // records
		atMost int64 // MiB
		least  int64
	}{
		"few hot records stay where they are":         {func(a *asked) { a.gets(300_000, 5000, 1) }, 4, 5_000_000, 4, 4},
		"all records fit":                             {func(a *asked) { a.gets(300_000, 500_000, 0.02) }, 4, 500_000, 224, 86},
		"there are more hot records than room":        {func(a *asked) { a.gets(2_000_000, 200_000, 0.1) }, 4, 5_000_000, 224, 32},
		"more is read than fits anywhere":             {func(a *asked) { a.gets(1_000_000, 20_000_000, 0.01) }, 4, 20_000_000, 4, 4},
		"scans of what fits but for the records":      {func(a *asked) { a.gets(1000, 500_000, 1); a.scanAll() }, 224, 5_000_000, 64, 4},
		"writes alone do not pay for a large cache":   {func(a *asked) { a.write(300_000) }, 224, 500_000, 16, 4},
		"nor do gets of what is absent":               {func(a *asked) { a.absent(300_000) }, 224, 500_000, 16, 4},
		"nothing was asked for":                       {func(*asked) {}, 16, 5_000_000, 16, 16},
		"records that are asked for once do not come": {func(a *asked) { a.once(300_000) }, 4, 300_000, 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsked()
			c.reads(a)
			d := demand{
				records: a.records.Take(), blocks: a.blocks.Take(),
				now: c.now * mib, all: 256 * mib, max: 224 * mib, data: c.data * allRecords,
			}
			if got := d.best(); got < c.least*mib || got > c.atMost*mib {
				t.Errorf("%d MiB instead of %d to %d; %.0f gets, %.2f hits now, %.0f uses of blocks, %.2f hits now",
					got/mib, c.least, c.atMost, d.records.Uses, d.records.Hits(d.now), d.blocks.Uses, d.blocks.Hits(d.all-d.now))
			}
		})
	}
}

// write writes random records.
func (a *asked) write(n int) {
	for range n {
		a.records.Write(a.rng.Uint64())
	}
}

// absent asks for keys that are not there, each of which the filters know.
func (a *asked) absent(n int) {
	for range n {
		a.records.Pass(a.rng.Uint64())
		a.scan(a.rng.IntN(10), 3)
	}
}

// scanAll scans 180 MiB of blocks again and again.
func (a *asked) scanAll() {
	for range 10 {
		a.scan(0, 180*mib/blockBytesMean)
	}
}

// once asks for records one after the other.
func (a *asked) once(n int) {
	for i := range n {
		a.records.Use(base.Hash(fmt.Appendf(nil, "record %d", i)), 180, false)
		a.scan(i/50, 1)
	}
}

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

// A move that cannot keep commits out changes nothing, and takes no memory.
func TestMoveWithoutCommits(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemoryBudget, opts.HotCacheBytes = 16*mib, mib/2
	db := openTest(t, opts)
	defer func() { must(t, db.Close()) }()
	var memory offheap.Accountant
	hot, err := hotcache.New(hotcache.Config{ // db.hot is moved by its own worker
		SizeBytes: mib / 2, MaxBytes: 8 * mib, Epochs: &db.reads.Epochs, Memory: &memory,
	})
	must(t, err)
	defer hot.Free()
	s := sharing{
		hot: hot, budget: &db.budget, events: db.events, divide: func() {}, now: mib / 2, size: sizes{max: 8 * mib},
		alone: func(context.Context, func() error) error { return errors.New("no") },
	}
	before := memory.Bytes(offheap.OwnerHotCache)
	s.move(context.Background(), 4*mib)
	if s.now != mib/2 || memory.Bytes(offheap.OwnerHotCache) != before || db.budget.nextBytes.Load() != 0 {
		t.Errorf("%d bytes, %d counted, %d before", s.now, memory.Bytes(offheap.OwnerHotCache), before)
	}
}
