package lightning_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// estimated is a database for estimates: it waits for no disk and keeps its memtables.
func estimated(t testing.TB, memtableBytes int) *lightning.DB {
	t.Helper()
	opts := small(memfs.New())
	opts.MemoryBudget = 16 << 20
	opts.Durability, opts.Tree.MemtableBytes = lightning.DurabilityAsync, memtableBytes
	return open(t, opts)
}

// expectEstimate compares estimates for some ranges with the truth: they may be off by a
// factor, and by so many rows.
func expectEstimate(t *testing.T, db *lightning.DB, rng *rand.Rand, key func() []byte, factor float64, rows int64) {
	t.Helper()
	for i := range 12 {
		lo, hi := key(), key()
		if bytes.Compare(lo, hi) > 0 {
			lo, hi = hi, lo
		}
		switch {
		case i == 0:
			lo, hi = nil, nil
		case i < 4:
			lo = nil
		case i < 7:
			hi = nil
		}
		truth, err := db.Count(context.Background(), lo, hi)
		must(t, err)
		got, err := db.EstimateCount(lo, hi)
		must(t, err)
		if float64(got) > float64(truth)*factor+float64(rows) || float64(got) < float64(truth)/factor-float64(rows) {
			t.Errorf("in [%q, %q) there are %d keys, estimated %d", lo, hi, truth, got)
		}
	}
}

const estimateRows = 20_000

func numbered(rng *rand.Rand) func() []byte {
	return func() []byte { return fmt.Appendf(nil, "key%06d", rng.IntN(estimateRows)) }
}

// In compacted tables an estimate is off by the blocks at the ends of the range; this is
// what the documentation says.
func TestEstimateOfTables(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	db := estimated(t, 64<<10)
	expectEstimate(t, db, rng, numbered(rng), 1, 0)
	fill(t, db, estimateRows)
	must(t, db.Compact(context.Background(), nil, nil))
	expectEstimate(t, db, rng, numbered(rng), 1.05, 120)

	for i := range estimateRows / 2 { // a delete takes one away
		must(t, db.Delete(fmt.Appendf(nil, "key%06d", 2*i)))
	}
	must(t, db.Flush(context.Background()))
	expectEstimate(t, db, rng, numbered(rng), 1.5, 400)
	must(t, db.Compact(context.Background(), nil, nil))
	expectEstimate(t, db, rng, numbered(rng), 1.05, 120)

	for range 2 { // what is overwritten counts once for each time
		for i := range estimateRows / 2 {
			must(t, db.Put(fmt.Appendf(nil, "key%06d", 2*i+1), []byte("again")))
		}
	}
	expectEstimate(t, db, rng, numbered(rng), 4, 400)
}

// In memory numbered keys are estimated well, and others somehow.
func TestEstimateOfMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	db := estimated(t, 4<<20)
	fill(t, db, estimateRows)
	expectEstimate(t, db, rng, numbered(rng), 1.15, 30)

	db = estimated(t, 4<<20)
	word := func() []byte {
		key := []byte("prefix/"[:rng.IntN(8)])
		for range 1 + rng.IntN(6) {
			key = append(key, "aaabbc/"[rng.IntN(7)])
		}
		return key
	}
	for range estimateRows {
		must(t, db.Put(word(), []byte("v")))
	}
	expectEstimate(t, db, rng, word, 2, 60)
	for range estimateRows / 4 {
		must(t, db.Delete(word()))
	}
	lonely := estimated(t, 4<<20)
	must(t, lonely.Put([]byte("only"), nil))
	expectEstimate(t, lonely, rng, word, 1, 0)
}

// Range deletes and expiry are seen, in memory and in tables.
func TestEstimateOfWhatIsGone(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, flushed := range []string{"nothing", "rows", "all"} {
		db := estimated(t, 4<<20)
		fill(t, db, estimateRows)
		if flushed != "nothing" {
			must(t, db.Flush(context.Background()))
		}
		must(t, db.DeleteRange([]byte("key003000"), []byte("key012000")))
		if flushed == "all" {
			must(t, db.Flush(context.Background()))
		}
		expectEstimate(t, db, rng, numbered(rng), 1.25, 250)
		for i := range 1000 {
			must(t, db.PutWithTTL(fmt.Appendf(nil, "key%06d", 5000+i), nil, time.Nanosecond))
			must(t, db.PutWithTTL(fmt.Appendf(nil, "key%06d", 6000+i), nil, time.Hour))
		}
		expectEstimate(t, db, rng, numbered(rng), 1.25, 400)
		must(t, db.Close())
	}
}

// Sizes are those on the disk, large values included, and no data is read for estimates.
func TestEstimateSize(t *testing.T) {
	disk := faultfs.New(memfs.New())
	opts := &lightning.Options{FS: disk, Durability: lightning.DurabilityAsync, Tree: lightning.TreeOptions{BlobBytes: 4 << 10}}
	db := open(t, opts)
	rng := rand.New(rand.NewPCG(4, 4))
	value := make([]byte, 8<<10)
	const rows = 1000
	for i := range rows {
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		must(t, db.Put(fmt.Appendf(nil, "key%06d", 2*i), value))
		must(t, db.Put(fmt.Appendf(nil, "key%06d", 2*i+1), value[:100]))
	}
	inMemory, err := db.EstimateSize(nil, nil)
	must(t, err)
	must(t, db.Compact(context.Background(), nil, nil))
	must(t, db.Close())
	db = open(t, opts)
	var readBytes atomic.Int64
	disk.Add(faultfs.Rule{Kinds: vfs.OpRead, Sticky: true, Before: func(op vfs.Op) { readBytes.Add(op.Length) }})
	onDisk, err := db.EstimateSize(nil, nil)
	must(t, err)
	half, err := db.EstimateSize([]byte("key000500"), []byte("key001500"))
	must(t, err)
	const truth = rows * (8<<10 + 100)
	for what, got := range map[string]int64{"in memory": inMemory, "on disk": onDisk, "twice a half": 2 * half} {
		if float64(got) < 0.9*truth || float64(got) > 1.1*truth {
			t.Errorf("%s are %d bytes, want about %d", what, got, truth)
		}
	}
	if n := readBytes.Load(); n > truth/50 {
		t.Errorf("estimates have read %d bytes", n)
	}
	must(t, db.Close())
	_, err = db.EstimateSize(nil, nil)
	wantErr(t, err, lightning.ErrClosed)
}

// The ranges of a split follow one another, hold all keys, and are of like size.
func TestSplit(t *testing.T) {
	for _, place := range []string{"memory", "both", "tables"} {
		db := estimated(t, 1<<20)
		k, err := db.Keyspace(context.Background(), "other", nil)
		must(t, err)
		for i := range 3000 {
			must(t, k.Put(fmt.Appendf(nil, "key%06d", i), make([]byte, 50)))
		}
		fill(t, db, estimateRows/2)
		if place == "both" {
			must(t, db.Compact(context.Background(), nil, nil))
		}
		for i := estimateRows / 2; i < estimateRows; i++ {
			must(t, db.Put(fmt.Appendf(nil, "key%06d", i), fmt.Appendf(nil, "value %d of the database", i)))
		}
		if place == "tables" {
			must(t, db.Compact(context.Background(), nil, nil))
		}
		for _, n := range []int{-1, 1, 2, 7, 16} {
			for _, bounds := range [][2][]byte{{nil, nil}, {[]byte("key002000"), []byte("key018000")}} {
				ranges, err := db.Split(bounds[0], bounds[1], n)
				must(t, err)
				expectSplit(t, db, ranges, bounds, max(n, 1))
			}
		}
		ranges, err := k.Split(nil, nil, 3)
		must(t, err)
		expectSplit(t, k, ranges, [2][]byte{}, 3)
		must(t, db.Close())
	}
	db := estimated(t, 64<<10)
	for _, keys := range []int{0, 1, 3} {
		fill(t, db, keys)
		ranges, err := db.Split(nil, nil, 100)
		must(t, err)
		if len(ranges) > keys+1 || ranges[0].Lo != nil || ranges[len(ranges)-1].Hi != nil {
			t.Errorf("%d keys are divided into %q", keys, ranges)
		}
	}
	if ranges, err := db.Split([]byte("a"), []byte("a"), 3); len(ranges) != 1 || err != nil {
		t.Errorf("nothing is divided into %q, %v", ranges, err)
	}
	_, err := db.Split([]byte("b"), []byte("a"), 3)
	wantErr(t, err, lightning.ErrInvalidRange)
}

func expectSplit(t *testing.T, db walkable, ranges []lightning.Range, bounds [2][]byte, n int) {
	t.Helper()
	all, err := db.Count(context.Background(), bounds[0], bounds[1])
	must(t, err)
	if len(ranges) != n || !bytes.Equal(ranges[0].Lo, bounds[0]) || !bytes.Equal(ranges[n-1].Hi, bounds[1]) {
		t.Fatalf("%q are divided into %d ranges, want %d: %q", bounds, len(ranges), n, ranges)
	}
	sum := int64(0)
	for i, r := range ranges {
		if i > 0 && !bytes.Equal(r.Lo, ranges[i-1].Hi) {
			t.Errorf("range %d is %q, behind %q", i, r, ranges[i-1])
		}
		rows, err := db.Count(context.Background(), r.Lo, r.Hi)
		must(t, err)
		if sum += rows; rows < all/int64(n)*6/10 || rows > all/int64(n)*15/10+1 {
			t.Errorf("range %d of %d has %d of %d rows; %q", i, n, rows, all, r)
		}
	}
	if sum != all {
		t.Errorf("%d ranges have %d of %d rows", n, sum, all)
	}
}

func BenchmarkEstimateCount(b *testing.B) {
	db := estimated(b, 1<<20)
	fill(b, db, 100_000)
	for b.Loop() {
		if _, err := db.EstimateCount([]byte("key010000"), []byte("key090000")); err != nil {
			b.Fatal(err)
		}
	}
}
