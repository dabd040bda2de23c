// Package verify reads all files of a database and says what is damaged: in use, beside
// readers and writers, or closed, also where the damage keeps it from being opened.
//
// It reads past every cache, through files that it opens for itself, and trusts nothing that is in
// memory but the state of the manifest. What is to be read is held by the caller.
package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// Options say how to go about it.
type Options struct {
	BytesPerSecond int64          // 0: as fast as it goes
	Progress       func(Progress) // may be nil
	Clock          clock.Clock
}

// Progress is how far a verification has come.
type Progress struct {
	File       string // that is being read
	Files      int    // that are done
	TotalFiles int
	ReadBytes  int64
	TotalBytes int64 // about
	Findings   int
}

// Report is what was found.
type Report struct {
	Files     int
	ReadBytes int64
	Damage    []*base.CorruptionError
	// Healable are the sectors that are lost and that parity makes good.
	Healable []*base.CorruptionError
}

// contents is what there is to read.
type contents struct {
	fs      vfs.FS
	dir     string
	id      base.DBID
	state   *manifest.State
	ingests []manifest.IngestCommit // whose tables are there
	// from and end are the positions between which the log is needed; what of it was flushed
	// to the files is below end.
	from, end wal.Position
	logs      []wal.Segment
	archived  []base.FileNum
	// isGone reports whether a segment is not needed any more, so that what was found there
	// means nothing. Nil: they all are.
	isGone func(name string) bool
	// lost, which may be nil, is told of sectors that parity makes good.
	lost func(table base.FileNum, err *base.CorruptionError)
}

// run is one verification. It is used by one goroutine.
type run struct {
	contents
	ctx    context.Context
	o      Options
	pace   *store.Pace // nil: there is no bound
	done   Progress
	report Report
	seen   map[string]bool // findings, for what is met twice
}

func newRun(ctx context.Context, c contents, o Options) *run {
	return &run{contents: c, ctx: ctx, o: o, pace: store.NewPace(o.Clock, o.BytesPerSecond), seen: map[string]bool{}}
}

// all reads everything.
func (r *run) all() (Report, error) {
	tables := r.tables()
	r.done.TotalFiles = r.done.Files + len(tables) + len(r.logs) + len(r.archived)
	for _, t := range tables {
		r.done.TotalBytes += int64(t.Meta.SizeBytes)
	}
	for _, s := range r.logs {
		r.done.TotalBytes += s.SizeBytes
	}
	for _, t := range tables {
		r.file(store.TableName(t.Meta.Num), t.Meta, func() error { return r.table(t) })
	}
	for _, s := range r.logs {
		// The others tell where this one ends.
		r.segment(wal.FileName(s.Num), func() error { return wal.Verify(r.wal(), r.logs, s.Num, r.from, r.end) })
	}
	for _, n := range r.archived {
		r.segment(wal.ArchivedFileName(n), func() error { return wal.VerifyArchived(r.wal(), n) })
	}
	r.report.Files, r.report.ReadBytes = r.done.Files, r.done.ReadBytes
	if r.ctx.Err() != nil {
		return r.report, context.Cause(r.ctx)
	}
	return r.report, nil
}

// wal is the log, whose files are read at the pace.
func (r *run) wal() wal.Config { return wal.Config{FS: r.paced(), Dir: r.dir, DBID: r.id} }

func (r *run) paced() vfs.FS { return &pacedFS{FS: r.fs, run: r} }

// tables returns all tables, by number, of a store of their own.
func (r *run) tables() []*store.Table {
	silent := event.NewSink(slog.New(slog.DiscardHandler), nil) // what is wrong is in the report
	s := store.New(store.Config{FS: r.paced(), Dir: r.dir, DBID: r.id, Events: silent, Lost: r.healable})
	files := map[base.FileNum]*manifest.FileMeta{}
	add := func(metas []*manifest.FileMeta) {
		for _, f := range metas {
			files[f.Num] = f
			for _, use := range f.Blobs {
				files[use.Num] = use.Table
			}
		}
	}
	for _, level := range r.state.Version.Levels {
		add(level)
	}
	for _, ingest := range r.ingests {
		add(ingest.Tables)
	}
	ordered := slices.SortedFunc(maps.Values(files), func(a, b *manifest.FileMeta) int { return cmp.Compare(a.Num, b.Num) })
	return s.Keep(ordered)
}

// table reads a table, and where that is sound, what it has in blob tables.
func (r *run) table(t *store.Table) error {
	if err := t.Verify(r.ctx); err != nil {
		return err
	}
	return t.VerifyRefs(r.ctx)
}

// file reads one file.
func (r *run) file(name string, meta *manifest.FileMeta, read func() error) {
	if r.ctx.Err() != nil {
		return
	}
	r.done.File = name
	r.tell()
	if err := read(); err != nil && r.ctx.Err() == nil {
		r.note(name, meta, err)
	}
	r.done.Files++
	r.tell()
}

// segment reads a file of the log or of its archive, which may go meanwhile.
func (r *run) segment(name string, read func() error) {
	r.file(name, nil, func() error {
		err := read()
		if err != nil && r.isGone != nil && r.isGone(name) {
			return nil
		}
		return err
	})
}

// note adds what was found in a file. What is no damage that is known as such, as a file that
// the system cannot read, is one too.
func (r *run) note(name string, meta *manifest.FileMeta, err error) {
	switch e := err.(type) {
	case *base.CorruptionError:
		r.add(e)
		return
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			r.note(name, meta, inner)
		}
		return
	}
	if inner, ok := errors.AsType[*base.CorruptionError](err); ok {
		r.add(inner)
		return
	}
	finding := &base.CorruptionError{File: name, Offset: -1, Kind: "unreadable file", Err: err}
	if meta != nil {
		finding.Lo, finding.Hi = bytes.Clone(meta.Lo), bytes.Clone(meta.Hi)
	}
	r.add(finding)
}

// add notes damage, once.
func (r *run) add(e *base.CorruptionError) {
	key := e.Error() + string(e.Lo)
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	r.report.Damage = append(r.report.Damage, e)
	r.done.Findings = len(r.report.Damage)
}

// healable notes a sector that is lost and made good, once.
func (r *run) healable(table base.FileNum, e *base.CorruptionError) {
	key := e.Error()
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	r.report.Healable = append(r.report.Healable, e)
	if r.lost != nil {
		r.lost(table, e)
	}
}

func (r *run) tell() {
	if r.o.Progress != nil {
		r.o.Progress(r.done)
	}
}

// pacedFS is a file system from which is read at the pace of a run.
type pacedFS struct {
	vfs.FS
	run *run
}

// Open implements vfs.FS.
func (p *pacedFS) Open(name string) (vfs.File, error) {
	f, err := p.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return &pacedFile{f, p.run}, nil
}

type pacedFile struct {
	vfs.File
	run *run
}

// ReadAt implements vfs.File.
func (f *pacedFile) ReadAt(b []byte, offset int64) (int, error) {
	r := f.run
	if r.ctx.Err() != nil || r.pace != nil && !r.pace.Await(r.ctx, len(b)) {
		return 0, context.Cause(r.ctx)
	}
	n, err := f.File.ReadAt(b, offset)
	r.done.ReadBytes += int64(n)
	r.tell()
	return n, err
}
