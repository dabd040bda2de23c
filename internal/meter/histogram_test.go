package meter

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// Buckets follow one another without a gap, and none is wider than an eighth of its least value.
func TestBuckets(t *testing.T) {
	least := uint64(0)
	for bucket := range BucketCount {
		bound := boundOf(bucket)
		if bucketOf(least) != bucket || bucketOf(bound) != bucket {
			t.Fatalf("bucket %d is said to hold %d to %d, which are in %d and %d", bucket, least, bound, bucketOf(least), bucketOf(bound))
		}
		if bound-least > least/8 {
			t.Fatalf("bucket %d holds %d to %d", bucket, least, bound)
		}
		least = bound + 1
	}
	if last := bucketOf(math.MaxUint64); last != BucketCount-1 {
		t.Errorf("the largest value is in bucket %d of %d", last, BucketCount)
	}
}

// Quantiles are those of the values, up to the width of a bucket, and sums and counts exact,
// whoever records.
func TestQuantiles(t *testing.T) {
	var h Histogram
	var all sync.WaitGroup
	const goroutines, each = 4, 5000
	values := make([]int64, goroutines*each)
	for i := range values {
		values[i] = int64(math.Exp(rand.Float64() * 25))
	}
	for g := range goroutines {
		all.Go(func() {
			for _, v := range values[g*each : (g+1)*each] {
				h.Record(v)
			}
		})
	}
	all.Wait()
	s := h.Snapshot()
	var sum uint64
	for _, v := range values {
		sum += uint64(v)
	}
	slices.Sort(values)
	if s.Count != uint64(len(values)) || s.Sum != sum || s.Max != uint64(values[len(values)-1]) {
		t.Errorf("%d values of %d together, the largest %d", s.Count, s.Sum, s.Max)
	}
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := uint64(values[min(max(int(q*float64(len(values))+0.5)-1, 0), len(values)-1)])
		if got := s.Quantile(q); got < want || got > want+want/8 {
			t.Errorf("quantile %v is %d, want %d or a little more", q, got, want)
		}
	}
	var counted uint64
	last := uint64(0)
	for bound, n := range s.Buckets() {
		if counted > 0 && bound <= last {
			t.Errorf("a bucket up to %d comes behind one up to %d", bound, last)
		}
		counted, last = counted+n, bound
	}
	if counted != s.Count {
		t.Errorf("%d values are in buckets, want %d", counted, s.Count)
	}
}

// What came in between two moments is told by itself.
func TestSub(t *testing.T) {
	var h Histogram
	empty := h.Snapshot()
	if empty.Quantile(0.5) != 0 || empty.Count != 0 {
		t.Errorf("empty: %+v", empty)
	}
	h.Record(1000)
	h.Record(-5)
	before := h.Snapshot()
	h.Record(3)
	h.Record(100)
	d := h.Snapshot().Sub(before)
	if d.Count != 2 || d.Sum != 103 || d.Quantile(0.5) != 3 || d.Max < 100 || d.Max > 112 {
		t.Errorf("in between: %+v", d)
	}
	if all := h.Snapshot().Sub(empty); all.Count != 4 || all.Max < 1000 {
		t.Errorf("since the beginning: %+v", all)
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	b.RunParallel(func(pb *testing.PB) {
		for v := int64(1); pb.Next(); v = v*7%100_003 + 50 {
			h.Record(v)
		}
	})
}
