package writer

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/invariant"
)

// deleteRun follows deletes in ascending order, as one who takes from the head of a
// queue does them, and notes where they were: so it is known that nothing is left there
// before somebody scans over it. It belongs to the leader of the commits.
type deleteRun struct {
	lo, hi []byte // the first key that is not noted yet, and the last one
	count  int    // of what is not noted
}

// noteDeletes is how many deletes are noted at once. A scan passes as many one by one
// in a fraction of a millisecond. The checks want what is rare to happen often.
func noteDeletes() int {
	if invariant.Enabled {
		return 32
	}
	return 256
}

// add follows the delete of a key.
func (d *deleteRun) add(key []byte, dead *deadrange.Map) {
	if len(d.hi) == 0 || bytes.Compare(key, d.hi) <= 0 {
		d.lo, d.count = append(d.lo[:0], key...), 0
	}
	d.hi = append(d.hi[:0], key...)
	if d.count++; d.count%noteDeletes() != 0 {
		return
	}
	d.hi = base.Successor(d.hi[:0], d.hi)
	if dead.Note(d.lo, d.hi) {
		d.lo, d.count = append(d.lo[:0], d.hi...), 0
	}
	d.hi = d.hi[:len(d.hi)-1]
}

// rangeRun follows range deletes that touch, as one who moves a window leaves them, and
// notes what they have covered together. It belongs to the leader of the commits.
type rangeRun struct {
	lo, hi []byte
	count  int // of what is not noted
}

// noteRanges is how many range deletes are noted at once: a scan passes as many in a few
// microseconds.
const noteRanges = 16

// add follows the range delete of [lo, hi).
func (d *rangeRun) add(lo, hi []byte, dead *deadrange.Map) {
	if d.count == 0 || bytes.Compare(lo, d.hi) > 0 || bytes.Compare(hi, d.lo) < 0 {
		d.lo, d.hi, d.count = append(d.lo[:0], lo...), append(d.hi[:0], hi...), 1
		return
	}
	if bytes.Compare(lo, d.lo) < 0 {
		d.lo = append(d.lo[:0], lo...)
	}
	if bytes.Compare(hi, d.hi) > 0 {
		d.hi = append(d.hi[:0], hi...)
	}
	if d.count++; d.count%noteRanges == 0 && dead.Note(d.lo, d.hi) {
		d.lo = append(d.lo[:0], d.hi...)
	}
}
