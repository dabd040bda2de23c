package verify

import (
	"context"
	"errors"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/segments"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
)

// Online verifies a database that is open, whose parts it has. It holds no state of its own,
// and may be used by several goroutines at once.
//
// Tables stay because their tree is held. No segment of the log is used again meanwhile; one that
// is deleted, as it is not needed any more, is nothing that was found.
type Online struct {
	WAL      wal.Config // with the files of the database
	Reads    *view.Reader
	Segments *segments.Segments
	Archive  *feed.Archive
	Store    *store.Store
	Janitor  *janitor.Janitor
	// Look calls fn with the state of the manifest while nobody changes it, or the tree.
	Look func(fn func(state *manifest.State))
	// Manifest reads the files of the manifest again.
	Manifest func() error
	// FoundEnd is where the log of a database ends that is not written to.
	FoundEnd func() wal.Position
	// Working has Close, which cancels Stopped, wait until the function is called that it
	// returns.
	Working func(ctx context.Context, note func()) (done func(), err error)
	Stopped context.Context
	// Lost is told of sectors of tables that are lost and that parity makes good.
	Lost func(table base.FileNum, err *base.CorruptionError)
}

// Run reads everything.
func (v *Online) Run(ctx context.Context, o Options) (Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(v.Stopped, func() { cancel(base.ErrClosed) })()
	done, err := v.Working(ctx, func() {})
	if err != nil {
		return Report{}, err
	}
	defer done()
	defer v.Segments.Holds.Take()()
	c := contents{fs: v.WAL.FS, dir: v.WAL.Dir, id: v.WAL.DBID, end: v.FoundEnd(), lost: v.Lost}
	if log := v.Segments.Log(); log != nil {
		c.end = log.Durable() // before the state
	}
	giveBack, err := v.hold(ctx, &c)
	if err != nil {
		return Report{}, err
	}
	defer giveBack()
	r := newRun(ctx, c, o)
	if err := v.Manifest(); err != nil {
		if errors.Is(err, base.ErrClosed) {
			return Report{}, err
		}
		r.note(manifest.CurrentName, nil, err)
	}
	return r.all()
}

// hold takes the state of the manifest and holds the tables that belong to it.
func (v *Online) hold(ctx context.Context, c *contents) (giveBack func(), err error) {
	// Or what the archive has could be given up before it is held.
	letGo, err := v.Janitor.HoldFiles(ctx)
	if err != nil {
		return nil, err
	}
	defer letGo()
	prepared := v.Segments.Prepared()
	var tree *store.Tree
	v.Look(func(state *manifest.State) {
		c.state = state
		s := v.Reads.Pin()
		tree = s.Tree
		tree.Ref()
		v.Reads.Release(s)
	})
	var kept []*store.Table
	giveBack = func() {
		unused := tree.Unref()
		v.Janitor.AddFile(func() {
			v.Store.Dispose(unused)
			v.Store.Unref(kept)
		})
	}
	c.from = wal.Position(c.state.LogStart)
	for _, l := range c.state.Logs {
		if l.Num != prepared {
			c.logs = append(c.logs, wal.Segment(l))
		}
	}
	spent, ingests, err := v.Archive.Contents(c.state)
	if err != nil {
		giveBack()
		return nil, err
	}
	for _, ingest := range ingests {
		kept = append(kept, v.Store.Keep(ingest.Tables)...)
	}
	for _, s := range spent {
		if s.Archived {
			c.archived = append(c.archived, s.Num)
		}
	}
	c.ingests, c.isGone = ingests, v.isGone
	return giveBack, nil
}

// isGone reports whether neither the log nor its archive has a file any more.
func (v *Online) isGone(name string) (gone bool) {
	v.Look(func(state *manifest.State) {
		gone = !slices.ContainsFunc(state.Logs, func(l manifest.LogSegment) bool { return wal.FileName(l.Num) == name })
	})
	_, archived := wal.ParseArchivedFileName(name)
	return gone && !(archived && v.Archive.Holds(name))
}
