package workload

import "math/bits"

// Random is a small fast generator (SplitMix64, Steele, Lea and Flood 2014), one
// a goroutine. Its numbers decide which records a workload touches: they must
// stay as they are, or measurements cannot be compared with earlier ones.
type Random uint64

// seedOf returns the generator of one of several goroutines.
func seedOf(worker int) Random { return Random(mix(uint64(worker) + 1)) }

// Next returns a number of 64 bits.
func (r *Random) Next() uint64 {
	*r += keySalt
	return mix(uint64(*r))
}

// Below returns a number in [0, n).
func (r *Random) Below(n int64) int64 {
	high, _ := bits.Mul64(r.Next(), uint64(n))
	return int64(high)
}

// Fraction returns a number in [0, 1).
func (r *Random) Fraction() float64 { return float64(r.Next()>>11) / (1 << 53) }

// mix is a bijection of 64-bit numbers that looks random (the finaliser of
// SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
