package kernel

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"unsafe"
)

// array stores xs at an odd address.
func array(xs []uint64) unsafe.Pointer {
	b := make([]byte, 1, 1+8*len(xs)+1)
	for _, x := range xs {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	b = append(b, 0xff)
	return unsafe.Pointer(&b[1])
}

func TestLowerBound(t *testing.T) {
	const seed = 2
	rng := rand.New(rand.NewPCG(seed, 2))
	for n := range 300 {
		xs := make([]uint64, n)
		limit := uint64(1) << (1 + rng.IntN(63)) // few values make many ties
		for i := range xs {
			xs[i] = rng.Uint64N(limit)
		}
		if n > 3 {
			xs[0], xs[1] = 0, 1<<64-1
		}
		slices.Sort(xs)
		p := array(xs)
		probes := append([]uint64{0, 1, 1<<63 - 1, 1 << 63, 1<<64 - 1}, xs...)
		for range 50 {
			probes = append(probes, rng.Uint64N(limit))
		}
		for _, x := range probes {
			want, _ := slices.BinarySearchFunc(xs, x, func(a, b uint64) int {
				if a < b {
					return -1
				}
				return 1
			})
			if got := LowerBound(p, n, x); got != want {
				t.Fatalf("seed %d: LowerBound of %d in %v = %d, want %d", seed, x, xs, got, want)
			}
		}
	}
}

func BenchmarkLowerBound70(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 3))
	var arrays [16]unsafe.Pointer
	for i := range arrays {
		xs := make([]uint64, 70)
		for j := range xs {
			xs[j] = rng.Uint64()
		}
		slices.Sort(xs)
		arrays[i] = array(xs)
	}
	probes := make([]uint64, 4096)
	for i := range probes {
		probes[i] = rng.Uint64()
	}
	b.ReportAllocs()
	at := 0
	for i := 0; b.Loop(); i++ {
		// Each search starts from the result of the one before, as a caller
		// that waits for it would.
		at = LowerBound(arrays[i%len(arrays)], 70, probes[i%len(probes)]^uint64(at>>20))
	}
}

// Any address may be asked for, and asking changes nothing.
func TestPrefetch(t *testing.T) {
	Prefetch(nil, 0)
	Prefetch(nil, 1<<10)
	PrefetchBytes(nil)
	b := slices.Repeat([]byte{7}, 200)
	for from := range len(b) {
		PrefetchBytes(b[from:])
	}
	if slices.ContainsFunc(b, func(x byte) bool { return x != 7 }) {
		t.Error("the bytes have changed")
	}
}

// FuzzLowerBound compares what the processor's vectors find with what Go finds.
func FuzzLowerBound(f *testing.F) {
	f.Add([]byte{}, uint64(0))
	f.Add(bytes.Repeat([]byte{0xff}, 8*40), uint64(1<<63))
	f.Fuzz(func(t *testing.T, data []byte, x uint64) {
		xs := make([]uint64, len(data)/8)
		for i := range xs {
			xs[i] = binary.LittleEndian.Uint64(data[8*i:])
		}
		slices.Sort(xs)
		p := array(xs)
		for _, probe := range append(xs, x) {
			if got, want := LowerBound(p, len(xs), probe), lowerBound(p, len(xs), probe); got != want {
				t.Fatalf("%d in %v: %d, in Go %d", probe, xs, got, want)
			}
		}
	})
}

// The switch turns vectors off: the pipeline runs the tests both ways.
func TestSwitch(t *testing.T) {
	if os.Getenv("LIGHTNING_SIMD") == "off" && Vectors() != "" {
		t.Errorf("%s is in use", Vectors())
	}
}
