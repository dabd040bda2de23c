package sstable

import (
	"bytes"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// This file is about the range deletes of a table: fragments in blocks of their own,
// which come from the cache like data blocks, and an index with one entry for each
// block, whose key is where its first fragment begins. What covers a key is in the last
// block whose entry is not behind it: one block and its index answer each question,
// however many range deletes the table has.

// deleteBlocks builds the blocks. They wait in memory until all data is written.
type deleteBlocks struct {
	current  block.Builder
	room     block.Room
	lastLo   []byte // of the last fragment in current
	finished []deleteBlock
	bytes    int64 // of the finished ones
	check    rangedel.Fragment
}

type deleteBlock struct{ lo, payload []byte }

// add appends a fragment with its stored form.
func (d *deleteBlocks) add(f *rangedel.Fragment, value []byte, blockBytes int) {
	shared := base.CommonPrefix(d.lastLo, f.Lo)
	if d.current.Len() > 0 && !d.room.Take(&d.current, shared, len(f.Lo), len(value)) {
		d.cut()
	}
	if d.current.Len() == 0 {
		d.room.Begin(blockBytes-newest.trailerBytes, len(f.Lo), len(value))
		d.finished = append(d.finished, deleteBlock{lo: bytes.Clone(f.Lo)})
	}
	d.current.Add(f.Lo, base.MakeTrailer(f.Seqs[0], base.KindRangeDelete), value, 0)
	d.lastLo = append(d.lastLo[:0], f.Lo...)
}

func (d *deleteBlocks) cut() {
	b := &d.finished[len(d.finished)-1]
	b.payload = bytes.Clone(d.current.Finish())
	d.bytes += int64(len(b.payload) + newest.trailerBytes)
	d.current.Reset()
}

// sizeBytes is about what the blocks take.
func (d *deleteBlocks) sizeBytes() int64 {
	if d.current.Len() == 0 {
		return d.bytes
	}
	return d.bytes + int64(d.room.Taken())
}

// storeDeletes stores the range-delete blocks and returns their index, nil if there are
// none.
func (w *Writer) storeDeletes() ([]byte, error) {
	d := &w.deletes
	if d.current.Len() == 0 {
		return nil, nil
	}
	d.cut()
	begin := w.offset()
	var index block.Builder
	for _, b := range d.finished {
		ref, err := w.store(kindRangeDelete, w.o.Compression, b.payload)
		if err != nil {
			return nil, err
		}
		w.value = ref.appendTo(w.value[:0])
		index.Add(b.lo, block.SettledTrailer, w.value, 0)
	}
	p := &w.tally.Properties
	p.DeleteBytes, p.DeleteBlocks = uint64(w.offset()-begin), uint64(len(d.finished))
	return index.Finish(), nil
}

// deletesFit reports whether what the properties say of the range-delete blocks goes
// together with the footer.
func (r *Reader) deletesFit() bool {
	p, room := &r.props, uint64(r.footer.sectionsBegin()-headerBytes)
	return p.DeleteBytes <= room && p.DeleteBlocks <= p.DeleteBytes/uint64(r.layout.trailerBytes) &&
		(p.DeleteBlocks == 0) == (p.DeleteBytes == 0) &&
		(p.DeleteBlocks == 0) == (r.footer.deleteIndex == (blockRef{}))
}

// deletesBegin is the offset of the first range-delete block, which follows the index
// partitions.
func (r *Reader) deletesBegin() int64 {
	return r.footer.sectionsBegin() - int64(r.props.DeleteBytes)
}

// hasDeletes reports whether there are range deletes that seq sees.
func (r *Reader) hasDeletes(seq base.SeqNum) bool {
	return r.footer.deleteIndex != (blockRef{}) && seq >= r.o.SeqBase
}

// deleteIndexSlot is the slot of the index of the range deletes, deleteSlot that of one
// of their blocks.
func (r *Reader) deleteIndexSlot() int     { return r.topSlot() + 1 }
func (r *Reader) deleteSlot(block int) int { return r.topSlot() + 2 + block }

// checkDeleteIndex verifies the entries of the index of the range deletes: one for each
// block, side by side between the index partitions and the sections.
func (r *Reader) checkDeleteIndex(v *block.View) error {
	if uint64(v.Len()) != r.props.DeleteBlocks {
		return fmt.Errorf("index has %d range-delete blocks, not %d", v.Len(), r.props.DeleteBlocks)
	}
	next, end := r.deletesBegin(), r.footer.sectionsBegin()
	for i := range v.Len() {
		ref, rest, ok := takeRef(v.Value(i))
		if !ok || len(rest) > 0 || !r.layout.holds(ref, headerBytes, end) || ref.rawBytes > maxRawBytes {
			return errReference
		}
		if ref.offset != next {
			return errOutOfPlace
		}
		if i > 0 && bytes.Compare(v.AppendKey(nil, i-1), v.AppendKey(nil, i)) >= 0 {
			return errDisorder
		}
		next = r.layout.end(ref)
	}
	if next != end {
		return errOutOfPlace
	}
	return nil
}

// checkDeletes verifies range-delete block i of the index: its fragments are well
// formed and in order, and lie between the entries of the index. each, if given, is
// told of them, with what is stored.
func checkDeletes(payload []byte, index *block.View, i int, each func(f *rangedel.Fragment, value []byte)) error {
	v, err := block.Parse(payload)
	if err != nil {
		return err
	}
	if v.Len() == 0 {
		return errEmpty
	}
	var f rangedel.Fragment
	var lo, end []byte
	for slot := range v.Len() {
		lo = v.AppendKey(lo[:0], slot)
		if err := f.Decode(lo, v.Value(slot)); err != nil {
			return err
		}
		switch {
		case v.Trailer(slot) != base.MakeTrailer(f.Seqs[0], base.KindRangeDelete):
			return errKind
		case slot == 0 && !bytes.Equal(lo, index.AppendKey(nil, i)):
			return errBoundary
		case slot > 0 && bytes.Compare(end, lo) > 0:
			return errDisorder
		}
		end = f.Hi
		if each != nil {
			each(&f, v.Value(slot))
		}
	}
	if i+1 < index.Len() && bytes.Compare(end, index.AppendKey(nil, i+1)) > 0 {
		return errBoundary
	}
	return nil
}

// deleteIndex returns the index of the range deletes, of which there are some. The
// bytes under the view are valid until the end of the caller's epoch guard.
func (r *Reader) deleteIndex() (block.View, error) {
	slot := r.deleteIndexSlot()
	if payload := r.cached(slot); payload != nil {
		return block.Trusted(payload), nil
	}
	f, err := r.load(kindDeleteIndex, slot, r.footer.deleteIndex, nil)
	if err != nil {
		return block.View{}, r.blame(err, kindDeleteIndex, r.footer.deleteIndex, r.props.Lo, r.props.Hi)
	}
	v := block.Trusted(f.payload())
	f.release()
	return v, nil
}

// deletes returns range-delete block i of the index, under the same terms.
func (r *Reader) deletes(index *block.View, i int) (block.View, error) {
	slot := r.deleteSlot(i)
	if payload := r.cached(slot); payload != nil {
		return block.Trusted(payload), nil
	}
	f, err := r.fetch(kindRangeDelete, dataRef(index, i), nil)
	if err == nil {
		err = checkDeletes(f.payload(), index, i, nil)
	}
	if f, err = r.publish(slot, f, err); err != nil {
		return block.View{}, r.blameDeletes(err, index, i)
	}
	v := block.Trusted(f.payload())
	f.release()
	return v, nil
}

// blameDeletes is blame for range-delete block i of the index.
func (r *Reader) blameDeletes(err error, index *block.View, i int) error {
	hi := r.props.Hi
	if i+1 < index.Len() {
		hi = index.AppendKey(nil, i+1)
	}
	return r.blame(err, kindRangeDelete, dataRef(index, i), index.AppendKey(nil, i), hi)
}

// deletePlace is where the last range delete is that begins at a key or before.
type deletePlace struct {
	index, view block.View
	block, slot int // -1: all begin behind the key
}

func (r *Reader) findDelete(at *deletePlace, key []byte) (err error) {
	if at.index, err = r.deleteIndex(); err != nil {
		return err
	}
	at.slot = -1
	if at.block = at.index.SeekLE(key); at.block < 0 {
		return nil
	}
	if at.view, err = r.deletes(&at.index, at.block); err != nil {
		return err
	}
	at.slot = at.view.SeekLE(key)
	return nil
}

// Covering returns the newest range delete over key that is not newer than seq, 0 if
// there is none. The caller is inside an epoch guard.
func (r *Reader) Covering(key []byte, seq base.SeqNum) (base.SeqNum, error) {
	if !r.hasDeletes(seq) {
		return 0, nil
	}
	var at deletePlace
	if err := r.findDelete(&at, key); err != nil || at.slot < 0 {
		return 0, err
	}
	hi, newest, found := rangedel.Newest(at.view.Value(at.slot), seq-r.o.SeqBase)
	if !found || bytes.Compare(hi, key) <= 0 {
		return 0, nil
	}
	return newest + r.o.SeqBase, nil
}

// PieceBuffer is memory for the bounds of a piece.
type PieceBuffer struct{ lo, hi []byte }

// Around is Covering with the bounds between which the answer is the same; those are in
// the buffer.
func (r *Reader) Around(key []byte, seq base.SeqNum, b *PieceBuffer) (p rangedel.Piece, err error) {
	if !r.hasDeletes(seq) {
		return p, nil
	}
	var at deletePlace
	if err = r.findDelete(&at, key); err != nil {
		return p, err
	}
	if at.slot >= 0 {
		hi, newest, found := rangedel.Newest(at.view.Value(at.slot), seq-r.o.SeqBase)
		if bytes.Compare(hi, key) > 0 {
			b.lo, b.hi = at.view.AppendKey(b.lo[:0], at.slot), append(b.hi[:0], hi...)
			p.Lo, p.Hi = b.lo, b.hi
			if found {
				p.Seq = newest + r.o.SeqBase
			}
			return p, nil
		}
		b.lo = append(b.lo[:0], hi...)
		p.Lo = b.lo
	}
	switch {
	case at.slot >= 0 && at.slot+1 < at.view.Len():
		b.hi = at.view.AppendKey(b.hi[:0], at.slot+1)
	case at.block+1 < at.index.Len():
		b.hi = at.index.AppendKey(b.hi[:0], at.block+1)
	default:
		return p, nil
	}
	p.Hi = b.hi
	return p, nil
}
