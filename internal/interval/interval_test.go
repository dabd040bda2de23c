package interval

import (
	"math/rand/v2"
	"testing"
)

// TestAgainstBytes compares sets of intervals with lists of the 256 elements of one byte.
func TestAgainstBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		a, inA := someSet(rng)
		b, inB := someSet(rng)
		both := a.Meet(b)
		for n := range 256 {
			element := []byte{byte(n)}
			if a.Hold(element) != inA[n] || b.Hold(element) != inB[n] || both.Hold(element) != (inA[n] && inB[n]) {
				t.Fatalf("element %d of %v and %v, which have %v in common", n, a, b, both)
			}
		}
		for i, one := range both {
			if one.empty() || i > 0 && !both[i-1].endsBefore(one) {
				t.Fatalf("%v and %v have %v in common", a, b, both)
			}
		}
	}
}

// someSet returns one interval, or some points in any order.
func someSet(rng *rand.Rand) (s Set, in [256]bool) {
	if rng.IntN(2) == 0 {
		lo, hi := rng.IntN(255), 256
		one := One{Lo: []byte{byte(lo)}}
		if rng.IntN(3) > 0 {
			hi = lo + 1 + rng.IntN(255-lo)
			one.Hi = []byte{byte(hi)}
		}
		for n := lo; n < hi; n++ {
			in[n] = true
		}
		return Set{one}, in
	}
	for range rng.IntN(20) {
		n := rng.IntN(256)
		s, in[n] = append(s, Point([]byte{byte(n)})), true
	}
	if s = s.Sorted(); !s.Points() || s.Single() != (len(s) == 1) {
		panic("points are no points")
	}
	return s, in
}
