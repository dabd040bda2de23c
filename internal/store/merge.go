package store

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
)

// Merge is the records of tables that become others. Its memory does not grow with the
// number of tables, but for a block of each: all of them read ahead within one bound, and
// a large value is read when its record is the current one. It is used by one goroutine at
// a time.
type Merge struct {
	*iterate.Merging
	levels []*iterate.Level // its sources
	fresh  bool
	err    error
}

// First implements compact.Source.
func (m *Merge) First() *base.Record {
	m.err = nil
	return m.loaded(m.Merging.First())
}

// Next implements compact.Source.
func (m *Merge) Next() *base.Record {
	if m.err != nil {
		return nil
	}
	return m.loaded(m.Merging.Next())
}

// SeekGE implements Records.
func (m *Merge) SeekGE(key []byte) *base.Record {
	m.err = nil
	return m.loaded(m.Merging.SeekGE(key))
}

// Fresh implements compact.BlockSource.
func (m *Merge) Fresh() *bool { return &m.fresh }

// Whole implements compact.BlockSource.
func (m *Merge) Whole() (p sstable.Whole, ok bool) {
	top, others := iterate.Lead(m.Merging)
	if top < 0 {
		return p, false
	}
	if it := m.open(top); it != nil {
		p, ok = sstable.WholeAt(it, others)
	}
	m.fresh = ok
	for i := range m.levels {
		if it := m.open(i); i != top && !m.fresh && it != nil {
			m.fresh = sstable.AtWhole(it) // its turn will come
		}
	}
	return p, ok
}

// open returns the iterator over the open table of a source, if there is one.
func (m *Merge) open(source int) *sstable.Iter {
	it, _ := m.levels[source].Iter().(*sstable.Iter)
	return it
}

// PassBlock implements compact.BlockSource.
func (m *Merge) PassBlock() *base.Record {
	top, _ := iterate.Lead(m.Merging)
	return m.loaded(iterate.Moved(m.Merging, m.levels[top].Moved(m.open(top).PassBlock())))
}

// loaded returns a record with its value.
func (m *Merge) loaded(rec *base.Record) *base.Record {
	if rec == nil || len(rec.Value) > 0 {
		return rec
	}
	if m.err = m.Merging.Load(); m.err != nil {
		return nil
	}
	return rec
}

// Err implements compact.Source.
func (m *Merge) Err() error {
	if m.err != nil {
		return m.err
	}
	return m.Merging.Err()
}

// What one of several tables reads at once.
const (
	bulkMinBytes = 32 << 10
	bulkMaxBytes = 512 << 10
)

// bulkBytes is what each of some sources that are read side by side reads at once.
func (s *Store) bulkBytes(sources int) int64 {
	return min(max(s.cfg.MergeBytes/int64(sources), bulkMinBytes), bulkMaxBytes)
}

// MergeInputs opens files of two levels for a merge into the lower one: each file of level 0 is
// a source, or those of one commit together, and each sorted level one more. It also returns
// the tombstones of all of them. So many such merges go on at once.
func (t *Tree) MergeInputs(upper, lower int, files [2][]*manifest.FileMeta, merges int) (*Merge, rangedel.Iterator, error) {
	var sources []iterate.Source
	var deletes []rangedel.Iterator
	m := &Merge{}
	read := sstable.IterOptions{NoFill: true, Late: true, Fresh: &m.fresh, BulkBytes: t.store.bulkBytes(merges * (len(files[0]) + 1))}
	for i, level := range [2]int{upper, lower} {
		tables := t.Find(level, files[i])
		for _, tab := range tables {
			r, err := tab.Reader()
			if err != nil {
				for _, s := range sources {
					s.Iter.Close()
				}
				return nil, nil, err
			}
			if tab.Meta.RangeDeletes > 0 {
				deletes = append(deletes, r.RangeDeletes())
			}
		}
		for _, run := range runsOf(level, tables) {
			it := iterate.NewLevel(&Run{Tables: run, Read: read, Apart: true})
			sources = append(sources, iterate.Source{Iter: it, MaxSeq: base.SeqNumMax})
			m.levels = append(m.levels, it)
		}
	}
	m.Merging = iterate.NewMerging(sources)
	return m, rangedel.Union(deletes...), nil
}

// runsOf returns the tables of a level in parts that overlap nowhere, each in key order: in
// level 0 those of one commit, or one.
func runsOf(level int, tables []*Table) (runs [][]*Table) {
	if level > 0 && len(tables) > 0 {
		return [][]*Table{tables}
	}
	for i, tab := range tables {
		if i > 0 && sameRun(tables[i-1].Meta, tab.Meta) {
			last := len(runs) - 1
			runs[last] = append(runs[last], tab)
			continue
		}
		runs = append(runs, []*Table{tab})
	}
	for _, run := range runs {
		slices.SortFunc(run, func(a, b *Table) int { return bytes.Compare(a.Meta.Lo, b.Meta.Lo) })
	}
	return runs
}
