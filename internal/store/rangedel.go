package store

import (
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/ranked"
)

// lazyRangeDeletes gathers the tombstones of a tree's tables once, when the
// first reader needs them. An error is not kept: the next reader tries again.
// Whoever waits for mu waits for the tables that he needs himself.
type lazyRangeDeletes struct {
	present bool // whether any table has tombstones
	mu      ranked.Mutex[ranked.TreeDeletes]
	list    atomic.Pointer[rangedel.List]
}

// RangeDeletes returns the union of the tombstones in t; nil when there are
// none, which costs one load.
func (t *Tree) RangeDeletes() (*rangedel.List, error) {
	l := &t.rangeDeletes
	if !l.present {
		return nil, nil
	}
	if list := l.list.Load(); list != nil {
		return list, nil
	}
	return t.gatherRangeDeletes()
}

func (t *Tree) gatherRangeDeletes() (*rangedel.List, error) {
	l := &t.rangeDeletes
	l.mu.Lock()
	defer l.mu.Unlock()
	if list := l.list.Load(); list != nil {
		return list, nil
	}
	var lists []*rangedel.List
	for _, tables := range t.Levels {
		for _, tab := range tables {
			if tab.Meta.RangeDeletes == 0 {
				continue
			}
			r, err := tab.Reader()
			if err != nil {
				return nil, err
			}
			list, err := r.RangeDeletes()
			if err != nil {
				return nil, err
			}
			lists = append(lists, list)
		}
	}
	merged := rangedel.Merge(lists...)
	l.list.Store(merged)
	return merged, nil
}
