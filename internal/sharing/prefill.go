package sharing

import (
	"context"

	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/view"
)

const (
	// prefillShare is the part of the tables that must be in memory for the cache to be
	// filled: nothing is read from files for that.
	prefillShare = 0.9
	// prefillChecked is how many records are filled at most where there are checks, and memory
	// moves at any time.
	prefillChecked = 200
)

// inMemory reports whether the tables are, as far as can be told; where values are kept apart
// from their keys it cannot.
func (w *Worker) inMemory() bool {
	state := w.Reads.Pin()
	defer w.Reads.Release(state)
	v := state.Tree.Version
	cached := float64(w.Cache.Metrics().UsedBytes)
	return compact.SumBlobs(v).Files == 0 && cached >= prefillShare*float64(compact.TreeBytes(v))
}

// prefill puts all records into a hot-record cache that has grown and has room for them: to
// wait until each was asked for would take several gets of each, in which the cache costs more
// than it saves. It takes the rows of an iterator, in the order of keys, while nothing is written, and
// otherwise gets each.
func (w *Worker) prefill(ctx context.Context) {
	if w.now < w.dataBytes() || !w.inMemory() {
		return
	}
	it, err := w.Reads.NewIterator(view.IterOptions{Own: true})
	if err != nil {
		return // the database is being closed
	}
	defer it.Close() // what it may say, others are told by their reads
	n := 0
	wanted := func() bool {
		n++
		return ctx.Err() == nil && !(invariant.Enabled && n > prefillChecked)
	}
	it.First()
	if view.KeepHot(it, wanted) {
		return
	}
	var value []byte
	for ok := it.Valid(); ok && wanted(); ok = it.Next() {
		value = view.Warm(w.Reads, value, it.Key())
	}
}
