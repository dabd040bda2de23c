package store

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// This file estimates how much the tables have in a range, from what the manifest says of
// them, their indexes at the ends of the range and, where range tombstones lie over it, some
// entries of the indexes between. It reads no data block.

// Estimate is about how much there is of something.
type Estimate struct {
	Rows      float64
	SizeBytes float64 // as stored, with what is not visible any more
}

// estimateSamples is how many entries of the index of a table are looked at, at least, if it
// has as many.
const estimateSamples = 64

// cover is the range tombstones of tables that hide what lies beneath. Those of a table hide
// nothing in it: that was left out when it was written.
type cover struct {
	level   int
	newest  base.SeqNum // in level 0
	deletes RunDeletes
}

// covers returns the range tombstones in [lo, hi).
func (t *Tree) covers(lo, hi []byte) (out []cover) {
	for level, tables := range t.deletes {
		runs := [][]*Table{tables}
		if level == 0 {
			runs = runs[:0]
			for i := range tables {
				runs = append(runs, tables[i:i+1])
			}
		}
		for _, run := range runs {
			if run = deletesWithin(run, lo, hi); len(run) > 0 {
				out = append(out, cover{level, run[0].Meta.LargestSeq, RunDeletes{tables: run}})
			}
		}
	}
	return out
}

// hides reports whether one of them lies over a key of a table.
func hides(covers []cover, level int, tab *Table, key []byte) bool {
	for i := range covers {
		c := &covers[i]
		if c.level > level || c.level == level && (level > 0 || c.newest <= tab.Meta.LargestSeq) {
			continue
		}
		if p, err := c.deletes.Around(key, base.SeqNumMax); err == nil && p.Seq > 0 {
			return true
		}
	}
	return false
}

// Estimate estimates what the tables have in [lo, hi) at a time. hidden tells whether a range
// tombstone in memory lies over a key; nil: there is none. A delete is taken to have ended a
// row, and each other record for one.
func (t *Tree) Estimate(lo, hi []byte, at base.Instant, hidden func(key []byte) bool) (e Estimate) {
	covers := t.covers(lo, hi)
	for level := range t.Levels {
		t.overlapping(level, lo, hi, func(tab *Table) {
			m := tab.Meta
			sizeBytes, part := tab.within(lo, hi)
			stored := float64(m.SizeBytes)
			for _, blob := range m.Blobs {
				stored += float64(blob.StoredBytes)
			}
			e.SizeBytes += stored * float64(sizeBytes) / float64(max(m.SizeBytes, 1))
			if hidden != nil || len(covers) > 0 {
				part *= tab.visible(lo, hi, func(key []byte) bool {
					return hidden != nil && hidden(key) || hides(covers, level, tab, key)
				})
			}
			e.Rows += part * (float64(m.Count) - 2*float64(m.Deletes) - expired(m.Expiring, at))
		})
	}
	return e
}

// expired estimates how many expiring records have expired at a time, if they expire evenly
// around their mean.
func expired(e manifest.Expiring, at base.Instant) float64 {
	first := e.Mean - (e.Last - e.Mean)
	switch {
	case e.Count == 0 || at < first:
		return 0
	case at >= e.Last:
		return float64(e.Count)
	}
	return float64(e.Count) * float64(at-first) / float64(e.Last-first)
}

// visible estimates how much of what a table has in [lo, hi) is not hidden, from 0 to 1. Who
// cannot read the table takes it for all.
func (t *Table) visible(lo, hi []byte, hidden func(key []byte) bool) float64 {
	all, seen := int64(0), int64(0)
	err := t.Samples(estimateSamples, func(key []byte, sizeBytes int64) {
		if bytes.Compare(key, lo) < 0 || bytes.Compare(key, hi) >= 0 {
			return
		}
		if all += sizeBytes; !hidden(key) {
			seen += sizeBytes
		}
	})
	if err != nil || all == 0 {
		return 1
	}
	return float64(seen) / float64(all)
}

// Samples is sstable.Reader.Samples.
func (t *Table) Samples(least int, fn func(key []byte, sizeBytes int64)) error {
	r, err := t.Reader()
	if err != nil {
		return err
	}
	g := t.store.cfg.Epochs.Enter()
	defer g.Exit()
	return r.Samples(least, fn)
}

// Samples calls fn with keys of the tables that meet [lo, hi), of each in its order, and about
// how many bytes of keys and values lie between each and the one before in its table: at least
// so many of a table if it has as many. The key is valid until fn returns.
func (t *Tree) Samples(lo, hi []byte, least int, fn func(key []byte, rawBytes float64)) (err error) {
	for level := range t.Levels {
		t.overlapping(level, lo, hi, func(tab *Table) {
			raw := float64(tab.Meta.RawBytes) / float64(max(tab.Meta.SizeBytes, 1))
			if err == nil {
				err = tab.Samples(least, func(key []byte, sizeBytes int64) { fn(key, raw*float64(sizeBytes)) })
			}
		})
	}
	return err
}
