package spill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Whatever keys are like, a buffer gives back what was added, sorted, the newest of a key first,
// and takes no more than fits.
func TestSortBuffer(t *testing.T) {
	var memory offheap.Accountant
	b, err := newSortBuffer(&memory, 20_000)
	must(t, err)
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 0))
		key := map[uint64]func() string{
			0: func() string { return fmt.Sprintf("a prefix that all keys share %03d", rng.IntN(300)) },
			1: func() string { return string(make([]byte, rng.IntN(12))) }, // zeroes, which differ in length
			2: func() string { return fmt.Sprintf("%d%s", rng.IntN(3), string(make([]byte, rng.IntN(12)))) },
			3: func() string { return "one key" },
			4: func() string {
				raw := make([]byte, rng.IntN(30))
				for i := range raw {
					raw[i] = byte(rng.Uint32())
				}
				return string(raw)
			},
		}[seed%5]
		var want []base.Record
		b.reset(base.SeqNum(1 + seed))
		for n := 0; ; n++ {
			k, v := []byte(key()), make([]byte, rng.IntN(50))
			if !b.fits(len(k), len(v)) {
				break
			}
			kind := []base.Kind{base.KindSet, base.KindDelete}[rng.IntN(2)]
			b.add(kind, k, v)
			want = append(want, base.Record{Key: k, Trailer: base.MakeTrailer(base.SeqNum(1+seed)+base.SeqNum(n), kind), Value: v})
		}
		slices.SortFunc(want, func(x, y base.Record) int { return base.Compare(x.Key, x.Trailer, y.Key, y.Trailer) })
		b.sort()
		n := 0
		for rec := b.First(); rec != nil; rec = b.Next() {
			w := want[n]
			if string(rec.Key) != string(w.Key) || rec.Trailer != w.Trailer || string(rec.Value) != string(w.Value) {
				t.Fatalf("seed %d: record %d is %q %v, want %q %v", seed, n, rec.Key, rec.Trailer, w.Key, w.Trailer)
			}
			n++
		}
		if n != len(want) || n < 100 {
			t.Fatalf("seed %d: %d records, want %d", seed, n, len(want))
		}
	}
	b.free()
	if n := memory.Total(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

// A buffer of the size that one record takes at least has room for it, and for no other.
func TestSortBufferOfOne(t *testing.T) {
	var memory offheap.Accountant
	for length := range 40 {
		b, err := newSortBuffer(&memory, sortBufferBytes(3, length))
		must(t, err)
		if !b.fits(3, length) {
			t.Fatalf("a record of %d bytes does not fit", length)
		}
		b.add(base.KindSet, []byte("key"), make([]byte, length))
		if b.fits(3, length) {
			t.Errorf("two of %d bytes fit", length)
		}
		b.free()
	}
}

// BenchmarkSorter sorts records of 116 bytes in random order, and reads them.
func BenchmarkSorter(b *testing.B) {
	all := newSpills(b, memfs.New())
	var memory offheap.Accountant
	all.cfg.Memory, all.cfg.MemtableBytes, all.cfg.FileBytes = &memory, 64<<20, 8<<20
	s := all.NewSorter()
	rng := rand.New(rand.NewPCG(1, 1))
	key, value := make([]byte, 17), make([]byte, 100)
	b.ResetTimer()
	for range b.N {
		for i := range 16 {
			key[1+i] = "0123456789abcdef"[rng.Uint32()%16]
		}
		if err := s.Add(base.KindSet, key, value); err != nil {
			b.Fatal(err)
		}
	}
	records, err := s.Records()
	if err != nil {
		b.Fatal(err)
	}
	for rec := records.First(); rec != nil; rec = records.Next() {
	}
	if err := records.Err(); err != nil {
		b.Fatal(err)
	}
	records.Close()
	s.Drop()
}
