package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// This file writes the files of a checkpoint, whose directory is there as a whole or not at
// all: see directory.Staged.

// copyBytes is how much is copied at once.
const copyBytes = 1 << 20

// Progress is how far a checkpoint has come.
type Progress struct {
	Files       int   // that are there
	LinkedBytes int64 // that have a second name now
	CopiedBytes int64
	TotalBytes  int64 // of all that will be linked or copied, about
}

// writer writes a checkpoint. It is used by one goroutine.
type writer struct {
	*directory.Staged
	wal      wal.Config // of the database
	outer    vfs.FS
	progress func(Progress) // may be nil
	done     Progress
	logs     []manifest.LogSegment
	buffer   []byte // for copies; nil before the first
}

func newWriter(source wal.Config, outer vfs.FS, target string, progress func(Progress)) (*writer, error) {
	staged, err := directory.Stage(outer, target, IsFile)
	if err != nil {
		return nil, err
	}
	return &writer{Staged: staged, wal: source, outer: outer, progress: progress}, nil
}

// IsFile reports whether a checkpoint has files of such a name.
func IsFile(name string) bool {
	_, isNumbered := FileNum(name)
	_, isManifest := manifest.ParseFileName(name)
	return isNumbered || isManifest || strings.HasPrefix(name, manifest.CurrentName)
}

func (w *writer) tell() {
	if w.progress != nil {
		w.progress(w.done)
	}
}

// log is that of the checkpoint.
func (w *writer) log() wal.Config {
	to := w.wal
	to.FS, to.Dir = w.outer, w.Path
	return to
}

// writeLog copies the log, of which the database needs what is between two positions. What its
// segments have of before is copied too where that is history that somebody may want; where
// it is not intact, as after a crash before the archive was kept, it is left out.
func (w *writer) writeLog(logs []manifest.LogSegment, from, end wal.Position, history bool) error {
	segments := make([]wal.Segment, len(logs))
	for i, l := range logs {
		segments[i] = wal.Segment(l)
	}
	begin := from
	if history {
		begin = 0
	}
	copied, err := wal.Copy(w.wal, segments, begin, end, w.log())
	if history && errors.Is(err, base.ErrCorrupted) {
		for _, s := range segments {
			if err := w.Remove(wal.FileName(s.Num)); err != nil {
				return err
			}
		}
		copied, err = wal.Copy(w.wal, segments, from, end, w.log())
	}
	if err != nil {
		return fmt.Errorf("copy the log: %w", err)
	}
	for _, s := range copied {
		w.logs = append(w.logs, manifest.LogSegment(s))
		w.copied(s.SizeBytes)
	}
	return nil
}

func (w *writer) copied(sizeBytes int64) {
	w.done.Files++
	w.done.CopiedBytes += sizeBytes
	w.tell()
}

// spent archives a segment of the log that the database needs no more and has not archived
// itself. What of it is not intact is missing in the history of the checkpoint, as it is in
// that of the source.
func (w *writer) spent(n base.FileNum, e wal.Extent, since time.Time) error {
	s, begun, err := wal.Identify(w.wal, n)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was renamed, though the disk has said that it was not; the next open finds it
	}
	if err != nil || !begun {
		return err
	}
	_, err = wal.Copy(w.wal, []wal.Segment{s}, e.Start, e.End, w.log())
	if errors.Is(err, base.ErrCorrupted) {
		return w.Remove(wal.FileName(n))
	}
	if err != nil {
		return fmt.Errorf("copy the log: %w", err)
	}
	size, err := wal.Archive(w.log(), n, e, since)
	if err == nil {
		w.copied(size)
	}
	return err
}

// share gives the checkpoint a file that does not change any more: as a link, or else as a
// copy, which is durable then.
func (w *writer) share(ctx context.Context, name string, sizeBytes int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	linked, err := w.link(name)
	switch {
	case err != nil:
		return err
	case linked:
		w.done.LinkedBytes += sizeBytes
	default:
		if err := w.copy(ctx, name, sizeBytes); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	w.done.Files++
	w.tell()
	return nil
}

// link links a file, and reports whether it could. The path may lead to another database by
// now; what has the name then is not the file that is meant.
//
// Where a link cannot be made, for whatever reason, its name is taken away before anything
// else: some file systems make a link and report a failure, and what was written to that
// name would be written to the source.
func (w *writer) link(name string) (linked bool, err error) {
	from, to := filepath.Join(w.wal.Dir, name), filepath.Join(w.Path, name)
	if w.outer.Link(from, to) == nil {
		own, ownErr := w.wal.FS.Stat(from)
		made, madeErr := w.outer.Stat(to)
		if ownErr == nil && madeErr == nil && vfs.SameFile(own, made) {
			return true, nil
		}
	}
	return false, w.Remove(name)
}

func (w *writer) copy(ctx context.Context, name string, sizeBytes int64) (err error) {
	in, err := w.wal.FS.Open(filepath.Join(w.wal.Dir, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := w.outer.Create(filepath.Join(w.Path, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if w.buffer == nil {
		w.buffer = make([]byte, copyBytes)
	}
	for at := int64(0); at < sizeBytes; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		piece := w.buffer[:min(copyBytes, sizeBytes-at)]
		if n, err := in.ReadAt(piece, at); n < len(piece) {
			return fmt.Errorf("read at %d: %w", at, err)
		}
		if _, err := out.WriteAt(piece, at); err != nil {
			return err
		}
		at += int64(len(piece))
		w.done.CopiedBytes += int64(len(piece))
		w.tell()
	}
	return out.Sync()
}

// finish writes the manifest, of a state of which everything else is there, makes all durable
// and gives the directory its name. seen is the time that readers may have seen. Where the
// error is of the very last step, the checkpoint may be there.
func (w *writer) finish(state *manifest.State, ingests []manifest.IngestCommit, seen base.Instant) error {
	// This syncs the directory, with all names in it, before anything names the manifest.
	if err := state.Copy(w.outer, w.Path, w.logs, ingests, seen); err != nil {
		return err
	}
	return w.Finish()
}
