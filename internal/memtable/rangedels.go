package memtable

import (
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// rangeDeletes holds the range deletes of a table beside its tree: those added
// since the list was last asked for, and that list. Added is read first by
// readers, so that a table without range deletes costs them one load.
type rangeDeletes struct {
	added atomic.Int64
	built atomic.Pointer[builtList]

	mu    sync.Mutex
	fresh []rangedel.Tombstone // added and not in built; the keys are in the arena
}

// builtList is the list of the first `count` range deletes.
type builtList struct {
	list  *rangedel.List
	count int64
}

// AddRangeDelete hides what is older than seq in [lo, hi). The bounds are
// copied. It fails with ErrFull like an Add of them as key and value.
func (t *Table) AddRangeDelete(lo, hi []byte, seq base.SeqNum) error {
	if !t.fits(len(lo), len(hi)) {
		return ErrFull
	}
	// A leaf outside of the tree serves as memory for the two keys.
	l := leafAt(t.mem, t.writeLeaf(lo, base.MakeTrailer(seq, base.KindRangeDelete), hi))
	rd := &t.rangeDeletes
	rd.mu.Lock()
	rd.fresh = append(rd.fresh, rangedel.Tombstone{Lo: l.key(), Hi: l.value(), Seq: seq})
	rd.mu.Unlock()
	rd.added.Add(1)
	t.publishStats(t.Len())
	return nil
}

// RangeDeleteCount returns how many range deletes were added.
func (t *Table) RangeDeleteCount() int { return int(t.rangeDeletes.added.Load()) }

// RangeDeletes returns all range deletes that were added before, nil if there
// are none.
func (t *Table) RangeDeletes() *rangedel.List {
	rd := &t.rangeDeletes
	added := rd.added.Load()
	if added == 0 {
		return nil
	}
	if built := rd.built.Load(); built != nil && built.count >= added {
		return built.list
	}
	rd.mu.Lock()
	defer rd.mu.Unlock()
	built := rd.built.Load()
	if built == nil {
		built = &builtList{}
	}
	if len(rd.fresh) > 0 {
		built = &builtList{
			list:  rangedel.Merge(built.list, rangedel.Build(rd.fresh)),
			count: built.count + int64(len(rd.fresh)),
		}
		rd.fresh = rd.fresh[:0]
		rd.built.Store(built)
	}
	return built.list
}
