package lightning

import (
	"iter"
	"time"

	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/meter"
)

// OperationMetrics tell what was asked of the database, and how long that took.
type OperationMetrics struct {
	Gets      GetMetrics
	MultiGets MultiGetMetrics
	Commits   CommitMetrics
}

// GetMetrics are of gets of one key: Get, AppendGet, GetFunc and Has, of the database, a keyspace, a
// snapshot or a transaction that did not find its own write.
type GetMetrics struct {
	// Found and Missed are how many there were: those that found a value, and those whose key was
	// absent, that failed, or whose function did.
	Found, Missed uint64
	// FromTree is how many of both were answered by memtables and tables, not by the cache of
	// hot records.
	FromTree uint64
	// Latency is that of a sample, one in 64.
	Latency Histogram[time.Duration]
}

// MultiGetMetrics are of MultiGet.
type MultiGetMetrics struct {
	Latency Histogram[time.Duration] // of each, with the time that its function took
	Keys    Histogram[int64]         // that each asked for
}

// CommitMetrics are of all writes: a Put is a commit, as are a batch and a transaction. What goes past
// the log, as bulk loads do, is not among them.
type CommitMetrics struct {
	// Count is how many were written to the log.
	Count uint64
	// Sync, Buffered and Async are from the call to the return, by Durability: of each synced commit, and
	// of a sample, one in 64, of the others. SizeBytes is how long their batches were.
	Sync, Buffered, Async Histogram[time.Duration]
	SizeBytes             Histogram[int64]
	// LogSyncs is how long the syncs took that commits waited for, and CommitsPerSync how many
	// commits each of them served.
	LogSyncs       Histogram[time.Duration]
	CommitsPerSync Histogram[int64]
}

// Histogram says how latencies or sizes are distributed since Open. It does not change. Its values
// are right up to an eighth.
type Histogram[T ~int64] struct{ inner meter.Snapshot }

// Count returns how many values there are.
func (h Histogram[T]) Count() uint64 { return h.inner.Count }

// Sum returns the sum of all values, exactly.
func (h Histogram[T]) Sum() T { return T(h.inner.Sum) }

// Mean returns the mean of all values; 0 if there are none.
func (h Histogram[T]) Mean() T {
	if h.inner.Count == 0 {
		return 0
	}
	return T(h.inner.Sum / h.inner.Count)
}

// Max returns the largest value; 0 if there are none.
func (h Histogram[T]) Max() T { return T(h.inner.Max) }

// Quantile returns a value that a share q of all values, from 0 to 1, do not exceed: 0.99 is for the
// 99th percentile. It is 0 if there are none.
func (h Histogram[T]) Quantile(q float64) T { return T(h.inner.Quantile(q)) }

// Buckets yields how many values there are up to a bound and above the bound before it, for
// each bound where there are any, in order.
func (h Histogram[T]) Buckets() iter.Seq2[T, uint64] {
	return func(yield func(bound T, count uint64) bool) {
		for bound, count := range h.inner.Buckets() {
			if !yield(T(bound), count) {
				return
			}
		}
	}
}

// Since returns what came after an earlier one of the same database: that of the last minute, if the
// earlier one is a minute old. Its Max is right up to an eighth.
func (h Histogram[T]) Since(earlier Histogram[T]) Histogram[T] {
	return Histogram[T]{h.inner.Sub(earlier.inner)}
}

func newOperationMetrics(e *engine.Metrics) OperationMetrics {
	gets, commits := &e.Gets, &e.Commits
	return OperationMetrics{
		Gets: GetMetrics{
			Found: gets.Found, Missed: gets.Missed, FromTree: gets.FromTree,
			Latency: Histogram[time.Duration]{gets.Latency},
		},
		MultiGets: MultiGetMetrics{
			Latency: Histogram[time.Duration]{gets.MultiLatency}, Keys: Histogram[int64]{gets.MultiKeys},
		},
		Commits: CommitMetrics{
			Count:          commits.Commits,
			Sync:           Histogram[time.Duration]{commits.Latencies[commit.Sync]},
			Buffered:       Histogram[time.Duration]{commits.Latencies[commit.Buffered]},
			Async:          Histogram[time.Duration]{commits.Latencies[commit.Async]},
			SizeBytes:      Histogram[int64]{commits.Bytes},
			LogSyncs:       Histogram[time.Duration]{commits.Syncs},
			CommitsPerSync: Histogram[int64]{commits.Served},
		},
	}
}
