// Package deadrange remembers where scans found nothing but deleted records.
//
// A dead range is an interval of internal keys in which a reader sees no row, as
// long as nothing is written there: whoever scans over it need not look at the
// tombstones in it. The head of a queue, whose entries are deleted one by one, is
// found at once so, although no compaction has dropped them yet.
//
// # Life of a range
//
//	noted   a scan has passed many records that are no rows
//	pending writes into it are seen from now on, and cut it
//	active  a scan that began when all earlier writes were visible has found nothing
//
// # Invariants
//
//   - A reader with a sequence number and a time that are not below those of an
//     active range sees no row in it. So a range becomes active with the number and
//     the time of a scan that begins after it was made pending, when every write
//     that may have missed it is visible; and a write cuts the ranges that it falls
//     into before it becomes visible.
//   - Ranges do not overlap, but a pending one may overlap active ones.
//   - There are at most maxRanges, of bounded size: the oldest goes.
//
// Deletes and range deletes leave a range as it is, and so does time.
//
// # Thread-safety
//
// All methods are safe for concurrent use. Find and Wrote take no lock where there
// is no range.
package deadrange

import (
	"bytes"
	"slices"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/ranked"
)

const (
	maxRanges = 16
	// maxBoundsBytes is the length of both bounds above which a range is not kept.
	maxBoundsBytes = 4 << 10
)

// Range is a dead range, [Lo, Hi). It does not change.
type Range struct {
	Lo, Hi []byte
	// Seq and At are the least that a reader must have.
	Seq base.SeqNum
	At  base.Instant

	pending bool
}

func (r *Range) holds(key []byte) bool {
	return bytes.Compare(r.Lo, key) <= 0 && bytes.Compare(key, r.Hi) < 0
}

// list is some ranges and what holds them all. It does not change.
type list struct {
	ranges []*Range // oldest first
	span   Range
}

// Map has the ranges of a database. The zero value is not usable: see New.
type Map struct {
	known atomic.Pointer[list]

	mu    ranked.Mutex[ranked.DeadRanges]
	next  *Range // the newest that was noted
	noted chan struct{}
}

// New returns a map without ranges.
func New() *Map {
	m := &Map{noted: make(chan struct{}, 1)}
	m.known.Store(new(list))
	return m
}

// Find returns an active range that holds key for a reader, nil if there is none.
func (m *Map) Find(key []byte, seq base.SeqNum, at base.Instant) *Range {
	known := m.known.Load()
	if len(known.ranges) == 0 || !known.span.holds(key) {
		return nil
	}
	for _, r := range known.ranges {
		if !r.pending && r.Seq <= seq && r.At <= at && r.holds(key) {
			return r
		}
	}
	return nil
}

// Active returns the ranges that are active. What a reader does not see in them others
// may have written since.
func (m *Map) Active() []*Range { return withoutPending(slices.Clone(m.known.Load().ranges)) }

// Note says that a scan has seen no row in [lo, hi), which are copied, or that all rows
// there were deleted. It is only a hint where to look again. One that is known already
// is ignored. One that comes while another waits is not taken, unless they meet: then it
// waits along with that.
func (m *Map) Note(lo, hi []byte) (taken bool) {
	if len(lo)+len(hi) > maxBoundsBytes || bytes.Compare(lo, hi) >= 0 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.covered(lo, hi) {
		return true
	}
	noted := &Range{Lo: bytes.Clone(lo), Hi: bytes.Clone(hi), pending: true}
	if m.next != nil {
		if bytes.Compare(m.next.Hi, lo) < 0 || bytes.Compare(hi, m.next.Lo) < 0 {
			return false
		}
		noted.join(m.next)
	}
	m.next = noted
	select {
	case m.noted <- struct{}{}:
	default:
	}
	return true
}

// covered reports whether some range holds all of [lo, hi). The caller has the lock.
func (m *Map) covered(lo, hi []byte) bool {
	return slices.ContainsFunc(m.known.Load().ranges, func(r *Range) bool {
		return bytes.Compare(r.Lo, lo) <= 0 && bytes.Compare(hi, r.Hi) <= 0
	})
}

// Noted is sent to when there is something for Begin.
func (m *Map) Noted() <-chan struct{} { return m.noted }

// Begin makes what was noted last pending and returns its bounds; ok is false if
// nothing was. Where active ranges lie at its ends they are proved anew as a part of it,
// so that a range can grow. One that is pending already is given up.
func (m *Map) Begin() (lo, hi []byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.next
	if m.next = nil; r == nil {
		return nil, nil, false
	}
	m.replace(func(old []*Range) []*Range {
		old = withoutPending(old)
		for _, o := range old {
			r.join(o)
		}
		return append(old, r)
	})
	return r.Lo, r.Hi, true
}

// Settle makes what is pending active up to a key, after a scan as of seq and at has
// found nothing before that: of what was pending, all that no write has cut off
// since Begin.
func (m *Map) Settle(end []byte, seq base.SeqNum, at base.Instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replace(func(old []*Range) []*Range {
		var proven []*Range
		for _, r := range old {
			if r.pending && bytes.Compare(r.Lo, end) < 0 {
				hi := r.Hi
				if bytes.Compare(end, hi) < 0 {
					hi = end
				}
				proven = append(proven, &Range{Lo: r.Lo, Hi: bytes.Clone(hi), Seq: seq, At: at})
			}
		}
		kept := slices.DeleteFunc(withoutPending(old), func(r *Range) bool {
			return slices.ContainsFunc(proven, func(p *Range) bool { return p.overlaps(r) })
		})
		return append(kept, proven...)
	})
}

func (r *Range) overlaps(other *Range) bool {
	return bytes.Compare(r.Lo, other.Hi) < 0 && bytes.Compare(other.Lo, r.Hi) < 0
}

// join makes a range larger by another one at one of its ends.
func (r *Range) join(o *Range) {
	if bytes.Compare(o.Lo, r.Lo) < 0 && bytes.Compare(r.Lo, o.Hi) <= 0 {
		r.Lo = o.Lo
	}
	if bytes.Compare(o.Lo, r.Hi) <= 0 && bytes.Compare(r.Hi, o.Hi) < 0 {
		r.Hi = o.Hi
	}
}

// Abandon gives up what is pending.
func (m *Map) Abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replace(withoutPending)
}

// Wrote cuts a key out of all ranges. It is called before the write becomes visible.
func (m *Map) Wrote(key []byte) {
	known := m.known.Load()
	if len(known.ranges) == 0 || !known.span.holds(key) {
		return
	}
	if slices.ContainsFunc(known.ranges, func(r *Range) bool { return r.holds(key) }) {
		m.cut(key)
	}
}

// cut replaces ranges that hold a key by what is on both sides of it.
func (m *Map) cut(key []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replace(func(old []*Range) (cut []*Range) {
		for _, r := range old {
			if !r.holds(key) {
				cut = append(cut, r)
				continue
			}
			below, above := *r, *r
			below.Hi, above.Lo = bytes.Clone(key), base.Successor(nil, key)
			for _, part := range []*Range{&below, &above} {
				if bytes.Compare(part.Lo, part.Hi) < 0 {
					cut = append(cut, part)
				}
			}
		}
		return cut
	})
}

// Clear forgets all ranges: what was written may be anywhere.
func (m *Map) Clear() {
	if len(m.known.Load().ranges) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replace(func([]*Range) []*Range { return nil })
}

// replace stores what fn makes of a copy of the ranges. The caller has the lock.
func (m *Map) replace(fn func(old []*Range) []*Range) {
	known := &list{ranges: fn(slices.Clone(m.known.Load().ranges))}
	if n := len(known.ranges) - maxRanges; n > 0 {
		known.ranges = known.ranges[n:]
	}
	for i, r := range known.ranges {
		if i == 0 {
			known.span = *r
		}
		if bytes.Compare(r.Lo, known.span.Lo) < 0 {
			known.span.Lo = r.Lo
		}
		if bytes.Compare(r.Hi, known.span.Hi) > 0 {
			known.span.Hi = r.Hi
		}
	}
	m.known.Store(known)
}

func withoutPending(ranges []*Range) []*Range {
	return slices.DeleteFunc(ranges, func(r *Range) bool { return r.pending })
}
