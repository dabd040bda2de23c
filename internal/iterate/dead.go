package iterate

import (
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/invariant"
)

// This file is about long runs of records that are no rows: deleted and expired
// ones. What is known of them is in a deadrange.Map, which a scan asks now and then,
// and which it tells of a run that was long all the same.

// deadRun is how many of them are passed one by one before the map is asked again.
const deadRun = 8

// growRun is how many there must be in a row, beside a range that is known, for it to be
// worth letting that grow.
const growRun = 2 * deadRun

// noteRun is how many there must be to be worth noting. The checks want what is rare to
// happen often.
func noteRun() int {
	if invariant.Enabled {
		return growRun
	}
	return 16 * deadRun
}

// closedRun is after how many of them the walk asks whether the database is closed: to
// pass millions takes seconds, for which Close is not to wait.
const closedRun = 1024

// deadRunner counts the records in a row that were no rows.
type deadRunner struct {
	ranges *deadrange.Map // nil: none
	closed *atomic.Bool   // of the database; nil: it stays open
	count  int
	first  []byte // the key of the first of them
	known  bool   // some of them lie in a range
}

// begin starts anew: the search begins, or there was a row.
func (d *deadRunner) begin() { d.count, d.known = 0, false }

// noted reports whether there were so many that it is worth noting.
func (d *deadRunner) noted() bool { return d.count >= noteRun() || d.known && d.count >= growRun }

// pass counts a record, and returns the range that holds it, if it is time to look
// for one.
func (d *deadRunner) pass(key []byte, seq base.SeqNum, at base.Instant) *deadrange.Range {
	if d.ranges == nil {
		return nil
	}
	if d.count++; d.count == 1 {
		d.first = append(d.first[:0], key...)
	} else if d.count%deadRun != 0 {
		return nil
	}
	r := d.ranges.Find(key, seq, at)
	d.known = d.known || r != nil
	return r
}

// endForward notes the run from its first key up to the row at hi.
func (d *deadRunner) endForward(hi []byte) {
	if d.noted() && hi != nil {
		d.ranges.Note(d.first, hi)
	}
}

// endBackward notes the run from behind the row at lo up to its first key.
func (d *deadRunner) endBackward(lo []byte, inclusive bool) {
	if !d.noted() || lo == nil {
		return
	}
	if !inclusive {
		lo = base.Successor(nil, lo)
	}
	d.ranges.Note(lo, base.Successor(nil, d.first))
}

// ended reports whether the walk is to end here.
func (d *deadRunner) ended() bool {
	return d.count%closedRun == 0 && d.count > 0 && d.closed != nil && d.closed.Load()
}

// passDeadForward goes on behind a record that is no row, or behind the dead range
// that it lies in.
func (v *UserIter) passDeadForward(rec *base.Record) *base.Record {
	v.hold(rec)
	r := v.dead.pass(rec.Key, v.seq, v.at)
	if v.dead.ended() {
		return nil // which runOut explains
	}
	if r == nil {
		return v.source.Next()
	}
	if !v.mayJump(forward, rec) {
		return nil
	}
	v.held.Trailer = 0 // nothing is known of the keys there
	return v.source.SeekGE(r.Hi)
}

// passDeadBackward is passDeadForward in the other direction.
func (v *UserIter) passDeadBackward(rec *base.Record) *base.Record {
	r := v.dead.pass(rec.Key, v.seq, v.at)
	if v.dead.ended() {
		return nil // which runOut explains
	}
	if r != nil {
		if !v.mayJump(backward, rec) {
			return nil
		}
		return v.source.SeekLT(r.Lo)
	}
	return v.source.Prev()
}
