package engine

import (
	"context"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/reserve"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/view"
)

// keeper is the worker that sees to it that the reserve is there: while the disk is
// full it has deletes flushed, so that compactions find them, and it takes the reserve
// back when there is space.
type keeper struct {
	reserve *reserve.Reserve
	reads   *view.Reader
	flush   func(ctx context.Context) error
	changed *signal.Changes
	clock   clock.Clock

	fileBytes int64 // the least that tables aim at
}

// run is the worker.
func (k *keeper) run(ctx context.Context) {
	due := func() bool { return k.reserve.Missing() && !k.reserve.InUse() }
	for k.changed.Wait(ctx, due) == nil {
		k.reserve.Take()
		if k.reserve.Full() && k.unflushed() {
			_ = k.flush(ctx) // the flusher says why it cannot
		}
		if k.reserve.Missing() && !signal.Sleep(ctx, k.clock, retryDelay) {
			return
		}
	}
}

// needs is what the reserve is for. Tables of level 0 are not rewritten one by
// one.
func (k *keeper) needs() reserve.Needs {
	s := k.reads.State()
	v := s.Tree.Version
	treeBytes := compact.TreeBytes(v)
	n := reserve.Needs{
		UnflushedBytes: s.UnflushedBytes(), TreeBytes: int64(treeBytes),
		TableBytes: compact.TableBytes(treeBytes, k.fileBytes),
	}
	for _, files := range v.Levels[1:] {
		for _, f := range files {
			n.LargestBytes = max(n.LargestBytes, int64(f.SizeBytes))
		}
	}
	return n
}

// unflushed reports whether anything is in memory that is in no table.
func (k *keeper) unflushed() bool {
	s := k.reads.State()
	return s.Mem.Table.Len()+s.Mem.Table.RangeDeletes().Count() > 0 || len(s.Immutables) > 0
}
