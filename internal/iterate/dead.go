package iterate

import (
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/invariant"
)

// This file is about long runs of records that are no rows: deleted and expired ones,
// and those under range tombstones. What is known of them is in a deadrange.Map. A scan
// asks it before it looks for a record, and now and then on its way, and tells it of a run
// that was long all the same.

// deadRun is how many of them are passed one by one before the map is asked again.
const deadRun = 8

// growRun is how many there must be in a row, beside a range that is known, for it to be
// worth letting that grow: to pass them one by one takes about as long as that.
const growRun = deadRun

// noteRun is how many there must be for a range to be worth it. The checks want what is rare to
// happen often.
func noteRun() int {
	if invariant.Enabled {
		return 2 * growRun
	}
	return 16 * deadRun
}

// closedRun is after how many of them the walk asks whether the database is closed: to
// pass millions takes seconds, for which Close is not to wait.
const closedRun = 1024

// deadRunner counts the records in a row that were no rows.
type deadRunner struct {
	ranges *deadrange.Map // nil: none
	walk   deadrange.Walk
	closed *atomic.Bool // of the database; nil: it stays open
	count  int
	chain  int    // of range tombstones that were passed at once
	edge   []byte // where they begin: forward inclusive, backward exclusive
	edged  bool   // there is an edge
	beside bool   // of a range that is known
	newer  bool   // something else, which is newer, is among them
}

// begin starts anew.
func (d *deadRunner) begin() {
	d.count, d.chain, d.edged, d.beside, d.newer = 0, 0, false, false, false
}

// beginAt is begin where the search begins between two records, at a key.
func (d *deadRunner) beginAt(key []byte) {
	d.begin()
	if d.ranges != nil {
		d.edge, d.edged = append(d.edge[:0], key...), true
	}
}

// beginBeside is begin at the edge of a range that is known.
func (d *deadRunner) beginBeside(edge []byte) {
	d.beginAt(edge)
	d.beside = true
}

// isLong reports whether there were so many that a range is worth it.
func (d *deadRunner) isLong() bool {
	n := d.count + d.chain
	return n >= noteRun() || d.beside && n >= growRun
}

// isDue counts a record, and reports whether it is time to look for a range that holds it.
func (d *deadRunner) isDue() bool {
	d.count++
	return d.ranges != nil && (d.count == 1 || d.count%deadRun == 0)
}

// endForward has it known that there is nothing up to the row at hi.
func (v *UserIter) endDeadForward(hi []byte) {
	if d := &v.dead; d.isLong() && hi != nil {
		d.settle(d.edge, hi, v.seq, v.at)
	}
}

// endDeadBackward has it known that there is nothing behind lo, which may be a row.
func (v *UserIter) endDeadBackward(lo []byte, inclusive bool) {
	d := &v.dead
	if !d.isLong() || lo == nil {
		return
	}
	if !inclusive {
		lo = base.Successor(nil, lo)
	}
	d.settle(lo, d.edge, v.seq, v.at)
}

func (d *deadRunner) settle(lo, hi []byte, seq base.SeqNum, at base.Instant) {
	if d.ranges != nil && !d.newer {
		d.ranges.Prove(d.walk, lo, hi, seq, at)
	}
}

// ended reports whether the walk is to end here.
func (d *deadRunner) ended() bool {
	return d.count%closedRun == 0 && d.count > 0 && d.closed != nil && d.closed.Load()
}

// seekForward returns the first record from a key on that may be a row.
func (v *UserIter) seekForward(key []byte) *base.Record {
	v.dead.beginAt(key)
	if v.dead.ranges != nil {
		if r := v.dead.ranges.Find(key, v.seq, v.at); r != nil {
			v.dead.beginBeside(r.Hi)
			key = r.Hi
		}
	}
	return v.source.SeekGE(key)
}

// passDeadForward goes on behind a record that is no row, or behind the dead range
// that it lies in.
func (v *UserIter) passDeadForward(rec *base.Record) *base.Record {
	v.hold(rec)
	if next, jumped := v.jumpForward(rec); jumped {
		return next
	}
	return v.source.Next()
}

// jumpForward counts a record that is no row, and goes on behind the dead range that it
// lies in, if it is time to look for one and one is known. If jumped is true and there is
// no record, runOut explains that.
func (v *UserIter) jumpForward(rec *base.Record) (next *base.Record, jumped bool) {
	if !v.dead.edged {
		v.dead.edge, v.dead.edged = append(v.dead.edge[:0], rec.Key...), true
	}
	if v.dead.isDue() {
		if r := v.dead.ranges.Find(rec.Key, v.seq, v.at); r != nil {
			if !v.mayJump(forward, rec) {
				return nil, true
			}
			v.dead.beginBeside(r.Hi)
			v.held.Trailer = 0 // nothing is known of the keys there
			return v.source.SeekGE(r.Hi), true
		}
	}
	return nil, v.dead.ended()
}

// passDeadBackward is passDeadForward in the other direction.
func (v *UserIter) passDeadBackward(rec *base.Record) *base.Record {
	if next, jumped := v.jumpBackward(rec); jumped {
		return next
	}
	return v.source.Prev()
}

// jumpBackward is jumpForward in the other direction.
func (v *UserIter) jumpBackward(rec *base.Record) (next *base.Record, jumped bool) {
	if !v.dead.edged {
		v.dead.edge, v.dead.edged = base.Successor(v.dead.edge[:0], rec.Key), true
	}
	if v.dead.isDue() {
		if r := v.dead.ranges.Find(rec.Key, v.seq, v.at); r != nil {
			if !v.mayJump(backward, rec) {
				return nil, true
			}
			v.dead.beginBeside(r.Lo)
			return v.source.SeekLT(r.Lo), true
		}
	}
	return nil, v.dead.ended()
}

// passNewer passes a record that is newer than what is shown.
func (v *UserIter) passNewer(rec *base.Record, to direction) *base.Record {
	if rec.Trailer.Kind() != base.KindDelete {
		v.dead.newer = true
	}
	if to == forward {
		return v.source.Next()
	}
	return v.source.Prev()
}
