package sstable

import (
	"github.com/lightningdb/lightning/internal/aio"
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
)

// prefetchMaxBytes is the length of a stored block above which it is left to the
// get: reading it takes long by itself, and many of them take much memory.
const prefetchMaxBytes = 32 << 10

// Prefetch is a list of blocks that gets or seeks are about to need and that are not in
// the cache. Whoever looks up many keys, or one in many tables, asks for all of them first
// and has them read side by side. All of them are of one database, and its tables stay
// open until Run has returned. It belongs to one goroutine, which is inside an epoch guard
// when it asks; inside one guard until the last get, nothing goes before it was used.
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
	kind   blockKind
	slot   int
	ref    blockRef
}

// Want puts the block on the list that Get would read from the file for the same
// key, or the index partition without which that is not known. may is what MayContain
// says of it.
func (p *Prefetch) Want(r *Reader, key []byte, hash uint64, seq base.SeqNum) (may bool, err error) {
	if may, err = r.MayContain(hash); err != nil || !may || seq < r.o.SeqBase {
		return may, err
	}
	return may, p.want(r, key, seq-r.o.SeqBase)
}

// WantSeek is Want for the block in which SeekGE of an iterator lands.
func (p *Prefetch) WantSeek(r *Reader, key []byte) error { return p.want(r, key, base.SeqNumMax) }

func (p *Prefetch) want(r *Reader, key []byte, seq base.SeqNum) error {
	part, err := r.seekTop(key, seq)
	if err != nil || part == len(r.parts) || r.table == nil {
		return err
	}
	slot := r.blockCount() + part
	payload := r.cached(slot)
	if payload == nil {
		p.add(wantedBlock{r, kindIndex, slot, r.parts[part].ref})
		return nil
	}
	index := block.Trusted(payload)
	entry := seekEntry(&index, key, seq)
	if slot = r.parts[part].firstBlock + entry; r.cached(slot) == nil {
		p.add(wantedBlock{r, kindData, slot, dataRef(&index, entry)})
	}
	return nil
}

func (p *Prefetch) add(w wantedBlock) {
	if w.reader.layout.storedBytes(w.ref) <= prefetchMaxBytes && !p.has(w.reader, w.slot) {
		p.wanted = append(p.wanted, w)
	}
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

// Run reads what is on the list into the cache, and empties the list. partitions says
// that there were index partitions among it: the blocks behind them can be asked for now.
func (p *Prefetch) Run() (partitions bool) {
	if len(p.wanted) == 0 {
		return false
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
			if f, err := w.reader.load(w.kind, w.slot, w.ref, read.P); err == nil {
				f.release()
				partitions = partitions || w.kind == kindIndex
			}
		}
	}
	clear(p.reads)
	clear(p.wanted) // the list may be kept longer than the readers
	p.wanted = p.wanted[:0]
	return partitions
}
