package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/wal"
)

// This file stores the log of an open database at a target as it grows. One goroutine reads the commits
// that are durable, from the feed, and hands each over; the other one gathers them into parts and
// stores those, one at a time and in order. So what is at the target is a beginning of the log,
// whatever happens, and who goes on looks at the newest part there: no state is kept
// anywhere else.
//
// A target that fails is asked again, ever less often, and the commits stay in the log
// meanwhile. Where the log is gone before it was stored there is a hole, which the next part tells of.

// ErrForked says that the log at a target has other writes than the database under the same numbers: it is of a
// copy of the database that was made by other means than a checkpoint or a restore.
var ErrForked = errors.New("the archived log is of another copy of the database")

// ArchiveOptions are for DB.Archive.
type ArchiveOptions struct {
	// MaxLag is for how long a durable write may wait for others to be stored with, where the
	// target answers; default 5 s. The time of a write is known up to that when the archiving
	// keeps up, and no better than when it was read when it has to catch up.
	MaxLag time.Duration
	// Progress, if given, is called when something was stored, could not be stored, or is missing, by one
	// goroutine at a time. It should be short.
	Progress func(ArchiveStatus)

	clock clock.Clock // nil but in tests
}

const (
	maxLagDefault = 5 * time.Second
	// seenAfter is how often it is noted that there was nothing to store.
	seenAfter = time.Minute
	// retryMin and retryMax are how long it takes until a target is asked again.
	retryMin = time.Second
	retryMax = time.Minute
)

// ArchiveStatus is how far the archiving of a log has come.
type ArchiveStatus struct {
	// ArchivedSeq is the newest write such that it and all before it are at the target, but for
	// holes; NewestSeq is the newest one in the database.
	ArchivedSeq, NewestSeq uint64
	// LagBytes is how much durable log is not at the target, about, and Lag for how long the oldest write
	// of it that was read waits.
	LagBytes int64
	Lag      time.Duration
	// Parts and StoredBytes are what was stored since the call.
	Parts       int
	StoredBytes int64
	// Holes are how many there were since the call, and Hole is the last one.
	Holes int
	Hole  Hole
	// Err is why the last attempt to store something failed, which is repeated; nil after one that
	// succeeded.
	Err error
}

// Hole is a part of the log that is not at the target, and will not be: the database's own log was gone
// before it was stored. One can restore to a write behind it from a backup that holds the whole of it.
type Hole struct{ First, Last uint64 }

// String says it in a line.
func (s ArchiveStatus) String() string {
	text := fmt.Sprintf("archived up to %d of %d, %d bytes and %v behind", s.ArchivedSeq, s.NewestSeq, s.LagBytes, s.Lag.Round(time.Millisecond))
	if s.Holes > 0 {
		text += fmt.Sprintf(", without %d to %d", s.Hole.First, s.Hole.Last)
	}
	if s.Err != nil {
		text += fmt.Sprintf("; the target fails: %v", s.Err)
	}
	return text
}

// ArchiveLog is what DB.Archive does, which is for users: it stores the log that an open database keeps.
func ArchiveLog(ctx context.Context, log *feed.Archive, t Target, o ArchiveOptions) (err error) {
	if o.MaxLag < 0 {
		return fmt.Errorf("%w: MaxLag is %v, which must be positive, or 0 for %v", ErrOption, o.MaxLag, maxLagDefault)
	}
	if o.MaxLag == 0 {
		o.MaxLag = maxLagDefault
	}
	if o.clock == nil {
		o.clock = clock.System
	}
	if err := checkFormat(ctx, t, false); err != nil {
		return err
	}
	copier, err := log.Copier()
	if err != nil {
		return err
	}
	defer copier.Close()
	a := &archiver{ArchiveOptions: o, log: copier, target: t}
	if a.with, err = newCodec(1); err != nil {
		return err
	}
	defer a.with.close()
	database, history := copier.Identity()
	a.head.Database, a.head.History = database.String(), historyName(history)
	ctx, cancel := context.WithCancelCause(ctx)
	a.ctx = ctx
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-copier.Stopped():
			cancel(base.ErrClosed)
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel(nil)
		<-over
	}()
	return a.run()
}

// archiver stores one log. What is not said to be of the reader is of the goroutine that stores.
type archiver struct {
	ArchiveOptions
	ctx    context.Context
	log    feed.Copier
	target Target
	with   *codec

	head    partHead // of the next part; First is the first number that is not stored
	commits []byte   // of that part
	since   time.Time
	end     wal.Position // of the last of them in the log
	stored  wal.Position // of the last one that is at the target
	timer   clock.Timer
	due     chan struct{} // gets something when the timer has run down
	// before, if not nil, is the last commit at the target, which the feed begins with.
	before *lastCommit
	status ArchiveStatus
}

// delivery is a commit that was read, or why none will be any more.
type delivery struct {
	commit *feed.Commit
	end    wal.Position
	err    error
}

// run stores commits until something ends it.
func (a *archiver) run() error {
	if err := a.persist(a.begin); err != nil {
		return err
	}
	from := a.head.First
	if a.before != nil {
		from = a.before.first
	}
	for {
		err := a.follow(from)
		var gap *feed.GapError
		switch {
		case errors.Is(err, feed.ErrEnd):
			return nil
		case errors.Is(err, feed.ErrChangesAhead): // the backup is
			return fmt.Errorf("%w: a backup goes to write %d, and the database does not", ErrForked, from-1)
		case !errors.As(err, &gap):
			return err
		}
		from = gap.Oldest
		a.skip(gap)
	}
}

// skip goes on behind a gap in the log.
func (a *archiver) skip(gap *feed.GapError) {
	a.before = nil // else it is what is missing
	if gap.Oldest <= a.head.First {
		return
	}
	a.status.Holes++
	a.status.Hole = Hole{a.head.First, gap.Oldest - 1}
	a.head.First, a.head.Continues = gap.Oldest, false
	a.tell()
}

// follow stores the commits from a number on.
func (a *archiver) follow(from uint64) (err error) {
	source, err := a.log.Feed(base.SeqNum(from))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(a.ctx)
	read, handled := make(chan delivery), make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		deliver(ctx, source, read, handled)
	}()
	defer func() {
		cancel()
		<-over
		err = errors.Join(err, source.Close())
		a.stopTimer()
	}()
	a.arm(seenAfter)
	for {
		select {
		case d := <-read:
			if d.err != nil {
				return a.finish(d.err)
			}
			if err := a.take(&d); err != nil {
				return err
			}
			select {
			case handled <- struct{}{}:
			case <-a.ctx.Done():
			}
		case <-a.due:
			if err := a.store(); err != nil {
				return err
			}
		case <-a.ctx.Done():
			return context.Cause(a.ctx)
		}
	}
}

// deliver hands over commits, each of which is valid until the other side has handled it, and
// the error that ends it.
func deliver(ctx context.Context, source *feed.Feed, read chan<- delivery, handled <-chan struct{}) {
	for {
		commit, err := source.Next(ctx)
		select {
		case read <- delivery{commit, source.Position(), err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		select {
		case <-handled:
		case <-ctx.Done():
			return
		}
	}
}

// finish stores what was read before an error that ends the reading, and returns that.
func (a *archiver) finish(err error) error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	if len(a.commits) > 0 {
		if storeErr := a.store(); storeErr != nil {
			return storeErr
		}
	}
	if seenErr := a.persist(a.seen); seenErr != nil {
		return seenErr
	}
	return err
}

// take takes up a commit.
func (a *archiver) take(d *delivery) error {
	c := d.commit
	if a.before != nil {
		same := a.before.is(c)
		a.before = nil
		if !same {
			return fmt.Errorf("%w: write %d is another one in the database", ErrForked, a.head.First-1)
		}
		a.stored, a.end = d.end, d.end
		return nil
	}
	if a.stored == 0 {
		a.stored = d.end - min(d.end, wal.Position(len(c.Batch())))
	}
	isLarge := c.Batch() == nil || len(c.Batch()) > partBytes
	if len(a.commits) > 0 && (isLarge || len(a.commits)+len(c.Batch()) > partBytes) {
		if err := a.store(); err != nil {
			return err
		}
	}
	if isLarge {
		return a.large(c, d.end)
	}
	a.add(c, d.end)
	return nil
}

// add adds a commit to the next part.
func (a *archiver) add(c *feed.Commit, end wal.Position) {
	a.stamp(c, end)
	if len(a.commits) == 0 {
		a.since = a.head.Time
		a.arm(a.MaxLag)
	}
	a.commits = appendCommit(a.commits, a.head.Time, c.Batch())
}

// stamp notes the last commit of the next part. Its time is now, or, where the clock was put back,
// that of the one before.
func (a *archiver) stamp(c *feed.Commit, end wal.Position) {
	a.head.Last, a.end = uint64(c.Last), end
	a.head.Time = later(a.head.Time, a.clock.Now().UTC())
}

// store stores the next part, if there is anything in it, and otherwise that there is nothing.
func (a *archiver) store() error {
	if len(a.commits) == 0 {
		return a.persist(a.seen)
	}
	object, err := encodePart(a.with, &a.head, a.commits)
	if err != nil {
		return err
	}
	return a.persist(func() error { return a.put(object) })
}

// put stores a part, and goes on to the next.
func (a *archiver) put(object []byte) error {
	name := a.head.name()
	if err := a.target.Put(a.ctx, name, object); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	a.head.First, a.head.Continues = a.head.Last+1, true
	a.head.Files, a.head.Ingest, a.head.ChunkBytes = nil, nil, 0
	a.commits, a.stored = a.commits[:0], a.end
	a.status.Parts++
	a.status.StoredBytes += int64(len(object))
	a.arm(seenAfter)
	return nil
}

// seen notes that the log goes no further than what is at the target. The feed has handed over all that
// is durable, or soon will, so that there is nothing older than the time.
func (a *archiver) seen() error {
	defer a.arm(seenAfter)
	now := a.clock.Now().UTC()
	newest, _ := a.log.Newest()
	if !a.head.Continues && a.status.Holes > 0 || uint64(newest) >= a.head.First {
		return nil // what is on its way says more
	}
	return putSeen(a.ctx, a.target, a.with, logDir(a.head.Database, a.head.History), seen{a.head.First - 1, now})
}

// persist does something with the target until it succeeds, or cannot any more.
func (a *archiver) persist(do func() error) error {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		err := do()
		if a.ctx.Err() != nil {
			return context.Cause(a.ctx)
		}
		for _, final := range []error{ErrForked, ErrOption, ErrNotFound, base.ErrCorrupted} {
			if errors.Is(err, final) {
				return err
			}
		}
		a.status.Err = err
		a.tell()
		if err == nil {
			return nil
		}
		if !signal.Sleep(a.ctx, a.clock, wait) {
			return context.Cause(a.ctx)
		}
	}
}

// tell tells how far it is.
func (a *archiver) tell() {
	a.log.Copied(base.SeqNum(a.head.First - 1))
	if a.Progress == nil {
		return
	}
	newest, end := a.log.Newest()
	s := a.status
	s.ArchivedSeq, s.NewestSeq = a.head.First-1, uint64(newest)
	if a.stored > 0 {
		s.LagBytes = int64(end - min(end, a.stored))
	}
	if len(a.commits) > 0 {
		s.Lag = max(0, a.clock.Now().Sub(a.since))
	}
	a.Progress(s)
}

// arm has something to be done after a while, instead of what was to be done before.
func (a *archiver) arm(after time.Duration) {
	a.stopTimer()
	due := make(chan struct{}, 1)
	a.due, a.timer = due, a.clock.AfterFunc(after, func() { due <- struct{}{} })
}

func (a *archiver) stopTimer() {
	if a.timer != nil {
		a.timer.Stop()
	}
}

// lastCommit is the last commit of the newest part at the target.
type lastCommit struct {
	first, last uint64
	batch       []byte // nil: its content is in chunks
}

// is reports whether a commit of the database is the same.
func (l *lastCommit) is(c *feed.Commit) bool {
	return l.first == uint64(c.First) && l.last == uint64(c.Last) && (l.batch == nil || bytes.Equal(l.batch, c.Batch()))
}

// begin finds where to go on: behind the newest part at the target, or else behind the newest
// backup, without which the log is of no use.
func (a *archiver) begin() error {
	dir := logDir(a.head.Database, a.head.History)
	byDir, err := listParts(a.ctx, a.target, dir)
	if err != nil {
		return err
	}
	parts := byDir[dir]
	base, err := a.newestBackup()
	if err != nil {
		return err
	}
	a.head.First, a.head.Continues = base+1, false
	var newest part
	for _, p := range parts {
		if p.last >= newest.last {
			newest = p
		}
	}
	if newest.name == "" {
		return nil
	}
	if has, _ := a.log.Newest(); uint64(has) < newest.last {
		return fmt.Errorf("%w: it goes to write %d, and the database to %d", ErrForked, newest.last, has)
	}
	p, err := loadPart(a.ctx, a.target, a.with, newest)
	if err != nil {
		return err
	}
	a.head.First, a.head.Continues, a.head.Time = p.Last+1, true, p.Time
	a.before = &lastCommit{first: p.First, last: p.Last}
	return p.each(func(first, last uint64, _ time.Time, batch []byte) error {
		a.before = &lastCommit{first, last, batch}
		return nil
	})
}

// newestBackup returns the newest write in a backup of this history.
func (a *archiver) newestBackup() (newest uint64, err error) {
	all, _, err := loadAll(a.ctx, a.target, a.with)
	if err != nil {
		return 0, err
	}
	found := false
	for _, c := range all {
		if c.Database == a.head.Database && c.History == a.head.History {
			newest, found = max(newest, c.Seq), true
		}
	}
	if !found {
		return 0, fmt.Errorf("%w of this database, or of this copy of it: make one first, for the log alone restores nothing", ErrNotFound)
	}
	return newest, nil
}
