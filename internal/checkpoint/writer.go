package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// This file writes the files of a checkpoint. All is made in a directory beside the target,
// TARGET.partial, which has a lock, and gets the name of the target when everything in it is
// durable: so the target is there as a whole or not at all. What a crash leaves under the
// other name goes with the next checkpoint of the same target.

// partialSuffix is what the name ends with of a directory that is not finished.
const partialSuffix = ".partial"

// copyBytes is how much is copied at once.
const copyBytes = 1 << 20

// ErrTargetExists says that there is something under the name of the target. It matches
// fs.ErrExist.
var ErrTargetExists = fmt.Errorf("target of the checkpoint: %w", fs.ErrExist)

// Progress is how far a checkpoint has come.
type Progress struct {
	Files       int   // that are there
	LinkedBytes int64 // that have a second name now
	CopiedBytes int64
	TotalBytes  int64 // of all that will be linked or copied, about
}

// writer writes a checkpoint. It is used by one goroutine.
type writer struct {
	wal      wal.Config // of the database
	outer    vfs.FS
	target   string
	partial  string
	progress func(Progress) // may be nil
	lock     io.Closer      // nil once it is given back
	named    bool           // the directory has its name
	done     Progress
	logs     []manifest.LogSegment
	buffer   []byte // for copies; nil before the first
}

// newWriter makes the directory. The target must not be there, or be an empty directory,
// which is removed.
func newWriter(source wal.Config, outer vfs.FS, target string, progress func(Progress)) (w *writer, err error) {
	if target == "" {
		return nil, fmt.Errorf("%w: the name of the target is empty", fs.ErrInvalid)
	}
	target = filepath.Clean(target)
	if err := vacate(outer, target); err != nil {
		return nil, err
	}
	w = &writer{wal: source, outer: outer, target: target, partial: target + partialSuffix, progress: progress}
	if err := directory.Create(outer, w.partial); err != nil {
		return nil, err
	}
	w.lock, err = outer.Lock(filepath.Join(w.partial, directory.LockName))
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return nil, fmt.Errorf("%w: %s is just being written", base.ErrLocked, w.partial)
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", w.partial, err)
	}
	if err := w.clear(); err != nil {
		return nil, errors.Join(err, w.unlock())
	}
	return w, nil
}

// vacate makes sure that nothing is under a name.
func vacate(fsys vfs.FS, target string) error {
	info, err := fsys.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for %s: %w", target, err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is a file", ErrTargetExists, target)
	}
	names, err := fsys.List(target)
	switch {
	case err != nil:
		return fmt.Errorf("list %s: %w", target, err)
	case len(names) > 0:
		return fmt.Errorf("%w: %s is not empty", ErrTargetExists, target)
	}
	if err := fsys.Remove(target); err != nil {
		return fmt.Errorf("make room for the checkpoint: %w", err)
	}
	return nil
}

// clear removes what an unfinished checkpoint has left, and nothing that is not from one.
func (w *writer) clear() error {
	names, err := w.outer.List(w.partial)
	if err != nil {
		return fmt.Errorf("list %s: %w", w.partial, err)
	}
	for _, name := range names {
		if name == directory.LockName {
			continue
		}
		if !isOwn(name) {
			return fmt.Errorf("%w: %s holds %q, which is of no checkpoint", ErrTargetExists, w.partial, name)
		}
		if err := w.remove(name); err != nil {
			return err
		}
	}
	return nil
}

// isOwn reports whether a checkpoint makes files of such a name.
func isOwn(name string) bool {
	for _, parse := range []func(string) (base.FileNum, bool){
		store.ParseTableName, wal.ParseFileName, wal.ParseArchivedFileName, manifest.ParseFileName,
	} {
		if _, ok := parse(name); ok {
			return true
		}
	}
	return strings.HasPrefix(name, manifest.CurrentName)
}

func (w *writer) remove(name string) error {
	err := w.outer.Remove(filepath.Join(w.partial, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", filepath.Join(w.partial, name), err)
	}
	return nil
}

func (w *writer) unlock() error {
	lock := w.lock
	w.lock = nil
	if lock == nil {
		return nil
	}
	return lock.Close()
}

// abandon removes what was made, as far as that is possible. After finish it does nothing.
func (w *writer) abandon() {
	if w.named || w.lock == nil { // without the lock, somebody else may be writing there
		return
	}
	if w.clear() == nil {
		_ = w.remove(directory.LockName)
		_ = w.unlock()
		_ = w.outer.Remove(w.partial) // else the next one finds it
	}
	_ = w.unlock()
}

func (w *writer) tell() {
	if w.progress != nil {
		w.progress(w.done)
	}
}

// log is that of the checkpoint.
func (w *writer) log() wal.Config {
	to := w.wal
	to.FS, to.Dir = w.outer, w.partial
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
			if err := w.remove(wal.FileName(s.Num)); err != nil {
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
	if err != nil || !begun {
		return err
	}
	_, err = wal.Copy(w.wal, []wal.Segment{s}, e.Start, e.End, w.log())
	if errors.Is(err, base.ErrCorrupted) {
		return w.remove(wal.FileName(n))
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
	from, to := filepath.Join(w.wal.Dir, name), filepath.Join(w.partial, name)
	if w.outer.Link(from, to) == nil {
		own, ownErr := w.wal.FS.Stat(from)
		made, madeErr := w.outer.Stat(to)
		if ownErr == nil && madeErr == nil && vfs.SameFile(own, made) {
			return true, nil
		}
	}
	return false, w.remove(name)
}

func (w *writer) copy(ctx context.Context, name string, sizeBytes int64) (err error) {
	in, err := w.wal.FS.Open(filepath.Join(w.wal.Dir, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := w.outer.Create(filepath.Join(w.partial, name))
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
	fsys := w.outer
	// This syncs the directory, with all names in it, before anything names the manifest.
	if err := state.Copy(fsys, w.partial, w.logs, ingests, seen); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // where a directory with open files in it cannot be renamed
		if err := w.unlock(); err != nil {
			return err
		}
	}
	if err := fsys.Rename(w.partial, w.target); err != nil {
		return fmt.Errorf("give the checkpoint its name: %w", err)
	}
	w.named = true
	if err := w.unlock(); err != nil {
		return err
	}
	if err := fsys.SyncDir(filepath.Dir(w.target)); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
