package workload

import "math"

// theta is the skew of YCSB.
const theta = 0.99

// Zipfian draws numbers such that the k-th most popular one is drawn in
// proportion to 1/k^theta (Gray and others, "Quickly Generating Billion-Record
// Synthetic Databases", 1994, as YCSB uses it). It is immutable and may be
// shared.
type Zipfian struct {
	items           int64
	alpha, zeta, et float64
	two             float64 // below it is number 1
}

// NewZipfian takes time in proportion to items.
func NewZipfian(items int64) *Zipfian {
	var zeta float64
	for k := int64(1); k <= items; k++ {
		zeta += 1 / math.Pow(float64(k), theta)
	}
	two := 1 + math.Pow(0.5, theta)
	return &Zipfian{
		items: items,
		alpha: 1 / (1 - theta),
		zeta:  zeta,
		two:   two,
		et:    (1 - math.Pow(2/float64(items), 1-theta)) / (1 - two/zeta),
	}
}

// Draw returns a number in [0, items), 0 the most often. Keys lie at random in
// key order, so popular records are scattered without another hash.
func (z *Zipfian) Draw(r *Random) int64 {
	u := r.Fraction()
	switch uz := u * z.zeta; {
	case uz < 1:
		return 0
	case uz < z.two:
		return min(1, z.items-1)
	}
	return min(max(int64(z.scaled(z.et*u-z.et+1)), 0), z.items-1)
}

// scaled returns items*x^alpha, of which only the whole part counts. math.Pow
// takes longer than some databases need for a get, and drawing must not be what
// is measured; but what it returns must stay. So the power is first made in the
// quick way, whose error is far below doubt, and in the exact one where the whole
// part is in doubt.
func (z *Zipfian) scaled(x float64) float64 {
	const doubt = 1e-11
	items := float64(z.items)
	quick := items * hundredth(x)
	if int64(quick*(1-doubt)) == int64(quick*(1+doubt)) {
		return quick
	}
	return items * math.Pow(x, z.alpha)
}

// hundredth returns x^100. That differs from x^alpha, theta being 0.99, by no more than the
// rounding of alpha makes, which is less than 1e-12 of it for any x that a draw has.
func hundredth(x float64) float64 {
	x4 := x * x * (x * x)
	x16 := x4 * x4 * (x4 * x4)
	x32 := x16 * x16
	return x32 * x32 * x32 * x4
}
