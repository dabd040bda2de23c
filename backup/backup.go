// Package backup keeps copies of databases apart from them, at a Target: a directory on another
// disk, or a bucket. A backup is full, and costs what has changed: files are cut into chunks,
// and a chunk is stored once, however many backups have it. So each backup stands for itself,
// any may be deleted, and there is no chain that can break.
//
//	target := backup.Dir("/mnt/backups/orders")
//	info, err := db.Backup(ctx, target, backup.Options{})
//	...
//	info, err = backup.Restore(ctx, target, "orders.db", backup.RestoreOptions{})
//
// At the target there are
//
//	FORMAT             what it is
//	chunks/3f/3f9a...  parts of files, by their SHA-256
//	backups/ID         which files a backup has, and of which chunks; written last
//	log/...            the log of databases as it grew, see DB.Archive
//	leases/...         who is just writing or deleting
//
// What a killed backup has left is used by the next one, or goes with the next deletion. Backups of
// several databases may share a target, and then chunks as well. Nothing is encrypted: who can
// read the target can read the databases.
package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// Options say how to make a backup.
type Options struct {
	// FS is the file system in which the database is, for Store; nil for that of the
	// operating system. DB.Backup has its own.
	FS vfs.FS
	// BytesPerSecond bounds how fast files are read, so that others get their share of disk
	// and network; 0 for no bound.
	BytesPerSecond int64
	// Parallel is how many chunks are compressed and stored at once, each with some 20 MiB
	// of memory. Default 2.
	Parallel int
	// Progress, if given, is called for each chunk, by one goroutine at a time. It should be short.
	Progress func(Progress)

	clock clock.Clock // nil but in tests
}

const (
	parallelDefault = 2
	parallelMax     = 64
)

func (o Options) withDefaults() (Options, error) {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.clock == nil {
		o.clock = clock.System
	}
	var err error
	o.Parallel, err = checkLimits(o.Parallel, o.BytesPerSecond)
	return o, err
}

func checkLimits(parallel int, bytesPerSecond int64) (int, error) {
	if parallel < 0 || parallel > parallelMax {
		return 0, fmt.Errorf("%w: Parallel is %d, which must be 1 to %d, or 0 for %d", ErrOption, parallel, parallelMax, parallelDefault)
	}
	if bytesPerSecond < 0 {
		return 0, fmt.Errorf("%w: BytesPerSecond is %d, which must be positive, or 0 for no bound", ErrOption, bytesPerSecond)
	}
	if parallel == 0 {
		parallel = parallelDefault
	}
	return parallel, nil
}

// Store makes a backup of the database in dir, which nobody has open: a closed one, or a
// checkpoint. Others are kept out meanwhile. DB.Backup makes one of a database in use.
//
// ctx ends it; what was stored by then is used by the next one. When it returns without an error, the
// backup is at the target, complete and durable.
func Store(ctx context.Context, dir string, t Target, o Options) (Info, error) {
	if ctx == nil {
		return Info{}, errNilContext
	}
	o, err := o.withDefaults()
	if err != nil {
		return Info{}, err
	}
	if err := checkFormat(ctx, t, true); err != nil {
		return Info{}, err
	}
	src, err := openSource(o.FS, dir)
	if err != nil {
		return Info{}, err
	}
	info, err := storeFrom(ctx, src, t, o)
	return info, errors.Join(err, src.close())
}

// source is a database that is read file by file.
type source struct {
	held  vfs.Dir
	lock  interface{ Close() error }
	dir   string
	state *manifest.State
	seq   base.SeqNum // of the newest write
	files []file      // without chunks
	bytes int64
}

// openSource looks at a database, and keeps others out.
func openSource(fsys vfs.FS, dir string) (_ *source, err error) {
	held, err := directory.Hold(fsys, dir, directory.Access{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	s := &source{held: held, dir: dir} // not the result, which is nil by the time that it is closed
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	lock, err := directory.Lock(held, dir, true)
	if err != nil {
		return nil, err
	}
	s.lock = lock
	names, err := held.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	if s.state, err = manifest.Load(held, dir, names); err != nil {
		return nil, err
	}
	for _, name := range names {
		if !isFile(name) {
			continue
		}
		info, err := held.Stat(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", name, err)
		}
		f := file{Name: name, SizeBytes: info.Size()}
		if at := info.ModTime(); !at.IsZero() { // else the file system has none
			f.ModNS = at.UnixNano()
		}
		s.files = append(s.files, f)
		s.bytes += info.Size()
	}
	return s, s.findSeq()
}

// findSeq finds the newest write, in the manifest or in the log. Damage to the log is told here: a
// backup that cannot be opened is none.
func (s *source) findSeq() (err error) {
	s.seq, _, err = endOf(wal.Config{FS: s.held, Dir: s.dir, DBID: s.state.DBID}, s.state)
	return err
}

// endOf returns the newest write of a database that nobody has open, and where its log ends.
func endOf(cfg wal.Config, state *manifest.State) (base.SeqNum, wal.Position, error) {
	var segments []wal.Segment
	for _, l := range state.Logs {
		segments = append(segments, wal.Segment(l))
	}
	slices.SortFunc(segments, func(a, b wal.Segment) int { return cmp.Compare(a.Num, b.Num) })
	result, err := wal.Replay(cfg, segments, wal.Position(state.LogStart), state.LastSeq,
		func(base.SeqNum, []byte) error { return nil })
	newest := max(state.LastSeq, result.LastSeq)
	if n := len(state.Pending); n > 0 {
		newest = max(newest, state.Pending[n-1].Last)
	}
	return newest, result.End, err
}

func (s *source) close() error {
	var err error
	if s.lock != nil {
		err = s.lock.Close()
	}
	return errors.Join(err, s.held.Close())
}

// writer makes one backup. Several goroutines store chunks for it.
type writer struct {
	Options
	ctx    context.Context
	cancel context.CancelCauseFunc
	source *source
	target Target
	with   *codec
	pace   *store.Pace // nil: there is no bound
	meter  meter

	mu   sync.Mutex
	have map[sum]bool // chunks that are at the target, or on their way there
	info Info
}

// storeFrom makes a backup.
func storeFrom(ctx context.Context, src *source, t Target, o Options) (_ Info, err error) {
	held, ctx, err := acquire(ctx, t, o.clock, toWrite)
	if err != nil {
		return Info{}, err
	}
	defer func() { err = errors.Join(err, held.release(ctx)) }()
	w := &writer{Options: o, source: src, target: t, pace: store.NewPace(o.clock, o.BytesPerSecond), info: newInfo(o.clock)}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	defer w.cancel(nil)
	if w.with, err = newCodec(o.Parallel); err != nil {
		return Info{}, err
	}
	defer w.with.close()
	w.info.Database, w.info.History, w.info.Seq = src.state.DBID.String(), historyName(src.state.History), uint64(src.seq)
	w.info.Files, w.info.SizeBytes = len(src.files), src.bytes
	w.meter.tell, w.meter.done = o.Progress, Progress{TotalFiles: len(src.files), TotalBytes: src.bytes}
	if w.have, err = soundChunks(w.ctx, t); err != nil {
		return Info{}, err
	}
	known, err := w.known()
	if err != nil {
		return Info{}, err
	}
	if err := w.files(known); err != nil {
		return Info{}, err
	}
	return w.info, w.publish(held)
}

// known returns the files of the newest backup of the same database, by name. One that is damaged is
// as if it were not there.
func (w *writer) known() (map[string]*file, error) {
	found, err := listIDs(w.ctx, w.target)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Backward(found) {
		c, err := load(w.ctx, w.target, w.with, id)
		switch {
		case isDamage(err) || errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return nil, err
		case c.Database != w.info.Database || c.ChunkBytes != chunkBytes:
			continue
		}
		files := map[string]*file{}
		for i := range c.List {
			files[c.List[i].Name] = &c.List[i]
		}
		return files, nil
	}
	return nil, nil
}

// isKept reports whether a file is one that the last backup has. Only those are looked at that
// never change once they are there: others may have been written twice in one tick of the clock
// of the file system.
func (w *writer) isKept(f, last *file) bool {
	_, isTable := store.ParseTableName(f.Name)
	_, isArchived := wal.ParseArchivedFileName(f.Name)
	return (isTable || isArchived) && last != nil && last.SizeBytes == f.SizeBytes && last.ModNS == f.ModNS && f.ModNS != 0 &&
		!slices.ContainsFunc(last.Chunks, func(s sum) bool { return !w.have[s] })
}

// task is a chunk that is to be stored.
type task struct {
	content []byte
	result  *sum
}

// files has all files stored.
func (w *writer) files(known map[string]*file) error {
	tasks, free := make(chan task), make(chan []byte, w.Parallel)
	var busy sync.WaitGroup
	for range w.Parallel {
		free <- make([]byte, chunkBytes)
		busy.Go(func() { w.chunks(tasks, free) })
	}
	err := w.readAll(known, tasks, free)
	close(tasks)
	busy.Wait()
	if err == nil && w.ctx.Err() != nil {
		err = context.Cause(w.ctx)
	}
	return err
}

// chunks stores chunks, and gives their memory back.
func (w *writer) chunks(tasks <-chan task, free chan<- []byte) {
	var object []byte
	for t := range tasks {
		var err error
		if object, err = w.chunk(object, t); err != nil {
			w.cancel(err)
		}
		free <- t.content[:chunkBytes]
	}
}

// readAll reads what has to be read of all files, in pieces that it gets from free.
func (w *writer) readAll(known map[string]*file, tasks chan<- task, free <-chan []byte) error {
	for i := range w.source.files {
		f := &w.source.files[i]
		w.mu.Lock()
		last := known[f.Name]
		kept := w.isKept(f, last)
		w.mu.Unlock()
		if kept {
			f.Chunks = last.Chunks
			w.meter.add(f.SizeBytes, 0, 1)
			continue
		}
		f.Chunks = make([]sum, chunks(f.SizeBytes, chunkBytes))
		if err := w.read(f, tasks, free); err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		w.meter.add(0, 0, 1)
	}
	return nil
}

func (w *writer) read(f *file, tasks chan<- task, free <-chan []byte) (err error) {
	in, err := w.source.held.Open(filepath.Join(w.source.dir, f.Name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return f.each(chunkBytes, func(i int, offset, length int64) error {
		var buffer []byte
		select {
		case buffer = <-free:
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
		if w.pace != nil && !w.pace.Await(w.ctx, int(length)) {
			return context.Cause(w.ctx)
		}
		if n, err := in.ReadAt(buffer[:length], offset); n < int(length) {
			return fmt.Errorf("at %d: %w", offset, err)
		}
		tasks <- task{buffer[:length], &f.Chunks[i]}
		return nil
	})
}

// chunk stores a chunk that is not at the target yet. object is memory for it, and is returned.
func (w *writer) chunk(object []byte, t task) ([]byte, error) {
	s := sum(sha256.Sum256(t.content))
	*t.result = s
	w.mu.Lock()
	isThere := w.have[s]
	w.have[s] = true // if that fails, the whole backup does
	w.mu.Unlock()
	length := int64(len(t.content))
	if isThere {
		w.meter.add(length, 0, 0)
		return object, nil
	}
	if w.ctx.Err() != nil {
		return object, context.Cause(w.ctx)
	}
	object = w.with.encode(object, kindChunk, t.content, s)
	if err := w.target.Put(w.ctx, chunkName(s), object); err != nil {
		return object, fmt.Errorf("store a chunk: %w", err)
	}
	w.mu.Lock()
	w.info.NewBytes += length
	w.info.StoredBytes += int64(len(object))
	w.mu.Unlock()
	w.meter.add(length, int64(len(object)), 0)
	return object, nil
}

// publish makes the backup one, when all of its chunks are there.
func (w *writer) publish(held *lease) error {
	c := contents{Info: w.info, ChunkBytes: chunkBytes, List: w.source.files}
	object, err := c.encode(w.with)
	if err != nil {
		return err
	}
	if err := held.held(w.ctx); err != nil {
		return err
	}
	if err := w.target.Put(w.ctx, backupPrefix+w.info.ID, object); err != nil {
		return fmt.Errorf("store the manifest of the backup: %w", err)
	}
	return nil
}

// isDamage reports whether an error tells of damage to the target.
func isDamage(err error) bool { return errors.Is(err, base.ErrCorrupted) }
