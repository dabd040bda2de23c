package txn

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestReadsAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		reads := &Reads{}
		var want [64]bool // of keys of two letters, in order
		name := func(n int) []byte { return []byte{byte('a' + n/8), byte('a' + n%8)} }
		for range r.IntN(12) {
			a, b := r.IntN(64), r.IntN(65)
			if r.IntN(2) == 0 {
				reads.AddPoint(name(a))
				want[a] = true
				continue
			}
			reads.AddSpan(name(a), name(b))
			for n := a; n < b; n++ {
				want[n] = true
			}
			if r.IntN(4) == 0 {
				reads.Freeze() // and go on
			}
		}
		reads.Freeze()
		for n := range 64 {
			if got := reads.Covers(name(n)); got != want[n] {
				t.Fatalf("seed %d: %s: %v, not %v", seed, name(n), got, want[n])
			}
		}
		for a := range 64 {
			for b := a + 1; b < 65; b += 3 {
				any := false
				for n := a; n < b; n++ {
					any = any || want[n]
				}
				if _, got := reads.Overlap(name(a), name(b)); got != any {
					t.Fatalf("seed %d: [%s, %s): %v, not %v", seed, name(a), name(b), got, any)
				}
			}
		}
	}
}

// However much is read, nothing is forgotten, and memory stays bounded.
func TestReadsWidenAndNeverForget(t *testing.T) {
	reads := &Reads{}
	const count = 3*pointsMax + 17
	name := func(n int) []byte { return []byte(fmt.Sprintf("%09d", int64(n)*2654435761%1_000_000_007)) }
	for n := range count {
		reads.AddPoint(name(n))
		if n%3 == 0 {
			reads.AddSpan(name(n), append(name(n), 'z'))
		}
	}
	reads.Freeze()
	if len(reads.Points()) > pointsMax || len(reads.Spans()) > 2*pointsMax {
		t.Errorf("%d keys, %d intervals", len(reads.Points()), len(reads.Spans()))
	}
	for n := range count {
		if !reads.Covers(name(n)) {
			t.Fatalf("%s was forgotten", name(n))
		}
	}
}

func BenchmarkReadsTenPoints(b *testing.B) {
	var keys [10][]byte
	for i := range keys {
		keys[i] = []byte(fmt.Sprintf("key%08d", i*7919%1024))
	}
	b.ReportAllocs()
	for b.Loop() {
		reads := &Reads{}
		for _, k := range keys {
			reads.AddPoint(k)
		}
		reads.Freeze()
	}
}
