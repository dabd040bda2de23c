package sstable

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
)

// benchTable is records of 16 B keys and 100 B values, half of each value
// compressible. Every second number is a key.
type benchTable struct{ values []byte }

func newBenchTable() *benchTable {
	rng := rand.New(rand.NewPCG(5, 6))
	values := make([]byte, 1<<20+100)
	for i := range values {
		if i%100 < 50 {
			values[i] = byte(rng.Uint32())
		}
	}
	return &benchTable{values}
}

func (b *benchTable) key(dst []byte, i int) []byte {
	dst = append(dst[:0], "user\x00\x00\x00\x00"...)
	return binary.BigEndian.AppendUint64(dst, uint64(2*i)*0x1_0000_0001)
}

func (b *benchTable) value(i int) []byte {
	at := i * 100 % (1 << 20)
	return b.values[at:][:100]
}

// discardFile keeps nothing.
type discardFile struct{ memFile }

func (f *discardFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func (b *benchTable) fill(tb testing.TB, w *Writer, count int) Properties {
	var key []byte
	for i := range count {
		key = b.key(key, i)
		if err := w.Add(key, base.MakeTrailer(base.SeqNum(i%1000), base.KindSet), b.value(i)); err != nil {
			tb.Fatal(err)
		}
	}
	p, err := w.Finish(nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func (b *benchTable) open(tb testing.TB, count int, codec compress.Codec, capacityBytes int64) *Reader {
	f := &memFile{}
	o := WriterOptions{DBID: testID, FileNum: testFile, FilterBitsPerKey: 10, Compression: codec}
	b.fill(tb, NewWriter(f, o), count)
	r := open(tb, f, capacityBytes)
	return r
}

func perRecord(b *testing.B, count int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(count), "ns/record")
}

func BenchmarkBuild(b *testing.B) {
	const count = 200_000
	table := newBenchTable()
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		b.Run(codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.fill(b, NewWriter(&discardFile{}, WriterOptions{
					DBID: testID, FileNum: testFile, FilterBitsPerKey: 10, Compression: codec,
				}), count)
			}
			perRecord(b, count)
		})
	}
}

func BenchmarkGet(b *testing.B) {
	table := newBenchTable()
	for _, count := range []int{5_000, 500_000} {
		r := table.open(b, count, compress.None, 256<<20)
		rng := rand.New(rand.NewPCG(1, 2))
		keys := make([][]byte, 1<<14)
		for i := range keys {
			keys[i] = table.key(nil, rng.IntN(count))
		}
		for _, key := range keys {
			get(r, key, base.SeqNumMax)
		}
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				key := keys[i%len(keys)]
				guard := r.o.Epochs.Enter()
				hash := base.Hash(key)
				if may, _ := r.MayContain(hash); !may {
					b.Fatal("filtered")
				}
				_, _, found, err := r.Get(key, hash, base.SeqNumMax)
				guard.Exit()
				if !found || err != nil {
					b.Fatal(found, err)
				}
				i++
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	const count = 200_000
	table := newBenchTable()
	for _, codec := range []compress.Codec{compress.None, compress.Fast} {
		for _, mode := range []string{"cached", "nofill", "uncached"} {
			capacityBytes := int64(256 << 20)
			if mode == "uncached" {
				capacityBytes = 0
			}
			r := table.open(b, count, codec, capacityBytes)
			b.Run(mode+"/"+codec.String(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					it := r.NewIter(IterOptions{NoFill: mode == "nofill"})
					n := 0
					for rec := it.First(); rec != nil; rec = it.Next() {
						n++
					}
					if n != count || it.Close() != nil {
						b.Fatal(n)
					}
				}
				perRecord(b, count)
			})
		}
	}
}

func BenchmarkSeek(b *testing.B) {
	const count = 200_000
	table := newBenchTable()
	r := table.open(b, count, compress.None, 256<<20)
	it := r.NewIter(IterOptions{})
	defer it.Close()
	var key []byte
	seek := func(b *testing.B, i int) {
		key = table.key(key, i)
		if it.SeekGE(key) == nil {
			b.Fatal(it.Err())
		}
	}
	for i := range count {
		seek(b, i)
	}
	b.Run("random", func(b *testing.B) {
		b.ReportAllocs()
		rng := rand.New(rand.NewPCG(1, 2))
		for b.Loop() {
			seek(b, rng.IntN(count))
		}
	})
	b.Run("ascending", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			seek(b, i%count)
			i += 7
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	const count = 200_000
	r := newBenchTable().open(b, count, compress.None, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Verify(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	perRecord(b, count)
}

func BenchmarkOpen(b *testing.B) {
	r := newBenchTable().open(b, 500_000, compress.None, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenReader(r.file, ReaderOptions{DBID: testID, FileNum: testFile}); err != nil {
			b.Fatal(err)
		}
	}
}
