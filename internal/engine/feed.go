package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/wal"
)

// feedSyncDelay is how long a feed lets committed data wait for somebody else
// to sync the log, before it does.
const feedSyncDelay = 10 * time.Millisecond

// The errors of feeds.
var (
	ErrGap = errors.New("changes are not there any more")
	// ErrChangesAhead says that a feed was to begin behind the next write.
	ErrChangesAhead = errors.New("no such change was written yet")
	// ErrFeedEnd says that nothing will ever follow.
	ErrFeedEnd = errors.New("end of the changes")
)

// GapError says that changes from number From on cannot be had, up to Oldest,
// where a feed can begin again. It matches ErrGap.
type GapError struct {
	From, Oldest base.SeqNum
	Err          error // the damage that is the reason; nil where retention is
}

func (e *GapError) Error() string {
	text := fmt.Sprintf("%v: wanted %d, the next that is there is %d", ErrGap, e.From, e.Oldest)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Is makes errors.Is(err, ErrGap) true.
func (e *GapError) Is(target error) bool { return target == ErrGap }

func (e *GapError) Unwrap() error { return e.Err }

// feedSignal wakes the feeds that wait for the next commit. Where none waits, a
// commit pays one load.
type feedSignal struct {
	waiting atomic.Bool
	mu      ranked.Mutex[ranked.FeedSignal]
	ch      chan struct{}
}

// watch returns a channel that the next wake closes. What the caller waits for
// must be looked at after it, or a wake in between would be missed.
func (s *feedSignal) watch() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	s.waiting.Store(true)
	return s.ch
}

func (s *feedSignal) wake() {
	if !s.waiting.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting.Store(false)
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// Feed reads the commits of a database in order, from the files of the log:
// those that are published and durable, so that what it delivered is never
// taken back. It is used by one goroutine at a time.
type Feed struct {
	db   *DB
	next base.SeqNum // the first number that is wanted
	cur  *wal.Cursor // nil: to be opened
	num  base.FileNum

	// The commits of the current group that were not delivered.
	group  wal.Group
	rest   []byte
	first  base.SeqNum // of rest
	names  map[uint64]string
	commit Commit
}

// Feed returns a feed that begins with the commit that has number from, or with
// the oldest one there is where from is 0.
func (db *DB) Feed(from base.SeqNum) (*Feed, error) {
	if db.closed.Load() {
		return nil, base.ErrClosed
	}
	// What is durable may be about to be published.
	newest := max(base.SeqNum(db.visible.Load()), db.DurableSeq())
	if from > newest+1 {
		return nil, fmt.Errorf("%w: %d, the newest is %d", ErrChangesAhead, from, newest)
	}
	if err := db.findHistory(); err != nil {
		return nil, err
	}
	if from == 0 {
		from = db.history.oldest()
	}
	db.history.count(1)
	return &Feed{db: db, next: from, names: map[uint64]string{}}, nil
}

// findHistory looks for the history of a read-only database, which nobody
// needs before the first feed.
func (db *DB) findHistory() error {
	if !db.opts.ReadOnly {
		return nil
	}
	names, err := db.opts.FS.List(db.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", db.dir, err)
	}
	return db.loadHistory(names, db.history.end)
}

// Close gives up what the feed holds.
func (f *Feed) Close() error {
	f.db.history.count(-1)
	return f.leave()
}

// leave closes the file that is being read.
func (f *Feed) leave() error {
	if f.cur == nil {
		return nil
	}
	err := f.cur.Close()
	f.cur = nil
	return err
}

// Next returns the next commit; it is valid until the call after that. It waits
// for one, until ctx ends or the database is closed; at the end of a read-only
// database it returns ErrFeedEnd.
func (f *Feed) Next(ctx context.Context) (*Commit, error) {
	for {
		if err := f.await(ctx); err != nil {
			return nil, err
		}
		if len(f.rest) == 0 {
			if err := f.readGroup(); err != nil {
				return nil, f.explain(err)
			}
			continue
		}
		if err := f.split(); err != nil {
			return nil, &GapError{f.next, f.group.Last + 1, err}
		}
		if f.next <= f.commit.Last {
			f.next = f.commit.Last + 1
			return &f.commit, nil
		}
	}
}

// await blocks until the next commit can be delivered.
func (f *Feed) await(ctx context.Context) error {
	for {
		if ready, err := f.ready(ctx); ready || err != nil {
			return err
		}
		if f.next <= base.SeqNum(f.db.visible.Load()) {
			if err := f.awaitDurable(ctx); err != nil {
				return err
			}
			if gap := f.unlogged(); gap != nil {
				return gap
			}
			continue
		}
		changed := f.db.feeds.watch()
		if ready, err := f.ready(ctx); ready || err != nil {
			return err
		} else if f.next <= base.SeqNum(f.db.visible.Load()) {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-f.db.stopped.Done():
		}
	}
}

// ready reports whether the next commit can be delivered now, or why it never
// will be.
func (f *Feed) ready(ctx context.Context) (bool, error) {
	db := f.db
	switch failed := db.failure.Load(); {
	case db.closed.Load():
		return false, base.ErrClosed
	case ctx.Err() != nil:
		return false, ctx.Err()
	case f.next <= db.feedHorizon():
		return true, nil
	case db.opts.ReadOnly:
		return false, ErrFeedEnd
	case failed != nil:
		return false, failed.err
	}
	return false, nil
}

// unlogged returns the gap that a transaction is which was committed past the log,
// if the next commit is one and nothing in the log follows. The log was synced, so
// that its horizon is all that it has.
func (f *Feed) unlogged() error {
	last := base.SeqNum(f.db.unloggedSeq.Load())
	if f.next > last || f.next <= f.db.feedHorizon() {
		return nil
	}
	return &GapError{From: f.next, Oldest: last + 1}
}

// awaitDurable gives others some time to sync the log, and does it then.
func (f *Feed) awaitDurable(ctx context.Context) error {
	over := make(chan struct{})
	timer := f.db.opts.Clock.AfterFunc(feedSyncDelay, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	case <-f.db.stopped.Done():
		return base.ErrClosed
	}
	if f.next <= f.db.feedHorizon() {
		return nil
	}
	return f.db.SyncLog()
}

// feedHorizon is the newest number that feeds deliver.
func (db *DB) feedHorizon() base.SeqNum {
	durable := db.history.openedSeq
	if db.log != nil {
		durable = max(durable, db.log.DurableSeq())
	}
	return min(durable, base.SeqNum(db.visible.Load()))
}

// readGroup reads the next group that has something wanted, which is in the log
// and durable. It may return with none, to be called again.
func (f *Feed) readGroup() error {
	limit := f.db.history.end
	if f.db.log != nil {
		limit = f.db.log.Durable()
	}
	s, gap := f.db.history.find(f.next)
	if gap != nil {
		return gap
	}
	if !s.open {
		limit = min(limit, s.extent.End)
	}
	if f.cur == nil || f.num != s.num {
		if ok, err := f.enter(&s); !ok || err != nil {
			return err
		}
	}
	g, ok, err := f.cur.Next(limit)
	switch {
	case err != nil:
		return err
	case !ok && f.cur.AtEnd() && f.next <= base.SeqNum(f.db.unloggedSeq.Load()):
		return &GapError{From: f.next, Oldest: f.behind(&s)}
	case !ok:
		return f.damaged(&s, limit)
	case g.First > f.next:
		return &GapError{From: f.next, Oldest: g.First}
	case g.Last >= f.next:
		f.group, f.rest, f.first = g, g.Payload, g.First
	}
	return nil
}

// enter opens a segment. It returns false where the segment has changed its
// name or has gone meanwhile.
func (f *Feed) enter(s *segmentInfo) (ok bool, err error) {
	if err := f.leave(); err != nil {
		return false, err
	}
	open := wal.OpenCursor
	if s.archived {
		open = wal.OpenHistory
	}
	f.cur, err = open(f.db.logConfig(), s.num)
	if errors.Is(err, fs.ErrNotExist) && !s.archived {
		// It may have its new name already, which is noted a moment later.
		f.cur, err = wal.OpenHistory(f.db.logConfig(), s.num)
	}
	f.num = s.num
	now, known := f.db.history.byNum(s.num)
	switch damage := (*base.CorruptionError)(nil); {
	case err == nil:
		return true, nil
	case !known || now.archived != s.archived:
		return false, nil
	case errors.Is(err, fs.ErrNotExist):
		err = &base.CorruptionError{File: s.name(), Offset: -1, Kind: "missing file", Err: err}
	case !errors.As(err, &damage):
		return false, err
	}
	return false, &GapError{f.next, f.behind(s), err}
}

// behind is the first number that is not in a segment.
func (f *Feed) behind(s *segmentInfo) base.SeqNum {
	if s.open {
		return f.db.feedHorizon() + 1
	}
	return s.extent.Last + 1
}

// damaged handles a place without an intact group where there should be one. It
// returns nil where nothing that is wanted was lost.
func (f *Feed) damaged(s *segmentInfo, limit wal.Position) error {
	finding := &base.CorruptionError{
		File: s.name(), Offset: f.cur.Offset(), Kind: "wal group",
		Err: fmt.Errorf("change %d is not there", f.next),
	}
	first, ok, err := f.cur.Skip(limit)
	if err != nil {
		return err
	}
	if !ok {
		first = f.behind(s)
	}
	if ok && first <= f.next {
		return nil
	}
	return &GapError{f.next, first, finding}
}

// explain turns an error of reading into the gap that it is, where the segment
// has gone while it was read: its file may be in use for something else.
func (f *Feed) explain(err error) error {
	if f.cur == nil {
		return err
	}
	if _, ok := f.db.history.byNum(f.num); ok {
		return err
	}
	if _, gap := f.db.history.find(f.next); gap != nil {
		return gap
	}
	return err
}

func (h *changeHistory) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.feeds += n
}
