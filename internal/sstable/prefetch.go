package sstable

import (
	"github.com/lightningdb/lightning/internal/aio"
	"github.com/lightningdb/lightning/internal/base"
)

// prefetchMaxBytes is the length of a stored block above which it is left to the
// get: reading it takes long by itself, and many of them take much memory.
const prefetchMaxBytes = 32 << 10

// Prefetch is a list of data blocks that gets are about to need and that are not in
// the cache. Whoever looks up many keys asks for all of them first and has them
// read side by side. All of them are of one database. It belongs to one goroutine, which is inside one epoch guard
// from the first Want to the last get.
//
// What fails is forgotten: the get that needs the block reads it again, and reports
// what is wrong.
type Prefetch struct {
	wanted []wantedBlock
	reads  []aio.Read
}

// wantedBlock is a block on the list.
type wantedBlock struct {
	reader *Reader
	slot   int
	ref    blockRef
}

// Want puts the block on the list that Get would read from the file for the same
// key. may is what MayContain says of it; index partitions are read at once.
func (p *Prefetch) Want(r *Reader, key []byte, hash uint64, seq base.SeqNum) (may bool, err error) {
	if may, err = r.MayContain(hash); err != nil || !may || r.table == nil || seq < r.o.SeqBase {
		return may, err
	}
	var at place
	found, err := r.locate(&at, key, seq-r.o.SeqBase)
	if err != nil || !found {
		return may, err
	}
	slot := r.parts[at.partition].firstBlock + at.entry
	ref := dataRef(&at.index, at.entry)
	if r.cached(slot) == nil && r.layout.storedBytes(ref) <= prefetchMaxBytes && !p.has(r, slot) {
		p.wanted = append(p.wanted, wantedBlock{reader: r, slot: slot, ref: ref})
	}
	return may, nil
}

// has reports whether a block is on the list. Keys come in their order, so it can
// only be near the end, where the tables of each level have their last ones.
func (p *Prefetch) has(r *Reader, slot int) bool {
	for i := len(p.wanted) - 1; i >= max(0, len(p.wanted)-8); i-- {
		if w := &p.wanted[i]; w.reader == r && w.slot == slot {
			return true
		}
	}
	return false
}

// Run reads what is on the list into the cache, and empties the list.
func (p *Prefetch) Run() {
	if len(p.wanted) == 0 {
		return
	}
	p.reads = p.reads[:0]
	for i := range p.wanted {
		w := &p.wanted[i]
		p.reads = append(p.reads, aio.Read{
			File: w.reader.file, P: make([]byte, w.reader.layout.storedBytes(w.ref)), Offset: w.ref.offset,
		})
	}
	p.wanted[0].reader.o.IO.Read(p.reads)
	for i := range p.wanted {
		if w, read := &p.wanted[i], &p.reads[i]; read.N == len(read.P) {
			if f, err := w.reader.load(kindData, w.slot, w.ref, read.P); err == nil {
				f.release()
			}
		}
	}
	clear(p.reads)
	clear(p.wanted) // the list may be kept longer than the readers
	p.wanted = p.wanted[:0]
}
