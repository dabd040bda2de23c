package filter

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/property"
)

func build(hashes []uint64, bitsPerKey int) []byte {
	var b Builder
	for _, h := range hashes {
		b.Add(h)
	}
	return b.Finish(bitsPerKey)
}

func TestNoFalseNegatives(t *testing.T) {
	property.Check(t, func(t *property.T) {
		hashes := property.SliceOfN(property.Uint64(), 0, 3000).Draw(t, "hashes")
		f := build(hashes, property.IntRange(-1, 80).Draw(t, "bitsPerKey"))
		if err := Check(f); err != nil {
			t.Fatal(err)
		}
		for _, h := range hashes {
			if !MayContain(f, h) {
				t.Fatalf("hash %x was added and is denied", h)
			}
		}
	})
}

// Hashes of real keys, sequential ones included, must do as well as random
// numbers.
func TestFalsePositiveRate(t *testing.T) {
	bounds := []struct {
		bitsPerKey int
		atMost     float64
	}{
		{1, 0.90}, {2, 0.50}, {4, 0.155}, {5, 0.097}, {6, 0.061}, {7, 0.041}, {8, 0.025},
		{10, 0.0105}, {12, 0.0047}, {14, 0.0022}, {16, 0.0012}, {20, 0.0005}, {32, 0.0002},
	}
	if invariant.Enabled { // the race detector is slow, and nothing here is concurrent
		bounds = bounds[5:9]
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for name, hash := range map[string]func(i int) uint64{
		"sequential keys": func(i int) uint64 { return base.Hash(fmt.Appendf(nil, "key%012d", i)) },
		"binary keys": func(i int) uint64 {
			return base.Hash(binary.BigEndian.AppendUint64(nil, uint64(i)+seed))
		},
	} {
		var b Builder
		keys, probes := 200_000, 400_000
		for i := range keys {
			b.Add(hash(i))
		}
		for _, c := range bounds {
			f := b.Finish(c.bitsPerKey)
			if got, want := len(f), (keys*c.bitsPerKey+511)/512*64+16; got != want {
				t.Errorf("%d bits: %d bytes, want %d", c.bitsPerKey, got, want)
			}
			passed := 0
			for i := range probes {
				if MayContain(f, hash(keys+i)) {
					passed++
				}
			}
			rate := float64(passed) / float64(probes)
			t.Logf("%s, %d bits: %.3f %%", name, c.bitsPerKey, 100*rate)
			if rate > c.atMost || (c.bitsPerKey <= 20 && rate < c.atMost/5) {
				t.Errorf("%s: rate %v at %d bits, bound %v", name, rate, c.bitsPerKey, c.atMost)
			}
		}
	}
}

// Small filters have few blocks, so the load varies between filters, but the
// mean over many has to be in order.
func TestFalsePositiveRateOfSmallFilters(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	passed, probed := 0, 0
	for range 300 {
		hashes := make([]uint64, 1+rng.IntN(300))
		for i := range hashes {
			hashes[i] = rng.Uint64()
		}
		f := build(hashes, 10)
		for range 1000 {
			probed++
			if MayContain(f, rng.Uint64()) {
				passed++
			}
		}
	}
	if rate := float64(passed) / float64(probed); math.IsNaN(rate) || rate > 0.011 {
		t.Fatalf("rate %v", rate)
	}
}

func TestEmptyFilterDeniesEverything(t *testing.T) {
	f := new(Builder).Finish(10)
	if err := Check(f); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if MayContain(f, base.Hash([]byte{byte(i), byte(i >> 8)})) {
			t.Fatal("an empty filter let a key pass")
		}
	}
}

func TestBuilderReuseAndDuplicates(t *testing.T) {
	var b Builder
	b.Add(7)
	b.Add(7)
	b.Add(8)
	if b.Len() != 2 {
		t.Fatalf("%d keys", b.Len())
	}
	first := b.Finish(10)
	b.Reset()
	b.Add(99)
	second := b.Finish(10)
	if b.Len() != 1 || !MayContain(first, 7) || !MayContain(second, 99) || MayContain(second, 7) {
		t.Fatal("filters of a reused builder are mixed up")
	}
}

// The bits of a filter are part of the file format and must never change.
func TestFormatIsFrozen(t *testing.T) {
	var b Builder
	for i := range 1000 {
		b.Add(base.Hash(fmt.Appendf(nil, "key-%d", i)))
	}
	for bitsPerKey, want := range map[int]uint64{10: 0x1c61c72e4004b33b, 12: 0x57d46fe3f6000604} {
		if got := base.Hash(b.Finish(bitsPerKey)); got != want {
			t.Errorf("format 1 changed at %d bits: %#x", bitsPerKey, got)
		}
	}
}

func TestCheckFindsDamage(t *testing.T) {
	good := build([]uint64{1, 2, 3}, 10)
	size := len(good) - trailerBytes
	for name, damage := range map[string]func(f []byte) []byte{
		"format":     func(f []byte) []byte { f[size]++; return f },
		"no probes":  func(f []byte) []byte { f[size+1] = 0; return f },
		"probes":     func(f []byte) []byte { f[size+1] = probesMax + 1; return f },
		"reserved":   func(f []byte) []byte { f[size+3] = 1; return f },
		"block sum":  func(f []byte) []byte { f[size+4]++; return f },
		"cut":        func(f []byte) []byte { return f[:len(f)-1] },
		"cut block":  func(f []byte) []byte { return f[blockBytes:] },
		"extra":      func(f []byte) []byte { return append(f, 0) },
		"only trail": func(f []byte) []byte { return f[size:] },
		"empty":      func([]byte) []byte { return nil },
	} {
		f := damage(append([]byte(nil), good...))
		if Check(f) == nil {
			t.Errorf("%s: not found", name)
		}
		for _, h := range []uint64{1, 2, 3} {
			if len(f) != len(good) && !MayContain(f, h) {
				t.Errorf("%s: key denied", name)
			}
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add([]byte(nil), uint64(0))
	f.Add(build([]uint64{1, 2, 3}, 10), uint64(2))
	f.Add(make([]byte, blockBytes+trailerBytes), ^uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, hash uint64) {
		err := Check(data)
		may := MayContain(data, hash)
		if size := len(data) - trailerBytes; size < blockBytes || size%blockBytes != 0 {
			if err == nil || !may {
				t.Fatalf("%d bytes taken for a filter", len(data))
			}
		}
	})
}

func BenchmarkMayContain(b *testing.B) {
	for _, keys := range []int{1_000, 100_000, 10_000_000} {
		rng := rand.New(rand.NewPCG(1, 2))
		var builder Builder
		for range keys {
			builder.Add(rng.Uint64())
		}
		for _, bitsPerKey := range []int{10, 12} {
			f := builder.Finish(bitsPerKey)
			b.Run(fmt.Sprintf("keys=%d/bits=%d", keys, bitsPerKey), func(b *testing.B) {
				b.ReportAllocs()
				hash, passed := uint64(1), 0
				for b.Loop() {
					hash = hash*6364136223846793005 + 1442695040888963407
					if MayContain(f, hash) {
						passed++
					}
				}
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, keys := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			var builder Builder
			b.ReportAllocs()
			for b.Loop() {
				builder.Reset()
				hash := uint64(1)
				for range keys {
					hash = hash*6364136223846793005 + 1442695040888963407
					builder.Add(hash)
				}
				builder.Finish(10)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(keys), "ns/key")
		})
	}
}
