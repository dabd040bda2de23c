package txn

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// This file is about the writes that went to files, because they would take too
// much memory. They are records in internal order there, whose sequence numbers
// are their steps plus one: all versions of a key may be there, as savepoints
// and cursors need them. Range deletes stay in memory.

// Spilled keeps writes in files.
type Spilled interface {
	// Add takes more records, all of them newer than those it has. Of the
	// versions of a key it may leave out those that another one hides from who
	// reads at any of the ascending pins or at the end; and those that live says
	// no to. After an error it is as it was before.
	Add(records Records, pins []base.SeqNum, live func(base.SeqNum) bool) error
	// Get returns a copy of the newest record of a key that is not newer than seq.
	Get(key []byte, seq base.SeqNum) (tr base.Trailer, value []byte, found bool, err error)
	// NewIter walks over all that is there now, also while more is added.
	NewIter() (base.Iterator, error)
	// RollBack gives up what is only newer than seq; other such records stay.
	RollBack(seq base.SeqNum)
}

// Records yields records in internal order.
type Records interface {
	First() *base.Record
	Next() *base.Record
	Err() error
}

// seq returns the sequence number of a record of the step; read at it, one sees
// what was written before the next step.
func (s Step) seq() base.SeqNum { return base.SeqNum(s) + 1 }

func stepOf(seq base.SeqNum) Step { return Step(seq) - 1 }

// rollback is the steps in [lo, hi), which were rolled back.
type rollback struct{ lo, hi Step }

// rolledBackAt returns the rollback that a step is in.
func (w *Writes) rolledBackAt(step Step) (rollback, bool) {
	if step >= w.spilledTo {
		return rollback{}, false
	}
	for _, r := range w.rollbacks {
		if r.lo <= step && step < r.hi {
			return r, true
		}
	}
	return rollback{}, false
}

// rollBackSpilled is RollBack for what was spilled.
func (w *Writes) rollBackSpilled(to Step) {
	if to >= w.spilledTo {
		return
	}
	w.rollbacks = slices.DeleteFunc(w.rollbacks, func(r rollback) bool { return r.lo >= to })
	if n := len(w.rollbacks); n > 0 && w.rollbacks[n-1].hi >= to {
		w.rollbacks[n-1].hi = w.spilledTo
	} else {
		w.rollbacks = append(w.rollbacks, rollback{to, w.spilledTo})
	}
	w.spilled.RollBack(base.SeqNum(to))
}

// Spill moves what is in memory to files, always the same ones. One may take
// writes back to the ascending pins later. After an error nothing has changed.
func (w *Writes) Spill(to Spilled, pins []Step) error {
	if len(w.list.versions()) > 0 {
		at := make([]base.SeqNum, len(pins))
		for i, pin := range pins {
			at[i] = base.SeqNum(pin)
		}
		live := func(seq base.SeqNum) bool { return w.sees(stepOf(seq), w.step) }
		if err := to.Add(&listRecords{list: w.list}, at, live); err != nil {
			return err
		}
		w.spilled, w.spilledTo = to, w.step
	}
	w.list = nil
	return nil
}

// newestSpilled returns the newest version of a key in the files, and the older
// ones if it is an operand; nil if there is none.
func (w *Writes) newestSpilled(key []byte) (*version, error) {
	copied := bytes.Clone(key) // so that the caller's can stay on its stack
	var newest, last *version
	for seq := base.SeqNum(w.spilledTo); ; {
		tr, value, found, err := w.spilled.Get(copied, seq)
		if err != nil || !found {
			return newest, err
		}
		step := stepOf(tr.Seq())
		if h, gone := w.rolledBackAt(step); gone {
			seq = base.SeqNum(h.lo)
			continue
		}
		v := newVersion(step, tr.Kind(), value)
		if newest == nil {
			newest = v
		} else {
			last.older = v
		}
		if last = v; v.kind != base.KindMerge {
			return newest, nil
		}
		seq = tr.Seq() - 1
	}
}

// newVersion makes a version of a record, whose value it takes over. Blocks have
// checksums, so that what stands before the value of the user is well-formed.
func newVersion(step Step, kind base.Kind, stored []byte) *version {
	decoded, _ := base.Decode(base.MakeTrailer(step.seq(), kind), stored)
	return &version{step: step, kind: kind, value: decoded.Value, expiry: decoded.Expiry}
}

// groups walks over what was spilled, key by key, as a step sees it.
type groups struct {
	writes  *Writes
	at      Step
	iter    base.Iterator
	rec     *base.Record // where iter stands: beyond the group, in the direction of travel
	forward bool

	valid  bool
	key    []byte
	newest *version // the older ones hang on it, if it is an operand
	found  []*version
	err    error
}

func (g *groups) first() { g.walk(true, g.iter.First()) }

func (g *groups) seekGE(key []byte) { g.walk(true, g.iter.SeekGE(key)) }

func (g *groups) seekLT(key []byte) { g.walk(false, g.iter.SeekLT(key)) }

func (g *groups) walk(forward bool, rec *base.Record) {
	g.forward, g.rec = forward, rec
	g.advance()
}

// advance goes on to the next key of which the step sees anything.
func (g *groups) advance() {
	g.valid, g.newest = false, nil
	for g.rec != nil && g.newest == nil {
		g.key = append(g.key[:0], g.rec.Key...)
		for g.rec != nil && bytes.Equal(g.rec.Key, g.key) {
			g.note()
			if g.forward {
				g.rec = g.iter.Next()
			} else {
				g.rec = g.iter.Prev()
			}
		}
		g.link()
	}
	if g.rec == nil {
		g.err = g.iter.Err()
	}
	g.valid = g.newest != nil && g.err == nil
}

// note takes the version at hand, if it counts: the newest, and those under it
// if it is an operand. Backward the oldest comes first.
func (g *groups) note() {
	step := stepOf(g.rec.Trailer.Seq())
	if !g.writes.sees(step, g.at) {
		return
	}
	kind := g.rec.Trailer.Kind()
	switch {
	case g.forward && len(g.found) > 0 && kind != base.KindMerge:
		return
	case g.forward && len(g.found) > 0 && g.found[0].kind != base.KindMerge:
		return
	case !g.forward && kind != base.KindMerge:
		g.found = g.found[:0]
	case !g.forward && len(g.found) > 0 && g.found[0].kind != base.KindMerge:
		g.found = g.found[:0]
	}
	g.found = append(g.found, newVersion(step, kind, bytes.Clone(g.rec.Value)))
}

// link makes a group of the versions that were noted.
func (g *groups) link() {
	if !g.forward {
		slices.Reverse(g.found)
	}
	for i, v := range g.found {
		if i > 0 {
			g.found[i-1].older = v
		} else {
			g.newest = v
		}
	}
	clear(g.found)
	g.found = g.found[:0]
}

func (g *groups) close() error { return g.iter.Close() }
