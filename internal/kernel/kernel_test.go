package kernel

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

func TestMatchBytes(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 200000 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rng.Uint64())
		wanted := byte(rng.Uint32())
		for i := range word {
			switch rng.IntN(4) { // hits, and the neighbours that fool sloppy carries
			case 0:
				word[i] = wanted
			case 1:
				word[i] = wanted ^ 1
			case 2:
				word[i] = wanted ^ 0x80
			}
		}
		var want []int
		for i, b := range word {
			if b == wanted {
				want = append(want, i)
			}
		}
		var got []int
		mask := MatchBytes(binary.LittleEndian.Uint64(word[:]), Broadcast(wanted))
		if mask&^highBits != 0 {
			t.Fatalf("seed %d: mask %016x has other bits", seed, mask)
		}
		for ; mask != 0; mask &= mask - 1 {
			got = append(got, FirstByte(mask))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: %x in %x: %v, want %v", seed, wanted, word, got, want)
		}
	}
}

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
