package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/ranked/watchfs"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

const lockName = "LOCK"

// ErrNotDatabase says that a directory holds something else, or nothing where
// a database was expected.
var ErrNotDatabase = errors.New("not a database")

// Open opens the database in dir, making one in an empty or missing directory
// unless the options forbid it.
func Open(dir string, opts Options) (db *DB, err error) {
	db = &DB{dir: dir, opts: opts, tables: map[base.FileNum]*table{}, changed: make(chan struct{})}
	db.pipeline.pool = new(sync.Pool)
	db.opts.FS = &watchedFS{FS: watchfs.Wrap(opts.FS), db: db}
	db.stopped, db.stop = context.WithCancel(context.Background())
	db.fields.claimed = map[base.FileNum]bool{}
	db.fields.quarantined = map[base.FileNum]error{}
	db.fields.spills = map[*Spill]bool{}
	db.fields.logBytes = firstLogBytes
	db.cache = framecache.New(framecache.Config{
		CapacityBytes: opts.MemoryBudget, Epochs: &db.epochs, Memory: &db.memory,
	})
	if opts.HotCacheBytes > 0 {
		if db.hot, err = hotcache.New(&db.memory, opts.HotCacheBytes); err != nil {
			return nil, err
		}
	}
	db.janitor.start()
	defer func() {
		if err != nil {
			db.abandon()
			db = nil
		}
	}()
	if err := db.lockDir(); err != nil {
		return db, err
	}
	state, err := db.openManifest()
	if err != nil {
		return db, err
	}
	if err := db.recover(state); err != nil {
		return db, err
	}
	if !opts.ReadOnly {
		db.startWorkers()
	}
	return db, nil
}

// abandon undoes what a failed Open did.
func (db *DB) abandon() {
	db.closed.Store(true)
	db.stop()
	db.workers.Wait()
	if db.log != nil {
		db.log.Close()
	}
	if db.manifest != nil {
		db.manifest.Close()
	}
	db.dropState()
	if db.lock != nil {
		db.lock.Close()
	}
}

// lockDir makes the directory if that is allowed and takes its lock.
func (db *DB) lockDir() error {
	vfsys := db.opts.FS
	info, statErr := vfsys.Stat(db.dir)
	if statErr == nil && !info.IsDir() {
		return fmt.Errorf("%w: %s is a file", ErrNotDatabase, db.dir)
	}
	exists, err := manifest.Exists(vfsys, db.dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", db.dir, err)
	}
	if !exists {
		if db.opts.ReadOnly || db.opts.MustExist {
			if statErr != nil {
				return fmt.Errorf("%w: %w", ErrNotDatabase, statErr)
			}
			return fmt.Errorf("%w: %s", ErrNotDatabase, db.dir)
		}
		if err := db.refuseForeign(); err != nil {
			return err
		}
		if err := db.makeDir(); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	name := filepath.Join(db.dir, lockName)
	if _, err := vfsys.Stat(name); db.opts.ReadOnly && errors.Is(err, fs.ErrNotExist) {
		return nil // a writer would have made it, and a reader makes no files
	}
	lock, err := vfsys.Lock(name)
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return fmt.Errorf("%w: %s", base.ErrLocked, db.dir)
	case db.opts.ReadOnly && errors.Is(err, vfs.ErrReadOnly):
		return nil // nobody can write to such a medium
	case err != nil:
		return fmt.Errorf("lock %s: %w", db.dir, err)
	}
	db.lock = lock
	return nil
}

// makeDir makes the database's directory, and its name durable: a synced write
// in a directory that a crash takes away is lost all the same. An earlier,
// interrupted open may have made the directory, so its entry is synced even if
// it is there. When a sync fails, a later one of the same names would prove
// nothing, so what was made is taken back, for the next open to make anew.
func (db *DB) makeDir() error {
	vfsys := db.opts.FS
	var made []string
	for dir := filepath.Clean(db.dir); ; dir = filepath.Dir(dir) {
		if _, err := vfsys.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		made = append(made, dir)
	}
	err := vfsys.MkdirAll(db.dir)
	for i := 0; i < max(len(made), 1) && err == nil; i++ {
		dir := filepath.Clean(db.dir)
		if i < len(made) {
			dir = made[i]
		}
		err = vfsys.SyncDir(filepath.Dir(dir))
	}
	if err != nil {
		for _, dir := range made {
			_ = vfsys.Remove(dir) // the error that is reported came first
		}
	}
	return err
}

// refuseForeign returns an error when a directory without a manifest holds
// files that are not the beginnings of a database.
func (db *DB) refuseForeign() error {
	names, err := db.opts.FS.List(db.dir)
	if err != nil {
		return nil // it does not exist yet
	}
	for _, name := range names {
		_, isManifest := manifest.ParseFileName(name)
		known := name == lockName || name == "lost+found" || isManifest ||
			strings.HasPrefix(name, manifest.CurrentName)
		if !known {
			return fmt.Errorf("%w: %s holds %q but no database", ErrNotDatabase, db.dir, name)
		}
	}
	return nil
}

// openManifest loads the state of the database, or makes a new one. The manifest
// of an existing database is not touched yet: what cannot be opened, because of
// files that are missing or damaged, is left as it was found.
func (db *DB) openManifest() (*manifest.State, error) {
	vfsys := db.opts.FS
	exists, err := manifest.Exists(vfsys, db.dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", db.dir, err)
	}
	var state *manifest.State
	switch {
	case exists || db.opts.ReadOnly:
		state, err = manifest.Load(vfsys, db.dir)
	default:
		db.manifest, state, err = manifest.Create(vfsys, db.dir, newDBID())
	}
	if err != nil {
		return nil, err
	}
	db.id = state.DBID
	db.fields.keyspaces = newKeyspaceSet(state.Keyspaces, state.Former)
	db.timeline.init(db.opts.Clock, state.ClockMark)
	return state, db.findOperators(state.Keyspaces)
}

// beginManifest goes on in a new manifest file, before the first edit.
func (db *DB) beginManifest() (err error) {
	if db.manifest == nil {
		db.manifest, _, err = manifest.Open(db.opts.FS, db.dir)
	}
	return err
}

// recover checks that every file the manifest names is there, replays the log
// and leaves the database ready for writes: what was replayed is in new,
// synced tables before the old log goes.
func (db *DB) recover(state *manifest.State) error {
	names, err := db.opts.FS.List(db.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", db.dir, err)
	}
	if err := db.checkTables(state.Version); err != nil {
		return err
	}
	db.fields.nextFileNum = nextFileNum(state.NextFileNum, names)
	mem, err := db.newMemory()
	if err != nil {
		return err
	}
	db.mu.Lock()
	db.install(mem, nil, db.newTree(state.Version))
	db.mu.Unlock()
	db.visible.Store(uint64(state.LastSeq))
	db.flushedSeq.Store(uint64(state.LastSeq))
	db.unloggedSeq.Store(uint64(state.UnloggedSeq))

	logs := slices.Sorted(slices.Values(state.Logs))
	if err := db.checkStrayLogs(state, names); err != nil {
		return err
	}
	db.fields.logs = logs
	if err := db.syncOldLogs(logs); err != nil {
		return err
	}
	result, err := wal.Replay(db.logConfig(), logs, wal.Position(state.LogStart), db.replayGroup)
	if err != nil {
		return err
	}
	db.counters.tornBytes = result.TornBytes
	if result.TornBytes > 0 {
		db.opts.Logger.Warn("dropped the torn end of the log",
			"file", result.TornFile, "bytes", result.TornBytes)
	}
	db.pipeline.lastSeq = base.SeqNum(db.visible.Load())
	if err := db.recoverHistory(names, result.End); err != nil || db.opts.ReadOnly {
		return err
	}
	if err := db.beginManifest(); err != nil {
		return err
	}
	if err := db.flushReplayed(); err != nil {
		return err
	}
	if err := db.beginLog(logs, result.End); err != nil {
		return err
	}
	if db.opts.History.enabled() {
		db.janitor.add(db.keepHistory)
	}
	return db.removeOrphans(names)
}

// checkTables reports every live table that is missing or has the wrong size.
func (db *DB) checkTables(v *manifest.Version) error {
	var damage []error
	for _, files := range v.Levels {
		for _, f := range files {
			if err := db.checkTable(f); err != nil {
				damage = append(damage, err)
			}
		}
	}
	return errors.Join(damage...)
}

func (db *DB) checkTable(f *manifest.FileMeta) error {
	name := tableName(f.Num)
	info, err := db.opts.FS.Stat(filepath.Join(db.dir, name))
	finding := err
	switch {
	case err == nil && uint64(info.Size()) == f.SizeBytes:
		return nil
	case err == nil:
		finding = fmt.Errorf("%d bytes instead of %d", info.Size(), f.SizeBytes)
	}
	return &base.CorruptionError{
		File: name, Offset: -1, Kind: "table", Lo: f.Lo, Hi: f.Hi, Err: finding,
	}
}

// checkStrayLogs looks at the log segments that the manifest does not name.
// Most are leftovers. But one that holds what a live segment lacks was exchanged
// with it (a copy beside the original is no harm: a new file may show old content
// of the disk); and as the manifest names a segment before anything goes into it,
// one that was begun under a number that the manifest has not given out yet says
// that the manifest is an old one.
func (db *DB) checkStrayLogs(state *manifest.State, names []string) error {
	var damage []error
	for _, name := range names {
		n, ok := wal.ParseFileName(name)
		if !ok || slices.Contains(state.Logs, n) {
			continue
		}
		owner, err := wal.Owner(db.logConfig(), n)
		if err != nil {
			return err
		}
		finding := error(nil)
		switch {
		case slices.Contains(state.Logs, owner):
			own, err := wal.Owner(db.logConfig(), owner)
			if err == nil && own == owner {
				continue
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			finding = fmt.Errorf("it holds what belongs into %s", wal.FileName(owner))
		case owner == n && n >= state.NextFileNum:
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

// replayGroup applies one group of the log to the memtable, writing tables
// when it is full.
func (db *DB) replayGroup(first base.SeqNum, payload []byte) error {
	flushed := base.SeqNum(db.flushedSeq.Load())
	r := batchReader{rest: payload}
	need, last, records := int64(0), first, 0
	for seq := first; ; seq++ {
		ok, err := r.next()
		if err != nil {
			return &base.CorruptionError{File: "log", Offset: -1, Kind: "batch", Err: err}
		}
		if !ok {
			break
		}
		last = seq
		need += recordBound(&r)
		if r.kind == base.KindSetExpiring {
			db.timeline.used.Store(true)
		}
		records++
	}
	if last <= flushed {
		return nil // in a table since before the crash
	}
	mem := db.state.Load().mem
	if db.isLarge(records, int64(len(payload))) {
		if err := db.flushReplayed(); err != nil {
			return err
		}
		return db.applyLarge([][]byte{payload}, first, last)
	}
	// A large batch is flushed as soon as something follows it. What a read-only
	// database replays stays in memory, and fills one memtable after the other.
	waiting := len(db.state.Load().imms) > 0 && !db.opts.ReadOnly
	if waiting || int64(mem.table.AvailableBytes()) < need {
		if err := db.flushReplayed(); err != nil {
			return err
		}
	}
	if err := db.apply([][]byte{payload}, first); err != nil {
		return err
	}
	db.visible.Store(uint64(last))
	return nil
}

// flushReplayed writes what was replayed so far to level 0. A read-only
// database keeps it in memory instead.
func (db *DB) flushReplayed() error {
	db.mu.Lock()
	rs := db.lockedState()
	imms := rs.imms
	if !rs.mem.empty() {
		next, err := db.newMemory()
		if err != nil {
			db.mu.Unlock()
			return err
		}
		rs.mem.lastSeq = base.SeqNum(db.visible.Load())
		imms = append([]*memory{rs.mem}, imms...)
		db.install(next, imms, rs.tree)
	}
	db.mu.Unlock()
	if len(imms) == 0 || db.opts.ReadOnly {
		return nil
	}
	if err := db.beginManifest(); err != nil {
		return err
	}
	return db.flushImmutables(context.Background())
}

// beginLog starts a new log after the old one and lets the old segments go.
func (db *DB) beginLog(old []base.FileNum, end wal.Position) error {
	num := db.newFileNum()
	if err := wal.Prepare(db.logConfig(), num, db.fields.logBytes); err != nil {
		return err
	}
	edit := &manifest.Edit{AddLogs: []base.FileNum{num}, RemoveLogs: old, LogStart: uint64(end)}
	db.history.begin(num, end, db.pipeline.lastSeq+1)
	db.mu.Lock()
	edit.ForgetFormer = db.formerToForget()
	db.mu.Unlock()
	err := db.edit(edit, func(*manifest.Version) {
		db.fields.logs = []base.FileNum{num}
		db.fields.keyspaces.forget(edit.ForgetFormer)
	})
	if err != nil {
		return err
	}
	for _, n := range old {
		db.history.spend(n, db.opts.Clock.Now()) // what it does not know is an orphan
	}
	if db.log, err = wal.NewLog(db.logConfig(), num, end); err != nil {
		return err
	}
	db.counters.logStart, db.counters.logFirst = end, end
	mem := db.state.Load().mem
	mem.firstLog, mem.firstPosition = num, end
	return nil
}

// nextFileNum returns a number above all that the manifest gave out or a file
// name bears.
func nextFileNum(next base.FileNum, names []string) base.FileNum {
	for _, name := range names {
		if n, ok := fileNumOf(name); ok && n >= next {
			next = n + 1
		}
	}
	return max(next, 1)
}

func fileNumOf(name string) (base.FileNum, bool) {
	for _, parse := range []func(string) (base.FileNum, bool){
		parseTableName, wal.ParseFileName, wal.ParseHistoryFileName,
	} {
		if n, ok := parse(name); ok {
			return n, true
		}
	}
	return 0, false
}

// removeOrphans deletes tables and log segments that bear our names but are in
// no manifest and no history: what a crash left of unfinished work, and the
// history itself where it is switched off. Anything else is left alone.
func (db *DB) removeOrphans(names []string) error {
	live := map[base.FileNum]bool{}
	for n := range db.tables {
		live[n] = true
	}
	for _, n := range db.fields.logs {
		live[n] = true
	}
	for _, name := range names {
		n, ok := fileNumOf(name)
		if !ok || live[n] || db.history.isHistory(name) || !db.isRemnant(name) {
			continue
		}
		if err := db.removeFile(name); err != nil {
			db.opts.Logger.Warn("remove orphan", "err", err)
			continue
		}
		db.opts.Logger.Info("removed orphan", "file", name)
	}
	return nil
}

// isRemnant reports whether a file that nobody names is one of ours. A log
// segment is known by its name alone: it may have been prepared and never
// begun.
func (db *DB) isRemnant(name string) bool {
	n, ok := parseTableName(name)
	if !ok {
		return true
	}
	f, err := db.opts.FS.Open(filepath.Join(db.dir, name))
	if err != nil {
		return false
	}
	defer f.Close()
	return sstable.IsRemnant(f, db.id, n)
}

func (db *DB) startWorkers() {
	workers := []func(context.Context){db.keepLogs, db.flushWorker, db.compactionWorker}
	db.workers.Add(len(workers))
	for _, w := range workers {
		go w(db.stopped)
	}
}
