// Package writer is the way of a commit to the log and into the memtable.
package writer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/reserve"
	"github.com/lightningdb/lightning/internal/segments"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

const (
	// maxImmutables is how many full memtables may wait for their flush before
	// commits wait too. Large groups are parts of their own, of which as much may wait
	// as memtables would take, or one.
	maxImmutables = 2
	// segmentMemtables is how many memtables may be in one log segment before commits wait
	// for the next.
	segmentMemtables = 4
	// replayedHeapShare is the part of a memtable that range deletes may take of Go's
	// heap when the log is replayed, until they are all there.
	replayedHeapShare = 4
)

// Config is what a Writer works with.
type Config struct {
	Reads     *view.Reader
	Keyspaces *keyspace.Registry
	Hot       *hotcache.Cache // nil: none
	Memory    *offheap.Accountant
	Timeline  *timeline.Timeline
	Segments  *segments.Segments
	Health    *health.Health
	Reserve   *reserve.Reserve
	Changed   *signal.Changes
	Events    *event.Sink
	Clock     clock.Clock
	Stopped   context.Context // ends when the database closes

	MemtableBytes int
	AsyncDelay    time.Duration
	L0Files       int
	// FlushErr returns why memtables cannot be flushed now, or nil.
	FlushErr func() error
	// Published is called when something has become visible.
	Published func()
}

// Writer does for a group of commits what the pipeline asks: it makes room, writes
// the log and applies the group. Its methods are the leader's alone, but for
// Installed, Flushed, StallTime, HasSpace and foresee; recovery uses it before there are commits.
// While groups are in flight, harden and applyGroup, and all that the applier has, are of
// the one who lands them. The leader does not look at the memtable then, and counts what
// the groups may take there.
type Writer struct {
	applier
	cfg   Config
	pace  pacer
	stall stall

	replayed *view.Sorter // what recovery has found, and is in no part yet; nil: nothing
	// waitingBytes is what waits for its flush, as tables, or was when there was
	// last a look at it: not less than now.
	waitingBytes int64
	// leftBytes is what the memtable has left for further groups, as is known without a look
	// at it; heldBytes what all in memory takes as tables at most.
	leftBytes, heldBytes int64
	group                *commit.Group // that room is made for; nil: none
}

// New returns a Writer.
func New(cfg Config) *Writer {
	return &Writer{cfg: cfg, stall: stall{events: cfg.Events, clock: cfg.Clock}, applier: applier{
		memory: cfg.Memory, reads: cfg.Reads, keyspaces: cfg.Keyspaces, hot: cfg.Hot,
		under: []byte{}, // an empty value is not the same as none
	}}
}

// Env is what the pipeline calls.
func (w *Writer) Env() commit.Env {
	return commit.Env{
		Memory: w.cfg.Memory, Clock: w.cfg.Clock, Admit: w.admit, Validate: w.validate, Foresee: w.foresee, Join: w.join,
		MakeRoom: w.makeRoom, WriteLog: w.writeLog, Append: w.append, Harden: w.harden, Apply: w.applyGroup, Behind: w.reads.Dead.Behind,
	}
}

// Installed follows a new read state.
func (w *Writer) Installed(s *view.State) { w.pace.update(s, w.cfg.L0Files) }

// Flushed notes how long a flush took.
func (w *Writer) Flushed(rawBytes int64, took time.Duration) { w.pace.flushed(rawBytes, took) }

// StallTime returns how long commits have waited for background work.
func (w *Writer) StallTime() time.Duration { return time.Duration(w.stall.waited.Load()) }

// admit says whether a batch may be committed now: on a full disk only deletes may.
func (w *Writer) admit(b *batch.Batch) error {
	if !b.Adds() {
		return nil
	}
	return w.HasSpace()
}

// HasSpace says why the disk has no space for more data, or returns nil. Where that is not
// settled yet it waits.
func (w *Writer) HasSpace() error {
	if w.cfg.Reserve.Admit() == nil {
		return nil
	}
	if w.cfg.Changed.Wait(w.cfg.Stopped, w.cfg.Reserve.Settled) != nil {
		return base.ErrClosed
	}
	return w.cfg.Reserve.Admit()
}

// validate says whether a request of the group may be committed behind those
// ahead of it.
func (w *Writer) validate(r *commit.Request, ahead []*commit.Request) error {
	if r.Decision != nil {
		return w.decide(r, ahead)
	}
	for _, other := range ahead {
		if err := r.Reads.Against(other.Batch); err != nil {
			return err
		}
	}
	return w.reads.Validate(r.Reads)
}

// join takes the room for a group behind those in flight, if it is there and nobody has to
// wait for anything. Where commits are slowed down, they are so one group after the other, and so are
// range deletes: what one takes of the memtable depends on those that are there.
func (w *Writer) join(g *commit.Group) bool {
	heldBytes := w.heldBytes + view.TableBytes(g.Records, g.SizeBytes)
	if g.DeletesRanges || g.MemtableBytes > w.leftBytes || heldBytes > w.cfg.Reserve.CoveredBytes() ||
		w.cfg.isLarge(g.Records, g.SizeBytes) || w.pace.slows() || w.cfg.Health.Writable() != nil {
		return false
	}
	if g.Expires {
		w.cfg.Timeline.Use()
	}
	w.leftBytes -= g.MemtableBytes
	w.heldBytes = heldBytes
	return true
}

// makeRoom slows the group down where background work falls behind, and begins a
// new memtable when the group does not fit in the one that is there. A large
// group goes into no memtable, but what came before it must be older in the
// read state too, so the memtable ends where it begins. Where large groups alone
// have filled a log segment, it is left, or no flush could ever set it free.
func (w *Writer) makeRoom(g *commit.Group) error {
	if err := w.cfg.Health.Writable(); err != nil {
		return err
	}
	if g.Expires {
		w.cfg.Timeline.Use()
	}
	w.group = g
	defer func() { w.group = nil }()
	if err := w.pause(g.SizeBytes); err != nil {
		return err
	}
	if !w.isCovered(g) {
		if err := w.cover(g); err != nil {
			return err
		}
	}
	g.Large = w.cfg.isLarge(g.Records, g.SizeBytes)
	if err := w.makeRoomInMemory(g); err != nil {
		return err
	}
	if g.Durability < commit.Sync {
		return nil // it does not fly, so what comes next looks for itself
	}
	mem := w.reads.State().Mem.Table
	w.leftBytes = int64(mem.AvailableBytes()) - g.MemtableBytes
	w.heldBytes = w.waitingBytes + int64(mem.UsedBytes()) + view.TableBytes(g.Records, g.SizeBytes)
	return nil
}

func (w *Writer) makeRoomInMemory(g *commit.Group) error {
	mem := w.reads.State().Mem
	switch {
	case !g.Large && mem.Empty():
		return nil // see isLarge
	case !g.Large && int64(mem.Table.AvailableBytes()) >= g.MemtableBytes:
		return nil
	case g.Large:
		if err := w.waitForFlushes(wait{parts: maxImmutables, behind: view.TableBytes(g.Records, g.SizeBytes) + mem.TableBytes()}); err != nil {
			return err
		}
		if mem.Empty() && w.cfg.Segments.CurrentBytes() < int64(w.cfg.MemtableBytes) {
			return nil
		}
	}
	return w.turn(g.First - 1)
}

// turn begins a new memtable, and a log segment with it if one is prepared. Otherwise the
// log goes on in the one that it is in, up to several times the size of a memtable: small
// memtables are full sooner than a segment is prepared.
func (w *Writer) turn(lastSeq base.SeqNum) error {
	if w.cfg.Segments.Prepared() != 0 || w.cfg.Segments.CurrentBytes() >= segmentMemtables*int64(w.cfg.MemtableBytes) {
		return w.Rotate(lastSeq)
	}
	if err := w.waitForFlushes(wait{parts: maxImmutables}); err != nil {
		return err
	}
	segment := w.reads.State().Mem.FirstLog // where the log still is
	return w.sealAt(lastSeq, func() (base.FileNum, wal.Position, error) {
		return segment, w.cfg.Segments.Log().Appended(), nil
	})
}

// isCovered reports whether all that is in memory, and a group with it, can go to
// tables when the disk is full.
func (w *Writer) isCovered(g *commit.Group) bool {
	used := int64(w.reads.State().Mem.Table.UsedBytes())
	return w.waitingBytes+used+view.TableBytes(g.Records, g.SizeBytes) <= w.cfg.Reserve.CoveredBytes()
}

// cover makes the reserve larger for a group, or flushes what is in memory. Where it
// cannot, there is no space for the group.
func (w *Writer) cover(g *commit.Group) error {
	for {
		s := w.reads.State()
		w.waitingBytes = s.UnflushedBytes() - s.Mem.TableBytes()
		nothing := s.Mem.Empty() && len(s.Immutables) == 0
		w.cfg.Reserve.Cover(view.TableBytes(g.Records, g.SizeBytes), nothing)
		if w.isCovered(g) {
			return nil
		}
		switch {
		case nothing && w.cfg.Reserve.InUse():
			// What a compaction is taking now comes back.
			idle := func() bool { return !w.cfg.Reserve.InUse() }
			if err := waitUntil(w, idle); err != nil {
				return err
			}
			continue
		case nothing:
			return fmt.Errorf("a commit of %d bytes does not fit on the disk: %w", g.SizeBytes, vfs.ErrNoSpace)
		}
		if err := w.flushAll(g.First - 1); err != nil {
			return err
		}
	}
}

// flushAll has everything in memory flushed, and waits for it.
func (w *Writer) flushAll(lastSeq base.SeqNum) error {
	if !w.reads.State().Mem.Empty() {
		if err := w.Rotate(lastSeq); err != nil {
			return err
		}
	}
	return w.waitForFlushes(wait{parts: 1})
}

// isLarge reports whether records, encoded in so many bytes, may not fit in an
// empty memtable.
func (c *Config) isLarge(records int, sizeBytes int64) bool {
	limit := int64(c.MemtableBytes)
	return sizeBytes > limit || int64(memtable.LoadBound(records, int(sizeBytes))) > limit
}

// pause makes a group wait for what it owes that adds bytes to the log. It fails where
// somebody gives up meanwhile.
func (w *Writer) pause(sizeBytes int64) error {
	owed := w.pace.owed(sizeBytes, w.reads.State().Mem)
	if owed == 0 && !w.pace.slows() {
		w.stall.end()
	}
	if owed == 0 {
		return nil
	}
	w.stall.begin(w.pace.reason())
	ctx, stop := w.group.Until(w.cfg.Stopped)
	defer stop()
	signal.Sleep(ctx, w.cfg.Clock, owed)
	w.stall.waited.Add(int64(owed))
	if cause := context.Cause(ctx); cause == commit.ErrGivenUp {
		return cause
	}
	return nil
}

// waitUntil has the leader wait until ready returns true, which only looks. It fails when the
// database closes, or somebody in the group that room is made for gives up.
func waitUntil(w *Writer, ready func() bool) error {
	ctx, stop := w.group.Until(w.cfg.Stopped)
	defer stop()
	switch err := w.cfg.Changed.Wait(ctx, ready); {
	case err == nil:
		return nil
	case context.Cause(ctx) == commit.ErrGivenUp:
		return commit.ErrGivenUp
	}
	return base.ErrClosed
}

// wait is what somebody waits for.
type wait struct {
	log    bool  // a log segment is prepared
	parts  int   // fewer parts of memory wait for their flush
	behind int64 // so many bytes more do not make those more than memtables may take, or there are none
}

// isFull reports whether too much waits for its flush.
func (f wait) isFull(s *view.State, memtableBytes int) bool {
	waiting := s.Immutables
	if len(waiting) >= f.parts {
		return true
	}
	sizeBytes := f.behind
	for _, m := range waiting {
		sizeBytes += m.TableBytes()
	}
	return f.behind > 0 && len(waiting) > 0 && sizeBytes > maxImmutables*int64(memtableBytes)
}

// waitForFlushes blocks until what is waited for is so, or until it is plain that this
// will not happen soon.
func (w *Writer) waitForFlushes(f wait) error {
	start := w.cfg.Clock.Now()
	var err error
	waitErr := waitUntil(w, func() bool {
		full := f.isFull(w.reads.State(), w.cfg.MemtableBytes)
		noLog := f.log && w.cfg.Segments.Prepared() == 0
		failed, flushErr, logErr := w.cfg.Health.Err(), w.cfg.FlushErr(), w.cfg.Segments.Err()
		switch {
		case failed != nil:
			err = failed
		case full && flushErr != nil:
			err = fmt.Errorf("writes wait for a flush that fails: %w", flushErr)
		case noLog && logErr != nil:
			err = fmt.Errorf("writes wait for a log segment: %w", logErr)
		case full:
			w.stall.begin(stallMemtables)
			return false
		case noLog:
			w.stall.begin(stallLog)
			return false
		}
		return true
	})
	w.stall.waited.Add(int64(w.cfg.Clock.Now().Sub(start)))
	return cmp.Or(waitErr, err)
}

// Rotate turns the memtable into an immutable one and begins a new memtable
// and log segment. lastSeq is the newest number that was given out.
func (w *Writer) Rotate(lastSeq base.SeqNum) error {
	if err := w.waitForFlushes(wait{log: true, parts: maxImmutables}); err != nil {
		return err
	}
	return w.sealAt(lastSeq, func() (base.FileNum, wal.Position, error) { return w.cfg.Segments.Rotate(lastSeq) })
}

// RotateWithin is Writer.Rotate, unless ctx ends while it waits.
func RotateWithin(ctx context.Context, w *Writer, lastSeq base.SeqNum) error {
	w.group = commit.Waiting(ctx)
	defer func() { w.group = nil }()
	err := w.Rotate(lastSeq)
	if errors.Is(err, commit.ErrGivenUp) {
		return context.Cause(ctx)
	}
	return err
}

// sealAt is seal with a new memtable, whose records begin in the log where place says.
func (w *Writer) sealAt(lastSeq base.SeqNum, place func() (base.FileNum, wal.Position, error)) error {
	next, err := view.NewMemtable(w.cfg.Memory, w.cfg.MemtableBytes)
	if err != nil {
		return err
	}
	next.FirstLog, next.FirstPosition, err = place()
	if err != nil {
		next.Free()
		return err
	}
	w.seal(next, lastSeq)
	return nil
}

// seal makes the memtable immutable, lastSeq being its newest number, and next the
// one that takes writes. An empty one is dropped.
func (w *Writer) seal(next *view.Flushable, lastSeq base.SeqNum) {
	w.waitingBytes += w.reads.State().Mem.TableBytes()
	w.reads.Update(func(c *view.Change) {
		if !c.Mem.Empty() {
			c.Mem.LastSeq = lastSeq
			c.Immutables = append([]*view.Flushable{c.Mem}, c.Immutables...)
		}
		c.Mem = next
	})
}

// SealInPlace is seal with a new memtable that stays at the same place in the log,
// for when there is none to go on in.
func (w *Writer) SealInPlace(lastSeq base.SeqNum) error {
	mem := w.reads.State().Mem
	if mem.Empty() {
		return nil
	}
	return w.sealAt(lastSeq, func() (base.FileNum, wal.Position, error) { return mem.FirstLog, mem.FirstPosition, nil })
}

// writeLog appends a group and brings it where its durability asks.
func (w *Writer) writeLog(g *commit.Group) error {
	if !g.Large {
		w.expect(g)
	}
	err := w.append(g)
	if err == nil {
		err = w.harden(g.Durability)
	}
	if err != nil {
		w.upcoming.end() // or the next group would find what is left of this one
	}
	return err
}

// append appends a group to the log.
func (w *Writer) append(g *commit.Group) error {
	err := w.cfg.Segments.Append(g.First, g.Last, g.Payloads)
	if !g.Adds && errors.Is(err, vfs.ErrNoSpace) && w.cfg.Health.Err() == nil {
		w.cfg.Reserve.Spend(err)
		err = w.cfg.Segments.Append(g.First, g.Last, g.Payloads)
	}
	if err == nil && g.Durability == commit.Async {
		w.cfg.Segments.FlushLater(w.cfg.AsyncDelay)
	}
	return err
}

// harden brings what was appended where a durability asks. FlushLater has seen to Async.
func (w *Writer) harden(d commit.Durability) error {
	switch d {
	case commit.Sync:
		return w.cfg.Segments.Sync()
	case commit.Buffered:
		return w.cfg.Segments.Flush()
	}
	return nil
}

// applyGroup makes a group visible.
func (w *Writer) applyGroup(g *commit.Group) error {
	var err error
	if g.Large {
		err = w.applyLarge(g)
		w.waitingBytes += view.TableBytes(g.Records, g.SizeBytes)
	} else {
		if g.Flown {
			w.expect(g)
		}
		mem := w.reads.State().Mem
		had := mem.HasDeletes()
		err = w.apply(g.First, g.Last, g.Merges)
		if !had && mem.HasDeletes() {
			w.cfg.Changed.Notify()
		}
	}
	if err != nil {
		return w.cfg.Health.Poison("memtable", err)
	}
	w.cfg.Published()
	return nil
}
