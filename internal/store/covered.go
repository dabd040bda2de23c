package store

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// This file estimates what range deletes hide, for those who decide whether it is worth
// a compaction.

// coveredSamples is how many range deletes are looked at, of more than that every n-th:
// each costs a look into the indexes of the tables at its ends.
const coveredSamples = 4096

// NoteCovered sets CoveredBytes of tables that are about to become part of the tree,
// above a level, with such range deletes among them. Tables that gone tells go.
func (t *Tree) NoteCovered(outputs []*manifest.FileMeta, deletes *rangedel.List, level int, gone []manifest.LevelNum) {
	for _, meta := range outputs {
		if meta.RangeDeletes > 0 {
			meta.CoveredBytes = t.CoveredBytes(deletes.Truncate(meta.Lo, meta.Hi), level, gone)
		}
	}
}

// CoveredBytes estimates the bytes of the tables of level and below that lie under range
// deletes, without those of gone.
func (t *Tree) CoveredBytes(deletes *rangedel.List, level int, gone []manifest.LevelNum) (covered uint64) {
	goes := make(map[manifest.LevelNum]bool, len(gone))
	for _, f := range gone {
		goes[f] = true
	}
	fragments := deletes.Fragments()
	every := max(1, len(fragments)/coveredSamples)
	for i := 0; i < len(fragments); i += every {
		f := &fragments[i]
		for below := level; below < len(t.Levels); below++ {
			t.overlapping(below, f.Lo, f.Hi, func(tab *Table) {
				if !goes[manifest.LevelNum{Level: below, Num: tab.Meta.Num}] {
					covered += tab.bytesWithin(f.Lo, f.Hi)
				}
			})
		}
	}
	return covered * uint64(every)
}

// overlapping calls fn with the tables of a level that meet [lo, hi).
func (t *Tree) overlapping(level int, lo, hi []byte, fn func(tab *Table)) {
	tables := t.Levels[level]
	if level > 0 {
		tables = tables[FirstEndingAfter(tables, lo):]
	}
	for _, tab := range tables {
		switch {
		case tab.Overlaps(lo, hi):
			fn(tab)
		case level > 0:
			return
		}
	}
}

// bytesWithin estimates how many bytes of a table the keys of [lo, hi) take. Where the
// table cannot be read it is half of them: whoever reads it for more will say why.
func (t *Table) bytesWithin(lo, hi []byte) uint64 {
	begin, end := int64(0), int64(t.Meta.SizeBytes)
	beginsInside, endsInside := bytes.Compare(lo, t.Meta.Lo) > 0, bytes.Compare(hi, t.Meta.Hi) < 0
	if !beginsInside && !endsInside {
		return t.Meta.SizeBytes
	}
	r, err := t.Reader()
	if err != nil {
		return t.Meta.SizeBytes / 2
	}
	g := t.store.cfg.Epochs.Enter()
	defer g.Exit()
	if beginsInside {
		begin, err = r.BytesBefore(lo)
	}
	if endsInside && err == nil {
		end, err = r.BytesBefore(hi)
	}
	if err != nil {
		return t.Meta.SizeBytes / 2
	}
	return uint64(max(end-begin, 0))
}
