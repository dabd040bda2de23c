package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/internal/view"
)

const (
	// maxImmutables is how many full memtables may wait for their flush before
	// commits wait too.
	maxImmutables = 2
	// maxRangeDeletes is how many range deletes end a memtable. Overlapping
	// ones take memory with the square of their number, outside of the budget:
	// a queue that trims [first, here) again and again is the common case.
	maxRangeDeletes = 512
)

// writer does for a group of commits what the pipeline asks: it makes room, writes
// the log and applies the group. Its methods are the leader's; see commit.Env.
type writer struct {
	applier
	memory        *offheap.Accountant
	memtableBytes int
	asyncDelay    time.Duration
	clock         clock.Clock
	stopped       context.Context
	health        *health
	segments      *segments
	timeline      *timeline.Timeline
	flushOutcome  *outcome
	pace          pacer
	changed       *changes
	counters      *counters
	published     func() // is called when something has become visible
}

func (w *writer) env() commit.Env {
	return commit.Env{
		Validate: w.validate, MakeRoom: w.makeRoom, WriteLog: w.writeLog, Apply: w.applyGroup,
	}
}

// validate says whether a request of the group may be committed behind those
// ahead of it.
func (w *writer) validate(r *commit.Request, ahead []*commit.Request) error {
	for _, other := range ahead {
		if err := r.Reads.Against(other.Batch); err != nil {
			return err
		}
	}
	return w.reads.Validate(r.Reads)
}

// makeRoom slows the group down where background work falls behind, and begins a
// new memtable when the group does not fit in the one that is there. A large
// group goes into no memtable, but what came before it must be older in the
// read state too, so the memtable ends where it begins. Where large groups alone
// have filled a log segment, it is left, or no flush could ever set it free.
func (w *writer) makeRoom(g *commit.Group) error {
	if err := w.health.writable(); err != nil {
		return err
	}
	if g.Expires {
		w.timeline.Use()
	}
	w.pause(g.SizeBytes)
	mem := w.reads.State().Mem
	large := w.isLarge(g.Records, g.SizeBytes)
	switch {
	case !large && mem.Empty():
		return nil // see isLarge
	case !large && int64(mem.Table.AvailableBytes()) >= g.MemtableBytes &&
		mem.Table.RangeDeleteCount() < maxRangeDeletes:
		return nil
	case large && mem.Empty() && w.segments.currentBytes() < int64(w.memtableBytes):
		return w.waitForFlushes(0)
	}
	return w.rotate(g.First - 1)
}

// isLarge reports whether records, encoded in so many bytes, may not fit in an
// empty memtable.
func (w *writer) isLarge(records int, sizeBytes int64) bool {
	limit := int64(w.memtableBytes)
	return sizeBytes > limit || int64(memtable.LoadBound(records, int(sizeBytes))) > limit
}

// pause makes a group wait for what it owes that adds bytes to the log.
func (w *writer) pause(sizeBytes int64) {
	owed := w.pace.owed(sizeBytes, w.reads.State().Mem)
	if owed > 0 {
		sleep(w.stopped, w.clock, owed)
		w.counters.stallNS.Add(int64(owed))
	}
}

// waitForFlushes blocks until one more immutable memtable may be added, and a
// log segment is prepared where one is needed, or until it is plain that this
// will not happen soon.
func (w *writer) waitForFlushes(logsNeeded int) error {
	start := w.clock.Now()
	var err error
	stopErr := w.changed.wait(w.stopped, func() bool {
		full := len(w.reads.State().Immutables) >= maxImmutables
		noLog := logsNeeded > 0 && !w.segments.ready()
		failed, flushErr, logErr := w.health.err(), w.flushOutcome.err(), w.segments.outcome.err()
		switch {
		case failed != nil:
			err = failed
		case full && flushErr != nil:
			err = fmt.Errorf("writes wait for a flush that fails: %w", flushErr)
		case noLog && logErr != nil:
			err = fmt.Errorf("writes wait for a log segment: %w", logErr)
		default:
			return !full && !noLog
		}
		return true
	})
	w.counters.stallNS.Add(int64(w.clock.Now().Sub(start)))
	if stopErr != nil {
		return base.ErrClosed
	}
	return err
}

// rotate turns the memtable into an immutable one and begins a new memtable
// and log segment. lastSeq is the newest number that was given out.
func (w *writer) rotate(lastSeq base.SeqNum) error {
	if err := w.waitForFlushes(1); err != nil {
		return err
	}
	next, err := view.NewMemtable(w.memory, w.memtableBytes)
	if err != nil {
		return err
	}
	next.FirstLog, next.FirstPosition, err = w.segments.rotate(lastSeq)
	if err != nil {
		next.Free()
		return err
	}
	w.seal(next, lastSeq)
	return nil
}

// seal makes the memtable immutable, lastSeq being its newest number, and next the
// one that takes writes. An empty one is dropped.
func (w *writer) seal(next *view.Flushable, lastSeq base.SeqNum) {
	w.reads.Update(func(c *view.Change) {
		if !c.Mem.Empty() {
			c.Mem.LastSeq = lastSeq
			c.Immutables = append([]*view.Flushable{c.Mem}, c.Immutables...)
		}
		c.Mem = next
	})
}

// sealInPlace is seal with a new memtable that stays at the same place in the log,
// for when there is none to go on in.
func (w *writer) sealInPlace(lastSeq base.SeqNum) error {
	mem := w.reads.State().Mem
	if mem.Empty() {
		return nil
	}
	next, err := view.NewMemtable(w.memory, w.memtableBytes)
	if err != nil {
		return err
	}
	next.FirstLog, next.FirstPosition = mem.FirstLog, mem.FirstPosition
	w.seal(next, lastSeq)
	return nil
}

// writeLog appends a group and brings it where its durability asks.
func (w *writer) writeLog(g *commit.Group) error {
	if err := w.segments.append(g.First, g.Last, g.Payloads); err != nil {
		return err
	}
	switch g.Durability {
	case commit.Sync:
		return w.segments.sync()
	case commit.Buffered:
		return w.segments.flush()
	}
	w.segments.flushLater(w.asyncDelay)
	return nil
}

// applyGroup makes a group visible.
func (w *writer) applyGroup(g *commit.Group) error {
	var err error
	if w.isLarge(g.Records, g.SizeBytes) {
		err = w.applyLarge(g.Payloads, g.First, g.Last)
	} else {
		err = w.apply(g.Payloads, g.First, g.Last, g.Merges)
	}
	if err != nil {
		return w.health.poison("memtable", err)
	}
	w.published()
	return nil
}
