package sstable

import (
	"bytes"
	"sort"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/buffers"
	"github.com/lightningdb/lightning/internal/compress"
)

// IterOptions says how an iterator reads.
type IterOptions struct {
	// NoFill is for one pass over much of the table, as compaction makes it:
	// large reads into private memory that leave the cache alone.
	NoFill bool
	// BulkBytes is the size of those reads; 0: the default. Many that read side by side
	// have small ones.
	BulkBytes int64
	// Late leaves the value out of a record that is alone in a large block, until Load. So
	// of many iterators that are merged only the one whose record is next has such a value
	// in memory. With NoFill nothing is verified before Load, which has to be called for
	// every record; without it only values of sets are left out that are not in the cache.
	Late bool
	// Fresh, if given, is set when a NoFill iterator comes to a block for WholeAt.
	Fresh *bool
}

// standing says where an Iter is.
type standing uint8

const (
	beforeFirst standing = iota // no block loaded
	inBlock                     // where Iter.data is, its edges included
	pastLast                    // no block loaded
	failed                      // Iter.err says why
)

// Iter walks a table. It keeps the current data block and index partition
// pinned, so that no eviction can touch what it shows; it enters the epoch
// only while it looks a block up. After an error Next and Prev return nil; the
// other positioning calls start afresh.
type Iter struct {
	r      *Reader
	noFill bool
	bulk   int64 // bytes of the reads of a NoFill iterator
	late   bool
	fresh  *bool
	whole  bool // the current block may go to another table as it is
	at     standing
	err    error

	part      int // partition under index, -1 for none
	index     block.View
	indexPin  frame
	block     int // ordinal of the data block under data
	view      block.View
	data      block.Iter
	dataPin   frame
	edgesOf   int // block whose edges are in first and last, -1 for none
	first     []byte
	last      []byte
	window    window
	partition window // of a NoFill iterator: the index partition
	raw       []byte // a decompressed block of a NoFill iterator, or one without its value
	unloaded  bool   // the view is over raw, and has no value yet
	rawIndex  []byte // a partition of a NoFill iterator
	nextMiss  int    // block whose miss would make a sequence of misses
	aheadSize int64  // bytes of the last read of the sequence
}

var _ base.Iterator = (*Iter)(nil)

// NewIter returns an iterator that stands before the first record. It is
// closed before the reader is.
func (r *Reader) NewIter(o IterOptions) *Iter {
	it, _ := r.iters.Get().(*Iter)
	if it == nil {
		it = new(Iter)
	}
	it.r = r
	it.noFill, it.bulk, it.late, it.fresh = o.NoFill, o.BulkBytes, o.Late, o.Fresh
	if it.bulk == 0 {
		it.bulk = bulkReadBytes
	}
	it.window.bulk, it.partition.bulk = o.NoFill, o.NoFill
	it.part, it.edgesOf, it.nextMiss = -1, -1, -1
	return it
}

// Err returns the error that ended the last call, if any.
func (it *Iter) Err() error { return it.err }

// Close releases the pinned blocks and hands the iterator back to the reader.
func (it *Iter) Close() error {
	it.dropBlock(beforeFirst)
	it.dropPartition()
	it.err = nil
	it.view, it.index = block.View{}, block.View{}
	_ = it.data.Close() // never fails
	it.window.shrink()
	it.partition.shrink()
	if cap(it.raw) > scratchMaxBytes {
		buffers.Put(it.raw)
		it.raw = nil
	}
	pool := it.r.iters
	it.r, it.fresh = nil, nil // an iterator at rest does not keep a closed reader alive
	pool.Put(it)
	return nil
}

// First lands on the first record of the table.
func (it *Iter) First() *base.Record {
	it.err = nil
	if it.r.blockCount() == 0 {
		it.dropBlock(pastLast)
		return nil
	}
	if !it.openBlock(0, false) {
		return nil
	}
	return it.data.First()
}

// Last lands on the last record of the table.
func (it *Iter) Last() *base.Record {
	it.err = nil
	if it.r.blockCount() == 0 {
		it.dropBlock(beforeFirst)
		return nil
	}
	if !it.openBlock(it.r.blockCount()-1, false) {
		return nil
	}
	return it.data.Last()
}

// SeekGE lands on the newest version of the first key that is >= key.
func (it *Iter) SeekGE(key []byte) *base.Record {
	if it.at == inBlock && it.insideBlock(key) {
		it.err = nil
		return it.data.SeekGE(key)
	}
	found, ok := it.seekBlock(key)
	switch {
	case !ok:
		return nil
	case !found:
		it.dropBlock(pastLast)
		return nil
	}
	if rec := it.data.SeekGE(key); rec != nil {
		return rec
	}
	return it.nextBlock() // the key is between this block's last and its separator
}

// SeekLT lands on the oldest version of the last key that is < key.
func (it *Iter) SeekLT(key []byte) *base.Record {
	found, ok := it.seekBlock(key)
	switch {
	case !ok:
		return nil
	case !found:
		return it.Last()
	}
	if rec := it.data.SeekLT(key); rec != nil {
		return rec
	}
	return it.prevBlock()
}

// Next goes one record forward.
func (it *Iter) Next() *base.Record {
	if it.at == inBlock {
		if rec := it.data.Next(); rec != nil {
			return rec
		}
		return it.nextBlock()
	}
	if it.at == beforeFirst {
		return it.First()
	}
	return nil
}

// Prev goes one record back.
func (it *Iter) Prev() *base.Record {
	if it.at == inBlock {
		if rec := it.data.Prev(); rec != nil {
			return rec
		}
		return it.prevBlock()
	}
	if it.at == pastLast {
		return it.Last()
	}
	return nil
}

// Block returns the walk over the block in which the current record lies, for steps inside
// it; an empty one where there is none.
func (it *Iter) Block() *block.Iter { return &it.data }

// nextBlock lands on the first record of the next block. At the end of the
// table it leaves the iterator where it is, past the last record of the last
// block, unless that is large.
func (it *Iter) nextBlock() *base.Record {
	if it.block+1 == it.r.blockCount() {
		it.leave(pastLast)
		return nil
	}
	if !it.openBlock(it.block+1, true) {
		return nil
	}
	return it.data.First()
}

// leave gives up, at the end of the table, what takes much memory.
func (it *Iter) leave(at standing) {
	if it.noFill || it.dataPin.large.Bytes() != nil {
		it.dropBlock(at)
		it.window.shrink()
	}
}

// prevBlock lands on the last record of the block before.
func (it *Iter) prevBlock() *base.Record {
	if it.block == 0 {
		it.leave(beforeFirst)
		return nil
	}
	if !it.openBlock(it.block-1, false) {
		return nil
	}
	return it.data.Last()
}

// insideBlock reports whether the first record >= key is certainly in the
// current block: versions of its first key may begin in the block before.
func (it *Iter) insideBlock(key []byte) bool {
	if it.edgesOf != it.block {
		it.edgesOf = it.block
		it.first = it.view.AppendKey(it.first[:0], 0)
		it.last = it.view.AppendKey(it.last[:0], it.view.Len()-1)
	}
	return bytes.Compare(key, it.last) <= 0 && bytes.Compare(it.first, key) < 0
}

// seekBlock opens the first block whose separator is >= key, if there is one.
func (it *Iter) seekBlock(key []byte) (found, ok bool) {
	it.err = nil
	p, err := it.r.seekTop(key, base.SeqNumMax)
	if err != nil {
		return false, it.fail(err)
	}
	if p == len(it.r.parts) {
		return false, true
	}
	if !it.openPartition(p) {
		return false, false
	}
	return true, it.openBlock(it.r.parts[p].firstBlock+it.index.SeekGE(key), false)
}

// dropBlock releases the data block and stands elsewhere.
func (it *Iter) dropBlock(at standing) {
	it.at, it.unloaded, it.whole = at, false, false
	it.edgesOf = -1
	it.data.Init(block.View{})
	it.dataPin.release()
}

func (it *Iter) dropPartition() {
	it.part = -1
	it.indexPin.release()
}

// fail stands the iterator nowhere.
func (it *Iter) fail(err error) bool {
	it.dropBlock(failed)
	it.err = err
	return false
}

// openBlock makes b the current data block; the caller positions in it. onward
// says that the scan came from the block before.
func (it *Iter) openBlock(b int, onward bool) bool {
	if it.at == inBlock && it.block == b {
		return true
	}
	p := it.part
	if p < 0 || b < it.r.parts[p].firstBlock || b >= it.r.parts[p].endBlock {
		parts := it.r.parts
		p = sort.Search(len(parts), func(i int) bool { return parts[i].endBlock > b })
		if !it.openPartition(p) {
			return false
		}
	}
	it.dropBlock(failed) // unless all goes well
	var err error
	if it.noFill {
		err = it.loadPrivate(b)
	} else {
		err = it.loadShared(b, onward)
	}
	if err != nil {
		return it.fail(it.r.blameData(err, &it.index, p, b-it.r.parts[p].firstBlock))
	}
	it.at, it.block = inBlock, b
	it.data.Init(it.view)
	it.data.Raise(it.r.o.SeqBase)
	return true
}

// pin returns the frame of slot if it is in the cache. It asks the processor for the begin of
// what is in the slot that is likely to be next.
func (r *Reader) pin(slot, next int) (frame, bool) {
	if r.table == nil {
		return frame{}, false
	}
	guard := r.o.Epochs.Enter()
	h, ok := r.table.Pin(slot)
	r.table.ExpectBlock(next, nextBytes)
	guard.Exit()
	if !ok {
		return frame{}, false
	}
	memory := h.Bytes()
	return frame{handle: h, cached: true, memory: memory, payloadBytes: len(memory) - r.layout.trailerBytes}, true
}

// nextBytes is how much of the block that a walk comes to next is asked for.
const nextBytes = 512

// loadShared gets data block b from the cache or brings it in there. A scan
// that misses block after block reads ahead, more each time.
func (it *Iter) loadShared(b int, onward bool) error {
	next := b + 1 // behind the last block are index partitions, which do no harm
	if it.block == next {
		next = max(b-1, 0)
	}
	f, ok := it.r.pin(b, next)
	if !ok {
		ref := dataRef(&it.index, b-it.r.parts[it.part].firstBlock)
		if it.late && ref.rawBytes >= largeBytes {
			if done, err := it.loadHead(ref); done || err != nil {
				return err
			}
		}
		stored, err := it.readAhead(b, ref, onward)
		if err != nil {
			return err
		}
		if f, err = it.r.load(kindData, b, ref, stored); err != nil {
			return err
		}
	}
	it.dataPin = f
	it.view = block.Trusted(f.payload())
	return nil
}

// readAhead returns the stored bytes of a missing block out of the window, or
// nil where the block is to be read by itself.
func (it *Iter) readAhead(b int, ref blockRef, onward bool) ([]byte, error) {
	sequential := onward && it.nextMiss == b
	it.nextMiss = b + 1
	if !sequential || it.r.layout.storedBytes(ref) >= aheadMaxBytes {
		it.aheadSize = it.r.layout.storedBytes(ref)
		return nil, nil
	}
	if stored := it.window.find(it.r.layout, ref); stored != nil {
		return stored, nil
	}
	size := min(2*max(it.aheadSize, it.r.layout.storedBytes(ref)), aheadMaxBytes)
	if !it.window.borrow(it.r.o.Cache, size) {
		if size = it.aheadSize; int64(cap(it.window.memory)) < size {
			return nil, nil // many scans read ahead already
		}
	}
	it.aheadSize = size
	return it.window.read(it.r, ref, it.aheadSize, it.r.dataEnd())
}

// loadPrivate reads data block b past the cache.
func (it *Iter) loadPrivate(b int) (err error) {
	ref := dataRef(&it.index, b-it.r.parts[it.part].firstBlock)
	if it.late && ref.rawBytes >= lateFromBytes {
		if done, err := it.loadHead(ref); done || err != nil {
			return err
		}
		return it.loadWhole(ref, 0)
	}
	if it.fresh != nil && ref.compressed() && it.r.o.SeqBase == 0 && it.r.layout == newest {
		*it.fresh, it.whole = true, true
	}
	return it.loadWhole(ref, it.bulk)
}

// loadWhole reads a block past the cache, and what follows, up to so many bytes in all.
func (it *Iter) loadWhole(ref blockRef, aheadBytes int64) error {
	stored, err := it.window.read(it.r, ref, aheadBytes, it.r.dataEnd())
	if err != nil {
		return err
	}
	payload, err := it.r.unpack(kindData, ref, stored, &it.raw)
	if err != nil {
		return err
	}
	it.view, err = block.Parse(payload)
	if err == nil && it.view.Len() == 0 {
		err = errEmpty
	}
	return err
}

// lateFromBytes is the size of a block from which a value is left out, if it is alone
// there.
const lateFromBytes = directBytes

// loadHead makes a block without the value of one that has one record, if ref is such a
// block and its value may be left out. All of it is verified, but for a NoFill iterator,
// whose records are all loaded before anything comes of them.
func (it *Iter) loadHead(ref blockRef) (done bool, err error) {
	if ref.compressed() {
		return false, nil
	}
	it.window.shrink() // which may have the value before
	head := buffers.Take(min(int(ref.rawBytes), block.SingleHeadMaxBytes(maxKeyBytes)))
	defer func() { buffers.Put(head) }()
	if err := it.r.readAt(head, ref.offset); err != nil {
		return false, err
	}
	key, tr, _, err := block.ParseSingle(head, int(ref.rawBytes))
	if err != nil || !it.noFill && tr.Kind() != base.KindSet {
		return false, nil
	}
	if !it.noFill {
		if err := it.r.checkRest(ref, head, func([]byte) {}); err != nil {
			return false, err
		}
	}
	it.raw = block.AppendSingle(it.raw[:0], key, tr, 0, base.Hash(key))
	it.view, it.unloaded = block.Trusted(it.raw), true
	return true, nil
}

// Unloaded reports whether the value of the current record was left out.
func (it *Iter) Unloaded() bool { return it.at == inBlock && it.unloaded }

// Load puts the value into the current record, if it was left out, and verifies all of it.
// After an error the iterator stands nowhere.
func (it *Iter) Load() error {
	if !it.Unloaded() {
		return nil
	}
	entry := it.block - it.r.parts[it.part].firstBlock
	if err := it.loadValue(dataRef(&it.index, entry)); err != nil {
		it.fail(it.r.blameData(err, &it.index, it.part, entry))
		return it.err
	}
	it.unloaded = false
	it.data.Init(it.view)
	it.data.Raise(it.r.o.SeqBase)
	it.data.First()
	return nil
}

// loadValue has the whole of the current block.
func (it *Iter) loadValue(ref blockRef) error {
	if it.noFill {
		return it.loadWhole(ref, 0)
	}
	f, err := it.r.load(kindData, it.block, ref, nil)
	if err != nil {
		return err
	}
	it.dataPin, it.view = f, block.Trusted(f.payload())
	return nil
}

// unpack verifies a stored block and returns its payload, in place or, where
// it is compressed, in *raw.
func (r *Reader) unpack(kind blockKind, ref blockRef, stored []byte, raw *[]byte) ([]byte, error) {
	codec, err := r.checkStored(stored, kind, ref)
	if err != nil || codec == compress.None {
		return stored[:ref.diskBytes], err
	}
	if uint64(cap(*raw)) < uint64(ref.rawBytes) {
		buffers.Put(*raw)
		*raw = buffers.Take(int(ref.rawBytes))
	}
	*raw = (*raw)[:ref.rawBytes]
	return *raw, decompress(*raw, codec, stored[:ref.diskBytes])
}

// openPartition makes p the current index partition.
func (it *Iter) openPartition(p int) bool {
	if it.part == p {
		return true
	}
	it.dropPartition()
	it.dropBlock(failed) // unless all goes well
	var err error
	if it.noFill {
		it.index, err = it.readPartition(p)
	} else {
		err = it.loadPartition(p)
	}
	if err != nil {
		return it.fail(it.r.blamePartition(err, p))
	}
	it.part = p
	return true
}

func (it *Iter) loadPartition(p int) error {
	slot := it.r.blockCount() + p
	f, ok := it.r.pin(slot, slot)
	if !ok {
		var err error
		if f, err = it.r.load(kindIndex, slot, it.r.parts[p].ref, nil); err != nil {
			return err
		}
	}
	it.indexPin = f
	it.index = block.Trusted(f.payload())
	return nil
}

// readPartition reads index partition p past the cache.
func (it *Iter) readPartition(p int) (block.View, error) {
	ref := it.r.parts[p].ref
	stored, err := it.partition.read(it.r, ref, 0, it.r.layout.end(ref))
	if err != nil {
		return block.View{}, err
	}
	payload, err := it.r.unpack(kindIndex, ref, stored, &it.rawIndex)
	if err != nil {
		return block.View{}, err
	}
	v, err := block.Parse(payload)
	if err == nil {
		err = it.r.checkPartition(&v, p)
	}
	return v, err
}
