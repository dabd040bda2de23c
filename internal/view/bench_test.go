package view

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
)

// places fills rooms so that a key is found in each place where one can be.
func places(t testing.TB, fn func(place string, r *room)) {
	for _, place := range []string{"memtable", "immutable", "large", "level 0", "level 1", "hot"} {
		hotBytes := int64(0)
		if place == "hot" {
			hotBytes = 1 << 20
		}
		r := newRoom(t, hotBytes)
		var ops []op
		for i := range 200 {
			ops = append(ops, set(fmt.Sprintf("\x00%04d", i), "some value or other"))
		}
		if place == "large" {
			r.writeLarge(ops...)
		} else {
			r.write(ops...)
		}
		if place != "memtable" && place != "large" {
			r.seal()
		}
		if place != "immutable" {
			r.flush()
		}
		if place == "level 1" || place == "hot" {
			r.compact(0)
		}
		fn(place, r)
	}
}

// A get allocates only what the slice lacks, and a step of an iterator nothing.
func TestReadsDoNotAllocate(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the checks allocate")
	}
	places(t, func(place string, r *room) {
		key, dst := []byte("\x000100"), make([]byte, 0, 100)
		if n := testing.AllocsPerRun(300, func() {
			if _, err := r.AppendGet(dst, key); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: AppendGet allocates %v times", place, n)
		}
		it := r.iterator()
		for it.Next() { // opens the tables, which does allocate
		}
		if !it.First() {
			t.Fatal(it.Err())
		}
		if n := testing.AllocsPerRun(150, func() {
			if !it.Next() || len(it.Value()) == 0 {
				t.Fatal(it.Err())
			}
		}); n != 0 {
			t.Errorf("%s: Next allocates %v times", place, n)
		}
		if n := testing.AllocsPerRun(50, func() { it.SeekGE(key) }); n != 0 {
			t.Errorf("%s: SeekGE allocates %v times", place, n)
		}
		must(t, it.Close())
	})
}

func BenchmarkAppendGet(b *testing.B) {
	places(b, func(place string, r *room) {
		b.Run(place, func(b *testing.B) {
			key, dst := []byte("\x000100"), make([]byte, 0, 100)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.AppendGet(dst, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func BenchmarkNewIterator(b *testing.B) {
	places(b, func(place string, r *room) {
		b.Run(place, func(b *testing.B) {
			o := options("\x00", "\x01")
			b.ReportAllocs()
			for b.Loop() {
				it, err := r.NewIterator(o)
				if err != nil || !it.First() {
					b.Fatal(err)
				}
				if err := it.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkFlushSource compares the walk of a flush with one that looks at nothing.
func BenchmarkFlushSource(b *testing.B) {
	r := newRoom(b, 0)
	m, err := NewMemtable(&r.memory, 64<<20)
	must(b, err)
	const records = 200_000
	key, value := make([]byte, 16), make([]byte, 100)
	rng := rand.New(rand.NewPCG(1, 1))
	for seq := range base.SeqNum(records) {
		binary.BigEndian.PutUint64(key, rng.Uint64())
		must(b, m.Table.Add(key, base.Hash(key), base.MakeTrailer(seq+1, base.KindSet), value))
	}
	for name, it := range map[string]base.Iterator{"checked": m.NewCheckedIter(), "plain": m.NewIter()} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				for rec := it.First(); rec != nil; rec = it.Next() {
					n += len(rec.Value)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/record")
		})
	}
	m.Free()
}
