package store

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// This file estimates what range deletes hide, for those who decide whether it is worth
// a compaction.

// coveredSamples is how many range deletes are looked at, at least, where there are so many,
// and at most twice as many in the end: each costs a look into the indexes of the tables
// at its ends.
const coveredSamples = 4096

// NoteCovered sets CoveredBytes of tables that are about to become part of the tree,
// above a level. Tables that gone tells go.
func (t *Tree) NoteCovered(outputs []*manifest.FileMeta, level int, gone []manifest.LevelNum) {
	for _, meta := range outputs {
		if meta.RangeDeletes == 0 {
			continue
		}
		// What cannot be read hides nothing; whoever reads it for more will say why.
		if r, _, err := t.store.openPooled(meta, nil); err == nil {
			meta.CoveredBytes = t.CoveredBytes(r.RangeDeletes(), level, gone)
			_ = r.Close()
		}
	}
}

// CoveredBytes estimates the bytes of the tables of level and below that lie under range
// deletes, without those of gone: of many range deletes it looks at every n-th.
func (t *Tree) CoveredBytes(deletes rangedel.Iterator, level int, gone []manifest.LevelNum) (covered uint64) {
	goes := make(map[manifest.LevelNum]bool, len(gone))
	for _, f := range gone {
		goes[f] = true
	}
	var samples []uint64
	every := 1
	for i := 0; ; i++ {
		f, err := deletes.Next()
		if err != nil || f == nil {
			break
		}
		if i%every != 0 {
			continue
		}
		if samples = append(samples, t.bytesUnder(f.Lo, f.Hi, level, goes)); len(samples) == 2*coveredSamples {
			every *= 2
			for j := range coveredSamples {
				samples[j] = samples[2*j]
			}
			samples = samples[:coveredSamples]
		}
	}
	for _, n := range samples {
		covered += n
	}
	return covered * uint64(every)
}

// BytesWithin estimates the bytes that the tables have in [lo, hi).
func (t *Tree) BytesWithin(lo, hi []byte) uint64 { return t.bytesUnder(lo, hi, 0, nil) }

// bytesUnder is BytesWithin for the tables of level and below, without those that go.
func (t *Tree) bytesUnder(lo, hi []byte, level int, goes map[manifest.LevelNum]bool) (n uint64) {
	for ; level < len(t.Levels); level++ {
		t.overlapping(level, lo, hi, func(tab *Table) {
			if !goes[manifest.LevelNum{Level: level, Num: tab.Meta.Num}] {
				sizeBytes, _ := tab.within(lo, hi)
				n += sizeBytes
			}
		})
	}
	return n
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

// within estimates how many bytes of a table the keys of [lo, hi) take, and which share of its
// records they are. Where the table cannot be read, half of it is a guess.
func (t *Table) within(lo, hi []byte) (sizeBytes uint64, share float64) {
	begin, end, first, last := int64(0), int64(t.Meta.SizeBytes), 0.0, 1.0
	beginsInside, endsInside := bytes.Compare(lo, t.Meta.Lo) > 0, bytes.Compare(hi, t.Meta.Hi) < 0
	if !beginsInside && !endsInside {
		return t.Meta.SizeBytes, 1
	}
	r, err := t.Reader()
	if err != nil {
		return t.Meta.SizeBytes / 2, 0.5
	}
	g := t.store.cfg.Epochs.Enter()
	defer g.Exit()
	if beginsInside {
		begin, first, err = r.Before(lo)
	}
	if endsInside && err == nil {
		end, last, err = r.Before(hi)
	}
	if err != nil {
		return t.Meta.SizeBytes / 2, 0.5
	}
	return uint64(max(end-begin, 0)), max(last-first, 0)
}
