package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/aio"
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checkpoint"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/expirer"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/heal"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/prover"
	"github.com/lightningdb/lightning/internal/ranked/watchfs"
	"github.com/lightningdb/lightning/internal/reserve"
	"github.com/lightningdb/lightning/internal/segments"
	"github.com/lightningdb/lightning/internal/sharing"
	"github.com/lightningdb/lightning/internal/spill"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/internal/verify"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/internal/writer"
)

// Open opens the database in dir, making one in an empty or missing directory
// unless the options forbid it.
func Open(dir string, opts Options) (*DB, error) {
	db := &DB{dir: dir, opts: opts}
	if err := (&opener{DB: db}).open(); err != nil {
		db.abandon()
		return nil, err
	}
	db.workers.Go(func() { db.sharing.Run(db.stopped) })
	db.workers.Go(func() { db.expirer.Run(db.stopped) })
	if !opts.ReadOnly {
		db.startWorkers()
	}
	return db, nil
}

// opener makes the parts of a database. It runs before anybody else does anything.
type opener struct {
	*DB
	names []string // of the files in the directory, before any is made
}

func (db *opener) open() (err error) {
	db.healer = heal.New()
	db.stopped, db.stop = context.WithCancel(context.Background())
	db.events = event.NewSink(db.opts.Logger, db.opts.Listener)
	db.health.Config = health.Config{
		Events: db.events, ReadOnly: db.opts.ReadOnly, Closed: db.reads.Closed, Failed: db.wakeAll,
	}
	db.janitor = janitor.New()
	db.sharing = sharing.New(sharing.Bounds{
		HotBytes: db.opts.HotCacheBytes, BudgetBytes: db.opts.MemoryBudget, BlocksBytes: db.opts.MemoryBudget / cacheMinFraction,
		OthersBytes: int64(db.walConfig().BufferBytes) + hotMemtables*int64(db.opts.MemtableBytes),
	})
	db.cache = framecache.New(framecache.Config{
		CapacityBytes: db.opts.MemoryBudget, Epochs: &db.reads.Epochs, Memory: &db.memory, Uses: db.sharing.Blocks,
	})
	if db.opts.HotCacheBytes > 0 {
		db.hot, err = hotcache.New(hotcache.Config{
			SizeBytes: db.opts.HotCacheBytes, MaxBytes: db.sharing.HotMaxBytes(),
			Epochs: &db.reads.Epochs, Memory: &db.memory, Uses: db.sharing.Records,
		})
		if err != nil {
			return err
		}
	}
	access := directory.Access{ReadOnly: db.opts.ReadOnly, MustExist: db.opts.MustExist}
	if db.held, err = directory.Hold(db.opts.FS, db.dir, access); err != nil {
		return err
	}
	if db.lock, err = directory.Lock(db.held, db.dir, db.opts.ReadOnly); err != nil {
		return err
	}
	db.health.Watch(db.lock, db.opts.Clock)
	db.io = aio.NewReader(db.opts.NoIOUring, db.events)
	watched := watchfs.Wrap(db.held)
	db.files = filepool.New(watched, db.opts.OpenFiles)
	db.outer = &filepool.FS{FS: watchfs.Wrap(db.opts.FS), Pool: db.files}
	db.opts.FS = &health.WatchedFS{FS: &filepool.FS{FS: watched, Pool: db.files}, Health: &db.health}
	if db.names, err = db.opts.FS.List(db.dir); err != nil {
		return fmt.Errorf("list %s: %w", db.dir, err)
	}
	state, err := db.openManifest()
	if err != nil {
		return err
	}
	db.wire(state)
	db.wireUpkeep()
	if err := db.keyspaces.Load(state); err != nil {
		return err
	}
	return (&recovery{DB: db.DB, state: state, names: db.names}).run()
}

// wakeAll wakes everybody who waits for something of the engine.
func (db *DB) wakeAll() {
	db.changed.Notify()
	if db.archive != nil {
		db.archive.Wake()
	}
}

// openManifest loads the state of the database, or makes a new one. The manifest
// of an existing database is not touched yet: what cannot be opened, because of
// files that are missing or damaged, is left as it was found.
func (db *opener) openManifest() (*manifest.State, error) {
	db.timeline = timeline.New(db.opts.Clock, nil)
	if !db.opts.ReadOnly {
		db.timeline = timeline.New(db.opts.Clock, db.versions.saveTime)
	}
	db.versions = versions{
		fs: db.opts.FS, dir: db.dir, health: &db.health, timeline: db.timeline, changed: &db.changed,
	}
	exists, err := manifest.Exists(db.opts.FS, db.dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", db.dir, err)
	}
	var state *manifest.State
	if exists || db.opts.ReadOnly {
		state, err = manifest.Load(db.opts.FS, db.dir, db.names)
	} else {
		state, err = db.versions.create()
	}
	if err != nil {
		return nil, err
	}
	db.id = state.DBID
	if db.opts.ReadOnly {
		db.versions.loaded = state
	}
	db.timeline.Start(state.ClockHighWater)
	return state, nil
}

// wire makes the parts of the database and says what each works with.
func (db *opener) wire(state *manifest.State) {
	o := &db.opts
	db.keyspaces = keyspace.NewRegistry(o.Keyspaces)
	db.store = store.New(store.Config{
		FS: o.FS, Dir: db.dir, Files: db.files, DBID: db.id, IO: db.io, Cache: db.cache, Epochs: &db.reads.Epochs,
		Keyspaces: db.keyspaces, Events: db.events, BlockBytes: o.BlockBytes, FilterBits: o.FilterBits,
		Memory: &db.memory, Later: db.janitor.Add, MergeBytes: mergeBytes(o.MemoryBudget), BlobFileBytes: blobFiles * o.FileBytes,
		ParityPercent: o.ParityPercent, Lost: db.healer.Note,
	})
	db.versions.store = db.store
	db.budget = budget{
		memory: &db.memory, cache: db.cache,
		totalBytes: o.MemoryBudget, fixedBytes: int64(db.walConfig().BufferBytes),
	}
	db.reads.Init(view.Config{
		Clock: o.Clock, Timeline: db.timeline, Keyspaces: db.keyspaces, Store: db.store, Janitor: db.janitor,
		Hot: db.hot, TrackHandles: o.TrackHandles, Events: db.events, Installed: db.installed, Freed: db.budget.divide, SnapshotClosed: db.changed.Notify,
	})
	db.archive = feed.NewArchive(db.feedConfig(state.History))
	db.versions.archive = db.archive
	db.reserve = reserve.New(reserve.Config{
		FS: o.FS, Dir: db.dir, Events: db.events, Changed: &db.changed,
		Needs: db.keeper.needs, MakeSpace: db.archive.MakeSpace,
		MemtableBytes: int64(o.MemtableBytes), ReadOnly: o.ReadOnly,
	})
	db.spills = spill.New(spill.Config{
		Store: db.store, Epochs: &db.reads.Epochs, FileBytes: o.FileBytes, Writable: db.health.Writable,
		Admit: db.reserve.Admit, Stopped: db.stopped, Memory: &db.memory, MemtableBytes: o.MemtableBytes,
	})
	db.claims = claims{reads: &db.reads, claimed: map[base.FileNum]bool{}, damaged: map[base.FileNum]error{}}
	db.segments = segments.New(segments.Config{
		WAL: db.walConfig(), MaxBytes: int64(o.MemtableBytes), Health: &db.health, Reserve: db.reserve, Store: db.store,
		Archive: db.archive, Events: db.events, Janitor: db.janitor, Changed: &db.changed, Clock: o.Clock,
		RetryDelay: retryDelay,
		Edit: func(e *manifest.Edit, done func()) error {
			return db.reserve.Try(0, func() error {
				return db.versions.edit(e, func(*manifest.Version) { done() })
			})
		},
	})
	db.writer = writer.New(writer.Config{
		Reads: &db.reads, Keyspaces: db.keyspaces, Hot: db.hot, Memory: &db.memory, Timeline: db.timeline,
		Segments: db.segments, Health: &db.health, Reserve: db.reserve, Changed: &db.changed, Events: db.events, Clock: o.Clock, Stopped: db.stopped,
		MemtableBytes: o.MemtableBytes, AsyncDelay: o.AsyncDelay, L0Files: o.L0Files,
		FlushErr: db.flusher.outcome.Err, Published: db.archive.Wake,
	})
	db.flusher = flusher{
		reads: &db.reads, store: db.store, versions: &db.versions, segments: db.segments, reserve: db.reserve,
		archive: db.archive, keyspaces: db.keyspaces, claims: &db.claims, health: &db.health,
		writer: db.writer, memory: &db.memory, counters: &db.counters, events: db.events, clock: o.Clock, changed: &db.changed,
	}
	db.prover = prover.Prover{Reads: &db.reads, Commits: &db.commits}
	db.compactor = compactor{
		reads: &db.reads, store: db.store, versions: &db.versions, archive: db.archive, keyspaces: db.keyspaces,
		timeline: db.timeline, claims: &db.claims, health: &db.health, reserve: db.reserve, counters: &db.counters,
		events: db.events, clock: o.Clock, changed: &db.changed,
		l0Files: o.L0Files, baseBytes: baseLevelMemtables * uint64(o.MemtableBytes), fileBytes: o.FileBytes,
		pace: store.NewPace(o.Clock, o.CompactionBytesPerSecond), writersMax: compactionWriters(o.MemoryBudget, o.FileBytes),
	}
	db.keeper = keeper{
		reserve: db.reserve, reads: &db.reads, flush: db.Flush,
		changed: &db.changed, clock: o.Clock, fileBytes: o.FileBytes,
	}
	db.reaper = reaper{
		reads: &db.reads, claims: &db.claims, flush: db.Flush, changed: &db.changed, clock: o.Clock,
	}
	db.commits.Init(db.writer.Env())
}

// wireUpkeep makes what works on the whole database.
func (db *opener) wireUpkeep() {
	e := db.DB
	working := func(ctx context.Context, note func()) (done func(), err error) {
		return e.workers.Done, e.commits.Alone(ctx, func() error {
			if e.reads.Closed() {
				return base.ErrClosed
			}
			e.workers.Add(1)
			note()
			return nil
		})
	}
	db.sharing.Config = sharing.Config{
		Hot: db.hot, Cache: db.cache, Reads: &e.reads, Events: db.events, NextBytes: &e.budget.nextBytes,
		Divide: func() { e.reads.Update(func(*view.Change) {}) }, Alone: e.commits.Alone,
	}
	foundEnd := func() wal.Position { return e.recovered.end }
	db.Checkpoints = checkpoint.Taker{
		WAL: db.walConfig(), Outer: db.outer, Reads: &e.reads, Commits: &e.commits, Segments: db.segments, Archive: db.archive,
		Store: db.store, Janitor: db.janitor, Timeline: db.timeline, Look: e.versions.look,
		FoundEnd: foundEnd, Working: working, Stopped: db.stopped,
	}
	db.Verifier = verify.Online{
		WAL: db.walConfig(), Reads: &e.reads, Segments: db.segments, Archive: db.archive, Store: db.store, Janitor: db.janitor,
		Look: e.versions.look, Manifest: e.versions.verify, FoundEnd: foundEnd, Working: working, Stopped: db.stopped,
		Lost: e.healer.Note,
	}
	db.healer.Config = heal.Config{
		Store: db.store, Events: db.events, Clock: db.opts.Clock, RetryDelay: retryDelay,
		Admit: func() error { return errors.Join(e.health.Err(), e.writer.HasSpace()) },
	}
	e.expirer = expirer.Expirer{Reads: &e.reads, Clock: db.opts.Clock, Age: db.opts.HandleAge}
	e.scrubber.Every, e.scrubber.BytesPerSecond = db.opts.ScrubEvery, db.opts.ScrubBytesPerSecond
	e.scrubber.Clock, e.scrubber.Events, e.scrubber.Verify = db.opts.Clock, db.events, db.Verifier.Run
}

// blobFiles is how many times larger than other tables those with blobs are.
const blobFiles = 2

// mergeBytes is what the inputs of a compaction may read ahead.
func mergeBytes(budgetBytes int64) int64 { return min(max(budgetBytes/16, 512<<10), 8<<20) }

// compactionWriters is how many may write the output of a compaction side by side: the memory
// of each grows with its table, up to some mebibytes.
func compactionWriters(budgetBytes, fileBytes int64) int {
	return int(min(max(budgetBytes/min(16<<20, 32*fileBytes), 1), 8))
}

// maxLogBufferBytes bounds the buffer of the log; small budgets have a smaller one.
const maxLogBufferBytes = 1 << 20

func (db *DB) walConfig() wal.Config {
	return wal.Config{
		FS: db.opts.FS, Dir: db.dir, DBID: db.id,
		BufferBytes: int(min(maxLogBufferBytes, db.opts.MemoryBudget/32)),
	}
}

func (db *opener) feedConfig(history base.DBID) feed.Config {
	return feed.Config{
		WAL: db.walConfig(), History: history, Retention: db.opts.Archive, ReadOnly: db.opts.ReadOnly, Clock: db.opts.Clock,
		Events: db.events, Janitor: db.janitor, Keyspaces: db.keyspaces, Store: db.store,
		Stopped: db.stopped.Done(),
		Failure: func() error {
			if db.reads.Closed() {
				return base.ErrClosed
			}
			return db.health.Err()
		},
		VisibleSeq: db.reads.VisibleSeq,
		Durable: func() (base.SeqNum, wal.Position) {
			if log := db.segments.Log(); log != nil {
				return log.DurableSeq(), log.Durable()
			}
			return 0, 0
		},
		Sync: db.SyncLog,
	}
}

// installed follows a new read state.
func (db *DB) installed(s *view.State) {
	db.budget.divide(s)
	db.writer.Installed(s)
	db.sharing.Installed(s)
	db.changed.Notify()
}

func (db *DB) startWorkers() {
	for _, worker := range []func(context.Context){
		db.segments.Run, db.flusher.run, db.compactor.run, db.keeper.run, db.reaper.run, db.prover.Run,
		db.scrubber.Run, db.healer.Run,
	} {
		db.workers.Go(func() { worker(db.stopped) })
	}
}
