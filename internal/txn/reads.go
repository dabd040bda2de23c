package txn

import (
	"bytes"
	"slices"
	"sort"

	"github.com/lightningdb/lightning/internal/base"
)

// Reads is what a transaction has looked at: keys, found or not, and intervals,
// with all that is absent from them. Another transaction's write into it means
// that what was read is no longer so. The zero Reads is empty.
//
// When it grows beyond pointsMax keys, neighbouring ones are joined into
// intervals: it then claims more than was read, never less.
type Reads struct {
	points [][]byte
	spans  []Span
	memory []byte // where keys are copied to
	frozen bool   // points and spans are sorted, and spans are disjoint
	// What was read holds until expiry, when expiring, which had a value, has
	// none; 0: for ever.
	expiry   base.Instant
	expiring []byte
}

// Span is the keys in [Lo, Hi).
type Span struct{ Lo, Hi []byte }

const (
	// pointsMin is for how many keys there is room at first.
	pointsMin = 8
	// pointsMax is how many keys are remembered one by one.
	pointsMax = 1 << 16
	// joined is how many neighbours become one interval then.
	joined = 16
)

// Empty says whether nothing was read.
func (r *Reads) Empty() bool { return len(r.points)+len(r.spans) == 0 }

// AddPoint notes that a key was looked at. It is copied.
func (r *Reads) AddPoint(key []byte) {
	if n := len(r.points); n > 0 && bytes.Equal(r.points[n-1], key) {
		return
	}
	if len(r.points) == pointsMax {
		r.join()
	}
	r.frozen = false
	if r.points == nil {
		r.points = make([][]byte, 0, pointsMin)
	}
	r.points = append(r.points, r.copy(key, 0))
}

// AddSpan notes that all of [lo, hi) was looked at. Both are copied.
func (r *Reads) AddSpan(lo, hi []byte) {
	if bytes.Compare(lo, hi) >= 0 {
		return
	}
	r.frozen = false
	r.spans = append(r.spans, Span{r.copy(lo, 0), r.copy(hi, 0)})
	if len(r.spans) >= pointsMax {
		r.spans = union(r.spans)
		for len(r.spans) > pointsMax/2 {
			r.spans = closeGaps(r.spans)
		}
	}
}

// AddExpiry notes that a key had a value that expires.
func (r *Reads) AddExpiry(key []byte, expiry base.Instant) {
	if r.expiry == 0 || expiry < r.expiry {
		r.expiry, r.expiring = expiry, append(r.expiring[:0], key...)
	}
}

// FirstExpiry returns until when what was read holds, and the key that ends it;
// 0 if nothing does.
func (r *Reads) FirstExpiry() (key []byte, expiry base.Instant) { return r.expiring, r.expiry }

// copy returns bytes that stay, followed by so many zero bytes.
func (r *Reads) copy(b []byte, zeroes int) []byte {
	need := len(b) + zeroes
	if cap(r.memory)-len(r.memory) < need {
		r.memory = nextPiece(r.memory, need)
	}
	at := len(r.memory)
	r.memory = append(r.memory, b...)
	for range zeroes {
		r.memory = append(r.memory, 0)
	}
	return r.memory[at:len(r.memory):len(r.memory)]
}

// join turns the points into intervals of neighbours.
func (r *Reads) join() {
	slices.SortFunc(r.points, bytes.Compare)
	for part := range slices.Chunk(r.points, joined) {
		r.spans = append(r.spans, Span{part[0], r.copy(part[len(part)-1], 1)})
	}
	r.points = r.points[:0]
	r.spans = union(r.spans)
}

// closeGaps joins intervals in pairs, with what lies between.
func closeGaps(spans []Span) []Span {
	out := spans[:0]
	for pair := range slices.Chunk(spans, 2) {
		out = append(out, Span{pair[0].Lo, pair[len(pair)-1].Hi})
	}
	return out
}

// union sorts intervals and joins those that touch.
func union(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return bytes.Compare(a.Lo, b.Lo) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && bytes.Compare(s.Lo, out[n-1].Hi) <= 0 {
			if bytes.Compare(s.Hi, out[n-1].Hi) > 0 {
				out[n-1].Hi = s.Hi
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// Freeze sorts what was read, so that it can be asked. Reads may be added
// afterwards, and then it must be frozen again.
func (r *Reads) Freeze() {
	if r.frozen {
		return
	}
	slices.SortFunc(r.points, bytes.Compare)
	r.points = slices.CompactFunc(r.points, bytes.Equal)
	r.spans = union(r.spans)
	r.frozen = true
}

// Points returns the keys, ascending, and Spans the intervals, ascending and
// disjoint. Frozen reads only.
func (r *Reads) Points() [][]byte { return r.points }

// Spans returns the intervals. See Points.
func (r *Reads) Spans() []Span { return r.spans }

// Covers says whether a key was looked at. Frozen reads only.
func (r *Reads) Covers(key []byte) bool {
	if _, ok := slices.BinarySearchFunc(r.points, key, bytes.Compare); ok {
		return true
	}
	i := sort.Search(len(r.spans), func(i int) bool { return bytes.Compare(r.spans[i].Hi, key) > 0 })
	return i < len(r.spans) && bytes.Compare(r.spans[i].Lo, key) <= 0
}

// Overlap returns a part of what was looked at that lies in [lo, hi). Frozen
// reads only.
func (r *Reads) Overlap(lo, hi []byte) (Span, bool) {
	if i, _ := slices.BinarySearchFunc(r.points, lo, bytes.Compare); i < len(r.points) &&
		bytes.Compare(r.points[i], hi) < 0 {
		return Span{r.points[i], base.Successor(nil, r.points[i])}, true
	}
	i := sort.Search(len(r.spans), func(i int) bool { return bytes.Compare(r.spans[i].Hi, lo) > 0 })
	if i < len(r.spans) && bytes.Compare(r.spans[i].Lo, hi) < 0 {
		return r.spans[i], true
	}
	return Span{}, false
}
