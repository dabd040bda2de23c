package sstable

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/compress"
)

// This file brings data blocks from one table to another as they are: they are verified and
// decompressed, because a table knows the sum and the hash of each of its records, but not made
// and compressed anew. Only the checksum is another one, as it is bound to file and offset.

// Whole is a compressed data block of a table. It is valid as long as the iterator that it comes
// from stands there.
type Whole struct {
	Records block.View
	Last    []byte // the key of the last one

	stored   []byte // the payload, as it is in the file
	rawBytes uint32 // before compression
	codec    compress.Codec
	// follow is how many blocks behind it end before the same key.
	follow int
}

// followMax is how many blocks are looked at behind one that is to be taken over.
const followMax = 4

// WholeAt returns the block whose first record is the current one of a NoFill iterator, if it is
// compressed and all of it comes before a key; nil is no bound.
func WholeAt(it *Iter, before []byte) (p Whole, ok bool) {
	if !AtWhole(it) {
		return p, false
	}
	entry := it.block - it.r.parts[it.part].firstBlock
	ref := dataRef(&it.index, entry)
	stored := it.window.find(it.r.layout, ref)
	it.edgesOf = -1
	it.last = it.view.AppendKey(it.last[:0], it.view.Len()-1)
	if stored == nil || before != nil && bytes.Compare(it.last, before) >= 0 {
		return p, false
	}
	p = Whole{Records: it.view, Last: it.last, stored: stored[:ref.diskBytes], rawBytes: ref.rawBytes, codec: compress.Codec(stored[ref.diskBytes])}
	end := it.index.Len()
	if before != nil {
		end = it.index.SeekGE(before)
	}
	p.follow = max(0, min(end-entry-1, followMax))
	return p, true
}

// AtWhole reports whether the current record is the first one of a compressed block.
func AtWhole(it *Iter) bool { return it.whole && it.data.AtFirst() }

// PassBlock goes to the first record of the next block.
func (it *Iter) PassBlock() *base.Record { return it.nextBlock() }

// Takes reports whether AddWhole is worth it. A block that is far from full stays no block of
// its own, and a block that is being made ends before it is full only where some follow.
func (w *Writer) Takes(p *Whole) bool {
	rawBytes, full := int(p.rawBytes), w.o.BlockSizeBytes
	return w.stores(p.codec) && rawBytes >= full/2 && rawBytes <= full+full/8 &&
		(w.data.Len() == 0 || p.follow == followMax)
}

// stores reports whether the writer could have stored a block of several records by a codec.
func (w *Writer) stores(codec compress.Codec) bool {
	if codec == codecPacked {
		return w.o.Compression == compress.Small || w.o.OrSmall
	}
	return codec == w.o.Compression && codec != compress.Small
}

// AddWhole appends the records of a block, all of different keys, behind all records added before.
func (w *Writer) AddWhole(p *Whole) error {
	if w.err != nil {
		return w.err
	}
	w.walk.Init(p.Records)
	defer w.walk.Close() // never fails, and lets go of the memory of another one
	rec := w.walk.First()
	if bytes.Compare(w.lastKey, rec.Key) >= 0 {
		return w.fail("add block", errOrder)
	}
	if w.data.Len() > 0 {
		if err := w.endBlock(rec.Key); err != nil {
			return err
		}
	}
	w.endSingle(rec.Key)
	for ; rec != nil; rec = w.walk.Next() {
		w.addKey(rec.Key)
		w.tally.addRecord(rec.Key, w.lastHash, rec.Trailer, rec.Value)
	}
	w.lastKey, w.lastTrailer = append(w.lastKey[:0], p.Last...), p.Records.Trailer(p.Records.Len()-1)
	w.single = blockRef{offset: w.offset(), diskBytes: uint32(len(p.stored)), rawBytes: p.rawBytes}
	w.buffer = append(w.buffer, p.stored...)
	w.buffer = newest.appendTrailer(w.buffer, w.o.FileNum, kindData, p.codec, w.single, p.stored)
	if len(w.buffer) >= writeBytes {
		return w.flush()
	}
	return nil
}
