package view

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
)

// This file is what the map of dead ranges wants to know of the data. An iterator that has
// found nothing in a range has seen all that was written before it was opened, newer than
// what it shows or not. What was written since can only be in memory, where it is looked
// for, or a flush has taken it away meanwhile, which can be told.

// mayHaveAdded reports whether anything but deletes may have been written in [lo, hi)
// after a sequence number. It looks at what is not visible yet, too.
func mayHaveAdded(r *Reader, lo, hi []byte, after base.SeqNum) bool {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return true
	}
	w := r.writesSince(after)
	for _, m := range w.memories {
		if m.addedWithin(lo, hi, after) {
			return true
		}
	}
	return w.tree != nil
}

// addedWithin reports whether there is anything but deletes in [lo, hi) that is newer
// than a sequence number.
func (m *Flushable) addedWithin(lo, hi []byte, after base.SeqNum) bool {
	it := m.NewIter()
	defer it.Close() // memory does not fail
	for rec := it.SeekGE(lo); rec != nil && bytes.Compare(rec.Key, hi) < 0; rec = it.Next() {
		if rec.Trailer.Seq() > after && rec.Trailer.Kind() != base.KindDelete {
			return true
		}
	}
	return it.Err() != nil
}
