// Package iterate composes the iterators of memtables and tables into the view
// a reader or a compaction walks: Merging interleaves sources, Level chains
// the disjoint files of one level, UserIter shows what a user sees at a
// sequence number. Everything here is used by one goroutine at a time.
package iterate

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
)

// This file merges sources. The source of the current record, the top, stands
// outside a binary heap of all others that have a record. As long as the top
// stays before the heap's first, a step costs one comparison; most rows of a
// tree come from its largest level, so that is the usual case. Heap entries
// carry the head of their key, so that most comparisons touch the heap only.
//
// Invariants while a direction is set and no error happened, going forward:
// every source but the top stands at its first record after the current one,
// or past its end; going backward, at its last record before the current one,
// or before its begin. SkipForward and SkipBackward loosen that to "at some
// later record, with nothing wanted in between", which skipped remembers.

// Source is one input of a Merging.
type Source struct {
	Iter base.Iterator
	// MaxSeq: no record of the source is newer. It is base.SeqNumMax for a
	// table that is still written to.
	MaxSeq base.SeqNum
}

// Fetcher brings what several sources need into memory at once.
type Fetcher interface {
	// Misses counts what any source, of whomever, did not find in memory.
	Misses() uint64
	// Fetch gets what the sources need to seek key; nil comes before all keys.
	Fetch(key []byte)
}

type direction int8

const (
	unpositioned direction = iota
	forward
	backward
)

// slot is a source with the record it stands at.
type slot struct {
	iter   base.Iterator
	rec    *base.Record // nil: past the end in the current direction
	maxSeq base.SeqNum
}

// entry stands for slot index in the heap.
type entry struct {
	head  uint64 // of the record's key, complemented when going backward
	index int
}

const noSlot = -1

// Merging is a base.Iterator over all records of several sources. The zero
// value is one over no source; Reset gives it others and keeps its memory, so
// that it can be pooled.
type Merging struct {
	slots     []slot
	heap      []entry
	top       int    // slot of the current record, or noSlot
	flip      uint64 // 0 going forward, all ones going backward
	direction direction
	skipped   bool
	err       error

	// Fetcher is asked by seeks, and by First, until Reset: after the first source that did not find
	// something in memory, for all that come after it. Nil: each gets what it needs.
	Fetcher Fetcher
}

// NewMerging returns a Merging over the sources, the newest first: the newer
// one wins where key and trailer are equal. It owns their iterators from here
// on and closes them.
func NewMerging(sources []Source) *Merging {
	m := &Merging{}
	m.Reset(sources)
	return m
}

// Reset makes m what NewMerging(sources) returns, reusing its memory. It does
// not close earlier sources.
func (m *Merging) Reset(sources []Source) {
	clear(m.slots)
	m.slots = m.slots[:0]
	for _, s := range sources {
		m.slots = append(m.slots, slot{iter: s.Iter, maxSeq: s.MaxSeq})
	}
	m.heap = m.heap[:0]
	m.top, m.direction, m.skipped, m.err, m.Fetcher = noSlot, unpositioned, false, nil, nil
}

// single reports whether there is but one source. It is then asked directly,
// and no other state is kept.
func (m *Merging) single() bool { return len(m.slots) == 1 }

// First implements base.Iterator.
func (m *Merging) First() *base.Record {
	if m.single() {
		return m.slots[0].iter.First()
	}
	m.start(forward)
	misses := missesOf(m.Fetcher)
	for i := range m.slots {
		m.slots[i].rec = m.slots[i].iter.First()
		misses = fetch(m.Fetcher, nil, misses)
	}
	return m.build()
}

// Last implements base.Iterator.
func (m *Merging) Last() *base.Record {
	if m.single() {
		return m.slots[0].iter.Last()
	}
	m.start(backward)
	for i := range m.slots {
		m.slots[i].rec = m.slots[i].iter.Last()
	}
	return m.build()
}

// SeekGE implements base.Iterator.
func (m *Merging) SeekGE(key []byte) *base.Record {
	if m.single() {
		return m.slots[0].iter.SeekGE(key)
	}
	m.start(forward)
	misses := missesOf(m.Fetcher)
	for i := range m.slots {
		m.slots[i].rec = m.slots[i].iter.SeekGE(key)
		misses = fetch(m.Fetcher, key, misses)
	}
	return m.build()
}

// SeekLT implements base.Iterator.
func (m *Merging) SeekLT(key []byte) *base.Record {
	if m.single() {
		return m.slots[0].iter.SeekLT(key)
	}
	m.start(backward)
	misses := missesOf(m.Fetcher)
	for i := range m.slots {
		m.slots[i].rec = m.slots[i].iter.SeekLT(key)
		misses = fetch(m.Fetcher, key, misses)
	}
	return m.build()
}

// fetched is a count of misses at which nothing is fetched any more.
const fetched = ^uint64(0)

// missesOf returns how much was not found in memory before a seek.
func missesOf(f Fetcher) uint64 {
	if f == nil {
		return fetched
	}
	return f.Misses()
}

// fetch gets what a seek needs, if a source has missed something since misses was counted.
// It returns what to give it after the next source.
func fetch(f Fetcher, key []byte, misses uint64) uint64 {
	if misses == fetched || f.Misses() == misses {
		return misses
	}
	f.Fetch(key)
	return fetched
}

// Next implements base.Iterator.
func (m *Merging) Next() *base.Record {
	if m.single() {
		return m.slots[0].iter.Next()
	}
	if m.direction != forward {
		return m.turn(forward)
	}
	if m.top < 0 {
		return nil
	}
	return m.settle(m.slots[m.top].iter.Next())
}

// Prev implements base.Iterator.
func (m *Merging) Prev() *base.Record {
	if m.single() {
		return m.slots[0].iter.Prev()
	}
	if m.direction != backward {
		return m.turn(backward)
	}
	if m.top < 0 {
		return nil
	}
	return m.settle(m.slots[m.top].iter.Prev())
}

// skips reports whether SkipForward would move a source.
func (m *Merging) skips(hi []byte, below base.SeqNum) bool {
	for i := range m.slots {
		s := &m.slots[i]
		if s.maxSeq < below && (m.single() || s.rec != nil && bytes.Compare(s.rec.Key, hi) < 0) {
			return true
		}
	}
	return false
}

// SkipForward takes note that the caller wants nothing with a sequence number
// smaller than below between the current record and hi: sources that hold
// nothing else are moved to hi at once. It returns the record the walk stands
// at then, and false if no source moved and the walk is where it was. It may
// be called only after a positioning call that went forward and returned a
// record, and hi is greater than the key of that. A Prev after it may return
// records of the passed range again.
func (m *Merging) SkipForward(hi []byte, below base.SeqNum) (rec *base.Record, moved bool) {
	if m.single() {
		if m.slots[0].maxSeq >= below {
			return nil, false
		}
		return m.slots[0].iter.SeekGE(hi), true
	}
	for i := range m.slots {
		s := &m.slots[i]
		if s.rec != nil && s.maxSeq < below && bytes.Compare(s.rec.Key, hi) < 0 {
			s.rec = s.iter.SeekGE(hi)
			moved = true
		}
	}
	return m.rebuild(moved)
}

// SkipBackward is SkipForward in the other direction: nothing with a sequence
// number smaller than below is wanted between lo and the current record, whose
// key is not smaller than lo.
func (m *Merging) SkipBackward(lo []byte, below base.SeqNum) (rec *base.Record, moved bool) {
	if m.single() {
		if m.slots[0].maxSeq >= below {
			return nil, false
		}
		return m.slots[0].iter.SeekLT(lo), true
	}
	for i := range m.slots {
		s := &m.slots[i]
		if s.rec != nil && s.maxSeq < below && bytes.Compare(s.rec.Key, lo) >= 0 {
			s.rec = s.iter.SeekLT(lo)
			moved = true
		}
	}
	return m.rebuild(moved)
}

// Err implements base.Iterator.
func (m *Merging) Err() error {
	if m.single() {
		return m.slots[0].iter.Err()
	}
	return m.err
}

// Close closes every source and drops it.
func (m *Merging) Close() error {
	var errs []error
	for i := range m.slots {
		if err := m.slots[i].iter.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	m.Reset(nil)
	return errors.Join(errs...)
}

// maxSeq returns the largest MaxSeq of the sources.
func (m *Merging) maxSeq() base.SeqNum {
	var largest base.SeqNum
	for i := range m.slots {
		largest = max(largest, m.slots[i].maxSeq)
	}
	return largest
}

// start forgets the old position and sets the direction.
func (m *Merging) start(d direction) {
	m.err, m.skipped = nil, false
	m.setDirection(d)
}

func (m *Merging) setDirection(d direction) {
	m.direction, m.flip = d, 0
	if d == backward {
		m.flip = ^uint64(0)
	}
}

// head is base.Head in a form that is inlined.
func head(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	return base.Head(key)
}

// before tells whether the record of slot a comes before that of slot b in the
// current direction, given that their heads are equal.
func (m *Merging) before(a, b int) bool {
	x, y := m.slots[a].rec, m.slots[b].rec
	if len(x.Key) >= 16 && len(y.Key) >= 16 {
		// Keys with a common prefix are frequent: look at the next eight bytes
		// the same quick way.
		p, q := binary.BigEndian.Uint64(x.Key[8:]), binary.BigEndian.Uint64(y.Key[8:])
		if p != q {
			return (p < q) == (m.flip == 0)
		}
	}
	c := bytes.Compare(x.Key, y.Key)
	if c == 0 {
		if c = cmp.Compare(y.Trailer, x.Trailer); c == 0 {
			c = a - b
		}
	}
	return (c < 0) == (m.flip == 0)
}

// less orders heap entries.
func (m *Merging) less(a, b entry) bool {
	return a.head < b.head || a.head == b.head && m.before(a.index, b.index)
}

// settle finds the new top after the old one moved to rec.
func (m *Merging) settle(rec *base.Record) *base.Record {
	s := &m.slots[m.top]
	if rec != s.rec { // most sources return the same pointer each time
		s.rec = rec
	}
	if rec == nil {
		return m.topEnded()
	}
	if len(m.heap) == 0 {
		return rec
	}
	moved := entry{head: head(rec.Key) ^ m.flip, index: m.top}
	first := m.heap[0]
	if m.less(moved, first) {
		return rec
	}
	m.top = first.index
	m.siftDown(moved, 0)
	return m.slots[first.index].rec
}

// topEnded replaces the top by the heap's first after its source ran out or
// failed.
func (m *Merging) topEnded() *base.Record {
	if err := m.slots[m.top].iter.Err(); err != nil {
		return m.fail(err)
	}
	return m.pop()
}

// pop takes the heap's first out as the new top.
func (m *Merging) pop() *base.Record {
	last := len(m.heap) - 1
	if last < 0 {
		m.top = noSlot
		return nil
	}
	m.top = m.heap[0].index
	moved := m.heap[last]
	m.heap = m.heap[:last]
	if last > 0 {
		m.siftDown(moved, 0)
	}
	return m.slots[m.top].rec
}

// siftDown puts e into the free place i or below it.
func (m *Merging) siftDown(e entry, i int) {
	h := m.heap
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if right := child + 1; right < len(h) && m.less(h[right], h[child]) {
			child = right
		}
		if m.less(e, h[child]) {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = e
}

// build makes heap and top from the records of all slots.
func (m *Merging) build() *base.Record {
	m.heap = m.heap[:0]
	for i := range m.slots {
		s := &m.slots[i]
		if s.rec != nil {
			m.heap = append(m.heap, entry{head: head(s.rec.Key) ^ m.flip, index: i})
		} else if err := s.iter.Err(); err != nil {
			return m.fail(err)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.siftDown(m.heap[i], i)
	}
	return m.pop()
}

// rebuild ends a skip.
func (m *Merging) rebuild(moved bool) (*base.Record, bool) {
	if !moved {
		return nil, false
	}
	m.skipped = true
	return m.build(), true
}

// fail stops the walk until the next absolute positioning.
func (m *Merging) fail(err error) *base.Record {
	m.err, m.top, m.heap = err, noSlot, m.heap[:0]
	return nil
}

// turn makes a relative step against the direction so far.
func (m *Merging) turn(d direction) *base.Record {
	switch {
	case m.err != nil:
		return nil
	case m.direction == unpositioned && d == forward:
		return m.First()
	case m.direction == unpositioned:
		return m.Last()
	}
	// The top moves last: the others may be placed by comparing with it.
	current := m.top
	for i := range m.slots {
		if i != current {
			m.turnSlot(i, current, d)
		}
	}
	if current >= 0 {
		m.slots[current].step(d)
	}
	m.setDirection(d)
	m.skipped = false
	return m.build()
}

// step goes one record on.
func (s *slot) step(d direction) {
	if d == forward {
		s.rec = s.iter.Next()
	} else {
		s.rec = s.iter.Prev()
	}
}

// turnSlot places slot i at its nearest record on the d side of the current
// record, which slot current still shows. By the invariant that is one step
// away, unless it was moved by a skip.
func (m *Merging) turnSlot(i, current int, d direction) {
	if !m.skipped || current < 0 {
		m.slots[i].step(d)
		return
	}
	s, at := &m.slots[i], m.slots[current].rec
	s.rec = s.iter.SeekGE(at.Key)
	for s.rec != nil {
		c := base.Compare(s.rec.Key, s.rec.Trailer, at.Key, at.Trailer)
		if c > 0 || c == 0 && i > current {
			break
		}
		s.rec = s.iter.Next()
	}
	if d == backward && (s.rec != nil || s.iter.Err() == nil) {
		s.rec = s.iter.Prev()
	}
}
