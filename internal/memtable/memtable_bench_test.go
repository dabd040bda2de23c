package memtable

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
)

var benchSizes = []int{10_000, 1_000_000, 5_000_000}

// benchKeys are n keys of 16 bytes after each other, in the order of adding.
func benchKeys(n int, sequential bool) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	keys := make([]byte, 0, 16*n)
	for i := range n {
		if sequential {
			keys = fmt.Appendf(keys, "%016d", i)
		} else {
			keys = binary.BigEndian.AppendUint64(keys, rng.Uint64())
			keys = binary.BigEndian.AppendUint64(keys, rng.Uint64())
		}
	}
	return keys
}

// benchProbes are a million of the keys at random, one after the other, so that
// fetching the key to look for costs nothing.
func benchProbes(keys []byte) []byte {
	rng := rand.New(rand.NewPCG(3, 3))
	probes := make([]byte, 0, 16<<20)
	for range 1 << 20 {
		i := 16 * rng.IntN(len(keys)/16)
		probes = append(probes, keys[i:i+16]...)
	}
	return probes
}

func benchEach(b *testing.B, run func(b *testing.B, n int, keys []byte)) {
	for _, n := range benchSizes {
		for order, sequential := range map[string]bool{"random": false, "sequential": true} {
			b.Run(fmt.Sprintf("%s/%d", order, n), func(b *testing.B) {
				if n > 1_000_000 && testing.Short() {
					b.Skip("large")
				}
				run(b, n, benchKeys(n, sequential))
			})
		}
	}
}

func benchTable(b *testing.B, n int) *Table {
	b.Helper()
	table, err := New(new(offheap.Accountant), 256*n+(1<<20))
	if err != nil {
		b.Fatal(err)
	}
	return table
}

func fill(b *testing.B, table *Table, keys []byte) {
	b.Helper()
	value := make([]byte, 100)
	for i := 0; i < len(keys); i += 16 {
		if err := table.Add(keys[i:i+16], base.Hash(keys[i:i+16]), base.MakeTrailer(base.SeqNum(i+1), base.KindSet), value); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAdd measures records of 16 B and 100 B, from an empty table to n.
func BenchmarkAdd(b *testing.B) {
	benchEach(b, func(b *testing.B, n int, keys []byte) {
		table := benchTable(b, n)
		value, i, seq, bytesPerRecord := make([]byte, 100), 0, base.SeqNum(0), 0
		b.ReportAllocs()
		for b.Loop() {
			if i == len(keys) {
				b.StopTimer()
				bytesPerRecord = table.UsedBytes() / n
				table.Free()
				table, i = benchTable(b, n), 0
				b.StartTimer()
			}
			seq++
			if err := table.Add(keys[i:i+16], base.Hash(keys[i:i+16]), base.MakeTrailer(seq, base.KindSet), value); err != nil {
				b.Fatal(err)
			}
			i += 16
		}
		b.ReportMetric(float64(bytesPerRecord), "B/record")
		table.Free()
	})
}

// BenchmarkAddExpected is BenchmarkAdd with the keys known ahead, as many at a time as are
// in a batch, and one by one.
func BenchmarkAddExpected(b *testing.B) {
	for _, batch := range []int{1, ExpectMax} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			benchEach(b, func(b *testing.B, n int, keys []byte) {
				table := benchTable(b, n)
				value, i, seq := make([]byte, 100), 0, base.SeqNum(0)
				expected := make([][]byte, 0, batch)
				b.ReportAllocs()
				for b.Loop() {
					if i == len(keys) {
						b.StopTimer()
						table.Free()
						table, i = benchTable(b, n), 0
						b.StartTimer()
					}
					if seq++; seq%base.SeqNum(batch) == 0 {
						expected = expected[:0]
						for at := i; at < min(i+16*batch, len(keys)); at += 16 {
							expected = append(expected, keys[at:at+16])
						}
						table.Expect(expected)
					}
					if err := table.Add(keys[i:i+16], base.Hash(keys[i:i+16]), base.MakeTrailer(seq, base.KindSet), value); err != nil {
						b.Fatal(err)
					}
					i += 16
				}
				table.Free()
			})
		})
	}
}

func BenchmarkGet(b *testing.B) {
	benchEach(b, func(b *testing.B, n int, keys []byte) {
		table := benchTable(b, n)
		defer table.Free()
		fill(b, table, keys)
		probes, i := benchProbes(keys), 0
		b.ReportAllocs()
		for b.Loop() {
			i = (i + 16) % len(probes)
			if _, _, found := table.Get(probes[i:i+16], base.SeqNumMax); !found {
				b.Fatal("not found")
			}
		}
	})
}

func BenchmarkGetMissing(b *testing.B) {
	table := benchTable(b, 1_000_000)
	defer table.Free()
	fill(b, table, benchKeys(1_000_000, false))
	rng := rand.New(rand.NewPCG(4, 4))
	key := make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		binary.LittleEndian.PutUint64(key, rng.Uint64())
		if _, _, found := table.Get(key, base.SeqNumMax); found {
			b.Fatal("found")
		}
	}
}

func BenchmarkNext(b *testing.B) {
	benchEach(b, func(b *testing.B, n int, keys []byte) {
		table := benchTable(b, n)
		defer table.Free()
		fill(b, table, keys)
		it := table.NewIter()
		sum := 0
		b.ReportAllocs()
		for b.Loop() {
			r := it.Next()
			if r == nil {
				r = it.First()
			}
			sum += int(r.Key[0])
		}
	})
}

func BenchmarkPrev(b *testing.B) {
	table := benchTable(b, 1_000_000)
	defer table.Free()
	fill(b, table, benchKeys(1_000_000, false))
	it := table.NewIter()
	b.ReportAllocs()
	for b.Loop() {
		if it.Prev() == nil {
			it.Last()
		}
	}
}

func BenchmarkSeekGE(b *testing.B) {
	benchEach(b, func(b *testing.B, n int, keys []byte) {
		table := benchTable(b, n)
		defer table.Free()
		fill(b, table, keys)
		it := table.NewIter()
		probes, i := benchProbes(keys), 0
		b.ReportAllocs()
		for b.Loop() {
			i = (i + 16) % len(probes)
			if it.SeekGE(probes[i:i+16]) == nil {
				b.Fatal("not found")
			}
		}
	})
}

// BenchmarkUpdate measures adding versions of 10,000 keys that are there.
func BenchmarkUpdate(b *testing.B) {
	keys := benchKeys(10_000, false)
	table := benchTable(b, 1_000_000)
	defer func() { table.Free() }()
	fill(b, table, keys)
	value, seq := make([]byte, 100), base.SeqNum(1<<40)
	rng := rand.New(rand.NewPCG(6, 6))
	b.ReportAllocs()
	for b.Loop() {
		i := 16 * rng.IntN(10_000)
		seq++
		if table.Add(keys[i:i+16], base.Hash(keys[i:i+16]), base.MakeTrailer(seq, base.KindSet), value) != nil {
			b.StopTimer()
			table.Free()
			table = benchTable(b, 1_000_000)
			fill(b, table, keys)
			b.StartTimer()
		}
	}
}
