package workload

import (
	"math/bits"
	"time"
)

// A histogram counts latencies in nanoseconds to three significant digits, in
// buckets as HdrHistogram has them (Tene), so that percentiles are those of
// earlier measurements: values below 2048 have a bucket each, and every doubling
// after that has 1024 of equal width. Recording is an addition, and takes no
// memory. A Histogram is for one goroutine.

// latencyMax is the longest latency that is told from longer ones.
const latencyMax = 10 * time.Minute

const (
	halfBits = 10 // every doubling has 1<<halfBits buckets
	// The longest latency has 40 bits.
	buckets = (40 - halfBits + 1) << halfBits
)

// Histogram collects latencies.
type Histogram struct {
	counts []int64
	total  int64
}

// NewHistogram returns an empty histogram.
func NewHistogram() *Histogram { return &Histogram{counts: make([]int64, buckets)} }

// Record adds one latency. One above ten minutes counts as ten minutes, one
// below a nanosecond as that.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucketOf(min(max(d, 1), latencyMax))]++
	h.total++
}

// bucketOf returns the number of the bucket that a latency falls into.
func bucketOf(d time.Duration) int {
	shift := max(bits.Len64(uint64(d))-halfBits-1, 0)
	return shift<<halfBits + int(d>>shift)
}

// greatestIn returns the longest latency of a bucket.
func greatestIn(bucket int) time.Duration {
	shift := max(bucket>>halfBits-1, 0)
	return time.Duration(bucket-shift<<halfBits+1)<<shift - 1
}

// Add adds all that another one holds.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// Reset empties it.
func (h *Histogram) Reset() {
	clear(h.counts)
	h.total = 0
}

// Count returns how many latencies were recorded.
func (h *Histogram) Count() int64 { return h.total }

// Percentile returns the latency that so many of a hundred do not exceed; 0 if
// nothing was recorded.
func (h *Histogram) Percentile(percent float64) time.Duration {
	wanted := min(max(int64(percent/100*float64(h.total)+0.5), 1), h.total)
	if wanted == 0 {
		return 0
	}
	for bucket, n := range h.counts {
		if wanted -= n; wanted <= 0 {
			return greatestIn(bucket)
		}
	}
	return latencyMax
}

// Max returns the longest latency.
func (h *Histogram) Max() time.Duration { return h.Percentile(100) }

// Mean returns the mean of the latencies, 0 if there are none.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	var sum float64
	for bucket, n := range h.counts {
		sum += float64(n) * float64(greatestIn(bucket))
	}
	return time.Duration(sum / float64(h.total)).Round(10 * time.Nanosecond)
}

// Percentiles are what is told of a histogram.
type Percentiles struct {
	Count               int64
	P50, P99, P999, Max time.Duration
}

// Percentiles returns them, all 0 if nothing was recorded.
func (h *Histogram) Percentiles() Percentiles {
	return Percentiles{h.total, h.Percentile(50), h.Percentile(99), h.Percentile(99.9), h.Max()}
}
