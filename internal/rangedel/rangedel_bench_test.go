package rangedel

import (
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

func benchTombstones(count int) []Tombstone {
	ts := make([]Tombstone, count)
	for i := range ts {
		at := i * 7919 % count
		ts[i] = Tombstone{
			Lo:  fmt.Appendf(nil, "key%09d", 10*at),
			Hi:  fmt.Appendf(nil, "key%09d", 10*at+15), // reaches into the next
			Seq: base.SeqNum(i + 1),
		}
	}
	return ts
}

func BenchmarkBuild(b *testing.B) {
	ts := benchTombstones(1000)
	b.ReportAllocs()
	for b.Loop() {
		Build(ts)
	}
}

func BenchmarkCovering(b *testing.B) {
	l := Build(benchTombstones(1000))
	key := []byte("key000004711")
	b.ReportAllocs()
	for b.Loop() {
		l.Covering(key, base.SeqNumMax)
	}
}

func BenchmarkUnion(b *testing.B) {
	l := Build(benchTombstones(1000))
	b.ReportAllocs()
	for b.Loop() {
		m := Union(l.Iter(), l.Iter(), l.Iter())
		for f, _ := m.Next(); f != nil; f, _ = m.Next() {
		}
	}
}
