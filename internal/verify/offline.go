package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// Directory reads a database that is closed, and keeps others out meanwhile. It changes
// nothing. Where the manifest is damaged, nothing is known of the rest: the report says that
// alone. What a crash has left unfinished is no damage.
func Directory(ctx context.Context, fsys vfs.FS, dir string, o Options) (report Report, err error) {
	access := directory.Access{ReadOnly: true}
	held, err := directory.Hold(fsys, dir, access)
	if err != nil {
		return reportOf(err)
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	lock, err := directory.Lock(held, dir, true)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return Files(ctx, held, dir, o)
}

// Files reads a database as Directory does, which nobody else looks at: the caller sees to that.
func Files(ctx context.Context, held vfs.FS, dir string, o Options) (Report, error) {
	names, err := held.List(dir)
	if err != nil {
		return Report{}, fmt.Errorf("list %s: %w", dir, err)
	}
	state, err := manifest.Load(held, dir, names)
	if err != nil {
		return reportOf(err)
	}
	r := newRun(ctx, contents{
		fs: held, dir: dir, id: state.DBID, state: state, from: wal.Position(state.LogStart),
		ingests: slices.Concat(slices.DeleteFunc(slices.Clone(state.Ingests), func(c manifest.IngestCommit) bool { return !isThere(c, names) }),
			state.Pending),
	}, o)
	if err := r.replay(); err != nil {
		return Report{}, err
	}
	for _, name := range names {
		// Beside the log it is a copy that a crash may have cut short: see wal.Archive.
		if n, ok := wal.ParseArchivedFileName(name); ok && !slices.Contains(names, wal.FileName(n)) {
			r.archived = append(r.archived, n)
		}
	}
	return r.all()
}

// reportOf makes a report of an error for which nothing else can be read.
func reportOf(err error) (Report, error) {
	if !errors.Is(err, base.ErrCorrupted) {
		return Report{}, err
	}
	r := run{seen: map[string]bool{}}
	r.note(manifest.CurrentName, nil, err)
	return r.report, nil
}

// replay reads the log as an open does, which knows a torn end from damage.
func (r *run) replay() error {
	var segments []wal.Segment
	for _, l := range r.state.Logs {
		segments = append(segments, wal.Segment(l))
	}
	slices.SortFunc(segments, func(a, b wal.Segment) int { return cmp.Compare(a.Num, b.Num) })
	none := func(base.SeqNum, []byte) error { return nil }
	_, err := wal.Replay(r.wal(), segments, r.from, r.state.LastSeq, none)
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	if err != nil {
		r.note("log", nil, err)
	}
	r.done.Files += len(segments)
	return nil
}

// isThere reports whether all tables of a commit past the log are among the files, and those
// with values of theirs: where they are not, it was given up.
func isThere(c manifest.IngestCommit, names []string) bool {
	has := func(n base.FileNum) bool { return slices.Contains(names, store.TableName(n)) }
	for _, f := range c.Tables {
		if !has(f.Num) || slices.ContainsFunc(f.Blobs, func(use manifest.BlobUse) bool { return !has(use.Num) }) {
			return false
		}
	}
	return true
}
