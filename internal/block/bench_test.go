package block

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

const (
	benchBlocks  = 16 // 128 KiB: more than the first-level cache
	benchRecords = 70 // of 16 B + 100 B: about 8 KiB
)

// benchSet builds blocks of random keys; versioned gives each record its own
// sequence number.
func benchSet(versioned bool) (sets [][]entry, blocks [][]byte) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range benchBlocks {
		entries := randomFixed(rng, benchRecords)
		if versioned {
			for i := range entries {
				entries[i].trailer = base.MakeTrailer(base.SeqNum(rng.Uint32N(1<<20)), base.KindSet)
			}
		}
		var b Builder
		sets = append(sets, entries)
		blocks = append(blocks, build(&b, entries))
	}
	return sets, blocks
}

type probe struct {
	block int
	key   []byte
	print byte
}

func benchProbes(sets [][]entry, absent bool) []probe {
	rng := rand.New(rand.NewPCG(3, 4))
	out := make([]probe, 4096)
	for i := range out {
		block := rng.IntN(len(sets))
		key := append([]byte(nil), sets[block][rng.IntN(benchRecords)].key...)
		if absent {
			key[15] ^= 1
		}
		out[i] = probe{block, key, Fingerprint(base.Hash(key))}
	}
	return out
}

func BenchmarkFind(b *testing.B) {
	for _, versioned := range []bool{false, true} {
		sets, blocks := benchSet(versioned)
		for _, absent := range []bool{false, true} {
			keys := benchProbes(sets, absent)
			b.Run(fmt.Sprintf("versioned=%v/absent=%v", versioned, absent), func(b *testing.B) {
				b.ReportAllocs()
				n := 0
				for i := 0; b.Loop(); i++ {
					p := &keys[i%len(keys)]
					v := Trusted(blocks[p.block])
					if slot, found, _ := v.Find(p.key, p.print, base.SeqNumMax); found {
						n += len(v.Value(slot))
					}
				}
			})
		}
	}
}

func BenchmarkSeekGE(b *testing.B) {
	sets, blocks := benchSet(false)
	keys := benchProbes(sets, false)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := &keys[i%len(keys)]
		v := Trusted(blocks[p.block])
		v.SeekGE(p.key)
	}
}

func BenchmarkIterSeekGE(b *testing.B) {
	sets, blocks := benchSet(false)
	keys := benchProbes(sets, false)
	var it Iter
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := &keys[i%len(keys)]
		it.Init(Trusted(blocks[p.block]))
		it.SeekGE(p.key)
	}
}

func BenchmarkIterNext(b *testing.B) {
	for _, versioned := range []bool{false, true} {
		_, blocks := benchSet(versioned)
		b.Run(fmt.Sprintf("versioned=%v", versioned), func(b *testing.B) {
			b.ReportAllocs()
			var it Iter
			n, i := 0, 0
			for b.Loop() {
				r := it.Next()
				if r == nil {
					it.Init(Trusted(blocks[i%len(blocks)]))
					i++
					continue
				}
				n += len(r.Key) + len(r.Value)
			}
		})
	}
}

func BenchmarkIterPrev(b *testing.B) {
	_, blocks := benchSet(false)
	b.ReportAllocs()
	var it Iter
	i := 0
	for b.Loop() {
		if it.Prev() == nil {
			it.Init(Trusted(blocks[i%len(blocks)]))
			it.Last()
			i++
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, versioned := range []bool{false, true} {
		_, blocks := benchSet(versioned)
		b.Run(fmt.Sprintf("versioned=%v", versioned), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := Parse(blocks[i%len(blocks)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTrusted(b *testing.B) {
	_, blocks := benchSet(false)
	n := 0
	for i := 0; b.Loop(); i++ {
		v := Trusted(blocks[i%len(blocks)])
		n += v.Len()
	}
}

// BenchmarkBuild reports the time of Add with its share of Finish.
func BenchmarkBuild(b *testing.B) {
	for _, versioned := range []bool{false, true} {
		sets, _ := benchSet(versioned)
		b.Run(fmt.Sprintf("versioned=%v", versioned), func(b *testing.B) {
			b.ReportAllocs()
			var builder Builder
			set, i := 0, 0
			for b.Loop() {
				e := &sets[set][i]
				builder.Add(e.key, e.trailer, e.value, 0x1234567890abcdef)
				if builder.SizeBytes() < 0 {
					b.Fatal("negative")
				}
				if i++; i == len(sets[set]) {
					builder.Finish()
					builder.Reset()
					set, i = (set+1)%len(sets), 0
				}
			}
		})
	}
}
