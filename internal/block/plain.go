package block

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/kernel"
)

// This file tells which records of a block need no look of their own: most walks go over
// rows that have nothing special about them, in long runs.

// PlainMax is up to how many records are looked at at once.
const PlainMax = 64

// Plain says which records are plain: values without an expiry, in a span of sequence
// numbers, before a key in the order of the walk.
type Plain struct {
	Oldest, Newest base.SeqNum // both inclusive
	Bound          []byte      // exclusive; nil: none
}

// Tighten makes key the bound if it comes before the one that there is.
func (p *Plain) Tighten(key []byte, forward bool) {
	if p.Bound == nil || (bytes.Compare(key, p.Bound) < 0) == forward {
		p.Bound = key
	}
}

// has reports whether a record may be one by its trailer.
func (p *Plain) has(tr base.Trailer) bool {
	return tr.Kind() == base.KindSet && tr.Seq() <= p.Newest && tr.Seq() >= p.Oldest
}

// Plain returns how many of the records behind the current one in a direction are plain, and
// forward each of another key than the one before; it looks at no more than so many.
func (it *Iter) Plain(p *Plain, most int, forward bool) int {
	if uint(it.slot) >= uint(it.n) || it.trailerWidth == 0 && !p.has(it.trailer(0)) {
		return 0
	}
	if forward {
		return it.plainForward(p, min(it.n, it.slot+1+most))
	}
	return it.plainBackward(p, max(0, it.slot-most))
}

// plainForward is Plain for the records before slot end. Where all have one trailer they are
// of different keys.
func (it *Iter) plainForward(p *Plain, end int) int {
	if p.Bound != nil {
		end = min(end, it.view.SeekGE(p.Bound))
	}
	first := it.slot + 1
	if it.trailerWidth != 0 {
		for slot := first; slot < end; slot++ {
			if !p.has(it.trailer(slot)) || it.view.compareNeighbours(slot-1) == 0 {
				return slot - first
			}
		}
	}
	return max(0, end-first)
}

// plainBackward is Plain for the records from slot begin on.
func (it *Iter) plainBackward(p *Plain, begin int) int {
	if p.Bound != nil {
		begin = max(begin, it.firstAbove(p.Bound))
	}
	if it.trailerWidth != 0 {
		for slot := it.slot - 1; slot >= begin; slot-- {
			if !p.has(it.trailer(slot)) {
				return it.slot - 1 - slot
			}
		}
	}
	return max(0, it.slot-begin)
}

// firstAbove returns the first slot whose key is > key.
func (it *Iter) firstAbove(key []byte) int {
	slot := it.view.SeekGE(key)
	if !it.view.hasPrefix(key) {
		return slot
	}
	suffix := key[it.view.prefixLen:]
	for slot < it.n && it.view.head(slot) == headOf(suffix) && it.view.equalRest(slot, suffix) {
		slot++
	}
	return slot
}

// trailer returns that of a slot.
func (it *Iter) trailer(slot int) base.Trailer {
	delta := kernel.Load64(it.view.base, it.trailers+uintptr(slot)*it.trailerWidth) & it.trailerMask
	return base.Trailer(it.baseTrailer + delta)
}

// Pass steps over the next n records in a direction, which are there, and passes each to yield
// until that returns false: its key without the first cut bytes, and its value, both as those
// of the current record. It returns what yield did.
func (it *Iter) Pass(n int, forward bool, cut int, yield func(key, value []byte) bool) bool {
	step := 1
	if !forward {
		step = -1
	}
	for ; n > 0; n-- {
		rec := it.land(it.slot + step)
		if !yield(rec.Key[cut:], rec.Value) {
			return false
		}
	}
	return true
}

// AllPlain reports whether all records of a block are plain, and each of another key than the one before. It
// takes no notice of a bound.
func AllPlain(v View, p *Plain) bool {
	for slot := range v.Len() {
		if !p.has(v.Trailer(slot)) {
			return false
		}
		if v.trailerWidth() == 0 {
			break // one trailer for all, which so are of different keys
		}
		if slot > 0 && v.compareNeighbours(slot-1) == 0 {
			return false
		}
	}
	return true
}

// LongestValue returns the length of the longest value of a block.
func LongestValue(v View) (longest int) {
	for slot := range v.Len() {
		longest = max(longest, len(v.Value(slot)))
	}
	return longest
}
