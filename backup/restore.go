package backup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/checkpoint"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/verify"
	"github.com/lightningdb/lightning/vfs"
)

// RestoreOptions say what to restore, and how. Without ID, Seq and At it is the newest there is: the newest backup,
// and all of the archived log that follows it. With an ID alone it is that backup as it is.
type RestoreOptions struct {
	// ID is the backup to begin with; empty for the newest one that the other conditions allow.
	ID string
	// Database, if not empty, is the identity of the database, for targets that have backups of
	// several: see Info.
	Database string
	// Seq, if not zero, is a sequence number: what is restored has all writes up to it, and none behind. A
	// batch is there as a whole or not at all. The log must lead there.
	Seq uint64
	// At, if not zero, is a time: what is restored has all that the archived log had of before, and nothing of
	// after: see ArchiveOptions.MaxLag for how exact that is. The backup must not have been begun later. If
	// no log was archived behind it, it is restored as it is; if some was, it must lead to that time.
	At time.Time
	// FS is the file system that the database goes to; nil for that of the operating system.
	FS vfs.FS
	// BytesPerSecond bounds how fast files are written; 0 for no bound.
	BytesPerSecond int64
	// Parallel is how many chunks are read at once, each with some 20 MiB of memory. Default 2.
	Parallel int
	// Progress, if given, is called for each chunk, and each part of the log, by one goroutine at a time. It
	// should be short. What was written is verified after the last call.
	Progress func(Progress)
}

// Restored says what was restored.
type Restored struct {
	Info // of the backup
	// ToSeq is the newest write in what was restored, and Until a time by which all that is there was written.
	ToSeq uint64
	Until time.Time
}

// Restore makes a database in dir from a backup, and from the log that was archived behind it. dir must not exist, or be an empty directory;
// otherwise the error matches lightning.ErrCheckpointExists. What was written is read again, and
// verified as lightning.Verify does.
//
// Nothing is written before it is known that every chunk of the backup is there, that the log leads to where it
// should without a hole, that every part of it is sound, and that there is
// room for it. dir comes to be as a whole, when the last byte was verified: until then the files
// are under the name dir + ".partial", and what a crash leaves there goes with the next Restore to dir.
// Damage to the target matches lightning.ErrCorrupted, and leaves nothing. Where the log does not lead there, and
// was never to, the error matches ErrNotCovered.
//
// The database keeps its identity and its sequence numbers, and has a history of its own from there on: see Info.
func Restore(ctx context.Context, t Target, dir string, o RestoreOptions) (_ Restored, err error) {
	if ctx == nil {
		return Restored{}, errNilContext
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Parallel, err = checkLimits(o.Parallel, o.BytesPerSecond); err != nil {
		return Restored{}, err
	}
	if o.Seq != 0 && !o.At.IsZero() {
		return Restored{}, fmt.Errorf("%w: Seq and At exclude each other", ErrOption)
	}
	if err := checkFormat(ctx, t, false); err != nil {
		return Restored{}, err
	}
	r := restorer{RestoreOptions: o, target: t, pace: store.NewPace(clock.System, o.BytesPerSecond)}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	if r.with, err = newCodec(o.Parallel); err != nil {
		return Restored{}, err
	}
	defer r.with.close()
	if r.contents, err = r.choose(); err != nil {
		return Restored{}, err
	}
	if err := r.checkChunks(); err != nil {
		return Restored{}, err
	}
	if err := r.restore(dir); err != nil {
		return Restored{}, err
	}
	return Restored{Info: r.contents.Info, ToSeq: r.route.toSeq, Until: r.route.until}, nil
}

// restorer restores one backup. Several goroutines bring chunks.
type restorer struct {
	RestoreOptions
	ctx      context.Context
	cancel   context.CancelCauseFunc
	target   Target
	with     *codec
	pace     *store.Pace // nil: there is no bound
	contents *contents
	route    plan   // what of the log follows the backup
	path     string // where the files go
	meter    meter
}

// choose returns the backup that is wanted, and plans what of the log is.
func (r *restorer) choose() (*contents, error) {
	c, err := r.chooseBackup()
	if err != nil {
		return nil, err
	}
	r.route, err = r.plan(c)
	return c, err
}

func (r *restorer) chooseBackup() (*contents, error) {
	if r.ID != "" {
		c, err := load(r.ctx, r.target, r.with, r.ID)
		if err == nil && !r.allows(c) {
			err = fmt.Errorf("%w: %s is of database %s and %s, and goes to write %d",
				ErrNotFound, c.ID, c.Database, c.Time.Format(time.RFC3339), c.Seq)
		}
		return c, err
	}
	found, err := listIDs(r.ctx, r.target)
	if err != nil {
		return nil, err
	}
	// A newer backup that is damaged is no reason to give an older one without a word.
	for _, id := range slices.Backward(found) {
		c, err := load(r.ctx, r.target, r.with, id)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return nil, err
		case r.allows(c):
			return c, r.checkSole(c, found)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: the target has none", ErrNotFound)
	}
	return nil, fmt.Errorf("%w: none of %d is of that database and not after that moment", ErrNotFound, len(found))
}

func (r *restorer) allows(c *contents) bool {
	return (r.Database == "" || r.Database == c.Database) && (r.At.IsZero() || !c.Time.After(r.At)) &&
		(r.Seq == 0 || c.Seq <= r.Seq)
}

// checkSole makes sure that it was said of which database the backup is to be, where there
// are several.
func (r *restorer) checkSole(chosen *contents, found []string) error {
	if r.Database != "" {
		return nil
	}
	for _, id := range found {
		c, err := load(r.ctx, r.target, r.with, id)
		if err == nil && c.Database != chosen.Database {
			return fmt.Errorf("%w: the target has backups of several databases, as %s and %s: say which one, or an ID",
				ErrOption, c.Database, chosen.Database)
		}
	}
	return nil
}

// checkChunks makes sure that all chunks are there.
func (r *restorer) checkChunks() error {
	have, err := soundChunks(r.ctx, r.target)
	if err != nil {
		return err
	}
	for i := range r.contents.List {
		f := &r.contents.List[i]
		for _, s := range f.Chunks {
			if !have[s] {
				return damaged(backupPrefix+r.contents.ID, fmt.Errorf("chunk %s of %s is missing", chunkName(s), f.Name))
			}
		}
	}
	for s, name := range r.route.chunks {
		if !have[s] {
			return damaged(name, fmt.Errorf("chunk %s is missing", chunkName(s)))
		}
	}
	return nil
}

// restore writes, verifies and names the directory.
func (r *restorer) restore(dir string) (err error) {
	if err := r.checkRoom(dir); err != nil {
		return err
	}
	staged, err := directory.Stage(r.FS, dir, checkpoint.IsFile)
	if err != nil {
		return err
	}
	defer staged.Abandon()
	r.path = staged.Path
	r.meter.tell = r.Progress
	r.meter.done = Progress{TotalFiles: len(r.contents.List) + len(r.route.parts), TotalBytes: r.totalBytes()}
	if err := r.files(r.contents.List, r.contents.ChunkBytes); err != nil {
		return err
	}
	// This syncs the directory, with all names in it.
	if err := r.forward(); err != nil {
		return err
	}
	if err := r.verify(); err != nil {
		return err
	}
	return staged.Finish()
}

// checkRoom makes sure that the database fits.
func (r *restorer) checkRoom(dir string) error {
	parent := filepath.Dir(filepath.Clean(dir))
	for {
		if _, err := r.FS.Stat(parent); err == nil || parent == filepath.Dir(parent) {
			break
		}
		parent = filepath.Dir(parent)
	}
	free, err := r.FS.FreeBytes(parent)
	if err == nil && free < uint64(r.totalBytes()) {
		return fmt.Errorf("%w: the backup and its log have %d bytes, there is room for %d", vfs.ErrNoSpace, r.totalBytes(), free)
	}
	return nil // where it cannot be told, it will show
}

// totalBytes is how much is restored.
func (r *restorer) totalBytes() int64 { return r.contents.SizeBytes + r.route.sizeBytes }

// fetching is a chunk that is to be brought.
type fetching struct {
	to             *restoring
	sum            sum
	offset, length int64
}

// restoring is a file that is being written. Its last chunk closes it.
type restoring struct {
	*file
	out  vfs.File
	left atomic.Int64 // chunks
}

// files brings files.
func (r *restorer) files(list []file, chunkBytes int64) error {
	tasks := make(chan fetching)
	var busy sync.WaitGroup
	for range r.Parallel {
		busy.Go(func() {
			var buffer []byte
			for t := range tasks {
				var err error
				if buffer, err = r.bring(buffer, t); err != nil {
					r.cancel(fmt.Errorf("restore %s: %w", t.to.Name, err))
				}
			}
		})
	}
	err := r.hand(list, chunkBytes, tasks)
	close(tasks)
	busy.Wait()
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return err
}

// hand hands out the chunks of all files.
func (r *restorer) hand(list []file, chunkBytes int64, tasks chan<- fetching) error {
	for i := range list {
		f := &list[i]
		out, err := r.FS.Create(filepath.Join(r.path, f.Name))
		if err != nil {
			return fmt.Errorf("restore %s: %w", f.Name, err)
		}
		to := &restoring{file: f, out: out}
		to.left.Store(int64(max(1, len(f.Chunks))))
		if len(f.Chunks) == 0 {
			if err := r.finish(to); err != nil {
				return fmt.Errorf("restore %s: %w", f.Name, err)
			}
			continue
		}
		// All of them, so that the last one closes the file even if it is too late.
		err = f.each(chunkBytes, func(i int, offset, length int64) error {
			tasks <- fetching{to, f.Chunks[i], offset, length}
			return nil
		})
		if err == nil && r.ctx.Err() != nil {
			err = context.Cause(r.ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bring brings a chunk, unless it is too late. buffer is memory for it, and is returned.
func (r *restorer) bring(buffer []byte, t fetching) ([]byte, error) {
	err := r.ctx.Err()
	if err == nil {
		buffer, err = r.fetch(buffer, t)
	}
	return buffer, errors.Join(err, r.finish(t.to))
}

// finish notes that a chunk of a file is done with.
func (r *restorer) finish(to *restoring) error {
	last, err := to.finished()
	if last && err == nil {
		r.meter.add(0, 0, 1)
	}
	return err
}

// fetch brings a chunk and writes it. buffer is memory for it, and is returned.
func (r *restorer) fetch(buffer []byte, t fetching) ([]byte, error) {
	content, err := r.with.getChunk(r.ctx, r.target, buffer, t.sum, t.length)
	if err != nil {
		return buffer, err
	}
	if r.pace != nil && !r.pace.Await(r.ctx, len(content)) {
		return content, context.Cause(r.ctx)
	}
	if _, err := t.to.out.WriteAt(content, t.offset); err != nil {
		return content, err
	}
	r.meter.add(t.length, 0, 0)
	return content, nil
}

// finished notes that a chunk of the file is written, or will not be. After the last one the
// file is made durable and closed, and it returns true.
func (f *restoring) finished() (last bool, err error) {
	if f.left.Add(-1) > 0 {
		return false, nil
	}
	return true, errors.Join(f.out.Sync(), f.out.Close())
}

// verify reads what was written.
func (r *restorer) verify() error {
	report, err := verify.Files(r.ctx, r.FS, r.path, verify.Options{Clock: clock.System})
	if err != nil {
		return fmt.Errorf("verify what was restored: %w", err)
	}
	var damage error
	for _, e := range report.Damage {
		damage = errors.Join(damage, e)
	}
	if damage != nil {
		return fmt.Errorf("what was restored is damaged, as was what was stored, or what is written here does not stay: %w", damage)
	}
	return nil
}
