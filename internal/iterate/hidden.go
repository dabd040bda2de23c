package iterate

import "github.com/lightningdb/lightning/internal/base"

// This file passes what range tombstones hide. A few records are passed one by one; then
// the sources that hold nothing newer are moved behind the tombstone, and behind those
// that lie side by side with it: a window that moves on leaves one for each of its steps.

// hiddenRun is how many records under range tombstones are passed one by one before a
// seek is used.
const hiddenRun = 8

// passForward passes a record that a range tombstone hides, the count-th in a
// row, and now and then everything that the tombstone hides.
func (v *UserIter) passForward(rec *base.Record, count int) *base.Record {
	if v.mask.err != nil {
		return nil // which runOut explains
	}
	if next, jumped := v.jumpForward(rec); jumped {
		return next
	}
	if below := v.hiddenBelow(); count%hiddenRun == 0 && v.merging.skips(v.mask.by.Hi, below) {
		if !v.mayJump(forward, rec) {
			return nil
		}
		v.leaveUnseen(below)
		hi, pieces := v.mask.coveredTo(&v.upper)
		v.dead.chain += pieces
		if next, _ := v.merging.SkipForward(hi, below); !v.jumps.isLast(next) {
			return next
		}
		// It is of a source that holds something newer, which stays where it was.
	}
	return v.source.Next()
}

// passBackward is passForward in the other direction, over one tombstone at a time.
func (v *UserIter) passBackward(rec *base.Record, count int) *base.Record {
	if v.mask.err != nil {
		return nil // which runOut explains
	}
	if next, jumped := v.jumpBackward(rec); jumped {
		return next
	}
	if count%hiddenRun == 0 {
		if !v.mayJump(backward, rec) {
			return nil
		}
		below := v.hiddenBelow()
		v.leaveUnseen(below)
		next, moved := v.merging.SkipBackward(v.mask.by.Lo, below)
		if moved {
			v.dead.chain++
		}
		if moved && !v.jumps.isLast(next) {
			return next
		}
	}
	return v.source.Prev()
}

// hiddenBelow returns the number below which nothing is wanted under the tombstone that
// hides the current record. If nothing newer than the tombstone can be seen, that is
// everything.
func (v *UserIter) hiddenBelow() base.SeqNum {
	if v.mask.newest == v.seq {
		return base.SeqNumMax + 1
	}
	return v.mask.newest
}

// leaveUnseen notes that all below a number is passed without a look. A reader of the past
// does not see so what newer readers have there.
func (v *UserIter) leaveUnseen(below base.SeqNum) {
	if below > v.seq && v.dead.walk.HasNewer(v.seq) {
		v.dead.newer = true
	}
}
