package iterate

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// leanIter is the cheapest possible source, so that what a benchmark shows is
// the cost above the source's own.
type leanIter struct {
	records []base.Record
	rec     base.Record
	at      int
}

func (it *leanIter) show() *base.Record {
	if uint(it.at) >= uint(len(it.records)) {
		return nil
	}
	from := &it.records[it.at]
	it.rec.Key, it.rec.Trailer, it.rec.Value = from.Key, from.Trailer, from.Value
	return &it.rec
}

func (it *leanIter) First() *base.Record { it.at = 0; return it.show() }
func (it *leanIter) Last() *base.Record  { it.at = len(it.records) - 1; return it.show() }
func (it *leanIter) Next() *base.Record  { it.at++; return it.show() }
func (it *leanIter) Prev() *base.Record  { it.at--; return it.show() }
func (it *leanIter) Err() error          { return nil }
func (it *leanIter) Close() error        { return nil }

func (it *leanIter) SeekGE(key []byte) *base.Record {
	it.at = (&sliceIter{records: it.records}).search(key)
	return it.show()
}

func (it *leanIter) SeekLT(key []byte) *base.Record {
	it.at = (&sliceIter{records: it.records}).search(key) - 1
	return it.show()
}

const benchRows = 4096 // stays in the caches: the walk is measured, not memory

// benchSources deals rows out to k sources; skewed gives nine in ten to the
// last, as the largest level has them.
func benchSources(k int, skewed bool, seq func(i int) base.SeqNum) []Source {
	rng := rand.New(rand.NewPCG(1, 2))
	parts := make([][]base.Record, k)
	for _, r := range numberedRecords(benchRows, seq) {
		i := rng.IntN(k)
		if skewed && rng.IntN(10) > 0 {
			i = k - 1
		}
		parts[i] = append(parts[i], r)
	}
	sources := make([]Source, k)
	for i := range sources {
		sources[i] = Source{&leanIter{records: parts[i]}, base.SeqNumMax}
	}
	return sources
}

func settledSeq(int) base.SeqNum { return 0 }
func freshSeq(i int) base.SeqNum { return base.SeqNum(i*7919%benchRows + 1) }

var benchShapes = []struct {
	name   string
	skewed bool
}{{"even", false}, {"skewed", true}}

func BenchmarkSourceNext(b *testing.B) {
	var it base.Iterator = benchSources(1, false, settledSeq)[0].Iter
	it.First()
	b.ReportAllocs()
	for b.Loop() {
		if it.Next() == nil {
			it.First()
		}
	}
}

func BenchmarkMergingNext(b *testing.B) {
	for _, shape := range benchShapes {
		for _, k := range []int{1, 2, 4, 8} {
			sources := benchSources(k, shape.skewed, settledSeq)
			b.Run(fmt.Sprintf("%s/k=%d", shape.name, k), func(b *testing.B) {
				benchMergingNext(b, sources)
			})
		}
	}
	for _, k := range []int{2, 4, 8} {
		sources := benchSources(k, false, settledSeq)
		for _, s := range sources {
			for _, r := range s.Iter.(*leanIter).records {
				copy(r.Key, r.Key[8:]) // the key now differs within its head
			}
		}
		b.Run(fmt.Sprintf("even-by-head/k=%d", k), func(b *testing.B) {
			benchMergingNext(b, sources)
		})
	}
}

func benchMergingNext(b *testing.B, sources []Source) {
	m := NewMerging(sources)
	m.First()
	b.ReportAllocs()
	for b.Loop() {
		if m.Next() == nil {
			m.First()
		}
	}
}

func BenchmarkMergingPrev(b *testing.B) {
	m := NewMerging(benchSources(4, false, settledSeq))
	m.Last()
	b.ReportAllocs()
	for b.Loop() {
		if m.Prev() == nil {
			m.Last()
		}
	}
}

func BenchmarkMergingSeekGE(b *testing.B) {
	for _, k := range []int{1, 4, 8} {
		b.Run(fmt.Sprintf("k=%d", k), func(b *testing.B) {
			m := NewMerging(benchSources(k, false, settledSeq))
			keys := numberedRecords(benchRows, settledSeq)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i = (i + 1543) % benchRows
				m.SeekGE(keys[i].Key)
			}
		})
	}
}

func benchUserIter(b *testing.B, sources []Source, o Options, backwards bool) {
	v := NewUserIter(NewMerging(sources), o)
	start, step := v.First, v.Next
	if backwards {
		start, step = v.Last, v.Prev
	}
	start()
	b.ReportAllocs()
	for b.Loop() {
		if !step() {
			start()
		}
	}
}

func BenchmarkUserIterNext(b *testing.B) {
	o := Options{Seq: base.SeqNumMax}
	bounded := Options{Seq: base.SeqNumMax, Lower: []byte("key"), Upper: []byte("kez")}
	b.Run("settled", func(b *testing.B) {
		benchUserIter(b, benchSources(1, false, settledSeq), o, false)
	})
	b.Run("settled-bounded", func(b *testing.B) {
		benchUserIter(b, benchSources(1, false, settledSeq), bounded, false)
	})
	b.Run("fresh", func(b *testing.B) {
		benchUserIter(b, benchSources(1, false, freshSeq), bounded, false)
	})
	b.Run("range-deletes", func(b *testing.B) {
		deleted := bounded
		deleted.RangeDeletes = []rangedel.Source{rangedel.Build([]rangedel.Tombstone{
			{Lo: []byte("key0000000000100"), Hi: []byte("key0000000000200"), Seq: base.SeqNumMax},
		})}
		benchUserIter(b, benchSources(1, false, freshSeq), deleted, false)
	})
	b.Run("fresh/k=4", func(b *testing.B) {
		benchUserIter(b, benchSources(4, false, freshSeq), bounded, false)
	})
}

func BenchmarkUserIterPrev(b *testing.B) {
	o := Options{Seq: base.SeqNumMax, Lower: []byte("key"), Upper: []byte("kez")}
	b.Run("settled", func(b *testing.B) {
		sources := benchSources(1, false, settledSeq)
		sources[0].MaxSeq = 0
		benchUserIter(b, sources, o, true)
	})
	b.Run("fresh", func(b *testing.B) {
		benchUserIter(b, benchSources(1, false, freshSeq), o, true)
	})
	b.Run("fresh/k=4", func(b *testing.B) {
		benchUserIter(b, benchSources(4, false, freshSeq), o, true)
	})
}

// BenchmarkUserIterShortScan is a scan of 100 rows with pooled parts.
func BenchmarkUserIterShortScan(b *testing.B) {
	sources := benchSources(4, true, freshSeq)
	keys := numberedRecords(benchRows, settledSeq)
	var m Merging
	var v UserIter
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 1543) % (benchRows - 100)
		m.Reset(sources)
		v.Init(&m, Options{Seq: base.SeqNumMax, Upper: keys[i+100].Key})
		for ok := v.SeekGE(keys[i].Key); ok; ok = v.Next() {
		}
		if err := v.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
