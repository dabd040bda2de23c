package measure

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/lightningdb/lightning/bench/result"
)

// Latencies of up to this are told apart; longer ones count as it.
const latencyMax = 10 * time.Minute

// Histogram collects latencies with three significant digits (HDR histogram).
// It is for one goroutine.
type Histogram struct{ h *hdrhistogram.Histogram }

// NewHistogram returns an empty histogram.
func NewHistogram() *Histogram {
	return &Histogram{hdrhistogram.New(1, int64(latencyMax), 3)}
}

// Record adds one latency.
func (h *Histogram) Record(d time.Duration) {
	_ = h.h.RecordValue(min(max(int64(d), 1), int64(latencyMax))) // in range
}

// Add adds all that another one holds.
func (h *Histogram) Add(other *Histogram) { h.h.Merge(other.h) }

// Reset empties it.
func (h *Histogram) Reset() { h.h.Reset() }

// Latency returns the percentiles; nil if nothing was recorded. of says what
// was timed.
func (h *Histogram) Latency(of string) *result.Latency {
	if h.h.TotalCount() == 0 {
		return nil
	}
	return &result.Latency{
		Of: of, Count: h.h.TotalCount(),
		P50: h.h.ValueAtQuantile(50), P99: h.h.ValueAtQuantile(99),
		P999: h.h.ValueAtQuantile(99.9), Max: h.h.Max(),
	}
}
