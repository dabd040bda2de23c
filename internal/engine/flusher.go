package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/reserve"
	"github.com/lightningdb/lightning/internal/segments"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/internal/writer"
)

// flusher is the worker that writes immutable memtables to level 0, all that wait
// in one go: few, large files. Its jobs do not overlap: recovery and Close flush
// while it does not run.
type flusher struct {
	reads     *view.Reader
	store     *store.Store
	versions  *versions
	segments  *segments.Segments
	reserve   *reserve.Reserve
	archive   *feed.Archive
	keyspaces *keyspace.Registry
	claims    *claims
	health    *health.Health
	writer    *writer.Writer
	memory    *offheap.Accountant
	counters  *counters
	events    *event.Sink
	clock     clock.Clock
	changed   *signal.Changes
	outcome   health.Outcome
}

// retryDelay is how long a background worker rests after a failure.
const retryDelay = time.Second

// run is the worker.
func (f *flusher) run(ctx context.Context) {
	for {
		waiting := func() bool { return len(f.reads.State().Immutables) > 0 }
		if f.changed.Wait(ctx, waiting) != nil {
			return
		}
		err := f.reserve.Try(0, func() error { return f.flush(ctx, 1) })
		if err != nil {
			f.events.BackgroundFailed("flush", err)
		}
		f.outcome.Set(err)
		f.archive.MakeSpace(err)
		f.changed.Notify()
		if err != nil && (f.health.Err() != nil || !signal.Sleep(ctx, f.clock, retryDelay)) {
			return
		}
	}
}

// flush writes the immutable memtables that exist now to level 0 and installs the
// result. So many write at once, where there is enough to write.
func (f *flusher) flush(ctx context.Context, writers int) error {
	s := f.reads.Pin()
	defer f.reads.Release(s)
	if len(s.Immutables) == 0 {
		return nil
	}
	start := f.clock.Now()
	info := event.FlushInfo{Memtables: len(s.Immutables)}
	f.events.FlushBegan(info)
	info.Tables, info.Err = f.flushState(ctx, s, writers, start)
	info.Took = f.clock.Now().Sub(start)
	f.events.FlushEnded(info)
	return info.Err
}

// flushState flushes the immutable memtables of a state, and returns how many tables they have
// become.
func (f *flusher) flushState(ctx context.Context, s *view.State, writers int, start time.Time) (tables int, err error) {
	imms := s.Immutables
	dead := f.deadRangesIn(s)
	outputs, restored, err := f.writeIntact(ctx, imms, dead, bordersOf(imms, writers))
	if err != nil {
		return 0, err
	}
	if restored {
		dead = nil
	}
	edit := f.editFor(imms, outputs, dead)
	s.Tree.NoteCovered(outputs, 0, edit.RemoveFiles)
	if err := f.syncArchived(edit.LastSeq); err != nil {
		f.store.RemoveOutputs(outputs)
		f.claims.release(edit.RemoveFiles)
		return 0, err
	}
	var took time.Duration
	err = f.versions.edit(edit, func(v *manifest.Version) {
		// Counted before anybody can see that the flush is over.
		now := f.clock.Now()
		took = now.Sub(start)
		f.counters.flushed(outputs, now, took)
		f.segments.Drop(edit.RemoveLogs)
		f.keyspaces.Saved(edit)
		f.reads.NoteFlushed(edit.LastSeq)
		f.store.GiveUp(edit.RemoveFiles)
		install := func() {
			f.reads.Update(func(c *view.Change) {
				c.Immutables = c.Immutables[:len(c.Immutables)-len(imms)]
				c.Tree = f.store.NewTree(v)
			})
		}
		if restored {
			f.writer.Distrust(install)
		} else {
			install()
		}
		f.claims.forget(edit.RemoveFiles)
		f.claims.release(edit.RemoveFiles)
	})
	if errors.Is(err, manifest.ErrRefused) {
		f.store.RemoveOutputs(outputs)
		f.claims.release(edit.RemoveFiles)
	}
	if err != nil {
		return 0, err // else the outputs stay: see versions.edit
	}
	f.writer.Flushed(int64(rawBytes(outputs)), took)
	return len(outputs), nil
}

// editFor returns the edit that puts outputs in the place of the oldest immutables
// and of the logs that only they needed. Files that their range deletes, or those over
// dead ranges, hide from everybody go with it; they are claimed.
func (f *flusher) editFor(imms []*view.Flushable, outputs []*manifest.FileMeta, dead []rangedel.Tombstone) *manifest.Edit {
	edit := &manifest.Edit{LastSeq: imms[0].LastSeq}
	var acts []keyspace.Act
	for _, meta := range outputs {
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Level: 0, Meta: meta})
	}
	firstLog, position := segments.Needed(f.reads.State(), len(imms))
	edit.RemoveLogs, edit.LogStart = f.segments.Before(firstLog), uint64(position)
	edit.RemoveFiles = f.claims.takeCovered(rangedel.Build(dead))
	for _, m := range imms {
		edit.RemoveFiles = append(edit.RemoveFiles, f.claims.takeCovered(m)...)
	}
	for _, m := range slices.Backward(imms) { // the oldest first
		acts = append(acts, m.Acts...)
	}
	f.keyspaces.AddTo(edit, acts)
	f.keyspaces.AddForgotten(edit, f.archive.OldestSeq())
	return edit
}

// syncArchived makes the log durable up to a sequence number that is about to be
// in a table, if the log is kept. In a crash the table answers for it, and the
// log would end before it: a hole in the archive.
func (f *flusher) syncArchived(last base.SeqNum) error {
	log := f.segments.Log()
	if !f.archive.Enabled() || log == nil || log.DurableSeq() >= last {
		return nil
	}
	return f.segments.Sync()
}

// parallelMinBytes is how much each of several writers has to write at least, or
// there would be many small tables.
const parallelMinBytes = 4 << 20

// bordersOf returns the keys that divide what is to be flushed among some writers.
func bordersOf(imms []*view.Flushable, writers int) [][]byte {
	largest := slices.MaxFunc(imms, func(a, b *view.Flushable) int {
		return cmp.Compare(a.ReservedBytes(), b.ReservedBytes())
	})
	return largest.Borders(min(writers, int(largest.ReservedBytes()/parallelMinBytes)))
}

// writeIntact is writeTables. Where somebody has written into the memory of a
// flushable it writes what the log has, without what was found dead; if that cannot be
// had, the database refuses writes, and the next open recovers.
func (f *flusher) writeIntact(ctx context.Context, imms []*view.Flushable, dead []rangedel.Tombstone, borders [][]byte) (
	outputs []*manifest.FileMeta, restored bool, err error) {
	outputs, err = f.writeTables(ctx, imms, dead, borders)
	if !errors.Is(err, view.ErrOverwritten) {
		return outputs, false, err
	}
	f.events.MemoryOverwritten(err)
	intact, restoreErr := f.restore(imms)
	if restoreErr != nil {
		return nil, false, f.health.Poison("memtable", errors.Join(err, restoreErr))
	}
	outputs, err = f.writeTables(ctx, intact, nil, nil)
	return outputs, true, err
}

// restore returns flushables, newest first, as the log has them. They take Go memory
// until they are flushed.
func (f *flusher) restore(imms []*view.Flushable) ([]*view.Flushable, error) {
	restored := make([]*view.Flushable, len(imms))
	after := f.reads.FlushedSeq()
	for i, m := range slices.Backward(imms) {
		var groups []wal.Group
		err := f.segments.Read(m.FirstLog, after, m.LastSeq, func(g *wal.Group) error {
			groups = append(groups, wal.Group{First: g.First, Last: g.Last, Payload: bytes.Clone(g.Payload)})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the log again: %w", err)
		}
		if restored[i], err = m.Restored(f.memory, groups); err != nil {
			return nil, err
		}
		after = m.LastSeq
	}
	return restored, nil
}

// writeTables writes flushables, newest first, with tombstones over dead ranges, to new
// tables: one writer for each span between two borders. On an error no table is left. What is not what was added
// becomes an error that matches view.ErrOverwritten.
func (f *flusher) writeTables(ctx context.Context, imms []*view.Flushable, dead []rangedel.Tombstone, borders [][]byte) (
	[]*manifest.FileMeta, error) {
	pinned := f.reads.Pinned()
	open := func(lo, hi []byte) (store.Records, rangedel.Iterator, error) {
		sources, deletes := make([]iterate.Source, len(imms)), make([]rangedel.Iterator, len(imms))
		for i, m := range imms {
			sources[i] = iterate.Source{Iter: m.NewFlushIter(), MaxSeq: base.SeqNumMax}
			deletes[i] = m.RangeDeletes(pinned.Seqs, lo, hi)
		}
		if len(dead) > 0 {
			deletes = append(deletes, rangedel.Within(rangedel.Build(dead).Iter(), lo, hi))
		}
		return iterate.NewMerging(sources), rangedel.Union(deletes...), nil
	}
	outputs, stats, err := f.store.WriteParts(ctx, borders, open, store.Output{Level: 0, Inline: f.reserve.Full()}, compact.Config{
		Snapshots: pinned.Seqs,
		ReadTimes: pinned.Times,
	})
	if err == nil {
		f.counters.merged(stats)
	}
	return outputs, err
}

// rawBytes is what new tables hold, wherever their values are.
func rawBytes(files []*manifest.FileMeta) (n uint64) {
	for _, f := range files {
		n += f.RawBytes
		for _, use := range f.Blobs {
			n += use.StoredBytes
		}
	}
	return n
}

// await waits until nothing that waits for its flush is as old as upTo.
func (f *flusher) await(ctx, stopped context.Context, upTo base.SeqNum) error {
	var failed error
	err := f.changed.Wait(ctx, func() bool {
		imms := f.reads.State().Immutables
		failed = f.outcome.Err() // looked at before what may have caused it
		switch {
		case len(imms) == 0 || imms[len(imms)-1].LastSeq > upTo:
			failed = nil
			return true
		case f.health.Err() != nil:
			failed = f.health.Err()
		case stopped.Err() != nil:
			failed = base.ErrClosed
		}
		return failed != nil
	})
	if err != nil {
		return err
	}
	return failed
}
