package metamorph

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/backup"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// world is a database under one option set, with the handles that the history
// has made. It is for one goroutine.
type world struct {
	plan      plan
	settings  settings // of the database that is open
	memory    *memfs.FS
	db        *lightning.DB
	spaces    map[string]*lightning.Keyspace // "" has none
	snapshots map[int]*snapshot
	iterators map[int]*lightning.Iterator
	batches   map[int]*lightning.Batch
	durable   uint64 // the newest DurableSeq since the database was opened
	kept      []keptValue
	buffer    []byte // for AppendGet
}

// plan says what a run does where the history leaves it free.
type plan struct {
	seed uint64
	set  int
	dir  string // on the disk of the machine; empty for a file system in memory
}

// snapshot remembers the keyspaces of its moment: they stay readable.
type snapshot struct {
	handle *lightning.Snapshot
	spaces map[string]*lightning.Keyspace
}

func (p plan) settings(n int) settings {
	s := settingsOf(p.seed, n)[p.set]
	if p.dir != "" {
		s = s.forDisk()
	}
	return s
}

// run runs a history and returns its transcript. The error is a *fault.
func run(p plan, h script.Script, want [][]Line, stop func() bool) (steps []step, err error) {
	w := &world{plan: p, memory: memfs.New(), spaces: map[string]*lightning.Keyspace{}}
	w.forgetHandles()
	at := 0
	defer func() {
		if w.db != nil {
			err = errors.Join(err, w.end())
		}
		if err != nil {
			err = &fault{at, err}
		}
	}()
	if err := w.open(0); err != nil {
		return nil, err
	}
	for ; at < len(h); at++ {
		if stop() {
			break
		}
		j := judge{want: want[at]}
		if err := w.guarded(&h[at], &j); err != nil {
			return steps, err
		}
		steps = append(steps, j.step)
	}
	return steps, nil
}

// fault is what went wrong at an operation, or at the end.
type fault struct {
	at  int
	err error
}

func (f *fault) Error() string { return f.err.Error() }

func (f *fault) Unwrap() error { return f.err }

// end closes what is left after the last operation or a fault.
func (w *world) end() error {
	err := w.closeHandles()
	if h := w.db.Metrics().Handles; err == nil && (h.Iterators != 0 || h.Snapshots != 0) {
		err = fmt.Errorf("%d iterators and %d snapshots are open after all were closed", h.Iterators, h.Snapshots)
	}
	return errors.Join(err, w.db.Close())
}

// guarded runs one operation. A panic is a fault like others, so that it can be
// shrunk.
func (w *world) guarded(op *script.Op, j *judge) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := w.do(op, j); err != nil {
		return err
	}
	return j.end()
}

func (w *world) do(op *script.Op, j *judge) error {
	switch op.Kind {
	case script.Put, script.Delete, script.DeleteRange, script.Overwrite, script.Fill, script.Sweep:
		return w.write(op, j)
	case script.Decide:
		return decide(w, op, j)
	case script.Batch:
		return w.commit(w.db.NewBatch(), op, j)
	case script.BatchAdd, script.BatchCommit, script.BatchReset:
		return w.batch(op, j)
	case script.Get, script.MultiGet, script.Scan, script.OpenIterator:
		return w.read(op, j)
	case script.TakeSnapshot:
		return w.takeSnapshot(op, j)
	case script.CloseSnapshot:
		return w.closeSnapshot(op.Slot)
	case script.Move:
		return w.move(op, j)
	case script.CloseIterator:
		return w.closeIterator(op.Slot)
	case script.Flush, script.Compact, script.SyncLog:
		return w.maintain(op, j)
	case script.CreateSpace:
		return w.createSpace(op.Space)
	case script.DropSpace:
		return w.dropSpace(op.Space)
	case script.Reopen:
		return w.reopen(op.Count)
	case script.ReadOnly:
		return w.reopenReadOnly(op.Count, j)
	case script.Check:
		return w.check(j)
	case script.Verify:
		return w.verify(j)
	case script.Checkpoint:
		return checkpoint(w, j)
	case script.Backup:
		return backUp(w, j)
	}
	return fmt.Errorf("%v is no operation", op.Kind)
}

// location returns the file system and directory of the database.
func (w *world) location() (vfs.FS, string) {
	if w.plan.dir != "" {
		return vfs.OS, w.plan.dir
	}
	return w.memory, "db"
}

// open opens the database with the n-th settings, and its keyspaces.
func (w *world) open(n int) error {
	w.settings = w.plan.settings(n)
	o := w.settings.options
	o.MustExist = n > 0
	return w.openWith(o)
}

func (w *world) openWith(o lightning.Options) error {
	fs, dir := w.location()
	o.FS = fs
	db, err := lightning.Open(dir, &o)
	if err != nil {
		return fmt.Errorf("open with %v: %w", w.settings, err)
	}
	w.db, w.durable = db, 0
	for name := range w.spaces {
		if w.spaces[name], err = db.Keyspace(context.Background(), name, nil); err != nil {
			return fmt.Errorf("keyspace %q after opening: %w", name, err)
		}
	}
	return nil
}

// leave ends the present database in the way that the n-th settings say.
func (w *world) leave(n int) error {
	before := w.plan.settings(n).before
	var leaked error
	if before == leaking && len(w.snapshots)+len(w.iterators) > 0 {
		leaked = lightning.ErrLeaked
	} else if before != leaking {
		if err := w.closeHandles(); err != nil {
			return err
		}
	}
	old := w.db
	w.db = nil
	if before >= cutKeepAll {
		if err := old.SyncLog(context.Background()); err != nil {
			return errors.Join(fmt.Errorf("sync of the log: %w", err), old.Close())
		}
		w.memory = w.memory.Crash(memfs.CrashOptions{
			Keep:  map[ending]memfs.Policy{cutKeepAll: memfs.KeepAll, cutKeepSome: memfs.KeepRandom}[before],
			Seed:  w.plan.seed + uint64(n),
			Stale: before == cutKeepSome,
		})
	}
	if err := old.Close(); !errors.Is(err, leaked) {
		return fmt.Errorf("close: %v, expected %v", err, leaked)
	}
	return errors.Join(checkClosed(old), w.checkHandlesClosed())
}

// checkClosed checks that a closed database says so.
func checkClosed(db *lightning.DB) error {
	_, err := db.Get([]byte("k"))
	for what, err := range map[string]error{
		"get": err, "put": db.Put([]byte("k"), nil), "second close": db.Close(), "sync": db.SyncLog(context.Background()),
	} {
		if !errors.Is(err, lightning.ErrClosed) {
			return fmt.Errorf("%s after close: %v, expected %v", what, err, lightning.ErrClosed)
		}
	}
	return nil
}

// checkHandlesClosed checks that handles which outlived their database say so,
// and gives them up.
func (w *world) checkHandlesClosed() error {
	defer w.forgetHandles()
	for slot, it := range w.iterators {
		if it.First() || !errors.Is(it.Err(), lightning.ErrClosed) {
			return fmt.Errorf("iterator %d after close of the database: %v, expected %v", slot, it.Err(), lightning.ErrClosed)
		}
		if err := it.Close(); !errors.Is(err, lightning.ErrClosed) {
			return fmt.Errorf("close of iterator %d after that of the database: %v", slot, err)
		}
	}
	for slot, s := range w.snapshots {
		if _, err := s.handle.Get([]byte("k")); !errors.Is(err, lightning.ErrClosed) {
			return fmt.Errorf("snapshot %d after close of the database: %v, expected %v", slot, err, lightning.ErrClosed)
		}
		if err := s.handle.Close(); err != nil {
			return fmt.Errorf("close of snapshot %d after that of the database: %v", slot, err)
		}
	}
	return nil
}

func (w *world) reopen(n int) error {
	if err := w.leave(n); err != nil {
		return err
	}
	return w.open(n)
}

// reopenReadOnly opens the database read-only, where it must show everything
// and take nothing, and then for writing again.
func (w *world) reopenReadOnly(n int, j *judge) error {
	if err := w.leave(n); err != nil {
		return err
	}
	w.settings = w.plan.settings(n)
	o := w.settings.options
	o.ReadOnly = true
	if err := w.openWith(o); err != nil {
		return err
	}
	_, err := w.db.Keyspace(context.Background(), "new", nil)
	for what, err := range map[string]error{
		"put": w.db.Put([]byte("k"), nil), "delete": w.db.Delete([]byte("k")),
		"delete range": w.db.DeleteRange(nil, nil), "new keyspace": err,
		"flush": w.db.Flush(context.Background()),
	} {
		if !errors.Is(err, lightning.ErrReadOnly) {
			return fmt.Errorf("%s in a read-only database: %v", what, err)
		}
	}
	if err := w.verify(j); err != nil {
		return fmt.Errorf("read-only: %w", err)
	}
	db := w.db
	w.db = nil
	if err := db.Close(); err != nil {
		return fmt.Errorf("close of a read-only database: %w", err)
	}
	return w.open(n + 1)
}

// checkpoint takes one, which must show everything, and removes it.
func checkpoint(w *world, j *judge) error {
	fs, dir := w.location()
	copied := dir + "-copy"
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.db.Checkpoint(ctx, copied); err != nil {
		return err
	}
	if err := compareCopy(ctx, w, j, copied); err != nil {
		return fmt.Errorf("the checkpoint: %w", err)
	}
	return script.Discard(fs, copied)
}

// backUp makes a backup beside those that were made before, and restores it, which must show
// everything; the last three stay.
func backUp(w *world, j *judge) error {
	fs, dir := w.location()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	target := backup.DirOn(fs, dir+"-vault")
	info, err := w.db.Backup(ctx, target, backup.Options{})
	if err != nil {
		return err
	}
	restored := dir + "-restored"
	if _, err := backup.Restore(ctx, target, restored, backup.RestoreOptions{FS: fs, ID: info.ID}); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := compareCopy(ctx, w, j, restored); err != nil {
		return fmt.Errorf("the restored backup: %w", err)
	}
	if err := script.Discard(fs, restored); err != nil {
		return err
	}
	_, err = backup.Prune(ctx, target, backup.Keep{Last: 3}, backup.PruneOptions{})
	return err
}

// compareCopy opens a second database, which must show what the first one does.
func compareCopy(ctx context.Context, w *world, j *judge, dir string) error {
	fs, _ := w.location()
	o := w.settings.options
	o.FS, o.MustExist = fs, true
	db, err := lightning.Open(dir, &o)
	if err != nil {
		return err
	}
	there := &world{plan: w.plan, db: db, spaces: map[string]*lightning.Keyspace{}}
	for name := range w.spaces {
		if there.spaces[name], err = db.Keyspace(ctx, name, nil); err != nil {
			return errors.Join(fmt.Errorf("keyspace %q: %w", name, err), db.Close())
		}
	}
	err = there.verify(j)
	return errors.Join(err, db.Close())
}

func (w *world) createSpace(name string) error {
	if w.spaces[name] != nil || name == "" {
		return nil
	}
	// One after the other and from set to set, so that each keyspace has
	// another compression in another set.
	compression := lightning.Compression((int(name[len(name)-1]) + w.plan.set) % 4)
	k, err := w.db.Keyspace(context.Background(), name, &lightning.KeyspaceOptions{Compression: compression})
	if err != nil {
		return fmt.Errorf("keyspace %q with %v: %w", name, compression, err)
	}
	w.spaces[name] = k
	return nil
}

func (w *world) dropSpace(name string) error {
	old := w.spaces[name]
	if old == nil {
		return nil
	}
	if err := w.db.DropKeyspace(context.Background(), name); err != nil {
		return err
	}
	delete(w.spaces, name)
	_, err := old.Get([]byte("k"))
	for what, err := range map[string]error{
		"get": err, "put": old.Put([]byte("k"), nil), "delete range": old.DeleteRange(nil, nil),
		"batch put": w.db.NewBatch().In(old).Put([]byte("k"), nil),
	} {
		if !errors.Is(err, lightning.ErrKeyspaceDropped) {
			return fmt.Errorf("%s in dropped keyspace %q: %v", what, name, err)
		}
	}
	return nil
}

func (w *world) forgetHandles() {
	w.snapshots = map[int]*snapshot{}
	w.iterators = map[int]*lightning.Iterator{}
	w.batches = map[int]*lightning.Batch{}
}

func (w *world) closeHandles() error {
	for slot := range w.snapshots {
		if err := w.closeSnapshot(slot); err != nil {
			return err
		}
	}
	for slot := range w.iterators {
		if err := w.closeIterator(slot); err != nil {
			return err
		}
	}
	w.forgetHandles()
	return nil
}

func (w *world) closeSnapshot(slot int) error {
	s := w.snapshots[slot]
	if s == nil {
		return nil
	}
	delete(w.snapshots, slot)
	return closeTwice("snapshot", slot, s.handle)
}

func (w *world) closeIterator(slot int) error {
	it := w.iterators[slot]
	if it == nil {
		return nil
	}
	delete(w.iterators, slot)
	return closeTwice("iterator", slot, it)
}

// closeTwice closes a handle, and checks that it knows the second time.
func closeTwice(what string, slot int, handle io.Closer) error {
	if err := handle.Close(); err != nil {
		return fmt.Errorf("close of %s %d: %w", what, slot, err)
	}
	if err := handle.Close(); !errors.Is(err, lightning.ErrHandleClosed) {
		return fmt.Errorf("second close of %s %d: %v", what, slot, err)
	}
	return nil
}
