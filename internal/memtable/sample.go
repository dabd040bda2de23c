package memtable

import (
	"bytes"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
)

// This file estimates how many keys a part of a table has, without walking over them: it
// looks at some leaves, each of which stands for as many as its way down leaves out (Knuth,
// Estimating the efficiency of backtrack programs, 1975). A node shares the leaves that may
// be looked at among its children as long as there is one for each, so what is crowded is
// looked at closely, and only below that a child stands for its siblings. The mean of what it
// says is right. Where the siblings are alike, as with numbered keys, each answer is near it.

// sampler goes down a table.
type sampler struct {
	mem    unsafe.Pointer
	lo, hi []byte
	fn     func(rec *base.Record, weight float64)
	rec    base.Record
}

// Sample calls fn, in the order of the keys, with the newest record of about so many keys of
// [lo, hi), at least one if there is one, and with how many keys each stands for; nil is no
// bound.
func Sample(t *Table, lo, hi []byte, leaves int, fn func(rec *base.Record, weight float64)) {
	if root := t.root.Load(); root != 0 {
		s := sampler{mem: t.mem, lo: lo, hi: hi, fn: fn}
		s.walk(root, max(leaves, 1), 1)
	}
}

// walk looks at so many leaves below r, which stand for weight times as many.
func (s *sampler) walk(r ref, leaves int, weight float64) {
	if r&shapeMask == shapeLeaf {
		s.show(r, weight)
		return
	}
	children := s.children(r)
	if n := len(children); leaves < n {
		weight *= float64(n) / float64(leaves)
		at := int(base.Hash([]byte{byte(r >> 3), byte(r >> 11), byte(r >> 19), byte(r >> 27)}) % uint64(n))
		for i := range leaves {
			s.walk(children[(i*n+at)/leaves%n], 1, weight)
		}
		return
	}
	inner := 0
	for _, child := range children {
		if child&shapeMask != shapeLeaf {
			inner++
		}
	}
	leaves -= len(children) - inner // what the nodes among them share
	for _, child := range children {
		if child&shapeMask == shapeLeaf {
			s.show(child, weight)
			continue
		}
		share := leaves / inner
		s.walk(child, share, weight)
		leaves, inner = leaves-share, inner-1
	}
}

// show passes a leaf on, if it is within the bounds.
func (s *sampler) show(r ref, weight float64) {
	key := leafAt(s.mem, r).key()
	if bytes.Compare(key, s.lo) < 0 || s.hi != nil && bytes.Compare(key, s.hi) >= 0 {
		return
	}
	tr, value, _ := recordOf(s.mem, r, newestOf(s.mem, r))
	s.rec = base.Record{Key: key, Trailer: tr, Value: value}
	s.fn(&s.rec, weight)
}

// children returns those of a node that may have keys within the bounds, in the order of
// their keys.
func (s *sampler) children(r ref) []ref {
	h := headerAt(s.mem, r)
	depth := int(h.depth)
	prefix := leafAt(s.mem, h.witness).key()[:depth]
	from, to, atEnd := 0, 255, true
	switch c := bytes.Compare(prefix, s.lo[:min(depth, len(s.lo))]); {
	case c < 0:
		return nil
	case c == 0 && len(s.lo) > depth:
		from, atEnd = int(s.lo[depth]), false
	}
	if s.hi != nil {
		switch c := bytes.Compare(prefix, s.hi[:min(depth, len(s.hi))]); {
		case c > 0 || c == 0 && len(s.hi) <= depth:
			return nil
		case c == 0:
			to = int(s.hi[depth])
		}
	}
	var out []ref
	if end := h.end.Load(); atEnd && end != 0 {
		out = append(out, end)
	}
	var set byteSet
	next := func(b int) int { return set.next(b) }
	if r&shapeMask == shapeDirect {
		next = func(b int) int { return directNext(s.mem, r, b) }
	} else {
		bucketedBytes(s.mem, r, &set)
	}
	for b := next(from); b >= 0 && b <= to; b = next(b + 1) {
		out = append(out, childSlot(s.mem, r, byte(b)).Load())
	}
	return out
}
