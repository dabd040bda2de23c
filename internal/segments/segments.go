// Package segments keeps the write-ahead log of a database and the files that it is
// in.
package segments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/reserve"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

const (
	// firstLogBytes is the prepared size of a database's first log segment;
	// later ones are prepared at the size that the last one reached.
	firstLogBytes = 256 << 10
	// maxFreeLogs is how many obsolete log segments are kept for reuse.
	maxFreeLogs = 1
)

// Config is what the segments of a database work with.
type Config struct {
	WAL      wal.Config
	MaxBytes int64 // of a prepared segment
	Health   *health.Health
	Reserve  *reserve.Reserve
	Store    *store.Store // gives out file numbers
	Archive  *feed.Archive
	Events   *event.Sink
	Janitor  *janitor.Janitor
	Changed  *signal.Changes
	Clock    clock.Clock
	// RetryDelay is how long the worker rests after a failure.
	RetryDelay time.Duration
	// Edit makes an edit of the manifest durable and then calls done.
	Edit func(e *manifest.Edit, done func()) error
}

// Segments are the log of a database and the files that it is in. A worker has
// the next segment ready before it is needed: one that flushes have freed, or a
// new one. The manifest names a segment before the first record goes into it, and
// no longer once everything in it is in tables. It knows the size of the file too,
// and the worker has it learn of a larger one.
//
// What the leader of the commits may call alone says so; all else is safe for
// concurrent use. The lock guards the lists, is never held during I/O, and no other
// is taken under it.
type Segments struct {
	cfg     Config
	Holds   Holds
	outcome health.Outcome // of the worker

	log   *wal.Log     // nil in a read-only database
	first wal.Position // where the log began at open

	// The segment that is written: its number, where it began and the size of its
	// file. Of the leader.
	current   base.FileNum
	start     wal.Position
	sizeBytes int64

	mu        ranked.Mutex[ranked.LogSegments]
	live      []base.FileNum // that the manifest names, oldest first
	free      []base.FileNum // that nobody needs any more, ready for reuse
	prepared  wal.Segment    // ready to be rotated to; zero: being prepared
	nextBytes int64          // size for the next prepared segment

	grown []manifest.LogSize // what the manifest does not know yet

	flushPending atomic.Bool // whether a delayed flush of the log is under way
	flushTimer   clock.Timer // of the last one; nil before the first; of the leader
}

// New returns segments without a log: Begin starts one.
func New(cfg Config) *Segments { return &Segments{cfg: cfg} }

// Found notes the segments that the manifest names at open.
func (s *Segments) Found(live []base.FileNum) { s.live = live }

// Log returns the log; nil in a read-only database.
func (s *Segments) Log() *wal.Log { return s.log }

// WrittenBytes is how much was appended since the database was opened.
func (s *Segments) WrittenBytes() int64 {
	if s.log == nil {
		return 0
	}
	return int64(s.log.Appended() - s.first)
}

// Err returns why the worker cannot prepare a segment, or nil.
func (s *Segments) Err() error { return s.outcome.Err() }

// Begin starts a new log at a position, after what was replayed from old ones. The
// edit takes the new one up in the manifest, and gives up the oldest of them, which are
// not needed any more. It returns the number of the segment.
func (s *Segments) Begin(edit *manifest.Edit, end wal.Position, lastSeq base.SeqNum) (base.FileNum, error) {
	num := s.cfg.Store.NewFileNum()
	s.nextBytes = firstLogBytes
	var prepared wal.Segment
	err := s.cfg.Reserve.Try(0, func() (err error) {
		prepared, err = wal.Prepare(s.cfg.WAL, num, s.nextBytes)
		return err
	})
	if err != nil {
		return 0, err
	}
	edit.AddLogs = []manifest.LogSegment{manifest.LogSegment(prepared)}
	s.cfg.Archive.Begin(num, end, lastSeq+1)
	err = s.cfg.Edit(edit, func() {
		s.live = append(slices.Clone(s.live[len(edit.RemoveLogs):]), num)
	})
	if err != nil {
		return 0, err
	}
	s.cfg.Archive.RetireAtOpen(edit.RemoveLogs)
	s.first = end
	if s.log, err = wal.NewLog(s.cfg.WAL, prepared, end, lastSeq); err != nil {
		return num, err
	}
	s.enter(num, end)
	return num, nil
}

// enter notes that a segment is written from a position on.
func (s *Segments) enter(num base.FileNum, start wal.Position) {
	s.current, s.start, s.sizeBytes = num, start, s.log.SegmentBytes()
}

// Append appends a group. After an error nothing is known about what a crash
// would leave of it, unless the database goes on accepting writes.
func (s *Segments) Append(first, last base.SeqNum, payloads [][]byte) error {
	if err := s.cfg.Health.CheckLockNowAndThen(); err != nil {
		return err // nothing was written
	}
	if _, err := s.log.Append(first, last, payloads...); err != nil {
		if s.log.Failure() == nil {
			s.cfg.Archive.MakeSpace(err)
			return fmt.Errorf("append to the log: %w", err) // nothing was written
		}
		return s.cfg.Health.Poison("log", err)
	}
	s.noteSize()
	return nil
}

// noteSize has the worker tell the manifest of a segment that has grown. The group
// that it grew for was appended, so that a sync makes the size durable too.
func (s *Segments) noteSize() {
	size := s.log.SegmentBytes()
	if size == s.sizeBytes {
		return
	}
	s.sizeBytes = size
	s.mu.Lock()
	s.grown = append(s.grown, manifest.LogSize{Num: s.current, SizeBytes: size})
	s.mu.Unlock()
	s.cfg.Changed.Notify()
}

// Sync makes durable what was appended.
func (s *Segments) Sync() error { return s.checked(s.log.Sync()) }

// Flush brings what was appended to the operating system.
func (s *Segments) Flush() error { return s.checked(s.log.Flush()) }

// FlushLater makes sure that what was appended reaches the operating system
// within a delay.
func (s *Segments) FlushLater(delay time.Duration) {
	if s.flushPending.Load() {
		return // a load costs less than the exchange
	}
	if !s.flushPending.CompareAndSwap(false, true) {
		return
	}
	s.flushTimer = s.cfg.Clock.AfterFunc(delay, func() {
		s.flushPending.Store(false)
		if s.cfg.Health.Writable() == nil {
			_ = s.Flush() // which refuses all further writes if it fails
		}
	})
}

// StopTimer ends what flushLater began. What it would write, Close makes durable.
func (s *Segments) StopTimer() {
	if s.flushTimer != nil {
		s.flushTimer.Stop()
	}
}

func (s *Segments) checked(err error) error {
	if err != nil {
		return s.cfg.Health.Poison("log", err)
	}
	return nil
}

// Read calls fn with the groups of the log whose numbers are above after and not above
// last, in order, from segment first on. Their payload is valid during the call.
func (s *Segments) Read(first base.FileNum, after, last base.SeqNum, fn func(g *wal.Group) error) error {
	if s.log == nil {
		return errors.New("the log is not open")
	}
	// Listed before the flush, with which the headers of all of them are in the files.
	s.mu.Lock()
	begun := slices.DeleteFunc(slices.Clone(s.live), func(n base.FileNum) bool {
		return n < first || n == s.prepared.Num
	})
	s.mu.Unlock()
	end := s.log.Appended()
	if err := s.Flush(); err != nil {
		return err
	}
	for _, num := range begun {
		done, err := readSegment(s.cfg.WAL, num, end, after, last, fn)
		if done || err != nil {
			return err
		}
	}
	return nil
}

// readSegment is Read for one segment, up to a position; it reports whether it came to
// last.
func readSegment(cfg wal.Config, num base.FileNum, end wal.Position, after, last base.SeqNum,
	fn func(g *wal.Group) error) (done bool, err error) {
	c, err := wal.OpenCursor(cfg, num)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for {
		g, ok, err := c.Next(end)
		if err != nil || !ok {
			return false, err
		}
		if g.First > last {
			return true, nil
		}
		if g.First > after {
			if err := fn(&g); err != nil || g.Last == last {
				return true, err
			}
		}
	}
}

// CurrentBytes is how much of the log is in the current segment. Called by the
// leader.
func (s *Segments) CurrentBytes() int64 { return int64(s.log.Appended() - s.start) }

// Prepared returns the segment that is ready to be rotated to, 0 if none is.
func (s *Segments) Prepared() base.FileNum {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prepared.Num
}

// Rotate goes on in the prepared segment and tells where in the log that begins.
// lastSeq is the newest number in the log. Where it fails, and the log has not
// failed, that goes on as it was. Called by the leader.
func (s *Segments) Rotate(lastSeq base.SeqNum) (base.FileNum, wal.Position, error) {
	s.mu.Lock()
	prepared := s.prepared
	s.mu.Unlock()
	before := s.log.Appended()
	if err := s.log.Rotate(prepared); err != nil {
		if s.log.Failure() == nil {
			return 0, 0, fmt.Errorf("rotate the log: %w", err)
		}
		return 0, 0, s.cfg.Health.Poison("log", err)
	}
	s.mu.Lock()
	s.prepared = wal.Segment{}
	s.nextBytes = min(max(int64(before-s.start), firstLogBytes), s.cfg.MaxBytes)
	s.mu.Unlock()
	s.enter(prepared.Num, before)
	s.cfg.Archive.Begin(prepared.Num, before, lastSeq+1)
	s.cfg.Events.LogRotated(wal.FileName(prepared.Num))
	return prepared.Num, before, nil
}

// Run is the worker.
func (s *Segments) Run(ctx context.Context) {
	rotated := false
	for {
		if s.cfg.Changed.Wait(ctx, s.due) != nil {
			return
		}
		s.trim()
		var err error
		if s.Prepared() == 0 {
			err = s.cfg.Reserve.Try(0, s.prepare)
			if err == nil && rotated {
				// What the last rotation left behind is made durable here: its file
				// can be closed then, and commits that never sync still lose little
				// in a power cut.
				err = s.Sync()
			}
			rotated = true
		}
		if err == nil {
			err = s.saveGrowth()
		}
		if err != nil {
			s.cfg.Events.BackgroundFailed("prepare log segment", err)
		}
		s.outcome.Set(err)
		s.cfg.Archive.MakeSpace(err)
		s.cfg.Changed.Notify()
		if err != nil && (s.cfg.Health.Err() != nil || !signal.Sleep(ctx, s.cfg.Clock, s.cfg.RetryDelay)) {
			return
		}
	}
}

// due reports whether the worker has something to do.
func (s *Segments) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prepared.Num == 0 || len(s.grown) > 0 || len(s.free) > freeMax(s.cfg.Reserve.Full())
}

// saveGrowth brings the sizes of segments that have grown into the manifest, once
// they are durable: a shorter file is damage then.
func (s *Segments) saveGrowth() error {
	s.mu.Lock()
	grown := s.grown
	s.grown = nil
	s.mu.Unlock()
	if len(grown) == 0 {
		return nil
	}
	err := s.Sync()
	if err == nil {
		err = s.cfg.Edit(&manifest.Edit{GrowLogs: grown}, func() {})
	}
	if err != nil {
		s.mu.Lock()
		s.grown = slices.Concat(grown, s.grown)
		s.mu.Unlock()
	}
	return err
}

func (s *Segments) prepare() error {
	num := s.cfg.Store.NewFileNum()
	old, size := s.takeFree()
	var prepared wal.Segment
	var err error
	if old != 0 {
		prepared, err = wal.Recycle(s.cfg.WAL, old, num, size)
	} else {
		prepared, err = wal.Prepare(s.cfg.WAL, num, size)
	}
	if errors.Is(err, vfs.ErrNoSpace) && size > firstLogBytes {
		// It grows when it has to.
		prepared, err = wal.Prepare(s.cfg.WAL, num, firstLogBytes)
	}
	if err != nil {
		return err
	}
	edit := &manifest.Edit{AddLogs: []manifest.LogSegment{manifest.LogSegment(prepared)}}
	err = s.cfg.Edit(edit, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.live = append(s.live, num)
		s.prepared = prepared
	})
	if errors.Is(err, manifest.ErrRefused) {
		s.remove(num)
	}
	return err
}

// takeFree returns a segment to be used again, 0 if there is none, and the size
// that the next one is to have.
func (s *Segments) takeFree() (old base.FileNum, sizeBytes int64) {
	s.mu.Lock()
	if n := len(s.free); n > 0 && s.Holds.none() {
		old = s.free[n-1]
		s.free = s.free[:n-1]
	}
	sizeBytes = s.nextBytes
	s.mu.Unlock()
	if old != 0 {
		s.cfg.Archive.Forget(old)
	}
	return old, sizeBytes
}

// Before returns the segments older than first.
func (s *Segments) Before(first base.FileNum) []base.FileNum {
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

// Names reports whether the manifest names a segment.
func (s *Segments) Names(n base.FileNum) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.live, n)
}

// Count returns how many segments the manifest names.
func (s *Segments) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

// All returns the segments that the manifest names, and those that are kept for
// reuse.
func (s *Segments) All() []base.FileNum {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.live, s.free)
}

// Drop takes the oldest segments, which the manifest no longer names, off the list
// and offers them for reuse, or to the archive.
func (s *Segments) Drop(gone []base.FileNum) {
	archived := s.cfg.Archive.Enabled()
	s.mu.Lock()
	s.live = s.live[len(gone):]
	if !archived {
		s.free = append(s.free, gone...)
	}
	s.mu.Unlock()
	if archived {
		s.cfg.Archive.Retire(gone)
	}
	s.trim()
}

// freeMax is how many segments are kept for reuse.
func freeMax(diskFull bool) int {
	if diskFull {
		return 0
	}
	return maxFreeLogs
}

// trim has segments removed that are not kept for reuse. The newest stay: a feed may
// just be reading there.
func (s *Segments) trim() {
	s.mu.Lock()
	n := max(len(s.free)-freeMax(s.cfg.Reserve.Full()), 0)
	unused := slices.Clone(s.free[:n])
	s.free = slices.Delete(s.free, 0, n)
	s.mu.Unlock()
	for _, n := range unused {
		s.cfg.Archive.Forget(n)
		s.cfg.Janitor.AddFile(func() { s.remove(n) })
	}
}

// DropAll closes the log and gives up all segments: everything is in tables.
func (s *Segments) DropAll(lastSeq base.SeqNum) error {
	if err := s.checked(s.log.Close()); err != nil {
		return err
	}
	s.cfg.Archive.Finish(s.log.Appended(), lastSeq)
	s.mu.Lock()
	live := slices.Clone(s.live)
	gone := slices.Concat(live, s.free)
	s.free = nil
	s.mu.Unlock()
	edit := &manifest.Edit{RemoveLogs: live, LogStart: uint64(s.log.Appended())}
	err := s.cfg.Edit(edit, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.live = nil
	})
	if err != nil {
		return err
	}
	if s.cfg.Archive.Enabled() {
		s.cfg.Archive.Retire(gone)
		return nil
	}
	for _, n := range gone {
		s.remove(n)
	}
	return nil
}

func (s *Segments) remove(n base.FileNum) {
	if err := s.cfg.Store.Remove(wal.FileName(n)); err != nil {
		s.cfg.Events.CleanupFailed(wal.FileName(n), err)
	}
}

// Needed returns the oldest segment, and the position in the log, that are needed
// once the oldest n immutables of a state are in tables.
func Needed(s *view.State, n int) (base.FileNum, wal.Position) {
	m := s.Mem
	if left := len(s.Immutables) - n; left > 0 {
		m = s.Immutables[left-1]
	}
	return m.FirstLog, m.FirstPosition
}
