package framecache

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

func BenchmarkGet(b *testing.B) {
	for _, slots := range []int{16, 1 << 10, 1 << 15} {
		b.Run(fmt.Sprintf("frames=%d", slots), func(b *testing.B) {
			f := newFixture(b, 1<<30)
			table := f.NewTable(slots)
			for slot := range slots {
				f.load(table, slot, 8<<10)
			}
			g := f.epochs.Enter()
			defer g.Exit()
			b.ReportAllocs()
			slot, total := 0, 0
			for b.Loop() {
				slot = (slot + 7919) & (slots - 1)
				total += len(table.Get(slot))
			}
		})
	}
}

// BenchmarkGetRandom is Get as a point read sees it: the slots come in no
// order, the begin of the block is read, and the next one depends on it.
func BenchmarkGetRandom(b *testing.B) {
	const slots = 1 << 15
	f := newFixture(b, 1<<30)
	table := f.NewTable(slots)
	order := rand.New(rand.NewPCG(1, 2)).Perm(slots)
	next := make([]uint64, slots)
	for i, slot := range order {
		next[slot] = uint64(order[(i+1)%slots])
	}
	for slot := range slots { // not in the order of the reads
		h, _ := f.Alloc(8 << 10)
		binary.LittleEndian.PutUint64(h.Bytes(), next[slot])
		table.Publish(slot, h).Release()
	}
	g := f.epochs.Enter()
	defer g.Exit()
	b.ReportAllocs()
	slot := 0
	for b.Loop() {
		slot = int(binary.LittleEndian.Uint64(table.Get(slot)))
	}
}

func BenchmarkGetParallel(b *testing.B) {
	f := newFixture(b, 64<<20)
	table := f.NewTable(16)
	for slot := range 16 {
		f.load(table, slot, 8<<10)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		slot := 0
		for pb.Next() {
			g := f.epochs.Enter()
			slot = (slot + 1) & 15
			table.Get(slot)
			g.Exit()
		}
	})
}

func BenchmarkPinRelease(b *testing.B) {
	f := newFixture(b, 64<<20)
	table := f.NewTable(16)
	for slot := range 16 {
		f.load(table, slot, 8<<10)
	}
	g := f.epochs.Enter()
	defer g.Exit()
	b.ReportAllocs()
	slot := 0
	for b.Loop() {
		slot = (slot + 1) & 15
		h, _ := table.Pin(slot)
		h.Release()
	}
}

// BenchmarkMiss is the whole way of a miss in a full cache, without the read:
// Alloc with its share of eviction, Publish, Release.
func BenchmarkMiss(b *testing.B) {
	const slots = 1 << 17
	f := newFixture(b, 256<<20)
	table := f.NewTable(slots)
	for slot := range slots {
		h, _ := f.Alloc(8 << 10)
		table.Publish(slot, h).Release()
	}
	b.ReportAllocs()
	slot := 0
	for b.Loop() {
		slot = (slot + 1) & (slots - 1)
		g := f.epochs.Enter()
		if table.Get(slot) == nil {
			h, ok := f.Alloc(8 << 10)
			if !ok {
				g.Exit()
				b.Fatal("refused")
			}
			table.Publish(slot, h).Release()
		}
		g.Exit()
	}
}
