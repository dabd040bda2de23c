// Package deadrange remembers where scans found nothing but deleted records.
//
// A dead range is an interval of internal keys in which a reader sees no row, as
// long as nothing is written there: whoever scans over it need not look at the
// tombstones in it. The head of a queue, whose entries are deleted one by one, is
// found at once so, although no compaction has dropped them yet.
//
// # Life of a range
//
//	noted   somebody has a hint that there is nothing
//	pending writes into it are seen from now on, and cut it
//	active  it is known that nothing was written between the walk and that, or that the
//	        walk began when all earlier writes were visible
//
// One who has walked over deleted records himself goes from nothing to active at once:
// see Prove. What was only noted is walked over by a worker: see Begin.
//
// # Invariants
//
//   - A reader with a sequence number and a time that are not below those of an
//     active range sees no row in it.
//   - A write cuts the ranges that it falls into after it is in the memtable and before
//     it becomes visible. So of a write and a Prove one sees the other: the write the
//     pending range, or the Prove the record.
//   - Active ranges neither overlap nor touch, and each holds those that it was before,
//     which are for readers of the past. Pending ones may overlap any.
//   - There are at most maxRanges, of bounded size: the oldest goes.
//
// Deletes and range deletes leave a range as it is, and so does time.
//
// # Thread-safety
//
// All methods are safe for concurrent use. Find and Wrote take no lock where there
// is no range, and Behind takes none.
package deadrange

import (
	"bytes"
	"slices"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/ranked"
)

const (
	maxRanges = 16
	// maxBoundsBytes is the length of both bounds above which a range is not kept.
	maxBoundsBytes = 4 << 10
)

// list is some ranges and what holds them all. It does not change.
type list struct {
	ranges []*Range // oldest first
	span   Range
}

// Map has the ranges of a database. The zero value is not usable: see New.
type Map struct {
	known atomic.Pointer[list]
	// upsets counts the beginnings and ends of what may have written anywhere.
	upsets atomic.Uint64
	added  func(lo, hi []byte, after base.SeqNum) bool
	joined atomic.Int32 // notes that wait with next, since it was noted

	mu        ranked.Mutex[ranked.DeadRanges]
	upsetting int    // how many are at it
	proofs    uint64 // how many have begun
	next      *Range // the newest that was noted
	noted     chan struct{}
}

// New returns a map without ranges. added reports whether a record other than a delete
// may have been written into [lo, hi) after a sequence number, visible or not.
func New(added func(lo, hi []byte, after base.SeqNum) bool) *Map {
	m := &Map{noted: make(chan struct{}, 1), added: added}
	m.known.Store(new(list))
	return m
}

// Find returns an active range that holds key for a reader, nil if there is none.
func (m *Map) Find(key []byte, seq base.SeqNum, at base.Instant) *Range {
	known := m.known.Load()
	if len(known.ranges) == 0 || !known.span.holds(key) {
		return nil
	}
	for _, r := range slices.Backward(known.ranges) {
		if r.proof == 0 && r.holds(key) {
			if r = r.asOf(seq, at); r != nil && r.holds(key) {
				return r
			}
		}
	}
	return nil
}

// Active returns the ranges that are active. What a reader does not see in them others
// may have written since.
func (m *Map) Active() []*Range {
	return slices.DeleteFunc(slices.Clone(m.known.Load().ranges), func(r *Range) bool { return r.proof != 0 })
}

// Note says that all rows in [lo, hi), which are copied, were deleted. It is only a hint
// where to look again. One that is known already is ignored. One that comes while
// another waits is not taken, unless they meet: then it waits along with that.
func (m *Map) Note(lo, hi []byte) (taken bool) {
	if !worthKeeping(lo, hi) {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.known.Load().ranges, func(r *Range) bool { return r.covers(lo, hi) }) {
		return true
	}
	noted := &Range{Lo: bytes.Clone(lo), Hi: bytes.Clone(hi)}
	if m.next != nil {
		if !m.next.meets(noted) {
			return false
		}
		noted.join(m.next)
		m.joined.Add(1)
	}
	m.next = noted
	select {
	case m.noted <- struct{}{}:
	default:
	}
	return true
}

func worthKeeping(lo, hi []byte) bool {
	return len(lo)+len(hi) <= maxBoundsBytes && bytes.Compare(lo, hi) < 0
}

// Noted is sent to when there is something for Begin.
func (m *Map) Noted() <-chan struct{} { return m.noted }

// behindNotes is how many notes may wait before whoever makes them should let the worker
// have a processor: where none is free he would get one after some ten milliseconds, and
// tens of thousands of deletes.
const behindNotes = 8

// Behind reports whether many notes wait for Begin.
func (m *Map) Behind() bool { return m.joined.Load() >= behindNotes }

// Proof is a range that somebody is proving.
type Proof struct {
	Lo, Hi []byte
	number uint64
}

// Begin makes what was noted last pending; ok is false if nothing was. What of it is
// active already is a part of it, which a walk jumps over. The caller walks over it as
// of a number that has all that was written before, and then calls Settle or Abandon.
func (m *Map) Begin() (p Proof, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.next
	m.joined.Store(0)
	if m.next = nil; r == nil {
		return Proof{}, false
	}
	return m.begin(r), true
}

// begin makes a range pending. The caller has the lock.
func (m *Map) begin(r *Range) Proof {
	m.proofs++
	r.proof = m.proofs
	m.replace(func(old []*Range) []*Range { return append(old, r) })
	return Proof{r.Lo, r.Hi, r.proof}
}

// Settle makes what is pending active up to a key, after a scan as of seq and at has
// found nothing before that: of what was pending, all that no write has cut off
// since Begin.
func (m *Map) Settle(p Proof, end []byte, seq base.SeqNum, at base.Instant) {
	end = bytes.Clone(end)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle(p, end, seq, at)
}

func (m *Map) settle(p Proof, end []byte, seq base.SeqNum, at base.Instant) {
	m.replace(func(old []*Range) []*Range {
		rest, proven := p.take(old)
		for _, r := range proven {
			if r = r.within(nil, end); r != nil {
				rest = add(rest, &Range{Lo: r.Lo, Hi: r.Hi, Seq: seq, At: at})
			}
		}
		return rest
	})
}

// take divides ranges into what is of the proof and the rest.
func (p Proof) take(old []*Range) (rest, taken []*Range) {
	for _, r := range old {
		if r.proof == p.number {
			taken = append(taken, r)
		} else {
			rest = append(rest, r)
		}
	}
	return rest, taken
}

// add puts an active range in, and joins it with those it meets.
func add(ranges []*Range, r *Range) []*Range {
	for i := 0; i < len(ranges); {
		if o := ranges[i]; o.proof == 0 && o.meets(r) {
			r = o.grow(r)
			ranges = slices.Delete(ranges, i, i+1)
			continue
		}
		i++
	}
	return append(ranges, r)
}

// Abandon gives up what is pending.
func (m *Map) Abandon(p Proof) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.abandon(p)
}

func (m *Map) abandon(p Proof) {
	m.replace(func(old []*Range) []*Range {
		rest, _ := p.take(old)
		return rest
	})
}

// Walk is what somebody walks over.
type Walk struct {
	upsets uint64
	seen   base.SeqNum
}

// NewWalk is called before it is opened: it has all that was written up to a number.
func (m *Map) NewWalk(seen base.SeqNum) Walk { return Walk{m.upsets.Load(), seen} }

// HasNewer reports whether it has what is newer than a number. Prove looks only for what is
// newer than the walk, so whoever passes over that unseen knows nothing for newer readers.
func (w Walk) HasNewer(seq base.SeqNum) bool { return w.seen > seq }

// Prove makes [lo, hi) active, after a walk as of seq and at has met nothing there but
// deleted, expired and hidden records, also among what is newer. Where others have written
// there meanwhile it is noted instead.
func (m *Map) Prove(w Walk, lo, hi []byte, seq base.SeqNum, at base.Instant) {
	if !worthKeeping(lo, hi) {
		return
	}
	m.mu.Lock()
	if m.upsets.Load() != w.upsets || m.upsetting > 0 {
		m.mu.Unlock()
		m.Note(lo, hi)
		return
	}
	p := m.begin(&Range{Lo: bytes.Clone(lo), Hi: bytes.Clone(hi)})
	m.mu.Unlock()
	invariant.Yield()
	added := m.added(lo, hi, w.seen)
	invariant.Yield()
	m.mu.Lock()
	if !added {
		m.settle(p, p.Hi, seq, at)
		m.mu.Unlock()
		return
	}
	m.abandon(p)
	m.mu.Unlock()
	m.Note(lo, hi)
}

// Wrote cuts a key out of all ranges. It is called when the record is in the memtable,
// and before the write becomes visible.
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
	below, above := bytes.Clone(key), base.Successor(nil, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.replace(func(old []*Range) (cut []*Range) {
		for _, r := range old {
			if !r.holds(key) {
				cut = append(cut, r)
				continue
			}
			for _, part := range []*Range{r.within(nil, below), r.within(above, nil)} {
				if part != nil {
					cut = append(cut, part)
				}
			}
		}
		return cut
	})
}

// Upset forgets all ranges and keeps all walks from proving any until Calm is called:
// something is being written that may be anywhere.
func (m *Map) Upset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upsetting++
	m.upsets.Add(1)
	m.replace(func([]*Range) []*Range { return nil })
}

// Calm ends what Upset has begun.
func (m *Map) Calm() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upsetting--
	m.upsets.Add(1)
}

// replace stores what fn makes of a copy of the ranges. The caller has the lock.
func (m *Map) replace(fn func(old []*Range) []*Range) {
	known := &list{ranges: fn(slices.Clone(m.known.Load().ranges))}
	if n := len(known.ranges) - maxRanges; n > 0 {
		known.ranges = known.ranges[n:]
	}
	for i, r := range known.ranges {
		if i == 0 {
			known.span = Range{Lo: r.Lo, Hi: r.Hi}
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
