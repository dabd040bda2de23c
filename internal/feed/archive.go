package feed

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
)

// Retention says how much of the log is kept for those who read changes
// after the database itself needs it no more. Zero is no bound; where both are
// zero nothing is kept.
type Retention struct {
	SizeBytes int64
	Age       time.Duration
}

// Enabled reports whether anything is kept.
func (o Retention) Enabled() bool { return o.SizeBytes > 0 || o.Age > 0 }

// Config is what an Archive and its feeds work with.
type Config struct {
	WAL       wal.Config
	History   base.DBID // of the database: see manifest.State
	Retention Retention
	ReadOnly  bool
	Clock     clock.Clock
	Events    *event.Sink
	Janitor   *janitor.Janitor
	Keyspaces *keyspace.Registry
	Store     *store.Store // has the tables of commits past the log
	// Stopped is closed when the database closes.
	Stopped <-chan struct{}
	// Failure returns why nothing will be read or written any more, or nil.
	Failure func() error
	// VisibleSeq is the newest sequence number that readers see.
	VisibleSeq func() base.SeqNum
	// Durable is how far the log is on stable storage; of a read-only database
	// there is none.
	Durable func() (base.SeqNum, wal.Position)
	// Sync makes all durable that was committed, or ends its waiting with ctx.
	Sync func(ctx context.Context) error
}

// Archive keeps log segments for those who read changes, and the tables of what was
// committed past the log. The catalogue says which there are; files.go has what is
// done with them.
type Archive struct {
	catalogue
	cfg       Config
	committed signal.Changes // wakes the feeds that wait for the next commit
	live      []base.FileNum // the segments that the manifest named at open
}

// NewArchive returns an archive that knows nothing yet.
func NewArchive(cfg Config) *Archive { return &Archive{cfg: cfg} }

// Enabled reports whether what the database needs no more is kept.
func (a *Archive) Enabled() bool { return a.cfg.Retention.Enabled() }

// catalogue knows which log segments can be read, and which sequence numbers
// they hold: oldest first, without overlap, the one being written last. A
// segment leaves it before its file is deleted or used again, so whoever fails
// to read a segment asks whether it is still here.
//
// A segment is obsolete once no manifest names it. Only then may retention delete
// it. Where something is kept it becomes an archived segment, by a rename; until
// that succeeds it counts and can be read like one. Files are touched by the
// janitor alone, one task at a time.
//
// Commits past the log are between the segments, by their numbers; see ingests.go.
//
// All methods are safe for concurrent use. Its lock is never held during I/O; the
// janitor's is taken under it.
type catalogue struct {
	mu       ranked.Mutex[ranked.Archive]
	segments []segmentInfo
	lost     []lostSegment // go when what is newer goes
	ingests  ingestList
	named    []base.SeqNum // the first numbers of those that the manifest names
	end      wal.Position  // of what a read-only database found
	timer    clock.Timer   // for the age of the oldest
	closing  bool
	feeds    int

	// openedSeq is the last number that recovery found; it never changes after.
	openedSeq base.SeqNum
	// ingestedSeq is the newest number that was committed past the log.
	ingestedSeq atomic.Uint64
	copying     atomic.Bool // there is a Copier
	copiedSeq   atomic.Uint64
}

// segmentInfo is one segment. While it is being written, its End and Last are
// not known.
type segmentInfo struct {
	num       base.FileNum
	extent    wal.Extent
	open      bool // being written
	obsolete  bool
	archived  bool
	since     time.Time // when it was obsolete
	sizeBytes int64     // of the file; known when it is obsolete
}

// lostSegment is a file that cannot be read, or only its beginning, and why:
// what is missing before its newer neighbour is missing because of it.
type lostSegment struct {
	segmentInfo
	err error
}

func (s *segmentInfo) name() string {
	if s.archived {
		return wal.ArchivedFileName(s.num)
	}
	return wal.FileName(s.num)
}

// Begin notes that the log goes on in segment num.
func (a *Archive) Begin(num base.FileNum, start wal.Position, first base.SeqNum) {
	a.begin(num, start, first)
	a.dropPassing()
}

func (a *catalogue) begin(num base.FileNum, start wal.Position, first base.SeqNum) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.finish(start, first-1)
	a.segments = append(a.segments, segmentInfo{
		num: num, open: true, extent: wal.Extent{Start: start, First: first},
	})
}

// finish notes where the last segment ends. The caller holds a.mu.
func (a *catalogue) finish(end wal.Position, last base.SeqNum) {
	if n := len(a.segments); n > 0 && a.segments[n-1].open {
		s := &a.segments[n-1]
		s.open, s.extent.End, s.extent.Last = false, end, last
	}
}

// Finish notes that nothing is written any more.
func (a *catalogue) Finish(end wal.Position, last base.SeqNum) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.finish(end, last)
}

// retire notes that a segment has left the manifest. It returns false for one
// that holds nothing to keep; that is not known here any more.
func (a *catalogue) retire(num base.FileNum, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.index(num)
	if i < 0 {
		return false
	}
	s := &a.segments[i]
	if s.extent.Empty() {
		a.segments = slices.Delete(a.segments, i, i+1)
		return false
	}
	s.obsolete, s.since, s.sizeBytes = true, now, int64(s.extent.End-s.extent.Start)
	return true
}

// Forget takes a segment off, whose file is about to go.
func (a *catalogue) Forget(num base.FileNum) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.index(num); i >= 0 {
		a.segments = slices.Delete(a.segments, i, i+1)
	}
}

// index is where a segment is, or -1. The caller holds a.mu.
func (a *catalogue) index(num base.FileNum) int {
	return slices.IndexFunc(a.segments, func(s segmentInfo) bool { return s.num == num })
}

// byNum returns the segment of a number.
func (a *catalogue) byNum(num base.FileNum) (segmentInfo, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.index(num); i >= 0 {
		return a.segments[i], true
	}
	return segmentInfo{}, false
}

// find returns the segment that holds sequence number seq, or the gap that it
// falls into.
func (a *catalogue) find(seq base.SeqNum) (segmentInfo, *GapError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next, _ := slices.BinarySearchFunc(a.segments, seq, func(s segmentInfo, seq base.SeqNum) int {
		if s.extent.First <= seq {
			return -1
		}
		return 1
	})
	// What is empty begins where the one after it does.
	i := next - 1
	for i >= 0 && !a.segments[i].open && a.segments[i].extent.Empty() {
		i--
	}
	if i >= 0 && (a.segments[i].open || a.segments[i].extent.Last >= seq) {
		return a.segments[i], nil
	}
	oldest, newest := a.openedSeq+1, base.FileNum(math.MaxUint64)
	if next < len(a.segments) {
		oldest, newest = a.segments[next].extent.First, a.segments[next].num
	}
	gap := newGap(seq, oldest, nil)
	for _, l := range a.lost {
		if l.num < newest && (i < 0 || l.num >= a.segments[i].num) {
			gap.Err = l.err
		}
	}
	return segmentInfo{}, gap
}

// OldestSeq returns the first sequence number that can be read.
func (a *catalogue) OldestSeq() base.SeqNum {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.oldestSeq()
}

// oldestSeq is OldestSeq for callers that hold a.mu.
func (a *catalogue) oldestSeq() base.SeqNum {
	oldest := a.openedSeq + 1
	if len(a.segments) > 0 {
		oldest = a.segments[0].extent.First
	}
	if len(a.ingests) > 0 {
		oldest = min(oldest, a.ingests[0].first)
	}
	return oldest
}

// nextToArchive returns the oldest segment that is obsolete and not archived.
func (a *catalogue) nextToArchive() (segmentInfo, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.segments {
		if s.obsolete && !s.archived {
			return s, true
		}
	}
	return segmentInfo{}, false
}

func (a *catalogue) noteArchived(num base.FileNum, sizeBytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.index(num); i >= 0 {
		a.segments[i].archived, a.segments[i].sizeBytes = true, sizeBytes
	}
}

// unit is what is kept or deleted as a whole: a segment, with the commits past the
// log that lie in it, or one of those that lie between segments.
type unit struct {
	segments, ingests int // how many it has of what is left
	sizeBytes         int64
	since             time.Time
	newest            bool // whether the log has not gone on since in a further segment
}

// units lists what the database needs no more, the oldest first. The caller holds
// a.mu.
func (a *catalogue) units() (all []unit) {
	segments, ingests := a.segments, a.ingests
	for {
		switch {
		case len(ingests) > 0 && (len(segments) == 0 || ingests[0].first <= segments[0].extent.First):
			all = append(all, unit{
				ingests: 1, sizeBytes: ingests[0].sizeBytes, since: ingests[0].since,
				newest: len(ingests) == 1 && ingests[0].during == a.current(),
			})
		case len(segments) > 0 && segments[0].obsolete:
			u := unit{segments: 1, sizeBytes: segments[0].sizeBytes, since: segments[0].since}
			for u.ingests < len(ingests) && ingests[u.ingests].first <= segments[0].extent.Last {
				u.sizeBytes += ingests[u.ingests].sizeBytes
				u.ingests++
			}
			all = append(all, u)
		default:
			return all
		}
		u := &all[len(all)-1]
		segments, ingests = segments[u.segments:], ingests[u.ingests:]
	}
}

// current is the segment that is being written, 0 if none is. The caller holds a.mu.
func (a *catalogue) current() base.FileNum {
	if n := len(a.segments); n > 0 && a.segments[n-1].open {
		return a.segments[n-1].num
	}
	return 0
}

// retirable returns the units that retention may take. The newest commit past the log
// is not among them, as the segment that is being written is not: feeds may just be
// about to read it.
func retirable(units []unit) []unit {
	return slices.DeleteFunc(units, func(u unit) bool { return u.newest })
}

// removal is what was taken off the catalogue, and whose files are to go.
type removal struct {
	segments []segmentInfo
	ingests  []ingestCommit
}

// takeExpired takes off what retention does not allow any more and returns it.
func (a *catalogue) takeExpired(o Retention, now time.Time) removal {
	a.mu.Lock()
	defer a.mu.Unlock()
	units := retirable(a.units())
	var total int64
	for _, u := range units {
		total += u.sizeBytes
	}
	n := 0
	for ; n < len(units); n++ {
		tooLarge := o.SizeBytes > 0 && total > o.SizeBytes
		tooOld := o.Age > 0 && now.Sub(units[n].since) >= o.Age
		if !tooLarge && !tooOld {
			break
		}
		total -= units[n].sizeBytes
	}
	return a.takeOldest(units[:n])
}

// takeHalf takes off the older half of what is kept, at least something.
func (a *catalogue) takeHalf() removal {
	a.mu.Lock()
	defer a.mu.Unlock()
	units := a.units()
	return a.takeOldest(units[:(len(units)+1)/2])
}

// takeOldest takes off the oldest units, and what was lost between them. The caller
// holds a.mu.
func (a *catalogue) takeOldest(units []unit) (gone removal) {
	segments, ingests := 0, 0
	for _, u := range units {
		segments, ingests = segments+u.segments, ingests+u.ingests
	}
	gone.segments = slices.Clone(a.segments[:segments])
	gone.ingests = slices.Clone(a.ingests[:ingests])
	a.segments = slices.Delete(a.segments, 0, segments)
	a.ingests = slices.Delete(a.ingests, 0, ingests)
	for len(a.lost) > 0 && (len(a.segments) == 0 || a.lost[0].num < a.segments[0].num) {
		gone.segments = append(gone.segments, a.lost[0].segmentInfo)
		a.lost = a.lost[1:]
	}
	return gone
}

// setTimer calls fn when the oldest of what is kept gets too old.
func (a *catalogue) setTimer(c clock.Clock, age time.Duration, fn func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	if a.closing || age <= 0 {
		return
	}
	if units := retirable(a.units()); len(units) > 0 {
		a.timer = c.AfterFunc(max(age-c.Now().Sub(units[0].since), 0), fn)
	}
}

// Extents returns what the segments hold that can be read, the oldest first.
func (a *catalogue) Extents() []wal.Extent {
	a.mu.Lock()
	defer a.mu.Unlock()
	extents := make([]wal.Extent, len(a.segments))
	for i := range a.segments {
		extents[i] = a.segments[i].extent
	}
	return extents
}

// Holds reports whether a file is in the catalogue. Of a segment both names count: what
// has the other one now may be about to be what it is archived as.
func (a *catalogue) Holds(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.segments, func(s segmentInfo) bool {
		return name == wal.FileName(s.num) || name == wal.ArchivedFileName(s.num)
	}) ||
		slices.ContainsFunc(a.lost, func(l lostSegment) bool { return l.name() == name })
}

// Metrics describes what is kept beyond the needs of the database.
type Metrics struct {
	Segments  int
	Ingests   int         // commits past the log
	SizeBytes int64       // of both, whether tables are in the tree as well or not
	OldestSeq base.SeqNum // the first number that a feed can begin with
	Feeds     int         // open ones
	// CopiedSeq is the newest number that the one who copies the log elsewhere has stored; 0 where nobody does.
	CopiedSeq base.SeqNum
}

// Metrics returns the figures of now.
func (a *catalogue) Metrics() Metrics {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := Metrics{
		Ingests: len(a.ingests), OldestSeq: a.oldestSeq(), Feeds: a.feeds, CopiedSeq: base.SeqNum(a.copiedSeq.Load()),
	}
	for _, s := range a.segments {
		if s.obsolete {
			m.Segments++
			m.SizeBytes += s.sizeBytes
		}
	}
	for _, c := range a.ingests {
		m.SizeBytes += c.sizeBytes
	}
	return m
}
