package writer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/leak"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/reserve"
	"github.com/lightningdb/lightning/internal/segments"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

var errInjected = errors.New("injected")

// room is what commits go through, without tables: memtables wait for a flush that
// the test does, by forgetting them.
type room struct {
	*Writer
	commit.Pipeline
	t        testing.TB
	fs       *faultfs.FS
	reads    view.Reader
	segments *segments.Segments
	reserve  *reserve.Reserve
	health   health.Health
	changed  signal.Changes
	memory   offheap.Accountant
	timeline *timeline.Timeline
	stop     context.CancelFunc

	mu        sync.Mutex
	flushErr  error
	published int
	hot       *hotcache.Cache
}

// A group of nearlyFull kilobytes fits in an empty memtable, one of tooLarge does not.
const (
	memtableBytes = 256 << 10
	nearlyFull    = 180
	tooLarge      = 300
)

// newRoom returns a room whose log has begun and whose next segment is ready. Inside
// a bubble it follows the bubble's time.
func newRoom(t testing.TB) *room {
	t.Helper()
	r := &room{t: t, fs: faultfs.New(memfs.New())}
	must(t, r.fs.MkdirAll("db"))
	events := event.NewSink(slog.New(slog.DiscardHandler), nil)
	cleaner := janitor.New()
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	cache := framecache.New(framecache.Config{CapacityBytes: 1 << 20, Epochs: &r.reads.Epochs, Memory: &r.memory})
	operators, err := merge.NewRegistry(nil)
	must(t, err)
	keyspaces := keyspace.NewRegistry(keyspace.Config{
		Codec: func(int, bool) compress.Policy { return compress.Policy{} }, Operators: operators,
	})
	for id, operator := range []string{1: merge.Append, 2: merge.Max, 3: merge.JSONPatch} {
		if id > 0 {
			k := manifest.Keyspace{ID: uint64(id), Name: operator, Merge: operator}
			must(t, keyspaces.Apply(keyspace.Act{ID: k.ID, Keyspace: &k}))
		}
	}
	r.health.Config = health.Config{Events: events, Closed: r.reads.Closed, Failed: r.changed.Notify}
	r.timeline = timeline.New(clock.System, nil)
	r.timeline.Start(0)
	tables := store.New(store.Config{FS: r.fs, Dir: "db", Files: filepool.New(r.fs, 8), Cache: cache, Epochs: &r.reads.Epochs, Keyspaces: keyspaces, Events: events})
	tables.SkipFileNums(1)
	if r.hot, err = hotcache.New(hotcache.Config{SizeBytes: 64 << 10, Memory: &r.memory}); err != nil {
		t.Fatal(err)
	}
	walConfig := wal.Config{FS: r.fs, Dir: "db", BufferBytes: 64 << 10}
	archive := feed.NewArchive(feed.Config{WAL: walConfig, Clock: clock.System, Events: events, Janitor: cleaner})
	r.reserve = reserve.New(reserve.Config{
		FS: r.fs, Dir: "db", Events: events, Changed: &r.changed, MemtableBytes: memtableBytes,
		MakeSpace: archive.MakeSpace,
		Needs:     func() reserve.Needs { return reserve.Needs{UnflushedBytes: r.reads.State().UnflushedBytes()} },
	})
	r.segments = segments.New(segments.Config{
		WAL: walConfig, MaxBytes: memtableBytes, Health: &r.health, Reserve: r.reserve, Store: tables, Archive: archive, Events: events,
		Janitor: cleaner, Changed: &r.changed, Clock: clock.System, RetryDelay: time.Second,
		Edit: func(_ *manifest.Edit, done func()) error { done(); return nil },
	})
	r.Writer = New(Config{
		Reads: &r.reads, Keyspaces: keyspaces, Hot: r.hot, Memory: &r.memory, Timeline: r.timeline, Segments: r.segments,
		Health: &r.health, Reserve: r.reserve, Changed: &r.changed, Events: events, Clock: clock.System, Stopped: ctx,
		MemtableBytes: memtableBytes, AsyncDelay: time.Millisecond, L0Files: 4,
		FlushErr:  func() error { r.mu.Lock(); defer r.mu.Unlock(); return r.flushErr },
		Published: func() { r.mu.Lock(); defer r.mu.Unlock(); r.published++ },
	})
	r.reads.Init(view.Config{
		Clock: clock.System, Timeline: r.timeline, Keyspaces: keyspaces, Store: tables, Janitor: cleaner, Hot: r.hot,
		Installed: func(s *view.State) { r.Installed(s); r.changed.Notify() }, Freed: func(*view.State) {}, SnapshotClosed: func() {},
	})
	mem, err := view.NewMemtable(&r.memory, memtableBytes)
	must(t, err)
	mem.FirstLog, err = r.segments.Begin(&manifest.Edit{}, 0, 0)
	must(t, err)
	r.reads.Update(func(c *view.Change) { c.Mem, c.Tree = mem, tables.NewTree(new(manifest.Version)) })
	r.reserve.Take()
	r.Pipeline.Init(r.Env())
	worker := make(chan struct{})
	go func() { defer close(worker); r.segments.Run(ctx) }()
	must(t, r.changed.Wait(ctx, func() bool { return r.segments.Prepared() != 0 }))
	t.Cleanup(func() {
		cancel()
		<-worker
		r.segments.StopTimer()
		_ = r.segments.Log().Close() // it may have failed
		if err := r.reads.Leaks(); err != nil {
			t.Error(err)
		}
		if !r.reads.Close() {
			r.reads.GiveUp()
		}
		cleaner.Stop()
		r.hot.Free()
		cache.Close()
		if n := r.memory.Total(); n != 0 {
			t.Errorf("%d bytes of memory were not given back", n)
		}
	})
	return r
}

// forget does the flush of the oldest immutable memtable.
func (r *room) forget() {
	r.reads.Update(func(c *view.Change) { c.Immutables = c.Immutables[:len(c.Immutables)-1] })
	r.changed.Notify()
}

// group is a group of one batch as the pipeline makes it, in numbers that follow.
func group(b *batch.Batch, first base.SeqNum) *commit.Group {
	return &commit.Group{
		First: first, Last: first + base.SeqNum(b.Len()) - 1, Payloads: [][]byte{b.Bytes()}, Records: b.Len(),
		SizeBytes: int64(b.SizeBytes()), MemtableBytes: b.MemtableBytes(), Merges: b.Merges(), Expires: b.Expires(),
	}
}

// sized returns a batch of records of a kilobyte.
func sized(t testing.TB, kilobytes int) *batch.Batch {
	t.Helper()
	var b batch.Batch
	value := bytes.Repeat([]byte("v"), 1<<10-20)
	for i := range kilobytes {
		must(t, b.Set(nil, []byte{0, byte(i >> 8), byte(i)}, value))
	}
	return &b
}

// set commits a key.
func (r *room) set(key, value string) error {
	return r.Set(nil, nil, []byte(key), []byte(value), commit.Async)
}

// get returns what is visible of a key, "-" if there is nothing.
func (r *room) get(key string) string {
	r.t.Helper()
	value, err := r.reads.AppendGet(nil, []byte(key))
	if err == base.ErrNotFound {
		return "-"
	}
	must(r.t, err)
	return string(value)
}

// parts describes the state: of each part in memory how many records it has, the
// newest first; L is one of sorted batches.
func (r *room) parts() string {
	s := r.reads.State()
	text := []string{}
	for _, m := range append([]*view.Flushable{s.Mem}, s.Immutables...) {
		n := 0
		it := m.NewIter()
		for rec := it.First(); rec != nil; rec = it.Next() {
			n++
		}
		must(r.t, it.Close())
		kind := "M"
		if m.Table == nil {
			kind = "L"
		}
		text = append(text, kind+string(rune('0'+min(n, 9))))
	}
	return strings.Join(text, " ")
}

func (r *room) expectParts(want string) {
	r.t.Helper()
	if got := r.parts(); got != want {
		r.t.Errorf("in memory are %s, want %s", got, want)
	}
}

// versions describes the stored versions of a key in the memtable, newest first.
func (r *room) versions(key string) string {
	var out []string
	it := r.reads.State().Mem.NewIter()
	for rec := it.SeekGE([]byte(key)); rec != nil && bytes.Equal(rec.Key, []byte(key)); rec = it.Next() {
		out = append(out, rec.Trailer.Kind().String())
	}
	must(r.t, it.Close())
	return strings.Join(out, " ")
}
