package workload

import "math"

// theta is the skew of YCSB.
const theta = 0.99

// zipfian draws numbers such that the k-th most popular one is drawn in
// proportion to 1/k^theta (Gray and others, "Quickly Generating Billion-Record
// Synthetic Databases", 1994, as YCSB uses it). It is immutable and may be
// shared.
type zipfian struct {
	items           int64
	alpha, zeta, et float64
}

// newZipfian takes time in proportion to items.
func newZipfian(items int64) *zipfian {
	var zeta float64
	for k := int64(1); k <= items; k++ {
		zeta += 1 / math.Pow(float64(k), theta)
	}
	two := 1 + math.Pow(0.5, theta)
	return &zipfian{
		items: items,
		alpha: 1 / (1 - theta),
		zeta:  zeta,
		et:    (1 - math.Pow(2/float64(items), 1-theta)) / (1 - two/zeta),
	}
}

// draw returns a number in [0, items), 0 the most often. Keys lie at random in
// key order, so popular records are scattered without another hash.
func (z *zipfian) draw(r *random) int64 {
	u := r.fraction()
	switch uz := u * z.zeta; {
	case uz < 1:
		return 0
	case uz < 1+math.Pow(0.5, theta):
		return min(1, z.items-1)
	}
	n := int64(float64(z.items) * math.Pow(z.et*u-z.et+1, z.alpha))
	return min(max(n, 0), z.items-1)
}
