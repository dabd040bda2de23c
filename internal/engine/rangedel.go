package engine

import (
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/ranked"
)

// lazyRangeDeletes gathers the tombstones of a tree's tables once, when the
// first reader needs them. An error is not kept: the next reader tries again.
type lazyRangeDeletes struct {
	present bool // whether any table has tombstones
	mu      ranked.Mutex[ranked.TreeDeletes]
	list    atomic.Pointer[rangedel.List]
}

// rangeDeletesOf returns the union of the tombstones in t; nil when there are
// none, which costs one load.
func (db *DB) rangeDeletesOf(t *tree) (*rangedel.List, error) {
	l := &t.rangeDeletes
	if !l.present {
		return nil, nil
	}
	if list := l.list.Load(); list != nil {
		return list, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if list := l.list.Load(); list != nil {
		return list, nil
	}
	var lists []*rangedel.List
	for _, tables := range t.levels {
		for _, tab := range tables {
			if tab.meta.RangeDeletes == 0 {
				continue
			}
			r, err := db.openTable(tab)
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
