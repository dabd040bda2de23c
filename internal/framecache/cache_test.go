package framecache

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/offheap"
)

type fixture struct {
	*Cache
	epochs epoch.Domain
	memory offheap.Accountant
}

func newFixture(t testing.TB, capacityBytes int64) *fixture {
	f := new(fixture)
	f.Cache = New(Config{CapacityBytes: capacityBytes, Epochs: &f.epochs, Memory: &f.memory})
	t.Cleanup(func() {
		if leaked := f.Close(); leaked != 0 {
			t.Errorf("%d bytes leaked", leaked)
		}
		if n := f.memory.Total(); n != 0 {
			t.Errorf("%d bytes still mapped", n)
		}
	})
	return f
}

// fill writes a content that tells the table, the slot and the size.
func fill(b []byte, table, slot uint64) {
	word := (table<<32 | slot) * 0x9e3779b97f4a7c15
	for i := 0; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], word+uint64(i))
	}
}

// verify looks at the ends and at some words between.
func verify(b []byte, table, slot uint64) error {
	word := (table<<32 | slot) * 0x9e3779b97f4a7c15
	last := len(b)/8*8 - 8
	for i := 0; i <= last; i += max(len(b)/64*8, 8) {
		if got := binary.LittleEndian.Uint64(b[i:]); got != word+uint64(i) {
			return fmt.Errorf("table %d slot %d: byte %d of %d is %x", table, slot, i, len(b), got)
		}
	}
	if got := binary.LittleEndian.Uint64(b[last:]); got != word+uint64(last) {
		return fmt.Errorf("table %d slot %d: end of %d is %x", table, slot, len(b), got)
	}
	return nil
}

// load puts a block into the slot and releases it; it reports whether the
// cache had room.
func (f *fixture) load(t *Table, slot, sizeBytes int) bool {
	h, ok := f.Alloc(sizeBytes)
	if !ok {
		return false
	}
	fill(h.Bytes(), t.id, uint64(slot))
	t.Publish(slot, h).Release()
	return true
}

func TestGetPinPublish(t *testing.T) {
	f := newFixture(t, 1<<20)
	table := f.NewTable(10)
	g := f.epochs.Enter()
	defer g.Exit()
	if table.Get(3) != nil {
		t.Fatal("block in an empty table")
	}
	if _, ok := table.Pin(3); ok {
		t.Fatal("pinned nothing")
	}
	h, ok := f.Alloc(5000)
	if !ok || len(h.Bytes()) != 5000 {
		t.Fatalf("alloc: %v, %d bytes", ok, len(h.Bytes()))
	}
	fill(h.Bytes(), table.id, 3)
	if table.Get(3) != nil {
		t.Fatal("visible before Publish")
	}
	kept := table.Publish(3, h)
	if kept != h {
		t.Fatal("publish into an empty slot returned another handle")
	}
	if b := table.Get(3); len(b) != 5000 || cap(b) != 5000 || &b[0] != &h.Bytes()[0] {
		t.Fatalf("got %d bytes, capacity %d", len(b), cap(b))
	}
	if err := verify(table.Get(3), table.id, 3); err != nil {
		t.Fatal(err)
	}
	second, _ := f.Alloc(5000)
	used := f.Metrics().UsedBytes
	if got := table.Publish(3, second); got != h {
		t.Fatal("second publish did not return the first frame")
	} else if f.Metrics().UsedBytes >= used {
		t.Fatal("the frame that came too late was not freed")
	} else {
		got.Release()
	}
	pinned, ok := table.Pin(3)
	if !ok || pinned != h {
		t.Fatal("pin")
	}
	pinned.Release()
	kept.Release()
	Handle{}.Release()
	if (Handle{}).Bytes() != nil {
		t.Fatal("zero handle has bytes")
	}
}

func TestPrivateFrameIsFreedAtOnce(t *testing.T) {
	f := newFixture(t, 1<<20)
	g := f.epochs.Enter()
	defer g.Exit()
	for range 200 {
		h, ok := f.Alloc(20 << 10)
		if !ok {
			t.Fatal("refused")
		}
		h.Release()
	}
	if m := f.Metrics(); m.UsedBytes != 0 || m.Evictions != 0 {
		t.Fatalf("%+v", m)
	}
}

func TestDropWhilePinned(t *testing.T) {
	f := newFixture(t, 1<<20)
	table := f.NewTable(5000)
	var handles []Handle
	for slot := range 40 {
		h, _ := f.Alloc(8 << 10)
		fill(h.Bytes(), table.id, uint64(slot))
		handles = append(handles, table.Publish(slot, h))
	}
	late, _ := f.Alloc(8 << 10)
	table.Drop()
	table.Drop()
	if m := f.Metrics(); m.Frames != 0 || m.LimboBytes < 40*8<<10 {
		t.Fatalf("%+v", m)
	}
	if got := table.Publish(4999, late); got != late || table.Get(4999) != nil {
		t.Fatal("published into a dropped table")
	}
	late.Release()
	// Churn must not touch what is pinned.
	other := f.NewTable(1000)
	for slot := range 1000 {
		if !f.load(other, slot, 8<<10) {
			t.Fatalf("slot %d refused", slot)
		}
	}
	for slot, h := range handles {
		if err := verify(h.Bytes(), table.id, uint64(slot)); err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	f.SetCapacity(1 << 20)
	if m := f.Metrics(); m.LimboBytes != 0 {
		t.Fatalf("%+v", m)
	}
}

func TestCloseReportsLeak(t *testing.T) {
	var epochs epoch.Domain
	var memory offheap.Accountant
	c := New(Config{CapacityBytes: 1 << 20, Epochs: &epochs, Memory: &memory})
	table := c.NewTable(1)
	h, _ := c.Alloc(4096)
	fill(h.Bytes(), table.id, 0)
	table.Publish(0, h)
	if leaked := c.Close(); leaked < 4096 {
		t.Fatalf("leak of %d bytes reported", leaked)
	}
	if err := verify(h.Bytes(), table.id, 0); err != nil {
		t.Fatal(err) // still readable
	}
	if _, ok := c.Alloc(4096); ok {
		t.Fatal("alloc after close")
	}
	h.Release()
	if leaked := c.Close(); leaked != 0 || memory.Total() != 0 {
		t.Fatalf("%d bytes leaked, %d mapped", leaked, memory.Total())
	}
}

func TestSetCapacity(t *testing.T) {
	f := newFixture(t, 8<<20)
	table := f.NewTable(3000)
	loadAll := func() {
		for slot := range 3000 {
			if table.Get(slot) == nil && !f.load(table, slot, 4<<10) {
				t.Fatalf("slot %d refused", slot)
			}
		}
	}
	for _, capacity := range []int64{8 << 20, 1 << 20, 128 << 10, 3 << 20} {
		f.SetCapacity(capacity)
		if m := f.Metrics(); m.UsedBytes > capacity || m.CapacityBytes != capacity {
			t.Fatalf("after SetCapacity(%d): %+v", capacity, m)
		}
		loadAll()
		m := f.Metrics()
		if m.UsedBytes > capacity || m.UsedBytes < min(capacity*7/10, 3000*4<<10) {
			t.Fatalf("filled at capacity %d: %+v", capacity, m)
		}
	}
	f.SetCapacity(0)
	if _, ok := f.Alloc(1024); ok || f.Metrics().UsedBytes != 0 {
		t.Fatalf("cache without capacity: %+v", f.Metrics())
	}
}

// While a reader stays inside nothing is freed; the cache must neither exceed
// its capacity nor throw everything out in the attempt.
func TestStalledEpoch(t *testing.T) {
	f := newFixture(t, 4<<20)
	table := f.NewTable(100_000)
	for slot := range 1000 {
		f.load(table, slot, 8<<10)
	}
	g := f.epochs.Enter()
	refused := 0
	for slot := 1000; slot < 3000; slot++ {
		if !f.load(table, slot, 8<<10) {
			refused++
		}
	}
	m := f.Metrics()
	g.Exit()
	if refused == 0 || m.UsedBytes > m.CapacityBytes || m.Frames < 340 {
		t.Fatalf("%d refused, %+v", refused, m)
	}
	if !f.load(table, 5000, 8<<10) {
		t.Fatal("refused after the reader left")
	}
}

// Readers load blocks from inside their guards, and mostly nobody else calls
// the cache. That must be enough to keep memory coming.
func TestLoadsInsideGuards(t *testing.T) {
	f := newFixture(t, 1<<20)
	table := f.NewTable(10_000)
	for slot := range 10_000 {
		g := f.epochs.Enter()
		ok := f.load(table, slot, 4<<10)
		g.Exit()
		if !ok {
			t.Fatalf("slot %d refused: %+v", slot, f.Metrics())
		}
	}
}

// A large block, asked for from inside a guard again and again, gets in after
// few tries even though small ones take room in between.
func TestLargeBlockGetsRoom(t *testing.T) {
	f := newFixture(t, 16<<20)
	table := f.NewTable(100_000)
	next := 0
	small := func() {
		g := f.epochs.Enter()
		f.load(table, next, 8<<10)
		g.Exit()
		next++
	}
	for range 2300 {
		small()
	}
	for try := 0; ; try++ {
		g := f.epochs.Enter()
		ok := f.load(table, 99_999, 5<<20)
		g.Exit()
		if ok {
			break
		}
		if try == 3 {
			t.Fatalf("no room for the large block: %+v", f.Metrics())
		}
		for range 640 { // as much as the large block
			small()
		}
	}
	if _, ok := f.Alloc(9 << 20); ok {
		t.Fatal("one block got more than half of the capacity")
	}
}

func TestAllPinned(t *testing.T) {
	f := newFixture(t, 256<<10)
	table := f.NewTable(100)
	var handles []Handle
	for slot := range 100 {
		h, ok := f.Alloc(8 << 10)
		if !ok {
			break
		}
		handles = append(handles, table.Publish(slot, h))
	}
	if m := f.Metrics(); len(handles) < 20 || m.UsedBytes > m.CapacityBytes {
		t.Fatalf("%d handles, %+v", len(handles), m)
	}
	handles[7].Release()
	handles[9].Release()
	if !f.load(table, 99, 8<<10) {
		t.Fatal("refused although frames can be evicted")
	}
	g := f.epochs.Enter()
	for i := range handles {
		// Evicting a pinned frame would free nothing.
		if i != 7 && i != 9 && table.Get(i) == nil {
			t.Errorf("pinned frame %d was evicted", i)
		}
	}
	g.Exit()
	for i, h := range handles {
		if i != 7 && i != 9 {
			h.Release()
		}
	}
}

// The capacity holds whatever sequence of calls comes, and the metrics agree
// with a count of what was handed out.
func TestCapacityIsRespected(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	f := newFixture(t, 4<<20)
	tables := []*Table{f.NewTable(500), f.NewTable(500), f.NewTable(500)}
	var pins []Handle
	var guards []epoch.Guard
	defer func() {
		for _, h := range pins {
			h.Release()
		}
		for _, g := range guards {
			g.Exit()
		}
		checkQueues(t, f.Cache)
	}()
	rounds := 40_000
	if invariant.Enabled { // poisoning takes its time
		rounds = 6_000
	}
	for range rounds {
		i, slot := rng.IntN(len(tables)), rng.IntN(500)
		switch p := rng.IntN(1000); {
		case p < 500:
			// Sizes from 1 KiB to 1 MiB, small ones more often.
			size := 1<<10 + rng.IntN(1<<(10+rng.IntN(11)))
			if h, ok := f.Alloc(size); ok {
				if m := f.Metrics(); m.UsedBytes > m.CapacityBytes {
					t.Fatalf("alloc beyond the capacity: %+v", m)
				}
				fill(h.Bytes(), tables[i].id, uint64(slot))
				if h = tables[i].Publish(slot, h); rng.IntN(50) == 0 && len(pins) < 20 {
					pins = append(pins, h)
				} else {
					h.Release()
				}
			}
		case p < 900:
			g := f.epochs.Enter()
			var err error
			if b := tables[i].Get(slot); b != nil {
				err = verify(b, tables[i].id, uint64(slot))
			}
			g.Exit()
			if err != nil {
				t.Fatal(err)
			}
		case p < 940 && len(pins) > 0:
			pins[0].Release()
			pins = pins[1:]
		case p < 960 && len(guards) < 3:
			guards = append(guards, f.epochs.Enter())
		case p < 985 && len(guards) > 0:
			guards[0].Exit()
			guards = guards[1:]
		case p < 990:
			f.SetCapacity(1<<20 + rng.Int64N(4<<20))
		case p < 992:
			tables[i].Drop()
			tables[i] = f.NewTable(500)
		}
	}
}

// checkQueues walks the lists and compares them with their sums and slots.
func checkQueues(t *testing.T, c *Cache) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var used int64
	for kind := queueSmall; kind < queueCount; kind++ {
		q, count, bytes, prev := c.queues[kind], 0, int64(0), uint32(0)
		for i := q.head; i != 0; i = c.frames.at(i).next {
			f := c.frames.at(i)
			if f.prev != prev || f.queue != kind || f.index != i {
				t.Fatalf("frame %d is linked wrongly: %+v", i, f)
			}
			if kind <= queueMain && entry(c.slotOf(f).Load()).unused() != f.home {
				t.Fatalf("slot of frame %d does not lead to it", i)
			}
			if got := f.home.preamble().index; got != i {
				t.Fatalf("block of frame %d says it is of %d", i, got)
			}
			count, bytes, prev = count+1, bytes+f.charge(), i
		}
		if count != q.count || bytes != q.bytes || q.tail != prev {
			t.Fatalf("queue %d: %d frames of %d bytes, says %+v", kind, count, bytes, q)
		}
		used += bytes
	}
	if used != c.used || used != c.slab.UsedBytes() {
		t.Fatalf("queues hold %d, used says %d, slab %d", used, c.used, c.slab.UsedBytes())
	}
}

// The count of uses and the address share a word: neither must touch the other.
func TestUsesAreCountedInTheSlot(t *testing.T) {
	f := newFixture(t, 4<<20)
	table := f.NewTable(3)
	sizes := []int{100, 8 << 10, 1 << 20} // a small block, a usual one, one with its own mapping
	for slot, size := range sizes {
		h, _ := f.Alloc(size)
		fill(h.Bytes(), table.id, uint64(slot))
		table.Publish(slot, h)
		for uses := range usesMax + 3 {
			e := entry(table.slots[slot].Load())
			if e.uses() != min(uses, usesMax) || e.unused() != h.frame.home {
				t.Fatalf("%d bytes: slot is %#x after %d uses of %#x", size, e, uses, h.frame.home)
			}
			if p := e.preamble(); int(p.sizeBytes) != size || p.index != h.frame.index {
				t.Fatalf("%d bytes: preamble %+v", size, *p)
			}
			if uses%2 == 0 {
				if b := table.Get(slot); len(b) != size || cap(b) != size || &b[0] != &h.Bytes()[0] {
					t.Fatalf("%d bytes: got %d, capacity %d", size, len(b), cap(b))
				}
			} else if pinned, ok := table.Pin(slot); !ok || pinned != h {
				t.Fatalf("%d bytes: pinned another frame", size)
			} else {
				pinned.Release()
			}
		}
		if err := verify(h.Bytes(), table.id, uint64(slot)); err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	checkQueues(t, f.Cache)
}

// A reader that found a block just before its eviction must not bring it back
// by counting the use.
func TestUseAfterUnlink(t *testing.T) {
	f := newFixture(t, 1<<20)
	tables := []*Table{f.NewTable(1), f.NewTable(1)}
	for range 500 {
		for _, table := range tables {
			f.load(table, 0, 2000)
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				g := f.epochs.Enter()
				defer g.Exit()
				for range 2 {
					tables[0].Get(0)
				}
			})
		}
		tables[0].Drop()
		wg.Wait()
		if e := tables[0].slots[0].Load(); e != 0 {
			t.Fatalf("slot of a dropped table is %#x", e)
		}
		tables[0] = f.NewTable(1)
	}
}

func TestLayout(t *testing.T) {
	if n := unsafe.Sizeof(frame{}); n != 64 && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Fatalf("frame has %d bytes", n)
	}
	f := newFixture(t, 1<<20)
	table := f.NewTable(2)
	f.load(table, 0, 8<<10)
	f.load(table, 1, 1024) // keeps the slab from giving back its chunk
	if invariant.Enabled {
		return // checks allocate
	}
	if n := testing.AllocsPerRun(100, func() {
		g := f.epochs.Enter()
		table.Get(0)
		h, _ := table.Pin(0)
		g.Exit()
		h.Release()
		h, _ = f.Alloc(1024)
		h.Release()
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
