// Package txn holds what a transaction remembers: what it has written (Writes),
// what it has read (Reads), and a view of both its own writes and the rows
// under them (Cursor). It knows nothing of commits, and of files only that
// others keep for it what it cannot hold in memory (Spilled); the engine
// validates Reads and applies Writes.
//
// Keys are internal: they include the prefix of their keyspace. Everything here
// belongs to one transaction and is used by one goroutine at a time; Reads,
// once frozen, may be read by the leader of a commit while its owner waits.
package txn

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
)

// Step counts the writes of a transaction. It never goes back, also when writes
// are rolled back, so that a cursor that was made at some step keeps seeing
// exactly the writes before it.
type Step int

// Writes is what a transaction has written: the latest writes in a list in
// memory, those before in Spilled, and the range deletes. The zero Writes is
// empty.
//
// A spilled list is replaced by an empty one and never changes again, so a
// cursor goes on with the list of its time, and the files of its time. What is
// rolled back goes from the list; of what was spilled it becomes a rollback, a range
// of steps that nobody sees.
//
// Invariants: what was spilled has steps below spilledTo, and what is in the
// list has not; rollbacks are ascending and disjoint, and end at or below
// spilledTo; all steps from liveTo on were rolled back. Under an operand of a merge
// there are, as far as anyone sees, only other operands of the key.
type Writes struct {
	list      *list
	spilled   Spilled // nil: nothing was
	spilledTo Step
	rollbacks []rollback
	step      Step
	liveTo    Step
	deletes   deletes
}

// Outcome says what a transaction's own writes say of a key.
type Outcome uint8

const (
	Untouched Outcome = iota // the rows underneath decide
	Present                  // it has a value
	Deleted                  // it has none
	Merged                   // operands are to be applied to the rows underneath
)

// Step returns the step of the next write: what is visible at it is everything
// written so far.
func (w *Writes) Step() Step { return w.step }

// Len returns the number of writes that were neither rolled back nor spilled.
func (w *Writes) Len() int { return len(w.list.versions()) + len(w.deletes.all) }

// SizeBytes returns about how much memory a spill would set free.
func (w *Writes) SizeBytes() int {
	if w.list == nil {
		return 0
	}
	return w.list.heldBytes
}

// RecordBytes returns about how large the records of the writes in memory are that were
// neither rolled back nor range deletes.
func (w *Writes) RecordBytes() int {
	if w.list == nil {
		return 0
	}
	const overheadBytes = 8 // kind, lengths
	return w.list.heldBytes - len(w.list.log)*(versionBytes-overheadBytes)
}

// Put sets the value of a key. Both are copied.
func (w *Writes) Put(key, value []byte) { w.add(key, base.KindSet, value) }

// PutExpiring sets the value of a key until an instant. Both are copied.
func (w *Writes) PutExpiring(key, value []byte, expiry base.Instant) {
	w.add(key, base.KindSetExpiring, value).expiry = expiry
}

// Merge adds an operand to a key which is Untouched or Merged: with the others
// it is the caller's to fold it, as it has the value. Both are copied.
func (w *Writes) Merge(key, operand []byte) { w.add(key, base.KindMerge, operand) }

// Delete removes a key.
func (w *Writes) Delete(key []byte) { w.add(key, base.KindDelete, nil) }

// DeleteRange removes the keys in [lo, hi). Both are copied.
func (w *Writes) DeleteRange(lo, hi []byte) {
	w.deletes.add(rangeDelete{w.step, bytes.Clone(lo), bytes.Clone(hi)})
	w.advance()
}

func (w *Writes) add(key []byte, kind base.Kind, value []byte) *version {
	if w.list == nil {
		w.list = &list{height: 1}
		w.list.log = w.list.firstLog[:0]
	}
	v := w.list.add(key, kind, value, w.step)
	w.advance()
	return v
}

// advance goes on to the next step.
func (w *Writes) advance() {
	w.step++
	w.liveTo = w.step
}

// Get returns what the writes so far say of a key. The value stays valid and
// must not be changed.
func (w *Writes) Get(key []byte) (value []byte, outcome Outcome, err error) {
	v, outcome, err := w.newest(key)
	if outcome == Present {
		value = v.value
	}
	return value, outcome, err
}

// Expiry returns what the writes so far say of when a key that is Present expires; 0: never.
func (w *Writes) Expiry(key []byte) (expiry base.Instant, outcome Outcome, err error) {
	v, outcome, err := w.newest(key)
	if outcome == Present {
		expiry = v.expiry
	}
	return expiry, outcome, err
}

// newest returns the newest version of a key, nil if there is none, and what the writes so
// far say of it.
func (w *Writes) newest(key []byte) (v *version, outcome Outcome, err error) {
	if n := w.list.find(key); n != nil {
		v = n.newest
	}
	if v == nil && w.spilled != nil {
		if v, err = w.newestSpilled(key); err != nil {
			return nil, Untouched, err
		}
	}
	return v, v.outcome(w.deletes.layers.newest(key)), nil
}

// Operands appends the operands of a key that is Merged, the newest first.
func (w *Writes) Operands(to [][]byte, key []byte) ([][]byte, error) {
	if n := w.list.find(key); n != nil {
		to = n.newest.appendValues(to)
	}
	if w.spilled == nil {
		return to, nil
	}
	v, err := w.newestSpilled(key)
	return v.appendValues(to), err
}

// appendValues appends the values of a version and of the older ones.
func (v *version) appendValues(to [][]byte) [][]byte {
	for ; v != nil; v = v.older {
		to = append(to, v.value)
	}
	return to
}

// outcome returns what the newest version of a key that a step sees, nil if there
// is none, comes to with the newest range delete over the key, -1 if there is none.
func (v *version) outcome(deleted Step) Outcome {
	after := Step(-1)
	if v != nil {
		after = v.step
	}
	switch {
	case deleted > after:
		return Deleted
	case v == nil:
		return Untouched
	case v.kind == base.KindDelete:
		return Deleted
	case v.kind == base.KindMerge:
		return Merged
	}
	return Present
}

// sees says whether what was written at a step is there for one who looks at
// another step.
func (w *Writes) sees(written, at Step) bool {
	if written >= at {
		return false
	}
	_, gone := w.rolledBackAt(written)
	return !gone
}

// newestSeen returns the first version, of v and the older ones, that a step
// sees; nil if there is none.
func (w *Writes) newestSeen(v *version, at Step) *version {
	for v != nil && !w.sees(v.step, at) {
		v = v.older
	}
	return v
}

// RollBack undoes all writes from a step on. Cursors that show any of them are
// of no use from then on: see Cursor.Shows.
func (w *Writes) RollBack(to Step) {
	w.liveTo = min(w.liveTo, to)
	w.list.rollBack(to)
	w.deletes.rollBack(to)
	w.rollBackSpilled(to)
}

// Sink takes the writes of a transaction in the order in which they happened.
type Sink interface {
	Put(key, value []byte) error
	PutExpiring(key, value []byte, expiry base.Instant) error
	Merge(key, operand []byte) error
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
}

// Replay passes the writes on that count: of the writes to a key only the
// newest, or all if they are operands; and all range deletes. Nothing was
// spilled.
func (w *Writes) Replay(to Sink) error {
	ranges := w.deletes.all
	for _, v := range w.list.versions() {
		for len(ranges) > 0 && ranges[0].step < v.step {
			if err := to.DeleteRange(ranges[0].lo, ranges[0].hi); err != nil {
				return err
			}
			ranges = ranges[1:]
		}
		newest := v.node.newest
		if newest != v && (v.kind != base.KindMerge || newest.kind != base.KindMerge) {
			continue
		}
		if err := v.replay(to); err != nil {
			return err
		}
	}
	for _, r := range ranges {
		if err := to.DeleteRange(r.lo, r.hi); err != nil {
			return err
		}
	}
	return nil
}

func (v *version) replay(to Sink) error {
	switch v.kind {
	case base.KindDelete:
		return to.Delete(v.node.key)
	case base.KindSetExpiring:
		return to.PutExpiring(v.node.key, v.value, v.expiry)
	case base.KindMerge:
		return to.Merge(v.node.key, v.value)
	}
	return to.Put(v.node.key, v.value)
}

// Each calls point for every key that was written and is still in memory, and
// span for every range that was deleted, for the check of first-committer-wins.
func (w *Writes) Each(point func(key []byte), span func(lo, hi []byte)) {
	for n := w.list.first(); n != nil; n = n.next[0] {
		if n.newest != nil {
			point(n.key)
		}
	}
	for _, r := range w.deletes.all {
		span(r.lo, r.hi)
	}
}
