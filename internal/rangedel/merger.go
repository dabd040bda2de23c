package rangedel

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// Union returns the union of some iterators in none of which fragments touch that have the
// same sequence numbers.
func Union(its ...Iterator) Iterator {
	if len(its) == 1 {
		return its[0]
	}
	return newMerger(its)
}

// merger is the union of several iterators, cut into fragments anew: a sweep over the
// ends of theirs, in key order, that has one fragment of each in memory. Fragments that
// touch and have the same sequence numbers become one. It belongs to one goroutine.
type merger struct {
	heads  []head // a heap, the one with the smallest next end first
	active activeSet
	at     []byte // where the sweep stands
	begun  bool
	failed error

	// pending was swept over and may go on; returned is what Next has returned. Their
	// memory is the merger's.
	pending, returned Fragment
}

// head is an iterator with its current fragment.
type head struct {
	it     Iterator
	f      *Fragment
	inside bool // the sweep is in f
}

// end is the next place where something begins or ends.
func (h *head) end() []byte {
	if h.inside {
		return h.f.Hi
	}
	return h.f.Lo
}

func newMerger(its []Iterator) *merger {
	m := &merger{}
	for _, it := range its {
		m.heads = append(m.heads, head{it: it})
	}
	return m
}

// Next implements Iterator.
func (m *merger) Next() (*Fragment, error) {
	if !m.begun {
		m.begin()
	}
	for m.failed == nil && len(m.heads) > 0 {
		end := m.heads[0].end()
		ready := len(m.active) > 0 && m.sweep(end)
		m.moveTo(end)
		if ready {
			return &m.returned, nil
		}
	}
	if m.failed != nil || len(m.pending.Seqs) == 0 {
		return nil, m.failed
	}
	m.pending, m.returned = m.returned, m.pending
	m.pending.Seqs = m.pending.Seqs[:0]
	return &m.returned, nil
}

// begin gets the first fragments.
func (m *merger) begin() {
	m.begun = true
	heads := m.heads
	m.heads = nil
	for _, h := range heads {
		if h.f, m.failed = h.it.Next(); m.failed != nil {
			return
		}
		if h.f != nil {
			m.heads = append(m.heads, h)
		}
	}
	for i := len(m.heads)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
}

// sweep adds what is active up to end to the pending fragment, or makes it the pending
// one; then it reports that the one before is ready to be returned.
func (m *merger) sweep(end []byte) (ready bool) {
	p := &m.pending
	if len(p.Seqs) > 0 && bytes.Equal(p.Hi, m.at) && m.active.equal(p.Seqs) {
		p.Hi = append(p.Hi[:0], end...)
		return false
	}
	ready = len(p.Seqs) > 0
	m.pending, m.returned = m.returned, m.pending
	p.Lo, p.Hi, p.Seqs = append(p.Lo[:0], m.at...), append(p.Hi[:0], end...), p.Seqs[:0]
	for _, a := range m.active {
		p.Seqs = append(p.Seqs, a.seq)
	}
	return ready
}

// moveTo handles all that begins or ends at a place.
func (m *merger) moveTo(place []byte) {
	m.at = append(m.at[:0], place...) // which may be in memory of an iterator
	for len(m.heads) > 0 && bytes.Equal(m.heads[0].end(), m.at) {
		h := &m.heads[0]
		if h.inside = !h.inside; h.inside {
			m.active.add(h.f.Seqs)
		} else {
			m.active.remove(h.f.Seqs)
			if h.f, m.failed = h.it.Next(); m.failed != nil {
				return
			}
			if h.f == nil {
				last := len(m.heads) - 1
				m.heads[0] = m.heads[last]
				m.heads = m.heads[:last]
			}
		}
		m.down(0)
	}
}

// down moves head i of the heap to its place below.
func (m *merger) down(i int) {
	for {
		smallest := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m.heads); child++ {
			if bytes.Compare(m.heads[child].end(), m.heads[smallest].end()) < 0 {
				smallest = child
			}
		}
		if smallest == i {
			return
		}
		m.heads[i], m.heads[smallest] = m.heads[smallest], m.heads[i]
		i = smallest
	}
}

// equal reports whether the set has exactly some numbers, which are descending.
func (a activeSet) equal(seqs []base.SeqNum) bool {
	return slices.EqualFunc(a, seqs, func(entry activeSeq, seq base.SeqNum) bool { return entry.seq == seq })
}
