package segments

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// database is what segments work with: a manifest that only notes its edits.
type database struct {
	*Segments
	fs      *memfs.FS
	archive *feed.Archive
	janitor *janitor.Janitor
	changed signal.Changes
	health  health.Health

	mu     sync.Mutex
	edits  []manifest.Edit
	refuse error
	before func(e *manifest.Edit) // called before an edit takes effect
}

// begin starts a log at position 0, in a new directory.
func begin(t testing.TB) *database {
	t.Helper()
	db := &database{fs: memfs.New(), janitor: janitor.New(), before: func(*manifest.Edit) {}}
	must(t, errors.Join(db.fs.MkdirAll("db"), db.fs.SyncDir("")))
	events := event.NewSink(slog.New(slog.DiscardHandler))
	db.health.Config = health.Config{
		Events: events, Closed: func() bool { return false }, Failed: db.changed.Notify,
	}
	config := wal.Config{FS: db.fs, Dir: "db", BufferBytes: 64 << 10}
	tables := store.New(store.Config{FS: db.fs, Dir: "db", Events: events})
	tables.SkipFileNums(1)
	db.archive = feed.NewArchive(feed.Config{WAL: config, Clock: clock.System, Events: events, Janitor: db.janitor})
	db.Segments = New(Config{
		WAL: config, MaxBytes: 1 << 20, Health: &db.health, Store: tables, Archive: db.archive, Events: events,
		Janitor: db.janitor, Changed: &db.changed, Clock: clock.System, RetryDelay: time.Second, Edit: db.edit,
	})
	_, err := db.Begin(&manifest.Edit{}, 0, 0)
	must(t, err)
	t.Cleanup(func() {
		db.StopTimer()
		db.janitor.Stop()
		if err := db.Log().Close(); err != nil && !errors.Is(err, base.ErrClosed) {
			t.Error(err)
		}
	})
	return db
}

func (db *database) edit(e *manifest.Edit, done func()) error {
	db.before(e)
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.refuse != nil {
		return db.refuse
	}
	db.edits = append(db.edits, *e)
	done()
	return nil
}

// named are the segments that the manifest names.
func (db *database) named() (live []base.FileNum) {
	for _, e := range db.edits {
		for _, l := range e.AddLogs {
			live = append(live, l.Num)
		}
		live = slices.DeleteFunc(live, func(n base.FileNum) bool { return slices.Contains(e.RemoveLogs, n) })
	}
	return live
}

// files are the segments in the directory.
func (db *database) files(t testing.TB) (nums []base.FileNum) {
	t.Helper()
	names, err := db.fs.List("db")
	must(t, err)
	for _, name := range names {
		if n, ok := wal.ParseFileName(name); ok {
			nums = append(nums, n)
		}
	}
	slices.Sort(nums)
	return nums
}

// rotate writes a group with one number and goes on in a new segment.
func (db *database) rotate(t testing.TB, seq base.SeqNum) base.FileNum {
	t.Helper()
	must(t, db.prepare())
	must(t, db.Append(seq, seq, [][]byte{{1, 0, 0, 0, byte(base.KindDelete), 1, 'k'}}))
	num, start, err := db.Rotate(seq)
	must(t, err)
	if start != db.Log().Appended() || db.CurrentBytes() != 0 || db.Ready() {
		t.Errorf("segment %d begins at %d of %d, ready %v", num, start, db.Log().Appended(), db.Ready())
	}
	return num
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, what string, got, want []base.FileNum) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Of the segments that flushes set free the newest is kept, to be used again: it
// is where a feed may be reading. The files of the others go, and the archive
// knows before that.
func TestDropKeepsTheNewest(t *testing.T) {
	db := begin(t)
	current := base.FileNum(0)
	for seq := range base.SeqNum(4) {
		current = db.rotate(t, seq+1)
	}
	first := db.named()
	gone := db.Before(current)
	expect(t, "before the current one", gone, first[:4])
	db.Drop(gone)
	settle(db)
	expect(t, "named", db.All(), []base.FileNum{current, first[3]})
	expect(t, "in the directory", db.files(t), []base.FileNum{first[3], current})
	if n := len(db.archive.Extents()); n != 2 {
		t.Errorf("feeds can read %d segments", n)
	}
	// It is used again under a new number, and no feed finds it any more.
	must(t, db.prepare())
	if n := len(db.archive.Extents()); n != 1 {
		t.Errorf("feeds can read %d segments, of which one is used again", n)
	}
	if files := db.files(t); len(files) != 2 || slices.Contains(files, first[3]) {
		t.Errorf("in the directory: %v", files)
	}
}

// settle waits for the janitor.
func settle(db *database) {
	done := make(chan struct{})
	db.janitor.Add(func() { close(done) })
	<-done
}

// A segment is ready once the manifest names it.
func TestSegmentIsReadyOnceNamed(t *testing.T) {
	db := begin(t)
	db.before = func(*manifest.Edit) {
		if db.Ready() || db.Count() != 1 {
			t.Error("a segment is ready that the manifest does not name")
		}
	}
	must(t, db.prepare())
	if !db.Ready() || !slices.Equal(db.All(), db.named()) {
		t.Errorf("ready %v, %v of %v", db.Ready(), db.All(), db.named())
	}
}

// What a full disk has refused leaves no file behind.
func TestRefusedSegmentIsRemoved(t *testing.T) {
	db := begin(t)
	before := db.files(t)
	db.refuse = manifest.ErrRefused
	if err := db.prepare(); !errors.Is(err, manifest.ErrRefused) {
		t.Fatal(err)
	}
	expect(t, "in the directory", db.files(t), before)
	// What may be in the manifest stays.
	db.refuse = errors.New("sync")
	if err := db.prepare(); err == nil || len(db.files(t)) != len(before)+1 {
		t.Errorf("%v, %v", err, db.files(t))
	}
}

// The worker has the next segment ready, makes durable what a rotation left, and
// goes on after a failure.
func TestWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := begin(t)
		db.refuse = errors.New("not now")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); db.Run(ctx) }()
		synctest.Wait()
		if db.Ready() || db.Err() == nil {
			t.Errorf("ready %v, %v", db.Ready(), db.Err())
		}
		db.mu.Lock()
		db.refuse = nil
		db.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if !db.Ready() || db.Err() != nil {
			t.Errorf("ready %v, %v after a pause", db.Ready(), db.Err())
		}
		must(t, db.Append(1, 1, [][]byte{{1, 0, 0, 0, byte(base.KindDelete), 1, 'k'}}))
		_, start, err := db.Rotate(1)
		must(t, err)
		db.changed.Notify()
		synctest.Wait()
		if !db.Ready() || db.Log().Durable() < start {
			t.Errorf("ready %v; %d of %d is durable", db.Ready(), db.Log().Durable(), start)
		}
		cancel()
		<-done
	})
}

// The worker tells the manifest of a segment that has grown, once that is durable;
// also of one that was rotated away from meanwhile.
func TestGrowthIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := begin(t)
		var known []manifest.LogSize
		db.before = func(e *manifest.Edit) {
			for _, l := range e.GrowLogs {
				f, err := db.fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone}).Open(filepath.Join("db", wal.FileName(l.Num)))
				must(t, err)
				size, err := f.Size()
				must(t, errors.Join(err, f.Close()))
				if size != l.SizeBytes {
					t.Errorf("%+v, and a power cut leaves %d bytes", l, size)
				}
			}
			known = append(known, e.GrowLogs...)
		}
		must(t, db.prepare())
		first := db.named()[0]
		large := make([]byte, 300<<10)
		must(t, db.Append(1, 1, [][]byte{large}))
		grown := db.Log().SegmentBytes()
		_, _, err := db.Rotate(1)
		must(t, err)
		must(t, db.Append(2, 2, [][]byte{large}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); db.Run(ctx) }()
		synctest.Wait()
		second := db.named()[1]
		want := []manifest.LogSize{{Num: first, SizeBytes: grown}, {Num: second, SizeBytes: db.Log().SegmentBytes()}}
		if !slices.Equal(known, want) || db.hasGrown() {
			t.Errorf("the manifest knows %v, not %v", known, want)
		}
		cancel()
		<-done
	})
}

// An Async write reaches the system after its delay, and one timer is enough for
// all that come before.
func TestFlushLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := begin(t)
		name := filepath.Join("db", wal.FileName(db.named()[0]))
		for i := range 2 {
			must(t, db.Append(base.SeqNum(i+1), base.SeqNum(i+1), [][]byte{{1, 0, 0, 0, byte(base.KindDelete), 1, 'k'}}))
			db.FlushLater(time.Minute)
			time.Sleep(20 * time.Second)
		}
		if written(t, db.fs, name) != 0 {
			t.Error("it was written at once")
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := written(t, db.fs, name); got == 0 {
			t.Error("it was not written after the delay")
		}
	})
}

// written counts the bytes of a file behind its header that are not zero.
func written(t testing.TB, fs *memfs.FS, name string) (n int) {
	t.Helper()
	f, err := fs.Open(name)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	for _, c := range b[128:] {
		if c != 0 {
			n++
		}
	}
	return n
}

// In the end the manifest names no segment, and then their files go.
func TestDropAll(t *testing.T) {
	db := begin(t)
	current := db.rotate(t, 1)
	db.Drop(db.Before(current)) // one is free now
	must(t, db.prepare())
	must(t, db.Append(2, 2, [][]byte{{1, 0, 0, 0, byte(base.KindDelete), 1, 'k'}}))
	end := db.Log().Appended()
	db.edits = append(db.edits, manifest.Edit{RemoveLogs: db.named()[:1]}) // as the flush said
	db.before = func(*manifest.Edit) {
		if n := len(db.files(t)); n < 2 {
			t.Errorf("%d files are there while the manifest names them", n)
		}
	}
	must(t, db.DropAll(2))
	expect(t, "named", db.named(), nil)
	expect(t, "in the directory", db.files(t), nil)
	if last := db.edits[len(db.edits)-1]; wal.Position(last.LogStart) < end {
		t.Errorf("the log goes on at %d, and ended at %d", last.LogStart, end)
	}
}

// The log is needed from the oldest memory on that has no table.
func TestNeeded(t *testing.T) {
	at := func(n int) *view.Flushable {
		return &view.Flushable{FirstLog: base.FileNum(n), FirstPosition: wal.Position(100 * n)}
	}
	s := &view.State{Mem: at(4), Immutables: []*view.Flushable{at(3), at(2), at(1)}}
	for flushed, want := range map[int]int{0: 1, 1: 2, 2: 3, 3: 4} {
		if n, position := Needed(s, flushed); int(n) != want || int(position) != 100*want {
			t.Errorf("after %d flushes segment %d is needed, from %d on", flushed, n, position)
		}
	}
}
