package sstable

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/filter"
)

// This file is for those who look up many keys. A get waits for memory half a dozen times,
// each time for an address that the last answer has told. An Approach goes the same way
// without waiting: each step looks at what the one before has asked for, and asks for what
// comes next. Who has several of them goes a step with each in turn, and does the gets
// when all have arrived: group prefetching, as Chen, Ailamaki, Gibbons and Mowry (2004) do
// it for hash joins.
//
// Nothing is read from files, and no use is counted before Take. Where something is not in
// the cache, the approach ends: the get will see to it.

// Approach is the way of one get to what it reads of a table. It belongs to one goroutine,
// which is inside one epoch guard from Begin to the last Step.
type Approach struct {
	reader *Reader
	steps  int // that were made
	part   int // index partition
	slot   int // of the block that is looked at
	view   block.View
	record int // in the data block
}

// Arrival is what a step has come to.
type Arrival uint8

// The arrivals.
const (
	Underway Arrival = iota
	NotThere         // the table does not have the key
	Arrived          // there is no more to ask for
)

// Begin makes a the way to a key in a table.
func (a *Approach) Begin(r *Reader) { *a = Approach{reader: r} }

// Step goes on towards the newest version of a key that is not newer than seq.
func (a *Approach) Step(key []byte, hash uint64, seq base.SeqNum) Arrival {
	r := a.reader
	switch a.steps++; {
	case seq < r.o.SeqBase:
		return NotThere
	case r.table == nil || r.topLarge:
		return Arrived
	}
	seq -= r.o.SeqBase
	switch a.steps {
	case 1:
		return a.findFilter(hash)
	case 2:
		return a.seekPartition(key, hash, seq)
	case 3:
		return a.openBlock(viewBytes)
	case 4:
		return a.seekBlock(key, seq)
	case 5:
		return a.openBlock(printsBytes)
	case 6:
		return a.seekRecord(hash)
	}
	block.ExpectRecord(a.view, a.record)
	return Arrived
}

// recordStep is the step that arrives at a record.
const recordStep = 7

// Take returns what Get would, if the approach has arrived at a record and that is of the
// key; else ok is false, and Get has to look. The filter and the blocks on the way are counted
// as used. The value is valid as that of Get is.
func (a *Approach) Take(key []byte, hash uint64, seq base.SeqNum) (tr base.Trailer, value []byte, ok bool) {
	r := a.reader
	if a.steps < recordStep || seq < r.o.SeqBase || r.cached(a.slot) == nil {
		return 0, nil, false
	}
	slot, found, _ := a.view.Find(key, block.Fingerprint(hash), seq-r.o.SeqBase)
	if !found {
		return 0, nil, false
	}
	r.cached(r.blockCount() + a.part)
	if r.footer.filter != (blockRef{}) {
		r.cached(r.filterSlot())
	}
	return a.view.Trailer(slot) + base.MakeTrailer(r.o.SeqBase, 0), a.view.Value(slot), true
}

const (
	// viewBytes is the part of a block that a view is made of.
	viewBytes = 24
	// printsBytes is about where the fingerprints of a data block end.
	printsBytes = 120
)

// peek is Reader.cached without counting a use.
func (a *Approach) peek(slot int) []byte {
	b := a.reader.table.Peek(slot)
	if b == nil {
		return nil
	}
	return b[:len(b)-a.reader.layout.trailerBytes]
}

func (a *Approach) findFilter(hash uint64) Arrival {
	if a.reader.footer.filter == (blockRef{}) {
		return Underway
	}
	f := a.peek(a.reader.filterSlot())
	filter.Expect(f, hash)
	return whether(f != nil)
}

// whether is Underway if there is more to ask for.
func whether(more bool) Arrival {
	if more {
		return Underway
	}
	return Arrived
}

func (a *Approach) seekPartition(key []byte, hash uint64, seq base.SeqNum) Arrival {
	r := a.reader
	if r.footer.filter != (blockRef{}) && !filter.MayContain(a.peek(r.filterSlot()), hash) {
		return NotThere
	}
	if a.part = seekEntry(&r.top, key, seq); a.part == len(r.parts) {
		return NotThere
	}
	a.slot = r.blockCount() + a.part
	r.table.ExpectSlot(a.slot)
	return Underway
}

// openBlock asks for the beginning of the block, if that is in the cache.
func (a *Approach) openBlock(sizeBytes int) Arrival {
	return whether(a.reader.table.ExpectBlock(a.slot, sizeBytes))
}

// enter returns false if the block has left the cache.
func (a *Approach) enter() bool {
	payload := a.peek(a.slot)
	if payload != nil {
		a.view = block.Trusted(payload)
	}
	return payload != nil
}

func (a *Approach) seekBlock(key []byte, seq base.SeqNum) Arrival {
	if !a.enter() {
		return Arrived
	}
	a.slot = a.reader.parts[a.part].firstBlock + seekEntry(&a.view, key, seq)
	a.reader.table.ExpectSlot(a.slot)
	return Underway
}

func (a *Approach) seekRecord(hash uint64) Arrival {
	if !a.enter() {
		return Arrived
	}
	if a.record = block.ExpectSlot(a.view, block.Fingerprint(hash)); a.record < 0 {
		return NotThere
	}
	return Underway
}
