package store

import (
	"bytes"
	"sort"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
)

// This file asks the tables for their range tombstones. The manifest says which have
// any, and between which bounds, so that no other table is asked, or even opened: a
// read costs the same however many tombstones lie elsewhere.

// deletesAround reports whether range tombstones of the table may cover key.
func (t *Table) deletesAround(key []byte) bool {
	m := t.Meta
	return m.RangeDeletes > 0 && bytes.Compare(key, m.DeletesHi) < 0 && bytes.Compare(m.DeletesLo, key) <= 0
}

// covering returns the newest range tombstone of the table over key that seq sees, 0 if
// there is none. The caller is in an epoch guard.
func (t *Table) covering(key []byte, seq base.SeqNum) (base.SeqNum, error) {
	if !t.deletesAround(key) {
		return 0, nil
	}
	r, err := t.Reader()
	if err != nil {
		return 0, err
	}
	return r.Covering(key, seq)
}

// Covering returns the newest range tombstone over key that seq sees, 0 if there is
// none. The caller is in an epoch guard.
func (t *Tree) Covering(key []byte, seq base.SeqNum) (newest base.SeqNum, err error) {
	for level, tables := range t.deletes {
		if level > 0 {
			tables = tables[firstDeletingAfter(tables, key):]
			tables = tables[:min(1, len(tables))]
		}
		for _, tab := range tables {
			covering, err := tab.covering(key, seq)
			if err != nil {
				return 0, err
			}
			newest = max(newest, covering)
		}
	}
	return newest, nil
}

// firstDeletingAfter returns the index of the first of some sorted tables, all with
// range tombstones, that has one that ends after key; len(tables) if there is none.
func firstDeletingAfter(tables []*Table, key []byte) int {
	return sort.Search(len(tables), func(i int) bool { return bytes.Compare(tables[i].Meta.DeletesHi, key) > 0 })
}

// deletesWithin returns those of some sorted tables, all with range tombstones, that may
// have some in [lo, hi); nil is no bound.
func deletesWithin(tables []*Table, lo, hi []byte) []*Table {
	if lo != nil {
		tables = tables[firstDeletingAfter(tables, lo):]
	}
	if hi != nil {
		tables = tables[:sort.Search(len(tables), func(i int) bool { return bytes.Compare(tables[i].Meta.DeletesLo, hi) >= 0 })]
	}
	return tables
}

// RunDeletes are the range tombstones of tables that overlap nowhere, as a
// rangedel.Source. They belong to one goroutine, which holds a reference on the tree.
type RunDeletes struct {
	tables []*Table // in order; all have some
	buffer sstable.PieceBuffer
}

// AppendDeletes appends the sources of the range tombstones of the tree in [lo, hi),
// where nil is no bound. It uses the memory of what was there.
func (t *Tree) AppendDeletes(dst []RunDeletes, lo, hi []byte) []RunDeletes {
	add := func(tables []*Table) {
		if len(tables) == 0 {
			return
		}
		if len(dst) < cap(dst) {
			dst = dst[:len(dst)+1]
		} else {
			dst = append(dst, RunDeletes{})
		}
		dst[len(dst)-1].tables = tables
	}
	for i := range t.deletes[0] {
		add(deletesWithin(t.deletes[0][i:i+1], lo, hi))
	}
	for _, tables := range t.deletes[1:] {
		add(deletesWithin(tables, lo, hi))
	}
	return dst
}

// Forget lets go of the tables.
func (d *RunDeletes) Forget() { d.tables = nil }

// Around implements rangedel.Source.
func (d *RunDeletes) Around(key []byte, seq base.SeqNum) (p rangedel.Piece, err error) {
	i := firstDeletingAfter(d.tables, key)
	if i < len(d.tables) && d.tables[i].deletesAround(key) {
		return d.tables[i].around(key, seq, &d.buffer)
	}
	if i > 0 {
		p.Lo = d.tables[i-1].Meta.DeletesHi
	}
	if i < len(d.tables) {
		p.Hi = d.tables[i].Meta.DeletesLo
	}
	return p, nil
}

// around is sstable.Reader.Around for a key between the bounds of the tombstones, and
// knows nothing of what lies beyond those.
func (t *Table) around(key []byte, seq base.SeqNum, b *sstable.PieceBuffer) (rangedel.Piece, error) {
	r, err := t.Reader()
	if err != nil {
		return rangedel.Piece{}, err
	}
	g := t.store.cfg.Epochs.Enter()
	defer g.Exit()
	p, err := r.Around(key, seq, b)
	if p.Lo == nil {
		p.Lo = t.Meta.DeletesLo
	}
	if p.Hi == nil {
		p.Hi = t.Meta.DeletesHi
	}
	return p, err
}
