package deadrange

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// Range is a dead range, [Lo, Hi). It does not change.
type Range struct {
	Lo, Hi []byte
	// Seq and At are the least that a reader must have.
	Seq base.SeqNum
	At  base.Instant

	proof uint64 // the number of the one that is to make it active; 0: it is
	// older is what it was before it grew, for readers who are older: a part of it that
	// was known with a lower number or time. So a consumer of a queue who began a moment
	// ago does not walk over all of it because others have moved on.
	older *Range
}

// maxSteps bounds how often a range is kept as it was before. When there are so many,
// half of them go.
const maxSteps = 16

func (r *Range) holds(key []byte) bool {
	return bytes.Compare(r.Lo, key) <= 0 && bytes.Compare(key, r.Hi) < 0
}

func (r *Range) covers(lo, hi []byte) bool {
	return bytes.Compare(r.Lo, lo) <= 0 && bytes.Compare(hi, r.Hi) <= 0
}

// meets reports whether two ranges overlap or touch.
func (r *Range) meets(o *Range) bool {
	return bytes.Compare(r.Lo, o.Hi) <= 0 && bytes.Compare(o.Lo, r.Hi) <= 0
}

// join makes a range larger by another one that it meets.
func (r *Range) join(o *Range) {
	if bytes.Compare(o.Lo, r.Lo) < 0 {
		r.Lo = o.Lo
	}
	if bytes.Compare(r.Hi, o.Hi) < 0 {
		r.Hi = o.Hi
	}
}

// asOf returns what is dead for a reader, nil if nothing is.
func (r *Range) asOf(seq base.SeqNum, at base.Instant) *Range {
	for r != nil && (seq < r.Seq || at < r.At) {
		r = r.older
	}
	return r
}

// within returns the part in [lo, hi), nil if it is empty; a nil bound is none.
func (r *Range) within(lo, hi []byte) *Range {
	if r == nil {
		return nil
	}
	part := *r
	if lo != nil && bytes.Compare(part.Lo, lo) < 0 {
		part.Lo = lo
	}
	if hi != nil && bytes.Compare(part.Hi, hi) > 0 {
		part.Hi = hi
	}
	if bytes.Compare(part.Lo, part.Hi) >= 0 {
		return nil
	}
	part.older = r.older.within(lo, hi)
	return &part
}

// grow returns what two active ranges that meet are together. What is new need not be
// newer: it may be what a reader of the past has found.
func (r *Range) grow(o *Range) *Range {
	if r.covers(o.Lo, o.Hi) {
		if o.Seq >= r.Seq || o.At > r.At {
			return r
		}
		grown := *r
		grown.older = o
		if r.older != nil && r.older.meets(o) {
			grown.older = r.older.grow(o)
		}
		return grown.thinned()
	}
	grown := &Range{Lo: r.Lo, Hi: r.Hi, Seq: max(r.Seq, o.Seq), At: max(r.At, o.At), older: r}
	grown.join(o)
	switch {
	case o.older != nil: // it has just grown by another one
		grown.older = o.older
	case r.Seq == grown.Seq && r.At == grown.At:
		grown.older = r.older
	}
	return grown.thinned()
}

// thinned leaves fewer than maxSteps, whose ages stand in proportion: the newest, the
// oldest, and between them fewer the older they are.
func (r *Range) thinned() *Range {
	steps := make([]*Range, 0, maxSteps)
	for o := r; o != nil; o = o.older {
		steps = append(steps, o)
	}
	if len(steps) < maxSteps {
		return r
	}
	for len(steps) > maxSteps/2 {
		least := 1
		for i := 2; i < len(steps)-1; i++ {
			if gap(steps, i) < gap(steps, least) {
				least = i
			}
		}
		steps = slices.Delete(steps, least, least+1)
	}
	var rest *Range
	for _, step := range slices.Backward(steps) {
		kept := *step
		kept.older, rest = rest, &kept
	}
	return rest
}

// gap returns by what factor the ages of the steps around one differ.
func gap(steps []*Range, i int) float64 {
	newest := steps[0].Seq
	return float64(newest-steps[i+1].Seq+1) / float64(newest-steps[i-1].Seq+1)
}
