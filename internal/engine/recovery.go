package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/checkpoint"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// recovered is what recovery found; it does not change any more.
type recovered struct {
	tornBytes int64        // of the log, dropped
	end       wal.Position // of the log
}

// recovery brings a database to where an earlier opener left it. It checks that
// every file the manifest names is there, replays the log, and leaves the database
// ready for writes. What was replayed last waits for its flush like a full memtable,
// and the old log stays until then; what came before it, as it does not fit in memory,
// is in new, synced tables. It runs before anybody else does anything.
type recovery struct {
	*DB
	state *manifest.State
	names []string // of the files in the directory, when it was opened
	seen  event.OpenInfo
	told  int64 // of seen.LogBytes
}

func (r *recovery) run() error {
	if err := r.checkTables(); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.checkStrayLogs(); err != nil {
		return err
	}
	live := r.liveLogs()
	var logs []base.FileNum
	for _, s := range live {
		logs = append(logs, s.Num)
	}
	r.segments.Found(logs)
	r.reserve.Find()
	if err := r.syncOld(logs); err != nil {
		return err
	}
	r.seen.LogBytesMax = r.sizeOf(logs)
	result, err := wal.Replay(
		r.walConfig(), live, wal.Position(r.state.LogStart), r.state.LastSeq, r.replayGroup)
	if err != nil {
		return err
	}
	if err := r.installPending(base.SeqNumMax + 1); err != nil {
		return err
	}
	if r.seen.Done = true; r.seen.LogBytes > 0 {
		r.events.OpenProgress(r.seen)
	}
	if err := r.writer.SealReplayed(); err != nil {
		return err
	}
	r.recovered.end = result.End
	if r.recovered.tornBytes = result.TornBytes; result.TornBytes > 0 {
		r.events.TornLog(result.TornFile, result.TornBytes)
	}
	r.commits.Advance(r.reads.VisibleSeq())
	err = r.archive.Recover(feed.Found{
		Names: r.names, Live: logs, Ingests: r.state.Ingests, IngestedSeq: r.state.IngestedSeq, End: result.End,
	})
	if err != nil || r.opts.ReadOnly {
		return err
	}
	return r.finish(logs, result.End)
}

// syncOld makes durable what an earlier opener wrote to the log. What is read of it now
// is what the next open has to find: others will be durable that came after it, in
// tables and in a new log.
func (r *recovery) syncOld(logs []base.FileNum) error {
	if r.opts.ReadOnly {
		return nil
	}
	for _, n := range logs {
		err := wal.SyncSegment(r.walConfig(), n)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // which replay reports
			return err
		}
	}
	return nil
}

// liveLogs returns the segments that the manifest names, in the order of writing.
func (r *recovery) liveLogs() []wal.Segment {
	live := make([]wal.Segment, len(r.state.Logs))
	for i, l := range r.state.Logs {
		live[i] = wal.Segment(l)
	}
	slices.SortFunc(live, func(a, b wal.Segment) int { return cmp.Compare(a.Num, b.Num) })
	return live
}

// begin installs the first read state: the tables, and an empty memtable.
func (r *recovery) begin() error {
	r.store.SkipFileNums(checkpoint.NextFileNum(r.state.NextFileNum, r.names))
	mem, err := view.NewMemtable(&r.memory, r.opts.MemtableBytes)
	if err != nil {
		return err
	}
	// What is replayed takes over where it begins.
	mem.FirstPosition = wal.Position(r.state.LogStart)
	if live := r.liveLogs(); len(live) > 0 {
		mem.FirstLog = live[0].Num
	}
	r.reads.NoteFlushed(r.state.LastSeq)
	r.reads.Update(func(c *view.Change) {
		c.Mem, c.Tree, c.Visible = mem, r.store.NewTree(r.state.Version), r.state.LastSeq
	})
	return nil
}

// beginManifest makes the manifest ready for edits.
func (r *recovery) beginManifest() error { return r.versions.begin(r.state) }

// finish makes the database ready for writes.
func (r *recovery) finish(logs []base.FileNum, end wal.Position) error {
	if err := r.withSpace(r.beginManifest); err != nil {
		return err
	}
	edit := &manifest.Edit{}
	if !r.flushesLater() {
		if err := r.flushReplayed(); err != nil {
			return err
		}
		edit.RemoveLogs, edit.LogStart = logs, uint64(end)
		r.keyspaces.AddForgotten(edit, r.archive.OldestSeq())
	}
	num, err := r.segments.Begin(edit, end, r.commits.LastSeq())
	if err != nil {
		return err
	}
	r.keyspaces.Saved(edit)
	mem := r.reads.State().Mem
	mem.FirstLog, mem.FirstPosition = num, end
	if r.archive.Enabled() {
		r.archive.Keep()
	}
	r.removeOrphans(func(name string) bool { return !r.archive.Holds(name) })
	r.reserve.Take()
	r.reserve.Cover(0, false) // an earlier opener may have needed more
	return nil
}

// flushesLater decides whether what was replayed last may wait for its flush: there is
// something, and tables of it could be written even if the disk were full by then.
func (r *recovery) flushesLater() bool {
	s := r.reads.State()
	if len(s.Immutables) == 0 {
		return false
	}
	r.reserve.Cover(0, true)
	if s.UnflushedBytes() > r.reserve.CoveredBytes() {
		return false
	}
	for _, m := range s.Immutables {
		m.Lent = true // from when Open returns
	}
	return true
}

// withSpace does what takes space. Where the disk is full, the tables go first that a
// crash has left of unfinished work, and the reserve next.
func (r *recovery) withSpace(do func() error) error {
	err := do()
	if !errors.Is(err, vfs.ErrNoSpace) {
		return err
	}
	r.removeOrphans(r.isUnnamedTable)
	return r.reserve.Try(0, do)
}

// isUnnamedTable reports whether a file is a table that the manifest names nowhere,
// among those that the archive keeps neither, which may not know of them yet, nor among those
// that are pending.
func (r *recovery) isUnnamedTable(name string) bool {
	n, ok := store.ParseTableName(name)
	kept := slices.Concat(r.state.Ingests, r.state.Pending)
	return name == store.HealName || ok && r.state.Blobs[n] == nil && !slices.ContainsFunc(kept, func(c manifest.IngestCommit) bool {
		return slices.ContainsFunc(c.Tables, func(m *manifest.FileMeta) bool { return m.Num == n })
	})
}

const (
	// tableCheckers is how many look after the tables of a large database side by
	// side: what the system has not in memory comes from the disk, one table at a time.
	tableCheckers = 8
	// tablesPerChecker is how many tables there are for each of them at least.
	tablesPerChecker = 512
)

// checkTables reports every live table that is missing or has the wrong size. It opens
// none of them.
func (r *recovery) checkTables() error {
	v := r.state.Version
	tables := slices.Concat(append(v.Levels[:], v.Blobs(), r.state.PendingTables())...)
	parts := min(1+len(tables)/tablesPerChecker, tableCheckers)
	damage := make([][]error, parts)
	var wg sync.WaitGroup
	for i := range parts {
		part := tables[len(tables)*i/parts : len(tables)*(i+1)/parts]
		wg.Go(func() {
			for _, f := range part {
				if err := r.checkTable(f); err != nil {
					damage[i] = append(damage[i], err)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(slices.Concat(damage...)...)
}

func (r *recovery) checkTable(f *manifest.FileMeta) error {
	name := store.TableName(f.Num)
	info, err := r.opts.FS.Stat(filepath.Join(r.dir, name))
	finding := err
	switch {
	case err == nil && uint64(info.Size()) == f.SizeBytes:
		return nil
	case err == nil:
		finding = fmt.Errorf("%d bytes instead of %d", info.Size(), f.SizeBytes)
	}
	return &base.CorruptionError{
		File: name, Offset: -1, Kind: "table", Lo: bytes.Clone(f.Lo), Hi: bytes.Clone(f.Hi), Err: finding,
	}
}

// checkStrayLogs looks at the log segments that the manifest does not name.
// Most are leftovers. But one that holds what a live segment lacks was exchanged
// with it (a copy beside the original is no harm: a new file may show old content
// of the disk); and as the manifest names a segment before anything goes into it,
// one that was begun under a number that the manifest has not given out yet says
// that the manifest is an old one.
func (r *recovery) checkStrayLogs() error {
	live := map[base.FileNum]uint32{}
	for _, l := range r.state.Logs {
		live[l.Num] = l.Salt
	}
	var damage []error
	for _, name := range r.names {
		n, ok := wal.ParseFileName(name)
		if _, named := live[n]; !ok || named {
			continue
		}
		was, begun, err := wal.Identify(r.walConfig(), n)
		if err != nil {
			return err
		}
		finding := error(nil)
		switch salt, owned := live[was.Num]; {
		case owned && salt == was.Salt:
			own, _, err := wal.Identify(r.walConfig(), was.Num)
			if err == nil && own == was {
				continue
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			finding = fmt.Errorf("it holds what belongs into %s", wal.FileName(was.Num))
		case begun && was.Num == n && n >= r.state.NextFileNum:
			finding = errors.New("the manifest is older than this file")
		default:
			continue
		}
		damage = append(damage, &base.CorruptionError{
			File: name, Offset: -1, Kind: "stray log segment", Err: finding,
		})
	}
	return errors.Join(damage...)
}

// replayGroup takes up one group of the log, writing tables when there is no more
// room.
func (r *recovery) replayGroup(first base.SeqNum, payload []byte) error {
	if r.seen.LogBytes += int64(len(payload)); r.seen.LogBytes >= r.told+progressBytes {
		r.told = r.seen.LogBytes
		r.events.OpenProgress(r.seen)
	}
	if err := r.installPending(first); err != nil {
		return err
	}
	if first <= r.reads.FlushedSeq() {
		last, err := batch.LastSeq(first, payload)
		if err != nil {
			return &base.CorruptionError{File: "log", Offset: -1, Kind: "batch", Err: err}
		}
		if last <= r.reads.FlushedSeq() {
			return nil // it is in a table since before the crash
		}
	}
	return r.writer.Replay(first, payload, r.flushReplayed)
}

// progressBytes is how much of the log is replayed between one word about it and the next.
const progressBytes = 8 << 20

// sizeOf returns how large log segments are. What is wrong with one is found by who reads it.
func (r *recovery) sizeOf(logs []base.FileNum) (n int64) {
	for _, num := range logs {
		f, err := r.opts.FS.Open(filepath.Join(r.dir, wal.FileName(num)))
		if err != nil {
			continue
		}
		if size, err := f.Size(); err == nil {
			n += size
		}
		_ = f.Close() // nothing was done to it
	}
	return n
}

// replayWriters is how many write what was replayed to tables, each a span of keys:
// nobody else needs the processors yet.
const replayWriters = 2

// flushReplayed writes what was replayed so far to level 0. A read-only
// database keeps it in memory instead.
func (r *recovery) flushReplayed() error {
	if err := r.writer.SealReplayed(); err != nil {
		return err
	}
	if len(r.reads.State().Immutables) == 0 || r.opts.ReadOnly {
		return nil
	}
	if err := r.withSpace(r.beginManifest); err != nil {
		return err
	}
	return r.withSpace(func() error { return r.flusher.flush(context.Background(), replayWriters) })
}

// removeOrphans deletes tables and log segments that bear our names but are in
// no manifest and not in the archive: what a crash left of unfinished work, and the
// archive itself where it is switched off. Anything else is left alone. may says which
// files may go now.
func (r *recovery) removeOrphans(may func(name string) bool) {
	for _, name := range r.names {
		if name == store.HealName && may(name) {
			r.removeOrphan(name)
			continue
		}
		n, ok := checkpoint.FileNum(name)
		if !ok || r.store.Named(n) || r.segments.Names(n) || !may(name) || !r.isOrphan(name) {
			continue
		}
		r.removeOrphan(name)
	}
}

func (r *recovery) removeOrphan(name string) {
	switch err := r.store.Remove(name); {
	case errors.Is(err, fs.ErrNotExist): // it has gone before
	case err != nil:
		r.events.CleanupFailed(name, err)
	default:
		r.events.OrphanRemoved(name)
	}
}

// isOrphan reports whether a file that nobody names is one of ours. A log
// segment is known by its name alone: it may have been prepared and never
// begun.
func (r *recovery) isOrphan(name string) bool {
	n, ok := store.ParseTableName(name)
	return !ok || r.store.IsOrphan(n)
}
