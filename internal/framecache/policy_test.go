package framecache

import (
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/offheap"
)

// fifo is the plainest cache of a fixed number of blocks.
type fifo struct {
	present map[int]bool
	order   []int
	limit   int
}

func (f *fifo) access(slot int) bool {
	if f.present[slot] {
		return true
	}
	if len(f.order) == f.limit {
		delete(f.present, f.order[0])
		f.order = f.order[1:]
	}
	f.order = append(f.order, slot)
	f.present[slot] = true
	return false
}

// trace yields slots: zipf-like point reads, interrupted by long scans over
// blocks that are not read otherwise. scan says which kind an access is.
func trace(rng *rand.Rand, n, points, scanned int, yield func(slot int, scan bool)) {
	zipf := rand.NewZipf(rng, 1.1, 20, uint64(points-1))
	next := 0
	for i := range n {
		if i%20_000 >= 10_000 && i%2 == 0 {
			yield(points+next%scanned, true)
			next++
			continue
		}
		yield(int(zipf.Uint64()*7919)%points, false)
	}
}

// Point reads must keep their hits while a scan runs, which they lose with a
// plain first-in-first-out cache.
func TestScanResistance(t *testing.T) {
	const points, scanned, blockBytes, frames = 10_000, 20_000, 1024, 1000
	f := newFixture(t, frames*blockBytes)
	table := f.NewTable(points + scanned)
	plain := &fifo{present: map[int]bool{}, limit: frames}
	accesses := 300_000
	if invariant.Enabled { // poisoning takes its time
		accesses = 60_000
	}
	var reads, hits, plainHits float64
	trace(rand.New(rand.NewPCG(1, 2)), accesses, points, scanned, func(slot int, scan bool) {
		hit := table.Get(slot) != nil
		if !hit && !f.load(table, slot, blockBytes) {
			t.Fatal("refused")
		}
		plainHit := plain.access(slot)
		if scan {
			return
		}
		reads++
		if hit {
			hits++
		}
		if plainHit {
			plainHits++
		}
	})
	rate, plainRate := hits/reads, plainHits/reads
	t.Logf("hit rate of point reads %.3f, plain FIFO %.3f, %+v", rate, plainRate, f.Metrics())
	if rate < plainRate+0.08 {
		t.Fatalf("hit rate %.3f against %.3f of a plain FIFO", rate, plainRate)
	}
}

// What is used while on probation, and what comes back while its ghost is
// there, survives a scan as long as the cache; what was read once does not.
func TestProbation(t *testing.T) {
	const frames, blockBytes = 1000, 1024
	f := newFixture(t, frames*blockBytes)
	table := f.NewTable(100_000)
	next := 10
	scan := func(n int) {
		for range n {
			f.load(table, next, blockBytes)
			next++
		}
	}
	scan(frames)
	const used, once, ghost = 1, 2, 3
	for _, slot := range []int{used, once, ghost} {
		f.load(table, slot, blockBytes)
	}
	table.Get(used)
	scan(frames * 3 / 2)
	if table.Get(once) != nil || table.Get(ghost) != nil {
		t.Fatal("a block read once outlived a scan")
	}
	f.load(table, ghost, blockBytes)
	scan(frames * 2)
	if table.Get(used) == nil {
		t.Error("a block that was used again did not outlive a scan")
	}
	if table.Get(ghost) == nil {
		t.Error("a block that came back did not outlive a scan")
	}
}

// A working set that fits must come to stay after a load far beyond it.
func TestWorkingSetSettles(t *testing.T) {
	const frames, blockBytes = 1000, 1024
	f := newFixture(t, frames*blockBytes)
	table := f.NewTable(100_000)
	for slot := range 10_000 {
		f.load(table, 1000+slot, blockBytes)
	}
	misses := 0
	for round := range 20 {
		for slot := range frames * 8 / 10 {
			if table.Get(slot) == nil {
				f.load(table, slot, blockBytes)
				if round >= 10 {
					misses++
				}
			}
		}
	}
	if misses > 0 {
		t.Fatalf("%d misses on a working set that fits", misses)
	}
}

func TestGhost(t *testing.T) {
	var g ghost
	g.resize(1 << 20)
	const n = 300
	for i := range uint32(n) {
		g.put(fingerprint(7, i))
	}
	g.resize(1 << 30) // keeps what it knows
	g.resize(1 << 29) // no change worth the work
	found := 0
	for i := range uint32(n) {
		if g.take(fingerprint(7, i)) {
			found++
		}
		if g.take(fingerprint(7, i)) {
			t.Fatal("taken twice")
		}
		if g.take(fingerprint(8, i)) {
			t.Fatal("knows a block that was never evicted")
		}
	}
	if found < n*9/10 {
		t.Fatalf("only %d of %d remembered", found, n)
	}
	if g.resize(0); len(g.buckets) != ghostMinBuckets {
		t.Fatalf("%d buckets", len(g.buckets))
	}
}

// What a cache has of the system stays within its capacity, but for a little, whatever the
// sizes of the blocks, and most of it is of use.
func TestSlabStaysWithinCapacity(t *testing.T) {
	for _, capacity := range []int64{2 << 20, 16 << 20, 128 << 20} {
		f := newFixture(t, capacity)
		table := f.NewTable(100_000)
		rng := rand.New(rand.NewPCG(1, 2))
		for slot := range 40_000 {
			sizeBytes := 8<<10 - rng.IntN(300) // as most blocks
			if rng.IntN(5) == 0 {
				sizeBytes = 300 + rng.IntN(14<<10)
			}
			f.load(table, slot, sizeBytes)
			if has := f.memory.Bytes(offheap.OwnerCache); has > capacity+max(wasteFreeBytes, f.reserveBytes())+smallChunk {
				t.Fatalf("block %d: %d bytes of the system with a capacity of %d", slot, has, capacity)
			}
		}
		if m := f.Metrics(); m.UsedBytes < capacity/2 {
			t.Errorf("%d bytes of %d are used", m.UsedBytes, capacity)
		}
	}
}

// Where nearly all blocks have one size, the cache uses nearly all that it may take: what
// the slab has free is what is evicted ahead of need.
func TestReserveIsWhatTheSlabHasFree(t *testing.T) {
	const capacity = 128 << 20
	f := newFixture(t, capacity)
	table := f.NewTable(100_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for slot := range 60_000 {
		sizeBytes := 8 << 10
		if slot%1000 == 0 { // of other sizes there are few
			sizeBytes = 300 + rng.IntN(14<<10)
		}
		f.load(table, slot, sizeBytes)
	}
	used := f.Metrics().UsedBytes
	if want := int64(capacity) - 2*f.reserveBytes(); used < want {
		t.Errorf("%d MiB of %d are used, want %d", used>>20, capacity>>20, want>>20)
	}
	if has := f.memory.Bytes(offheap.OwnerCache); has > capacity+f.reserveBytes() {
		t.Errorf("%d MiB of the system with a capacity of %d", has>>20, capacity>>20)
	}
}

// smallChunk is by how much the memory of a cache grows at once.
const smallChunk = 256 << 10

// What is read beside the cache, large values and buffers, leaves it less.
func TestCacheLeavesRoomForReads(t *testing.T) {
	for _, owner := range []offheap.Owner{offheap.OwnerLarge, offheap.OwnerBuffers} {
		const capacity, beside = 8 << 20, 3 << 20
		f := newFixture(t, capacity)
		table := f.NewTable(2000)
		block, err := offheap.NewBlock(&f.memory, owner, beside)
		if err != nil {
			t.Fatal(err)
		}
		for slot := range 2000 {
			f.load(table, slot, 8<<10)
		}
		if used := f.Metrics().UsedBytes; used > capacity-beside {
			t.Errorf("%v: %d bytes are used of %d, beside %d", owner, used, capacity, beside)
		}
		block.Free()
	}
}
