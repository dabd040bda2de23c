package sstable

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// deletesReadBytes is the size of the reads of a walk over range deletes.
const deletesReadBytes = 64 << 10

// deletesIter walks over the range deletes of a table once, past the cache.
type deletesIter struct {
	r        *Reader
	begun    bool
	index    block.View
	block    int // of the index, under view
	view     block.View
	slot     int // the next one in view
	window   window
	raw      []byte
	fragment rangedel.Fragment
	lo       []byte
}

// RangeDeletes returns an iterator over the range deletes of the table. It needs no
// epoch guard.
func (r *Reader) RangeDeletes() rangedel.Iterator { return &deletesIter{r: r, block: -1} }

// Next implements rangedel.Iterator.
func (it *deletesIter) Next() (*rangedel.Fragment, error) {
	r := it.r
	if r.footer.deleteIndex == (blockRef{}) {
		return nil, nil
	}
	if !it.begun {
		if err := it.readIndex(); err != nil {
			return nil, r.blame(err, kindDeleteIndex, r.footer.deleteIndex, r.props.Lo, r.props.Hi)
		}
		it.begun = true
	}
	for it.slot == it.view.Len() {
		if it.block+1 == it.index.Len() {
			return nil, nil
		}
		if err := it.readBlock(it.block + 1); err != nil {
			return nil, r.blameDeletes(err, &it.index, it.block+1)
		}
		it.block, it.slot = it.block+1, 0
	}
	it.lo = it.view.AppendKey(it.lo[:0], it.slot)
	if err := it.fragment.Decode(it.lo, it.view.Value(it.slot)); err != nil {
		return nil, r.blameDeletes(err, &it.index, it.block)
	}
	it.slot++
	for i := range it.fragment.Seqs {
		it.fragment.Seqs[i] += r.o.SeqBase
	}
	return &it.fragment, nil
}

func (it *deletesIter) readIndex() error {
	ref := it.r.footer.deleteIndex
	stored := make([]byte, it.r.layout.storedBytes(ref))
	err := it.r.fill(stored, kindDeleteIndex, ref, nil)
	if err == nil {
		it.index, err = block.Parse(stored[:ref.diskBytes])
	}
	if err == nil {
		err = it.r.checkDeleteIndex(&it.index)
	}
	return err
}

func (it *deletesIter) readBlock(i int) error {
	ref := dataRef(&it.index, i)
	stored, err := it.window.read(it.r, ref, deletesReadBytes, it.r.footer.sectionsBegin())
	if err != nil {
		return err
	}
	payload, err := it.r.unpack(kindRangeDelete, ref, stored, &it.raw)
	if err != nil {
		return err
	}
	if err := checkDeletes(payload, &it.index, i, nil); err != nil {
		return err
	}
	it.view = block.Trusted(payload)
	return nil
}

var _ rangedel.Iterator = (*deletesIter)(nil)

// rangeDeletes checks the range deletes, whose index is given.
func (v *verifier) rangeDeletes(payload []byte) error {
	index, err := block.Parse(bytes.Clone(payload)) // the window moves on
	if err == nil {
		err = v.r.checkDeleteIndex(&index)
	}
	if err != nil {
		return err
	}
	p := &v.tally.Properties
	for i := range index.Len() {
		ref := dataRef(&index, i)
		payload, err := v.stored(&v.window, kindRangeDelete, ref, v.r.footer.sectionsBegin(), &v.raw)
		if err == nil {
			err = checkDeletes(payload, &index, i, v.tally.addRangeDelete)
		}
		if err != nil {
			if err := v.found(v.r.blameDeletes(err, &index, i)); err != nil {
				return err
			}
			continue
		}
		p.DeleteBytes += uint64(v.r.layout.end(ref) - ref.offset)
		p.DeleteBlocks++
	}
	p.Lo, p.Hi = bytes.Clone(p.DeletesLo), bytes.Clone(p.DeletesHi)
	return nil
}
