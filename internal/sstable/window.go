package sstable

import (
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/offheap"
)

const (
	// aheadMaxBytes is the most that a scan through the cache reads ahead.
	aheadMaxBytes = 256 << 10
	// bulkReadBytes is the size of the reads of a scan past the cache, unless it is told
	// another one.
	bulkReadBytes = 512 << 10
	// windowKeptBytes is the largest window that a pooled iterator keeps.
	windowKeptBytes = 64 << 10
)

// window is a piece of the file in private memory, read in one go for several
// blocks. Files never change, so it cannot go stale. It starts at an aligned
// offset; blocks inside it are as aligned as they are in the file.
type window struct {
	memory []byte // file bytes from offset on
	offset int64
	large  offheap.Block // that has memory, if that is outside of Go's heap
	bulk   bool          // it is not kept for others, and so not on Go's heap, unless it is small

	lender   *framecache.Allowance // that was asked for the memory; nil: nobody
	borrowed int64                 // of it
}

// borrow asks the lender for what reads of sizeBytes need beyond what the window has.
func (w *window) borrow(cache *framecache.Cache, sizeBytes int64) bool {
	more := sizeBytes - int64(cap(w.memory))
	if more <= 0 || cache == nil {
		return true
	}
	lender := &cache.Ahead
	if !lender.Borrow(more) {
		return false
	}
	w.lender, w.borrowed = lender, w.borrowed+more
	return true
}

// find returns the stored bytes of a block, nil if the window has not all of
// them.
func (w *window) find(l layout, ref blockRef) []byte {
	begin, end := ref.offset-w.offset, l.end(ref)-w.offset
	if begin < 0 || end > int64(len(w.memory)) {
		return nil
	}
	return w.memory[begin:end][:l.storedBytes(ref)]
}

// read returns the stored bytes of a block, with its padding behind them,
// moving the window there if need be. It then reads aheadBytes, but not beyond
// end, the end of an aligned block, and no less than the block.
func (w *window) read(r *Reader, ref blockRef, aheadBytes, end int64) ([]byte, error) {
	if stored := w.find(r.layout, ref); stored != nil {
		return stored, nil
	}
	least := r.layout.end(ref) - ref.offset
	length := min(max(aheadBytes, least), end-ref.offset)
	err := w.move(r, ref.offset, length)
	if err != nil && length > least {
		// What cannot be read may lie behind this block.
		err = w.move(r, ref.offset, least)
	}
	return w.find(r.layout, ref), err
}

func (w *window) move(r *Reader, offset, length int64) error {
	w.makeRoom(r, length)
	w.memory, w.offset = w.memory[:length], offset
	err := r.readAt(w.memory, offset)
	if err != nil {
		w.memory = w.memory[:0]
	}
	return err
}

// makeRoom has memory of some length. What is far too large is not kept.
func (w *window) makeRoom(r *Reader, length int64) {
	if has := int64(cap(w.memory)); has >= length && (has < largeBytes || has <= 2*length) {
		return
	}
	w.large.Free()
	var ok bool
	if w.bulk || length > windowKeptBytes {
		w.large, ok = r.newBuffer(length)
	} else {
		w.large = offheap.Block{}
	}
	if ok {
		w.memory = w.large.Bytes()
	} else {
		w.memory = make([]byte, length)
	}
}

// shrink prepares the window for the pool.
func (w *window) shrink() {
	if w.large.Bytes() != nil {
		w.large.Free()
		w.large, w.memory = offheap.Block{}, nil
	}
	if cap(w.memory) > windowKeptBytes || w.lender != nil {
		w.memory = nil
	}
	w.memory = w.memory[:0]
	if w.lender != nil {
		w.lender.Return(w.borrowed)
		w.lender, w.borrowed = nil, 0
	}
}
