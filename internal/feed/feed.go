// Package feed delivers the commits of a database in order, from the files of its
// log. An Archive knows these files, also those that the database itself needs no
// more; a Feed reads them.
package feed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lightningdb/lightning/internal/base"
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
	// ErrEnd says that nothing will ever follow.
	ErrEnd = errors.New("end of the changes")
)

// GapError says that changes from number From on cannot be had, up to Oldest,
// where a feed can begin again. Everything before From was delivered. It matches
// ErrGap, and what it wraps.
type GapError struct {
	From   uint64 // the first write that is missing
	Oldest uint64 // the next one that is there, or that will be
	Err    error  // the damage that is the reason; nil where retention is
}

// newGap returns the gap that a feed which wants a number finds before another one.
func newGap(from, oldest base.SeqNum, damage error) *GapError {
	return &GapError{From: uint64(from), Oldest: uint64(oldest), Err: damage}
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

// Unwrap returns the damage that is the reason, if it is.
func (e *GapError) Unwrap() error { return e.Err }

// Feed reads the commits of a database in order, from the files of the log, and
// from tables where they were committed past the log: those that are published and
// durable, so that what it delivered is never rolled back. It is used by one
// goroutine at a time.
type Feed struct {
	archive *Archive
	next    base.SeqNum // the first number that is wanted
	cur     *wal.Cursor // nil: to be opened
	num     base.FileNum

	// The commits of the current group that were not delivered.
	group  wal.Group
	rest   []byte
	first  base.SeqNum  // of rest
	end    wal.Position // of the group
	names  map[uint64]string
	commit Commit
}

// Wake tells the feeds that wait that something was committed, or that nothing
// will be.
func (a *Archive) Wake() { a.committed.Notify() }

// Feed returns a feed that begins with the commit that has number from, or with
// the oldest one there is where from is 0.
func (a *Archive) Feed(from base.SeqNum) (*Feed, error) {
	// What is durable may be about to be published.
	durable, _ := a.cfg.Durable()
	newest := max(a.cfg.VisibleSeq(), durable)
	if from > newest+1 {
		return nil, fmt.Errorf("%w: %d, the newest is %d", ErrChangesAhead, from, newest)
	}
	if err := a.findReadOnly(); err != nil {
		return nil, err
	}
	if from == 0 {
		from = a.OldestSeq()
	}
	a.count(1)
	return &Feed{archive: a, next: from, names: map[uint64]string{}}, nil
}

// NextSeq returns the first number that was not delivered yet.
func (f *Feed) NextSeq() base.SeqNum { return f.next }

// Close gives up what the feed holds.
func (f *Feed) Close() error {
	f.archive.count(-1)
	f.archive.dropPassing()
	return errors.Join(f.leaveTables(), f.leave())
}

// leaveTables gives up the current commit if it is one past the log. It returns why
// that could not be read to its end, and then it is the next one again.
func (f *Feed) leaveTables() error {
	t := f.commit.tables
	if t == nil {
		return nil
	}
	f.commit.tables = nil
	closeErr := t.close()
	if t.err == nil {
		return closeErr
	}
	f.next = f.commit.First
	return f.unreadable(t.err, f.commit.Last)
}

// unreadable is the error for the next commit, which ends at a number, where a table
// of it cannot be read.
func (f *Feed) unreadable(err error, last base.SeqNum) error {
	if errors.Is(err, base.ErrCorrupted) {
		return newGap(f.next, last+1, err)
	}
	return err
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
// database it returns ErrEnd.
func (f *Feed) Next(ctx context.Context) (*Commit, error) {
	if err := f.leaveTables(); err != nil {
		return nil, err
	}
	for {
		if err := f.await(ctx); err != nil {
			return nil, err
		}
		if len(f.rest) == 0 {
			if c, ok := f.archive.ingestAt(f.next); ok {
				return f.pastLog(ctx, &c)
			}
			if err := f.readGroup(); err != nil {
				return nil, f.outcome(f.explain(err))
			}
			continue
		}
		if err := f.split(); err != nil {
			return nil, newGap(f.next, f.group.Last+1, err)
		}
		if f.next <= f.commit.Last {
			f.next = f.commit.Last + 1
			return &f.commit, nil
		}
	}
}

// pastLog returns a commit past the log. Where its files have gone meanwhile the gap
// is what the archive says now.
func (f *Feed) pastLog(ctx context.Context, c *ingestCommit) (*Commit, error) {
	if err := f.openTables(ctx, c); err != nil {
		if _, known := f.archive.ingestAt(c.first); !known {
			return nil, f.outcome(newGap(f.next, c.last+1, nil))
		}
		return nil, f.outcome(f.unreadable(err, c.last))
	}
	f.next = c.last + 1
	return &f.commit, nil
}

// outcome is what an error comes to. In a database that is being closed nothing is
// missing, and a gap ends where a commit past the log begins that is there.
func (f *Feed) outcome(err error) error {
	if failed := f.archive.cfg.Failure(); errors.Is(failed, base.ErrClosed) {
		return failed
	}
	var gap *GapError
	if errors.As(err, &gap) {
		gap.Oldest = min(gap.Oldest, uint64(f.archive.nextIngest(f.next)))
	}
	return err
}

// await blocks until the next commit can be delivered.
func (f *Feed) await(ctx context.Context) error {
	for {
		if ready, err := f.ready(ctx); ready || err != nil {
			return err
		}
		if f.next <= f.archive.cfg.VisibleSeq() {
			if err := f.awaitDurable(ctx); err != nil {
				return err
			}
			continue
		}
		changed := f.archive.committed.Watch()
		if ready, err := f.ready(ctx); ready || err != nil {
			return err
		} else if f.next <= f.archive.cfg.VisibleSeq() {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-f.archive.cfg.Stopped:
		}
	}
}

// ready reports whether the next commit can be delivered now, or why it never
// will be.
func (f *Feed) ready(ctx context.Context) (bool, error) {
	a := f.archive
	failed := a.cfg.Failure()
	switch {
	case errors.Is(failed, base.ErrClosed):
		return false, failed
	case ctx.Err() != nil:
		return false, ctx.Err()
	case f.next <= a.Horizon():
		return true, nil
	case a.cfg.ReadOnly:
		return false, ErrEnd
	}
	return false, failed
}

// awaitDurable gives others some time to sync the log, and does it then.
func (f *Feed) awaitDurable(ctx context.Context) error {
	over := make(chan struct{})
	timer := f.archive.cfg.Clock.AfterFunc(feedSyncDelay, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	case <-f.archive.cfg.Stopped:
		return base.ErrClosed
	}
	if f.next <= f.archive.Horizon() {
		return nil
	}
	err := f.archive.cfg.Sync(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// IngestedSeq is the newest number that was committed past the log, 0 if none was.
func (a *Archive) IngestedSeq() base.SeqNum { return base.SeqNum(a.ingestedSeq.Load()) }

// Horizon is the newest number that feeds deliver. What is committed past the log is
// durable, and so is all that the log has of before.
func (a *Archive) Horizon() base.SeqNum {
	durable, _ := a.cfg.Durable()
	return min(max(a.openedSeq, durable, a.IngestedSeq()), a.cfg.VisibleSeq())
}

// readGroup reads the next group that has something wanted, which is in the log
// and durable. It may return with none, to be called again.
func (f *Feed) readGroup() error {
	ingested := f.archive.IngestedSeq() // all before it is below the limit
	limit := f.archive.end
	if !f.archive.cfg.ReadOnly {
		_, limit = f.archive.cfg.Durable()
	}
	s, gap := f.archive.find(f.next)
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
	case !ok && f.cur.AtEnd() && f.next <= ingested:
		return newGap(f.next, min(ingested+1, f.behind(&s)), nil)
	case !ok:
		return f.damaged(&s, limit)
	case g.First > f.next:
		return newGap(f.next, g.First, nil)
	case g.Last >= f.next:
		f.group, f.rest, f.first, f.end = g, g.Payload, g.First, f.cur.Position()
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
		open = wal.OpenArchived
	}
	f.cur, err = open(f.archive.cfg.WAL, s.num)
	if errors.Is(err, fs.ErrNotExist) && !s.archived {
		// It may have its new name already, which is noted a moment later.
		f.cur, err = wal.OpenArchived(f.archive.cfg.WAL, s.num)
	}
	f.num = s.num
	now, known := f.archive.byNum(s.num)
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
	return false, newGap(f.next, f.behind(s), err)
}

// behind is the first number that is not in a segment.
func (f *Feed) behind(s *segmentInfo) base.SeqNum {
	if s.open {
		return f.archive.Horizon() + 1
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
	return newGap(f.next, first, finding)
}

// explain turns an error of reading into the gap that it is, where the segment
// has gone while it was read: its file may be in use for something else.
func (f *Feed) explain(err error) error {
	if f.cur == nil {
		return err
	}
	if _, ok := f.archive.byNum(f.num); ok {
		return err
	}
	if _, gap := f.archive.find(f.next); gap != nil {
		return gap
	}
	return err
}

func (a *catalogue) count(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.feeds += n
}
