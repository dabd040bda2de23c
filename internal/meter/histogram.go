// Package meter has histograms that many goroutines record in at once.
//
// A Histogram counts values in buckets whose width grows with the value, as those of HdrHistogram
// do (Tene): values below 16 have a bucket each, and every doubling after that has 8 of equal
// width, so that a bound of a bucket is at most an eighth above the least value in it.
// Recording is three additions and takes no memory and no lock.
package meter

import (
	"iter"
	"math/bits"
	"sync/atomic"
)

const (
	halfBits = 3 // every doubling has 1<<halfBits buckets
	// valueBits is how many bits the largest value has that is told from larger ones: of a time
	// in nanoseconds that is a good hour.
	valueBits = 42
	// BucketCount is the number of buckets.
	BucketCount = (valueBits - halfBits + 1) << halfBits
)

// Histogram collects values. The zero value is empty. It must not be copied after first use. Its
// methods are safe for concurrent use.
type Histogram struct {
	counts [BucketCount]atomic.Uint64
	sum    atomic.Uint64
	max    atomic.Uint64
}

// Record adds a value, such as a time in nanoseconds. One below zero counts as zero.
func (h *Histogram) Record(value int64) {
	v := uint64(max(value, 0))
	h.counts[bucketOf(v)].Add(1)
	h.sum.Add(v)
	for top := h.max.Load(); v > top && !h.max.CompareAndSwap(top, v); {
		top = h.max.Load()
	}
}

// bucketOf returns the number of the bucket that a value falls into.
func bucketOf(v uint64) int {
	v = min(v, 1<<valueBits-1)
	shift := max(bits.Len64(v)-halfBits-1, 0)
	return shift<<halfBits + int(v>>shift)
}

// boundOf returns the largest value of a bucket.
func boundOf(bucket int) uint64 {
	shift := max(bucket>>halfBits-1, 0)
	return uint64(bucket-shift<<halfBits+1)<<shift - 1
}

// Snapshot returns what there is. Values that come meanwhile may be in it in parts.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Sum: h.sum.Load(), Max: h.max.Load()}
	for i := range h.counts {
		n := h.counts[i].Load()
		if n > 0 && s.counts == nil {
			s.counts = make([]uint64, BucketCount)
		}
		if n > 0 {
			s.counts[i] = n
			s.Count += n
		}
	}
	return s
}

// Snapshot is what a Histogram held at some moment. It does not change.
type Snapshot struct {
	Count, Sum, Max uint64

	counts []uint64 // nil: all are 0
}

// Quantile returns a value that a share q of all values, 0 to 1, do not exceed; 0 if there are none.
func (s Snapshot) Quantile(q float64) uint64 {
	wanted := max(int64(q*float64(s.Count)+0.5), 1)
	for bucket, n := range s.counts {
		if wanted -= int64(n); wanted <= 0 {
			return min(boundOf(bucket), s.Max)
		}
	}
	return s.Max
}

// Buckets yields the buckets that are not empty, with the largest value of each and how many there
// are, in order.
func (s Snapshot) Buckets() iter.Seq2[uint64, uint64] {
	return func(yield func(bound, count uint64) bool) {
		for bucket, n := range s.counts {
			if n > 0 && !yield(boundOf(bucket), n) {
				return
			}
		}
	}
}

// Sub returns what came between an earlier snapshot of the same histogram and s. Its largest value is a
// bound: that of its last bucket, or of all there ever were.
func (s Snapshot) Sub(earlier Snapshot) Snapshot {
	d := Snapshot{Count: s.Count - earlier.Count, Sum: s.Sum - earlier.Sum}
	for bucket, n := range s.counts {
		if earlier.counts != nil {
			n -= earlier.counts[bucket]
		}
		if n == 0 {
			continue
		}
		if d.counts == nil {
			d.counts = make([]uint64, BucketCount)
		}
		d.counts[bucket] = n
		d.Max = min(boundOf(bucket), s.Max)
	}
	return d
}
