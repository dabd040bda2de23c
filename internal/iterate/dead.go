package iterate

import (
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/invariant"
)

// This file is about long runs of records that are no rows: deleted and expired ones,
// and those under range tombstones. What is known of them is in a deadrange.Map, which a
// scan asks where it begins and now and then, and which it tells of a run that was long
// all the same.

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
	chain  int    // of range tombstones, side by side, that were passed at once
	from   []byte // the caller's: the search began there; nil: at a row
	first  []byte // where the run begins: there, or with the first of its records
	known  bool   // some of them lie in a range
}

// begin starts anew: the search begins, at a key or, nil, behind a row.
func (d *deadRunner) begin(from []byte) { d.count, d.chain, d.known, d.from = 0, 0, false, from }

// noted reports whether there were so many that it is worth noting.
func (d *deadRunner) noted() bool {
	n := d.count + d.chain
	return d.ranges != nil && (n >= noteRun() || d.known && n >= growRun)
}

// find returns the range that holds the key from which the search begins.
func (d *deadRunner) find(seq base.SeqNum, at base.Instant) *deadrange.Range {
	if d.ranges == nil || d.from == nil {
		return nil
	}
	r := d.ranges.Find(d.from, seq, at)
	d.known = r != nil
	return r
}

// pass counts a record, and returns the range that holds it, if it is time to look
// for one.
func (d *deadRunner) pass(key []byte, seq base.SeqNum, at base.Instant) *deadrange.Range {
	if d.ranges == nil {
		return nil
	}
	if d.count++; d.count == 1 {
		first := key
		if d.from != nil {
			first = d.from
		}
		d.first = append(d.first[:0], first...)
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
	if next, jumped := v.jumpForward(rec); jumped {
		return next
	}
	return v.source.Next()
}

// jumpForward goes on behind the dead range in which a record lies that is no row, if one
// is known. If jumped is true and there is no record, runOut explains that.
func (v *UserIter) jumpForward(rec *base.Record) (next *base.Record, jumped bool) {
	r := v.dead.pass(rec.Key, v.seq, v.at)
	switch {
	case v.dead.ended():
		return nil, true
	case r == nil:
		return nil, false
	case !v.mayJump(forward, rec):
		return nil, true
	}
	v.held.Trailer = 0 // nothing is known of the keys there
	return v.source.SeekGE(r.Hi), true
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
	r := v.dead.pass(rec.Key, v.seq, v.at)
	switch {
	case v.dead.ended():
		return nil, true
	case r == nil:
		return nil, false
	case !v.mayJump(backward, rec):
		return nil, true
	}
	return v.source.SeekLT(r.Lo), true
}
