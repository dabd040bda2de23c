package iterate

import "github.com/lightningdb/lightning/internal/base"

// This file is for who moves the source of the current record himself, past several records at
// once that all come before those of the other sources. The walk has gone forward.

// Lead returns the number of the source that has the current record, -1 if there is none, and the
// first key that the others have there or behind it, nil if they have none.
func Lead(m *Merging) (source int, others []byte) {
	if m.single() {
		return 0, nil
	}
	if len(m.heap) > 0 {
		others = m.slots[m.heap[0].index].rec.Key
	}
	return m.top, others
}

// Moved goes on when that source was moved. It stands at rec now, nil at its end.
func Moved(m *Merging, rec *base.Record) *base.Record {
	if m.single() {
		return rec
	}
	return m.settle(rec)
}
