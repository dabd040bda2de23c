package engine

import (
	"cmp"
	"errors"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// HistoryOptions say how much of the log is kept for those who read changes
// after the database itself needs it no more. Zero is no bound; where both are
// zero nothing is kept.
type HistoryOptions struct {
	SizeBytes int64
	Age       time.Duration
}

func (o HistoryOptions) enabled() bool { return o.SizeBytes > 0 || o.Age > 0 }

// changeHistory knows which log segments can be read, and which sequence numbers
// they hold: oldest first, without overlap, the one being written last. A
// segment leaves it before its file is deleted or used again, so whoever fails
// to read a segment asks whether it is still here.
//
// A segment is spent once no manifest names it. Only then may retention delete
// it. With history switched on it becomes a history segment, by a rename; until
// that succeeds it counts and can be read like one. Files are touched by the
// janitor alone, one task at a time.
//
// Its lock is never held during I/O. Of the others only the janitor's is taken
// under it.
type changeHistory struct {
	mu       ranked.Mutex[ranked.History]
	segments []segmentInfo
	lost     []lostSegment // go when what is newer goes
	end      wal.Position  // of what a read-only database found
	timer    clock.Timer   // for the age of the oldest
	closing  bool
	feeds    int

	// openedSeq is the last number that recovery found; it never changes after.
	openedSeq base.SeqNum
}

// segmentInfo is one segment. While it is being written, its End and Last are
// not known.
type segmentInfo struct {
	num       base.FileNum
	extent    wal.Extent
	open      bool // being written
	spent     bool
	archived  bool
	since     time.Time // when it was spent
	sizeBytes int64     // of the file; known when it is spent
}

// lostSegment is a file that cannot be read, or only its beginning, and why:
// what is missing before its newer neighbour is missing because of it.
type lostSegment struct {
	segmentInfo
	err error
}

func (s *segmentInfo) name() string {
	if s.archived {
		return wal.HistoryFileName(s.num)
	}
	return wal.FileName(s.num)
}

// begin notes that the log goes on in segment num.
func (h *changeHistory) begin(num base.FileNum, start wal.Position, first base.SeqNum) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finish(start, first-1)
	h.segments = append(h.segments, segmentInfo{
		num: num, open: true, extent: wal.Extent{Start: start, First: first},
	})
}

// finish notes where the last segment ends. The caller holds h.mu.
func (h *changeHistory) finish(end wal.Position, last base.SeqNum) {
	if n := len(h.segments); n > 0 && h.segments[n-1].open {
		s := &h.segments[n-1]
		s.open, s.extent.End, s.extent.Last = false, end, last
	}
}

// finishLog notes that nothing is written any more.
func (h *changeHistory) finishLog(end wal.Position, last base.SeqNum) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finish(end, last)
}

// spend notes that a segment has left the manifest. It returns false for one
// that holds nothing to keep; that is not known here any more.
func (h *changeHistory) spend(num base.FileNum, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := h.index(num)
	if i < 0 {
		return false
	}
	s := &h.segments[i]
	if s.extent.Empty() {
		h.segments = slices.Delete(h.segments, i, i+1)
		return false
	}
	s.spent, s.since, s.sizeBytes = true, now, int64(s.extent.End-s.extent.Start)
	return true
}

// forget takes a segment off, whose file is about to go.
func (h *changeHistory) forget(num base.FileNum) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.index(num); i >= 0 {
		h.segments = slices.Delete(h.segments, i, i+1)
	}
}

// index is where a segment is, or -1. The caller holds h.mu.
func (h *changeHistory) index(num base.FileNum) int {
	return slices.IndexFunc(h.segments, func(s segmentInfo) bool { return s.num == num })
}

// byNum returns the segment of a number.
func (h *changeHistory) byNum(num base.FileNum) (segmentInfo, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.index(num); i >= 0 {
		return h.segments[i], true
	}
	return segmentInfo{}, false
}

// find returns the segment that holds sequence number seq, or the gap that it
// falls into.
func (h *changeHistory) find(seq base.SeqNum) (segmentInfo, *GapError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next, _ := slices.BinarySearchFunc(h.segments, seq, func(s segmentInfo, seq base.SeqNum) int {
		if s.extent.First <= seq {
			return -1
		}
		return 1
	})
	// What is empty begins where the one after it does.
	i := next - 1
	for i >= 0 && !h.segments[i].open && h.segments[i].extent.Empty() {
		i--
	}
	if i >= 0 && (h.segments[i].open || h.segments[i].extent.Last >= seq) {
		return h.segments[i], nil
	}
	gap := &GapError{From: seq, Oldest: h.openedSeq + 1}
	newest := base.FileNum(math.MaxUint64)
	if next < len(h.segments) {
		gap.Oldest, newest = h.segments[next].extent.First, h.segments[next].num
	}
	for _, l := range h.lost {
		if l.num < newest && (i < 0 || l.num >= h.segments[i].num) {
			gap.Err = l.err
		}
	}
	return segmentInfo{}, gap
}

// oldest returns the first sequence number that can be read.
func (h *changeHistory) oldest() base.SeqNum {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.oldestLocked()
}

func (h *changeHistory) oldestLocked() base.SeqNum {
	if len(h.segments) == 0 {
		return h.openedSeq + 1
	}
	return h.segments[0].extent.First
}

// nextToArchive returns the oldest segment that is spent and not archived.
func (h *changeHistory) nextToArchive() (segmentInfo, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.segments {
		if s.spent && !s.archived {
			return s, true
		}
	}
	return segmentInfo{}, false
}

func (h *changeHistory) noteArchived(num base.FileNum, sizeBytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.index(num); i >= 0 {
		h.segments[i].archived, h.segments[i].sizeBytes = true, sizeBytes
	}
}

// takeExpired takes off what retention does not allow any more and returns it.
func (h *changeHistory) takeExpired(o HistoryOptions, now time.Time) []segmentInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	var total int64
	spent := 0
	for _, s := range h.segments {
		if !s.spent {
			break
		}
		spent++
		total += s.sizeBytes
	}
	n := 0
	for ; n < spent; n++ {
		s := &h.segments[n]
		tooLarge := o.SizeBytes > 0 && total > o.SizeBytes
		tooOld := o.Age > 0 && now.Sub(s.since) >= o.Age
		if !tooLarge && !tooOld {
			break
		}
		total -= s.sizeBytes
	}
	return h.takeOldest(n)
}

// takeHalf takes off the older half of what is spent, at least one segment.
func (h *changeHistory) takeHalf() []segmentInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	spent := 0
	for spent < len(h.segments) && h.segments[spent].spent {
		spent++
	}
	return h.takeOldest((spent + 1) / 2)
}

// takeOldest takes off the first n segments, and what was lost between them.
// The caller holds h.mu.
func (h *changeHistory) takeOldest(n int) []segmentInfo {
	taken := slices.Clone(h.segments[:n])
	h.segments = slices.Delete(h.segments, 0, n)
	for len(h.lost) > 0 && (len(h.segments) == 0 || h.lost[0].num < h.segments[0].num) {
		taken = append(taken, h.lost[0].segmentInfo)
		h.lost = h.lost[1:]
	}
	return taken
}

// setTimer calls fn when the oldest spent segment gets too old.
func (h *changeHistory) setTimer(c clock.Clock, age time.Duration, fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	if h.closing || age <= 0 || len(h.segments) == 0 || !h.segments[0].spent {
		return
	}
	h.timer = c.AfterFunc(max(age-c.Now().Sub(h.segments[0].since), 0), fn)
}

// stopTimer ends the enforcement by time, for good.
func (h *changeHistory) stopTimer() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closing = true
	if h.timer != nil {
		h.timer.Stop()
	}
}

// spendLogs hands segments that the manifest no longer names to the history.
func (db *DB) spendLogs(gone []base.FileNum) {
	now := db.opts.Clock.Now()
	for _, n := range gone {
		if !db.history.spend(n, now) {
			db.janitor.add(func() { db.removeLog(n) })
		}
	}
	db.janitor.add(db.keepHistory)
}

// keepHistory archives what is spent, and deletes what retention does not allow
// any more. What cannot be archived now is tried again the next time. It is a
// task of the janitor.
func (db *DB) keepHistory() {
	for {
		s, ok := db.history.nextToArchive()
		if !ok {
			break
		}
		size, err := wal.Archive(db.logConfig(), s.num, s.extent, s.since)
		if err == nil {
			db.history.noteArchived(s.num, size)
			continue
		}
		db.opts.Logger.Error("keep history", "file", s.name(), "err", err)
		if !errors.Is(err, vfs.ErrNoSpace) || !db.giveUpHistory() {
			break
		}
	}
	db.deleteHistory(db.history.takeExpired(db.opts.History, db.opts.Clock.Now()))
	db.history.setTimer(db.opts.Clock, db.opts.History.Age, db.historyIsOld)
}

// historyIsOld is called by the timer. Close may be under way, after which no
// file may be touched.
func (db *DB) historyIsOld() {
	db.history.mu.Lock()
	defer db.history.mu.Unlock()
	if !db.history.closing {
		db.janitor.add(db.keepHistory)
	}
}

// giveUpHistory deletes the older half of the history, for a disk that is full.
// It returns false when nothing is left. It is a task of the janitor.
func (db *DB) giveUpHistory() bool {
	gone := db.history.takeHalf()
	if len(gone) > 0 {
		db.opts.Logger.Warn("the disk is full: history is given up", "segments", len(gone),
			"oldest", db.history.oldest())
	}
	db.deleteHistory(gone)
	return len(gone) > 0
}

// makeSpace gives up history where an error says that the disk is full.
func (db *DB) makeSpace(err error) {
	if db.opts.History.enabled() && errors.Is(err, vfs.ErrNoSpace) {
		db.janitor.add(func() { db.giveUpHistory() })
	}
}

// deleteHistory deletes files that are off the catalogue. One that cannot be
// deleted is taken up again by the next open.
func (db *DB) deleteHistory(gone []segmentInfo) {
	for _, s := range gone {
		if err := db.removeFile(s.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			db.opts.Logger.Warn("remove history", "err", err)
		}
	}
}

// loadHistory finds the segments that hold history in the files of the
// directory: history segments, and logs that no manifest names any more or that
// were just replayed. end is where the log goes on. Older segments stop where a
// newer one starts; what lies behind that was cut off by a recovery.
func (db *DB) loadHistory(names []string, end wal.Position) error {
	var found []segmentInfo
	for _, name := range names {
		if n, ok := wal.ParseHistoryFileName(name); ok {
			found = append(found, segmentInfo{num: n, archived: true, spent: true})
		} else if n, ok := wal.ParseFileName(name); ok {
			found = append(found, segmentInfo{num: n, spent: !slices.Contains(db.fields.logs, n)})
		}
	}
	slices.SortFunc(found, func(a, b segmentInfo) int { return cmp.Compare(b.num, a.num) })
	var segments []segmentInfo
	var lost []lostSegment
	first := db.history.openedSeq + 1
	for _, s := range found {
		ok, damage, err := db.inspectSegment(&s, end)
		if err != nil {
			return err
		}
		if damage != nil {
			db.opts.Logger.Error("history is damaged", "file", s.name(), "err", damage)
			lost = append(lost, lostSegment{s, damage})
		}
		if !ok || s.extent.Start >= end || s.extent.Last >= first || s.extent.Empty() {
			continue // nothing, or cut off
		}
		s.extent.End = min(s.extent.End, end)
		end, first = s.extent.Start, s.extent.First
		segments = append(segments, s)
	}
	slices.Reverse(segments)
	slices.Reverse(lost)
	h := &db.history
	h.mu.Lock()
	defer h.mu.Unlock()
	h.segments, h.lost = segments, lost
	return nil
}

// inspectSegment learns what a segment holds. ok is false where that is nothing.
// What is wrong with a history segment is no error: the database does not need
// it.
func (db *DB) inspectSegment(s *segmentInfo, end wal.Position) (ok bool, damage, err error) {
	if !s.archived {
		s.since = db.opts.Clock.Now()
		s.extent, ok, err = wal.Survey(db.logConfig(), s.num, end)
		s.sizeBytes = int64(s.extent.End - s.extent.Start)
		return ok, nil, err
	}
	found, err := wal.ReadHistory(db.logConfig(), s.num)
	if _, newer := errors.AsType[*base.FormatError](err); newer {
		return false, nil, err
	}
	s.extent, s.since, s.sizeBytes = found.Extent, found.At, found.SizeBytes
	if s.since.IsZero() {
		s.since = db.opts.Clock.Now()
	}
	return err == nil, errors.Join(err, found.Damage), nil
}

// syncOldLogs makes durable what an earlier opener wrote, before any of it goes
// into a table: see syncHistory.
func (db *DB) syncOldLogs(logs []base.FileNum) error {
	if db.opts.ReadOnly || !db.opts.History.enabled() {
		return nil
	}
	for _, n := range logs {
		err := wal.SyncSegment(db.logConfig(), n)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // which replay reports
			return err
		}
	}
	return nil
}

// recoverHistory takes up the history that an earlier opener left. end is where
// the log goes on.
func (db *DB) recoverHistory(names []string, end wal.Position) error {
	db.history.openedSeq = base.SeqNum(db.visible.Load())
	db.history.end = end
	if db.opts.ReadOnly || !db.opts.History.enabled() {
		return nil
	}
	return db.loadHistory(names, end)
}

// isHistory reports whether a file is in the catalogue.
func (h *changeHistory) isHistory(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.segments, func(s segmentInfo) bool { return s.name() == name }) ||
		slices.ContainsFunc(h.lost, func(l lostSegment) bool { return l.name() == name })
}

// HistoryMetrics describes what is kept beyond the needs of the database.
type HistoryMetrics struct {
	Segments  int
	SizeBytes int64
	OldestSeq base.SeqNum // the first number that a feed can begin with
	Feeds     int         // open ones
}

func (h *changeHistory) metrics() HistoryMetrics {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := HistoryMetrics{OldestSeq: h.oldestLocked(), Feeds: h.feeds}
	for _, s := range h.segments {
		if s.spent {
			m.Segments++
			m.SizeBytes += s.sizeBytes
		}
	}
	return m
}
