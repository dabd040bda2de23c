package engine

import (
	"context"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
)

// reaper is the worker that has memory flushed for the deletes in it, because what they
// end takes space until they are in tables: soon, where range deletes hide whole tables,
// which the flush takes out of the tree, and else when nothing was written for a while.
// A few deletes of a large database are left to the next flush.
type reaper struct {
	reads   *view.Reader
	claims  *claims
	flush   func(ctx context.Context) error
	changed *signal.Changes
	clock   clock.Clock

	seen   base.SeqNum   // the newest at the last look
	quiet  time.Duration // for so long it has been that
	judged uint64        // the size of the tree for which the deletes were too few
}

const (
	// reapEvery is the time between two looks, while there are deletes in memory.
	reapEvery = time.Second / 2
	// reapQuiet is for how long nothing must have been written.
	reapQuiet = 5 * time.Second
	// reapShare is the part of the tree that deletes must end: one of so many.
	reapShare = 32
)

// run is the worker.
func (r *reaper) run(ctx context.Context) {
	for r.changed.Wait(ctx, r.hasDeletes) == nil && signal.Sleep(ctx, r.clock, reapEvery) {
		if r.due() {
			_ = r.flush(ctx) // the flusher says why it cannot
		}
	}
}

// hasDeletes reports whether there are deletes in the memtable. The writer notifies of
// the first one.
func (r *reaper) hasDeletes() bool { return r.reads.State().Mem.HasDeletes() }

// due reports whether the memtable is to be flushed. It is the worker's.
func (r *reaper) due() bool {
	s := r.reads.Pin()
	defer r.reads.Release(s)
	newest := r.reads.VisibleSeq()
	r.quiet += reapEvery
	if r.seen != newest {
		r.seen, r.quiet, r.judged = newest, 0, 0
	}
	hidden := r.claims.coveredBytes(s.Mem, newest)
	if hidden > 0 && hidden >= uint64(s.Mem.TableBytes()) {
		return true
	}
	tree := treeBytes(s.Tree)
	if r.quiet < reapQuiet || r.judged == tree {
		return false
	}
	r.judged = tree
	ended := endedBytes(s.Mem, newest, s.Tree)
	return ended > 0 && ended >= tree/reapShare
}

// endedBytes estimates the bytes of tables that the deletes of a memtable end, as far as
// seq sees range deletes.
func endedBytes(mem *view.Flushable, seq base.SeqNum, tree *store.Tree) uint64 {
	var records uint64
	for _, files := range tree.Version.Levels {
		for _, f := range files {
			records += f.Count
		}
	}
	ended := float64(treeBytes(tree)) * min(float64(mem.Table.DeleteCount())/float64(max(records, 1)), 1)
	return uint64(ended) + tree.CoveredBytes(mem.Table.RangeDeletes().Iter(seq, 0, nil, nil), 0, nil)
}

func treeBytes(tree *store.Tree) (n uint64) {
	for level := range tree.Version.Levels {
		n += tree.Version.LevelBytes(level)
	}
	return n
}
