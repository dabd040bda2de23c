package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
)

const (
	// firstLogBytes is the prepared size of a database's first log segment;
	// later ones are prepared at the size that the last one reached.
	firstLogBytes = 256 << 10
	// maxLogBufferBytes bounds the buffer of the log; small budgets have a
	// smaller one.
	maxLogBufferBytes = 1 << 20
	// maxFreeLogs is how many obsolete log segments are kept for reuse.
	maxFreeLogs = 1
)

// segments are the log of the database and the files that it is in. A worker has
// the next segment ready before it is needed: one that flushes have freed, or a
// new one. The manifest names a segment before the first record goes into it, and
// no longer once everything in it is in tables.
//
// The log itself is the leader's of the commits, and safe for all in what its own
// comments say. The lock guards the lists, is never held during I/O, and no other
// is taken under it.
type segments struct {
	cfg      wal.Config
	maxBytes int64 // of a prepared segment
	health   *health
	versions *versions
	store    *store.Store // gives out file numbers
	archive  *feed.Archive
	events   *event.Sink
	janitor  *janitor.Janitor
	changed  *changes
	clock    clock.Clock
	outcome  outcome // of the worker

	log   *wal.Log     // nil in a read-only database
	start wal.Position // where the current segment began; of the leader
	first wal.Position // where the log began at open

	mu        sync.Mutex
	live      []base.FileNum // that the manifest names, oldest first
	free      []base.FileNum // that nobody needs any more, ready for reuse
	prepared  base.FileNum   // ready to be rotated to; 0: being prepared
	nextBytes int64          // size for the next prepared segment

	flushPending atomic.Bool // whether a delayed flush of the log is under way
	flushTimer   clock.Timer // of the last one; nil before the first; of the leader
}

// begin starts a new log at a position, after what was replayed from old ones,
// which the manifest gives up. forgotten are keyspaces that nothing mentions any
// more. It returns the number of the segment.
func (s *segments) begin(old []base.FileNum, end wal.Position, lastSeq base.SeqNum,
	forgotten []uint64, done func()) (base.FileNum, error) {
	num := s.store.NewFileNum()
	s.nextBytes = firstLogBytes
	if err := wal.Prepare(s.cfg, num, s.nextBytes); err != nil {
		return 0, err
	}
	edit := &manifest.Edit{
		AddLogs: []base.FileNum{num}, RemoveLogs: old, LogStart: uint64(end), ForgetDropped: forgotten,
	}
	s.archive.Begin(num, end, lastSeq+1)
	err := s.versions.edit(edit, func(*manifest.Version) {
		s.live = []base.FileNum{num}
		done()
	})
	if err != nil {
		return 0, err
	}
	s.archive.RetireAtOpen(old)
	s.start, s.first = end, end
	s.log, err = wal.NewLog(s.cfg, num, end)
	return num, err
}

// append appends a group. After an error nothing is known about what a crash
// would leave of it, unless the database goes on accepting writes.
func (s *segments) append(first, last base.SeqNum, payloads [][]byte) error {
	if _, err := s.log.Append(first, last, payloads...); err != nil {
		if s.log.Failure() == nil {
			s.archive.MakeSpace(err)
			return fmt.Errorf("append to the log: %w", err) // nothing was written
		}
		return s.health.poison("log", err)
	}
	return nil
}

// sync makes durable what was appended.
func (s *segments) sync() error { return s.checked(s.log.Sync()) }

// flush brings what was appended to the operating system.
func (s *segments) flush() error { return s.checked(s.log.Flush()) }

// flushLater makes sure that what was appended reaches the operating system
// within a delay.
func (s *segments) flushLater(delay time.Duration) {
	if !s.flushPending.CompareAndSwap(false, true) {
		return
	}
	s.flushTimer = s.clock.AfterFunc(delay, func() {
		s.flushPending.Store(false)
		if s.health.writable() == nil {
			_ = s.flush() // which refuses all further writes if it fails
		}
	})
}

// stopTimer ends what flushLater began. What it would write, Close makes durable.
func (s *segments) stopTimer() {
	if s.flushTimer != nil {
		s.flushTimer.Stop()
	}
}

func (s *segments) checked(err error) error {
	if err != nil {
		return s.health.poison("log", err)
	}
	return nil
}

// currentBytes is how much of the log is in the current segment. Called by the
// leader.
func (s *segments) currentBytes() int64 { return int64(s.log.Appended() - s.start) }

// ready reports whether a segment is prepared.
func (s *segments) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prepared != 0
}

// rotate goes on in the prepared segment and tells where in the log that begins.
// lastSeq is the newest number in the log. Where it fails, and the log has not
// failed, that goes on as it was. Called by the leader.
func (s *segments) rotate(lastSeq base.SeqNum) (base.FileNum, wal.Position, error) {
	s.mu.Lock()
	num := s.prepared
	s.mu.Unlock()
	before := s.log.Appended()
	if err := s.log.Rotate(num); err != nil {
		if s.log.Failure() == nil {
			return 0, 0, fmt.Errorf("rotate the log: %w", err)
		}
		return 0, 0, s.health.poison("log", err)
	}
	s.mu.Lock()
	s.prepared = 0
	s.nextBytes = min(max(int64(before-s.start), firstLogBytes), s.maxBytes)
	s.mu.Unlock()
	s.start = before
	s.archive.Begin(num, before, lastSeq+1)
	return num, before, nil
}

// keepReady is the worker.
func (s *segments) keepReady(ctx context.Context) {
	for rotated := false; ; rotated = true {
		if s.changed.wait(ctx, func() bool { return !s.ready() }) != nil {
			return
		}
		err := s.prepare()
		if err == nil && rotated {
			// What the last rotation left behind is made durable here: its file
			// can be closed then, and commits that never sync still lose little
			// in a power cut.
			err = s.sync()
		}
		s.noteOutcome(err)
		if err != nil && (s.health.err() != nil || !sleep(ctx, s.clock, retryDelay)) {
			return
		}
	}
}

func (s *segments) noteOutcome(err error) {
	if err != nil {
		s.events.BackgroundFailed("prepare log segment", err)
	}
	s.outcome.set(err)
	s.archive.MakeSpace(err)
	s.changed.notify()
}

func (s *segments) prepare() error {
	num := s.store.NewFileNum()
	old, size := s.takeFree()
	var err error
	if old != 0 {
		err = wal.Recycle(s.cfg, old, num, size)
	} else {
		err = wal.Prepare(s.cfg, num, size)
	}
	if err != nil {
		return err
	}
	err = s.versions.edit(&manifest.Edit{AddLogs: []base.FileNum{num}}, func(*manifest.Version) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.live = append(s.live, num)
		s.prepared = num
	})
	if errors.Is(err, manifest.ErrRefused) {
		s.remove(num)
	}
	return err
}

// takeFree returns a segment to be used again, 0 if there is none, and the size
// that the next one is to have.
func (s *segments) takeFree() (old base.FileNum, sizeBytes int64) {
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		old = s.free[n-1]
		s.free = s.free[:n-1]
	}
	sizeBytes = s.nextBytes
	s.mu.Unlock()
	if old != 0 {
		s.archive.Forget(old)
	}
	return old, sizeBytes
}

// before returns the segments older than first.
func (s *segments) before(first base.FileNum) []base.FileNum {
	s.mu.Lock()
	defer s.mu.Unlock()
	var old []base.FileNum
	for _, n := range s.live {
		if n < first {
			old = append(old, n)
		}
	}
	return old
}

// names reports whether the manifest names a segment.
func (s *segments) names(n base.FileNum) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.live, n)
}

// count returns how many segments the manifest names.
func (s *segments) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

// drop takes the oldest segments, which the manifest no longer names, off the list
// and offers them for reuse, or to the archive.
func (s *segments) drop(gone []base.FileNum) {
	archived := s.archive.Enabled()
	s.mu.Lock()
	s.live = s.live[len(gone):]
	var unused []base.FileNum
	if !archived {
		// The newest stay: a feed may just be reading there.
		s.free = append(s.free, gone...)
		n := max(len(s.free)-maxFreeLogs, 0)
		unused = slices.Clone(s.free[:n])
		s.free = slices.Delete(s.free, 0, n)
	}
	s.mu.Unlock()
	if archived {
		s.archive.Retire(gone)
	}
	for _, n := range unused {
		s.archive.Forget(n)
		s.janitor.Add(func() { s.remove(n) })
	}
}

// dropAll closes the log and gives up all segments: everything is in tables.
func (s *segments) dropAll(lastSeq base.SeqNum) error {
	if err := s.checked(s.log.Close()); err != nil {
		return err
	}
	s.archive.Finish(s.log.Appended(), lastSeq)
	s.mu.Lock()
	live := slices.Clone(s.live)
	gone := slices.Concat(live, s.free)
	s.free = nil
	s.mu.Unlock()
	edit := &manifest.Edit{RemoveLogs: live, LogStart: uint64(s.log.Appended())}
	err := s.versions.edit(edit, func(*manifest.Version) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.live = nil
	})
	if err != nil {
		return err
	}
	if s.archive.Enabled() {
		s.archive.Retire(gone)
		return nil
	}
	for _, n := range gone {
		s.remove(n)
	}
	return nil
}

func (s *segments) remove(n base.FileNum) {
	if err := s.store.Remove(wal.FileName(n)); err != nil {
		s.events.CleanupFailed(wal.FileName(n), err)
	}
}

// needed returns the oldest segment, and the position in the log, that are needed
// once the oldest n immutables of a state are in tables.
func needed(s *view.State, n int) (base.FileNum, wal.Position) {
	m := s.Mem
	if left := len(s.Immutables) - n; left > 0 {
		m = s.Immutables[left-1]
	}
	return m.FirstLog, m.FirstPosition
}
