package sstable

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/buffers"
)

// This file asks the top index, which has an entry for each index partition. Of most
// tables it takes some kilobytes, and the reader keeps it in Go memory. Where keys are
// long and differ late it may take a good part of the table: that one comes from the
// cache, like the partitions. Nothing here needs a lock.

// topKeptBytes is the largest top index that a reader with a cache keeps.
const topKeptBytes = 32 << 10

// withTop calls fn with a large top index, which is valid until fn returns.
func (r *Reader) withTop(fn func(top *block.View)) error {
	guard := r.o.Epochs.Enter()
	defer guard.Exit()
	if payload := r.cached(r.topSlot()); payload != nil {
		top := block.Trusted(payload)
		fn(&top)
		return nil
	}
	f, err := r.load(kindTopIndex, r.topSlot(), r.footer.topIndex, nil)
	if err != nil {
		return r.blameTop(err)
	}
	defer f.release()
	top := block.Trusted(f.payload())
	fn(&top)
	return nil
}

// seekTop returns the first partition whose last entry is not before (key, seq) in
// internal order, or their number if there is none.
func (r *Reader) seekTop(key []byte, seq base.SeqNum) (p int, err error) {
	if !r.topLarge {
		return seekEntry(&r.top, key, seq), nil
	}
	err = r.withTop(func(top *block.View) { p = seekEntry(top, key, seq) })
	return p, err
}

// topEntry returns a copy of the separator behind partition p.
func (r *Reader) topEntry(p int) (key []byte, err error) {
	if !r.topLarge {
		return r.top.AppendKey(nil, p), nil
	}
	err = r.withTop(func(top *block.View) { key = top.AppendKey(nil, p) })
	return key, err
}

// isTopEntry reports whether a key is the separator behind partition p, and has its trailer.
func (r *Reader) isTopEntry(p int, key []byte, tr base.Trailer) (same bool, err error) {
	is := func(top *block.View) {
		separator := top.AppendKey(buffers.Spare(maxKeyBytes), p)
		same = bytes.Equal(key, separator) && top.Trailer(p) == tr
		buffers.Put(separator)
	}
	if !r.topLarge {
		is(&r.top)
		return same, nil
	}
	return same, r.withTop(is)
}

// blameTop is blame for the top index.
func (r *Reader) blameTop(err error) error {
	return r.blame(err, kindTopIndex, r.footer.topIndex, r.props.Lo, r.props.Hi)
}
