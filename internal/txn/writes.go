// Package txn holds what a transaction remembers: what it has written (Writes),
// what it has read (Reads), and a view of both its own writes and the rows
// under them (Cursor). It knows nothing of files or commits; the engine
// validates Reads and applies Writes.
//
// Keys are internal: they include the prefix of their keyspace. Everything here
// belongs to one transaction and is used by one goroutine at a time; Reads,
// once frozen, may be read by the leader of a commit while its owner waits.
package txn

import (
	"bytes"
	"math/bits"
	"math/rand/v2"

	"github.com/lightningdb/lightning/internal/base"
)

// Step counts the writes of a transaction. It never goes back, also when writes
// are taken back, so that a cursor that was made at some step keeps seeing
// exactly the writes before it.
type Step int

// Writes is what a transaction has written, in key order: a skip list (Pugh,
// 1990) whose nodes hold the versions of one key, newest first, and a list of
// range deletes. The zero Writes is empty.
//
// Invariants: the steps of a node's versions descend; a node whose versions
// were all taken back stays, and counts for nothing; next links only ever lead
// to greater keys, so a cursor may stand on a node while others are added.
type Writes struct {
	head   node // of height maxHeight, without a key
	height int
	step   Step
	ranges []rangeDelete
	log    []*version // every write but the range deletes, by step
	memory []byte     // where keys and values are copied to; full pieces are kept by who uses them
	taken  int        // bytes of keys and values
}

const (
	maxHeight       = 16
	memoryPieceSize = 4 << 10
)

type node struct {
	key    []byte
	newest *version
	next   []*node
}

type version struct {
	step   Step
	node   *node
	kind   base.Kind
	value  []byte       // or the operand of a merge
	expiry base.Instant // 0: never
	older  *version
}

type rangeDelete struct {
	step   Step
	lo, hi []byte
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

// Len returns the number of writes that were not taken back.
func (w *Writes) Len() int { return len(w.log) + len(w.ranges) }

// SizeBytes returns the size of all keys and values that were written.
func (w *Writes) SizeBytes() int { return w.taken }

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
	w.ranges = append(w.ranges, rangeDelete{w.step, w.copy(lo), w.copy(hi)})
	w.step++
}

func (w *Writes) add(key []byte, kind base.Kind, value []byte) *version {
	n := w.nodeFor(key)
	v := &version{step: w.step, node: n, kind: kind, value: w.copy(value), older: n.newest}
	n.newest = v
	w.log = append(w.log, v)
	w.step++
	return v
}

// copy returns bytes that stay.
func (w *Writes) copy(b []byte) []byte {
	w.taken += len(b)
	if len(b) > memoryPieceSize/4 {
		return bytes.Clone(b)
	}
	if cap(w.memory)-len(w.memory) < len(b) {
		w.memory = make([]byte, 0, memoryPieceSize)
	}
	at := len(w.memory)
	w.memory = append(w.memory, b...)
	return w.memory[at:len(w.memory):len(w.memory)]
}

// links returns the links that lead from a node to the next ones; nil is the
// head.
func (w *Writes) links(n *node) []*node {
	if n == nil {
		return w.head.next
	}
	return n.next
}

// nodeFor returns the node of a key, made if there is none.
func (w *Writes) nodeFor(key []byte) *node {
	if w.head.next == nil {
		w.head.next = make([]*node, maxHeight)
		w.height = 1
	}
	var before [maxHeight]*node
	var at *node
	for level := w.height - 1; level >= 0; level-- {
		for next := w.links(at)[level]; next != nil && bytes.Compare(next.key, key) < 0; next = w.links(at)[level] {
			at = next
		}
		before[level] = at
	}
	if n := w.links(at)[0]; n != nil && bytes.Equal(n.key, key) {
		return n
	}
	height := min(1+bits.TrailingZeros32(rand.Uint32()|1<<(2*maxHeight-2))/2, maxHeight)
	n := &node{key: w.copy(key), next: make([]*node, height)}
	w.height = max(w.height, height)
	for level := range n.next {
		links := w.links(before[level])
		n.next[level], links[level] = links[level], n
	}
	return n
}

// seekGE returns the first node whose key is at least key.
func (w *Writes) seekGE(key []byte) *node {
	return w.first(w.before(key))
}

// first returns the node after another one; nil stands for the head.
func (w *Writes) first(after *node) *node {
	if w.head.next == nil {
		return nil
	}
	return w.links(after)[0]
}

// before returns the last node whose key is less than key; nil if there is
// none.
func (w *Writes) before(key []byte) *node {
	var at *node
	for level := w.height - 1; level >= 0; level-- {
		for next := w.links(at)[level]; next != nil && bytes.Compare(next.key, key) < 0; next = w.links(at)[level] {
			at = next
		}
	}
	return at
}

// last returns the last node; nil if there is none.
func (w *Writes) last() *node {
	var at *node
	for level := w.height - 1; level >= 0; level-- {
		for next := w.links(at)[level]; next != nil; next = w.links(at)[level] {
			at = next
		}
	}
	return at
}

// Get returns what the writes so far say of a key. The value stays valid and
// must not be changed.
func (w *Writes) Get(key []byte) (value []byte, outcome Outcome) {
	v, outcome := w.find(key)
	if outcome == Present {
		value = v.value
	}
	return value, outcome
}

// Operands appends the operands of a key that is Merged, the newest first.
func (w *Writes) Operands(to [][]byte, key []byte) [][]byte {
	v, _ := w.find(key)
	return v.operands(to)
}

func (w *Writes) find(key []byte) (*version, Outcome) {
	if n := w.seekGE(key); n != nil && bytes.Equal(n.key, key) {
		if v, outcome := w.at(n, w.step); outcome != Untouched {
			return v, outcome
		}
	}
	if w.hides(key, -1, w.step) {
		return nil, Deleted
	}
	return nil, Untouched
}

// at returns what a node says at a step, range deletes after its version
// included; Untouched if it has no version before the step.
func (w *Writes) at(n *node, step Step) (*version, Outcome) {
	v := n.newest
	for v != nil && v.step >= step {
		v = v.older
	}
	switch {
	case v == nil:
		return nil, Untouched
	case v.kind == base.KindDelete || w.hides(n.key, v.step, step):
		return v, Deleted
	case v.kind == base.KindMerge:
		return v, Merged
	}
	return v, Present
}

// operands appends those of a version and the older ones, which are all there
// is: nothing else is ever under an operand.
func (v *version) operands(to [][]byte) [][]byte {
	for ; v != nil; v = v.older {
		to = append(to, v.value)
	}
	return to
}

// hides says whether a range delete of a step in (after, before) covers a key.
func (w *Writes) hides(key []byte, after, before Step) bool {
	for i := len(w.ranges) - 1; i >= 0 && w.ranges[i].step > after; i-- {
		r := &w.ranges[i]
		if r.step < before && bytes.Compare(r.lo, key) <= 0 && bytes.Compare(key, r.hi) < 0 {
			return true
		}
	}
	return false
}

// TakeBack undoes all writes from a step on.
func (w *Writes) TakeBack(to Step) {
	for len(w.log) > 0 && w.log[len(w.log)-1].step >= to {
		v := w.log[len(w.log)-1]
		v.node.newest = v.older
		w.log = w.log[:len(w.log)-1]
	}
	for len(w.ranges) > 0 && w.ranges[len(w.ranges)-1].step >= to {
		w.ranges = w.ranges[:len(w.ranges)-1]
	}
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
// newest, or all if they are operands; and all range deletes.
func (w *Writes) Replay(to Sink) error {
	ranges := w.ranges
	for _, v := range w.log {
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

// Each calls point for every key that was written and span for every range
// that was deleted, for the check of first-committer-wins.
func (w *Writes) Each(point func(key []byte), span func(lo, hi []byte)) {
	for n := w.first(nil); n != nil; n = n.next[0] {
		if n.newest != nil {
			point(n.key)
		}
	}
	for _, r := range w.ranges {
		span(r.lo, r.hi)
	}
}
