package workload

import (
	"slices"
	"testing"
	"time"
)

// What a histogram tells of a latency is at most a thousandth above it.
func TestHistogramHasThreeDigits(t *testing.T) {
	for d := time.Duration(1); d < latencyMax; d += d/97 + 1 {
		told := greatestIn(bucketOf(d))
		if told < d || told-d > d/1000 {
			t.Fatalf("%d is told as %d", d, told)
		}
		if d > 1 && bucketOf(d) != bucketOf(d-1) && greatestIn(bucketOf(d-1)) != d-1 {
			t.Fatalf("the bucket before %d ends at %d", d, greatestIn(bucketOf(d-1)))
		}
	}
	h := NewHistogram()
	if h.Percentiles() != (Percentiles{}) {
		t.Error("an empty histogram tells something")
	}
	for _, d := range []time.Duration{-5, 0, time.Hour} {
		h.Record(d)
	}
	if low, high := h.Percentile(0), h.Max(); low != 1 || high < latencyMax || high > latencyMax+latencyMax/1000 || h.Count() != 3 {
		t.Errorf("%d latencies from %v to %v", h.Count(), low, high)
	}
}

// Percentiles are those of the sorted latencies, to three digits.
func TestPercentiles(t *testing.T) {
	random := Random(1)
	parts := []*Histogram{NewHistogram(), NewHistogram()}
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(1 + random.Next()>>(24+random.Below(40)))
		all = append(all, min(d, latencyMax))
		parts[i%2].Record(d)
	}
	slices.Sort(all)
	h := NewHistogram()
	h.Add(parts[0])
	h.Add(parts[1])
	for _, percent := range []float64{0.01, 1, 50, 90, 99, 99.9, 100} {
		exact := all[int(percent/100*float64(len(all))+0.5)-1]
		if got := h.Percentile(percent); got != greatestIn(bucketOf(exact)) {
			t.Errorf("%v %%: %v, not %v", percent, got, exact)
		}
	}
	h.Reset()
	if h.Count() != 0 || h.Max() != 0 {
		t.Error("not empty")
	}
}
