package store

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/sstable"
)

// ApproachMax is how many keys Tree.Approach takes.
const ApproachMax = 16

// Way is how far the get of a key has come down the tree. It holds what it has come to, and
// so does not outlive the epoch guard.
type Way struct {
	level, index int // of the table that is next
	in           sstable.Approach
	inTable      bool // in is on its way, or where it has come to
	arrived      bool
	unsure       bool // there may be more than what in has come to
}

// Approach asks the processor for what Get is going to read for some keys, ApproachMax at
// most, whose hashes are given with them, as of seq. It reads no files, and opens none. The
// caller is inside an epoch guard until after the gets, which go on from the ways: see
// Lookup.
func (t *Tree) Approach(ways *[ApproachMax]Way, keys [][]byte, hashes []uint64, seq base.SeqNum) {
	keys = keys[:min(len(keys), len(hashes), ApproachMax)]
	for i := range keys {
		ways[i] = Way{}
	}
	for open := true; open; {
		open = false
		for i, key := range keys {
			if w := &ways[i]; !w.arrived {
				w.step(t, key, hashes[i], seq)
				open = true
			}
		}
	}
}

// step goes on in the table that the way is in, or into the next one.
func (w *Way) step(t *Tree, key []byte, hash uint64, seq base.SeqNum) {
	if w.inTable {
		switch w.in.Step(key, hash, seq) {
		case sstable.Underway:
			return
		case sstable.Arrived:
			w.arrived = true
			return
		}
		w.inTable = false
	}
	tab := w.nextTable(t, key)
	if tab == nil {
		w.arrived = true
		return
	}
	r := tab.reader.Load()
	if r == nil { // the get will open it
		w.arrived, w.unsure = true, true
		return
	}
	w.unsure = w.unsure || tab.deletesAround(key)
	w.in.Begin(r)
	w.inTable = true
}

// nextTable returns the next table that Get asks for a key, nil if there is none.
func (w *Way) nextTable(t *Tree, key []byte) *Table {
	for ; w.level < len(t.Levels); w.level, w.index = w.level+1, 0 {
		tables := t.Levels[w.level]
		if w.level > 0 { // no two of them have the key
			at := FirstEndingAfter(tables, key)
			tables = tables[at:min(at+1, len(tables))]
		}
		for w.index < len(tables) {
			tab := tables[w.index]
			w.index++
			if bytes.Compare(key, tab.Meta.Lo) >= 0 && bytes.Compare(key, tab.Meta.Hi) < 0 {
				return tab
			}
		}
	}
	return nil
}

// take returns what Tree.Get would; known is false where the way has not come to it.
func (w *Way) take(l *Lookup, seq base.SeqNum) (tr base.Trailer, value []byte, found, known bool) {
	switch {
	case !w.arrived || w.unsure:
		return 0, nil, false, false
	case !w.inTable:
		return 0, nil, false, true // no table has it
	}
	tr, value, found = w.in.Take(l.Key, l.Hash, seq)
	found = found && tr.Kind() != base.KindBlob // Get knows where that is
	return tr, value, found, found
}
