// Package sharing moves memory between the hot-record cache and the blocks.
package sharing

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/reuse"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
)

// Worker is what moves memory between the hot-record cache and the blocks,
// to where it saves more work. Each tells a curve what it was asked for, which says how
// often it would have had the answer at every size. When there is something new to be seen,
// the worker computes what the reads of late would have cost at other sizes, and moves where
// that is clearly less, and was so at the look before as well.
//
// Nobody waits for a move but commits, while two pointers change. There is none soon after
// another: what the cache has lost is not there at once. It grows in steps, as it fills, so
// that blocks stay as long as they are of use; where there is room for all, at once, and is
// filled.
//
// Run is for one goroutine; all else that is called meanwhile, Installed, is called one call at
// a time.
type Worker struct {
	Config
	// Records and Blocks are what both tell of what they are asked for; nil: nothing to share.
	Records *reuse.Curve
	Blocks  *reuse.Curve

	tree *store.Tree   // the newest; of Installed
	due  chan struct{} // there is something to be seen
	size sizes
	now  int64 // of the cache that is filled
	// The rest is what the looks before came to.
	wanted int64 // 0: to stay
	looks  int   // since the last move
	enough int   // before the index before is given up
}

// Config is what a Worker moves, and with whom. It is set before Run.
type Config struct {
	Hot    *hotcache.Cache // nil: nothing to share
	Cache  *framecache.Cache
	Reads  *view.Reader
	Events *event.Sink
	// NextBytes is told what the hot-record cache is about to take, and Divide has the budget
	// divide the memory then.
	NextBytes *atomic.Int64
	Divide    func()
	// Alone runs a function while no commit is under way.
	Alone func(ctx context.Context, fn func() error) error
}

// sizes are the bounds of the hot-record cache. What it does not take of all is for blocks.
type sizes struct{ min, max, all int64 }

const (
	// Work is counted in gets from the tree whose blocks are in memory, about a
	// microsecond. A block that is not costs readWork: it is read, from the page cache at
	// best, and its checksum computed. To ask a large cache costs askWork, and to tell it of
	// a write writeWork, for it lies far from the processor.
	readWork  = 8.0
	askWork   = 0.12
	writeWork = 0.3
	// askFromBytes is from where on a cache is large: its index does not fit in what a
	// processor has for itself.
	askFromBytes = 16 << 20
	// usesPerGet is how many blocks a get from the tree looks at: filter, index, data.
	usesPerGet = 3

	// A move must save moveShare of the work, and of what was asked.
	moveShare = 0.05
	// Of sizes that differ by no more than sameShare of the gets the largest is taken.
	sameShare = 0.01
	// dataRoom is how many times all records that there are a cache for them is.
	dataRoom = 1.4
	// dataRoomMin is what serves nearly as well, where that is more than there is.
	dataRoomMin = 1.1
	// againShare of the gets must have been of records that were asked for before, for what
	// was not to be taken for what will be.
	againShare = 0.02
	// There is a look after as many gets as windowShare of the records that the cache could
	// hold. So movingLooks after a move each record of the largest cache was asked for
	// twice, and what is still wanted of the index before has been taken over; a smaller
	// one needs less.
	windowShare    = 16
	movingLooks    = 2 * windowShare
	movingLooksMin = 4

	// hotMaxBytes is a cache whose index is as large as an arena can be.
	hotMaxBytes = 24 << 30
	// indexBeforeFraction of the largest cache is room for the index before.
	indexBeforeFraction = 16
	recordBytesMean     = 128
	blockBytesMean      = 8 << 10
)

// Bounds are what memory there is to share.
type Bounds struct {
	HotBytes    int64 // of the hot-record cache at first, and at least; 0: there is none
	BudgetBytes int64 // of all memory
	BlocksBytes int64 // what blocks have of that at least
	OthersBytes int64 // what neither of both can have
}

// New returns a worker without its Config; without curves where there is nothing to be moved.
func New(b Bounds) *Worker {
	w := &Worker{due: make(chan struct{}, 1), now: b.HotBytes}
	all := b.BudgetBytes - b.OthersBytes
	w.size = sizes{min: b.HotBytes, max: all - b.BlocksBytes, all: all}
	w.size.max = min(w.size.max-w.size.max/indexBeforeFraction, hotMaxBytes)
	if b.HotBytes == 0 || w.size.max < 2*w.size.min {
		return w
	}
	window := w.size.max / recordBytesMean / windowShare
	w.Records = reuse.New(reuse.Config{
		MinBytes: w.size.min, MaxBytes: w.size.max, ItemBytes: recordBytesMean, Due: w.note, WindowUses: window,
	})
	w.Blocks = reuse.New(reuse.Config{
		MinBytes: w.size.min, MaxBytes: w.size.all, ItemBytes: blockBytesMean, Due: w.note, WindowUses: usesPerGet * window,
	})
	return w
}

// HotMaxBytes is how large the hot-record cache can become.
func (w *Worker) HotMaxBytes() int64 { return w.size.max }

// note has the worker look. It does not wait.
func (w *Worker) note() {
	select {
	case w.due <- struct{}{}:
	default:
	}
}

// Installed is told of each new read state. The checks want what is rare to happen often: with
// each new tree the worker looks, and moves to any size.
func (w *Worker) Installed(state *view.State) {
	if invariant.Enabled && state.Tree != w.tree {
		w.tree = state.Tree
		w.note()
	}
}

// Run is the worker, until ctx ends.
func (w *Worker) Run(ctx context.Context) {
	for w.Records != nil {
		select {
		case <-w.due:
			w.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look moves memory if that pays.
func (w *Worker) look(ctx context.Context) {
	if bytes := w.Hot.WantsMore(); bytes > 0 {
		w.take(bytes, w.Hot.Grow)
	}
	if w.Hot.IsMoving() {
		if w.looks++; w.looks >= w.enough && w.Hot.DropBefore(w.exclude(ctx)) == nil {
			w.Divide()
			_, _ = w.Records.Take(), w.Blocks.Take() // what came of the move counts less
		}
		return
	}
	d := demand{
		records: w.Records.Take(), blocks: w.Blocks.Take(),
		now: w.now, all: w.Hot.SizeBytes() + w.Cache.CapacityBytes(), max: w.size.max, data: w.dataBytes(),
	}
	if size := w.choose(&d); size != w.now {
		w.move(ctx, size)
	}
}

// choose returns the size to move to, now if the cache is to stay as it is: the best one, if
// it was so at the look before as well.
func (w *Worker) choose(d *demand) int64 {
	if invariant.Enabled {
		return w.size.min + rand.Int64N(w.size.max-w.size.min+1)
	}
	best := d.best()
	again := best == w.wanted
	w.wanted = best
	if !again {
		return w.now
	}
	return best
}

// dataBytes is what all records of the tree would take of the hot-record cache.
func (w *Worker) dataBytes() (n int64) {
	tree := w.Reads.Pin()
	defer w.Reads.Release(tree)
	for _, files := range tree.Tree.Version.Levels {
		for _, f := range files {
			n += hotcache.BytesOf(int64(f.Count), int64(f.RawBytes))
		}
	}
	return n
}

// move makes the cache another size.
func (w *Worker) move(ctx context.Context, size int64) {
	w.wanted, w.looks = 0, 0
	size, whole := w.atOnce(size)
	moved := false
	w.take(w.Hot.ResizeBytes(size, whole), func() {
		if err := w.Hot.Resize(size, whole, w.exclude(ctx)); err != nil {
			w.size.max = min(w.size.max, max(size-1, w.now)) // there is no memory for it
			return
		}
		moved = true
		w.Events.MemoryShared(w.now, size)
		w.enough = max(int(movingLooks*min(w.now, size)/w.size.max), movingLooksMin)
		if invariant.Enabled {
			w.enough = 1
		}
		w.now = size
	})
	if moved && whole {
		w.prefill(ctx)
	}
}

// atOnce reports whether there is memory for a size that nobody uses, so that blocks have no need
// of steps. Where all records are to find room and there is none for as much of it, there may be
// for somewhat less.
func (w *Worker) atOnce(size int64) (_ int64, whole bool) {
	free := w.size.all - w.Cache.Metrics().UsedBytes
	if w.Hot.ResizeBytes(size, true) <= free {
		return size, true
	}
	smaller := free - free/indexBeforeFraction
	if w.now < smaller && smaller < size && w.Hot.ResizeBytes(smaller, true) <= free {
		if data := float64(w.dataBytes()); dataRoomMin*data <= float64(smaller) {
			return smaller, true
		}
	}
	return size, false
}

// take has the blocks make room, does what takes so many bytes at most, and gives the
// blocks what that has left.
func (w *Worker) take(bytes int64, do func()) {
	w.NextBytes.Store(bytes)
	w.Divide()
	do()
	w.NextBytes.Store(0)
	w.Divide()
}

// exclude runs a function while no commit is under way.
func (w *Worker) exclude(ctx context.Context) func(change func()) error {
	return func(change func()) error {
		return w.Alone(ctx, func() error {
			change()
			return nil
		})
	}
}

// demand is what was asked of both of late, and what memory there is for them.
type demand struct {
	records, blocks reuse.Estimate
	now             int64 // of the hot-record cache
	all             int64 // of both together
	max             int64 // of the hot-record cache
	data            int64 // what all records that there are would take of that
}

// hits is the share of gets that the hot-record cache would answer, had it been of a size
// and warm. A curve knows nothing of what was used once so far; if it is used again at all,
// and all there is fits, the cache will have it.
func (d *demand) hits(bytes int64) float64 {
	if bytes >= d.data && d.records.Hits(d.max) >= againShare {
		return 1
	}
	return d.records.Hits(bytes)
}

// work is what the reads would have cost, had the hot-record cache been of a size and warm.
// What was asked of blocks, but for gets, does not depend on it.
func (d *demand) work(bytes int64) float64 {
	gets := d.records.Uses * (1 - d.hits(bytes))
	others := max(d.blocks.Uses-usesPerGet*d.records.Missed, 0)
	reads := (others + usesPerGet*gets) * (1 - d.blocks.Hits(d.all-bytes))
	work := gets + readWork*reads
	if bytes > askFromBytes {
		work += askWork*(d.records.Uses+d.records.Passes) + writeWork*d.records.Writes
	}
	return work
}

// best returns the size of the hot-record cache at which reads as those of late cost least,
// now if none is clearly better.
func (d *demand) best() int64 {
	candidates := append(slices.Clone(d.records.Sizes()), d.max)
	candidates = slices.DeleteFunc(candidates, func(bytes int64) bool { return bytes > d.max })
	now := d.work(d.now)
	least := now
	for _, bytes := range candidates {
		least = min(least, d.work(bytes))
	}
	asked := d.records.Uses + d.records.Passes + d.records.Writes + d.blocks.Uses/usesPerGet
	if now-least <= moveShare*max(now, asked) {
		return d.now
	}
	best := d.now
	for _, bytes := range candidates {
		if d.work(bytes) <= least+sameShare*d.records.Uses {
			best = bytes
		}
	}
	if enough := int64(dataRoom * float64(d.data)); best > enough && d.now < enough {
		return max(enough, d.records.Sizes()[0]) // what there is more would only be far from the processor
	}
	return best
}
