// Package checkpoint takes a second database from one that is in use: its tables and archived
// segments under further names (hard links), or as copies where there can be none, its log as
// a copy, and a manifest of its own.
//
// Nothing of the source is written to. What is linked is never written to by anybody: tables
// and archived segments do not change, and a database gives numbers to new files that are
// above all it has.
//
// What a checkpoint has is what a crash might leave: a state of the manifest, the tables that
// this names, and the log up to some position. So there is nothing about it that an open does
// not know how to go on with.
//
// The end of the log is noted first, by the leader, between two commits; then the state of
// the manifest. What was flushed in between is in that state, and what was not is in the
// log before that end: together they are all commits up to the newer of the two.
//
// The tables stay because the tree does, which is held by a reference. The files of the log
// and of its archive stay while the janitor, who alone renames and deletes them, waits, and
// no segment is used again. That is only until the log is copied and the archive linked.
package checkpoint

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/segments"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// Taker takes checkpoints of a database, whose parts it has. It holds no state of its own, and
// may be used by several goroutines at once.
type Taker struct {
	WAL      wal.Config // with the files of the database
	Outer    vfs.FS     // in which the database was found under the same name, and in which targets are
	Reads    *view.Reader
	Commits  *commit.Pipeline
	Segments *segments.Segments
	Archive  *feed.Archive
	Store    *store.Store
	Janitor  *janitor.Janitor
	Timeline *timeline.Timeline
	// Look calls fn with the state of the manifest while nobody changes it, or the tree.
	Look func(fn func(state *manifest.State))
	// FoundEnd is where the log of a database ends that is not written to.
	FoundEnd func() wal.Position
	// Working has Close, which cancels Stopped, wait until the function is called that it
	// returns. In between it calls note, while no commit is under way.
	Working func(ctx context.Context, note func()) (done func(), err error)
	Stopped context.Context
}

// Result says what a checkpoint holds.
type Result struct {
	Seq base.SeqNum // of the newest write in it
	Progress
}

// taking is a checkpoint under way.
type taking struct {
	*Taker
	writer  *writer
	history base.DBID // of the checkpoint; zero: that of the source

	end wal.Position // of the log that counts
	seq base.SeqNum  // of the last commit before it

	state   *manifest.State
	tree    *store.Tree // of that state, with a reference
	spent   []feed.Spent
	ingests []manifest.IngestCommit
	kept    []*store.Table // of the ingests, with references
}

// Take writes a database of the same content into a directory that is not there yet. It has a
// history of its own from there on. progress may be nil.
func (t *Taker) Take(ctx context.Context, target string, progress func(Progress)) (Result, error) {
	return t.take(ctx, target, base.NewDBID(), progress)
}

func (t *Taker) take(ctx context.Context, target string, history base.DBID, progress func(Progress)) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(t.Stopped, func() { cancel(base.ErrClosed) })()
	c := taking{Taker: t, history: history}
	done, err := c.Working(ctx, c.begin)
	if err != nil {
		return Result{}, err
	}
	defer done()
	if c.writer, err = newWriter(c.WAL, c.Outer, target, progress); err != nil {
		return Result{}, err
	}
	defer c.writer.Abandon()
	defer c.release()
	if err := c.write(ctx); err != nil {
		return Result{}, err
	}
	return Result{max(c.seq, c.state.LastSeq), c.writer.done}, nil
}

// begin notes where the log ends now. Called by the leader.
func (c *taking) begin() {
	c.seq, c.end = c.Commits.LastSeq(), c.FoundEnd()
	if log := c.Segments.Log(); log != nil {
		c.end = log.Appended()
	}
}

func (c *taking) write(ctx context.Context) error {
	if err := c.writeLog(ctx); err != nil {
		return err
	}
	for _, f := range c.files() {
		if err := c.writer.share(ctx, store.TableName(f.Num), int64(f.SizeBytes)); err != nil {
			return err
		}
	}
	state, err := c.state.Fork(c.history, nil)
	if err != nil {
		return err
	}
	return c.writer.finish(state, c.ingests, c.Timeline.ReadTime())
}

// writeLog takes the state of the manifest, copies the log that belongs to it, and links
// what the archive keeps.
func (c *taking) writeLog(ctx context.Context) error {
	unhold, err := c.hold(ctx)
	if err != nil {
		return err
	}
	defer unhold()
	if c.Segments.Log() != nil {
		if err := c.Segments.Flush(); err != nil {
			return err
		}
	}
	if c.spent, c.ingests, err = c.Archive.Contents(c.state); err != nil {
		return err
	}
	for _, ingest := range c.ingests {
		c.kept = append(c.kept, c.Store.Keep(ingest.Tables)...)
	}
	c.writer.done.TotalBytes = c.expectedBytes()
	from := wal.Position(c.state.LogStart)
	if err := c.writer.writeLog(c.begun(), from, max(c.end, from), c.Archive.Keeps()); err != nil {
		return err
	}
	for _, s := range c.spent {
		if s.Archived {
			err = c.writer.share(ctx, wal.ArchivedFileName(s.Num), s.SizeBytes)
		} else {
			err = c.writer.spent(s.Num, s.Extent, s.Since)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hold makes the janitor wait, and then takes the state of the manifest, with the tree that
// belongs to it. No segment of that state is used again, renamed or deleted until the
// function is called that it returns.
func (c *taking) hold(ctx context.Context) (unhold func(), err error) {
	free := c.Segments.Holds.Take()
	letGo, err := c.Janitor.HoldFiles(ctx)
	if err != nil {
		free()
		return nil, err
	}
	// Not before: a task that is under way archives all that it finds obsolete.
	c.Look(func(state *manifest.State) {
		c.state = state
		s := c.Reads.Pin()
		c.tree = s.Tree
		c.tree.Ref()
		c.Reads.Release(s)
	})
	return func() {
		letGo()
		free()
	}, nil
}

// begun returns the segments that the manifest names, but for the one that was prepared when
// the end of the log had long been noted.
func (c *taking) begun() []manifest.LogSegment {
	prepared := c.Segments.Prepared()
	return slices.DeleteFunc(slices.Clone(c.state.Logs), func(l manifest.LogSegment) bool { return l.Num == prepared })
}

// files returns all tables of the checkpoint, by number.
func (c *taking) files() []*manifest.FileMeta {
	files := map[base.FileNum]*manifest.FileMeta{}
	add := func(f *manifest.FileMeta) {
		files[f.Num] = f
		for _, use := range f.Blobs {
			files[use.Num] = use.Table
		}
	}
	for _, level := range c.state.Version.Levels {
		for _, f := range level {
			add(f)
		}
	}
	for _, ingest := range c.ingests {
		for _, f := range ingest.Tables {
			add(f)
		}
	}
	return slices.SortedFunc(maps.Values(files), func(a, b *manifest.FileMeta) int { return cmp.Compare(a.Num, b.Num) })
}

func (c *taking) expectedBytes() (n int64) {
	for _, f := range c.files() {
		n += int64(f.SizeBytes)
	}
	for _, s := range c.spent {
		n += s.SizeBytes
	}
	return n + int64(c.end-min(c.end, wal.Position(c.state.LogStart)))
}

// release gives back what holds the tables.
func (c *taking) release() {
	var unused []*store.Table
	if c.tree != nil {
		unused = c.tree.Unref()
	}
	kept := c.kept
	c.Janitor.AddFile(func() {
		c.Store.Dispose(unused)
		c.Store.Unref(kept)
	})
}
