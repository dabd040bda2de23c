package engine

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// The tests of this file stop a flush or a compaction at its first file and
// look at what goes on meanwhile.

// stall makes the next creation of a table wait for the returned function, and
// tells when it has come to that.
func stall(fs *faultfs.FS) (reached chan struct{}, release func()) {
	reached = make(chan struct{})
	goOn := make(chan struct{})
	fs.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Before: func(vfs.Op) {
		close(reached)
		<-goOn
	}})
	return reached, func() { close(goOn) }
}

// expectRows looks up rows of the default keyspace; an empty value stands for a
// key that must not be there.
func expectRows(t *testing.T, when string, get func(dst, key []byte) ([]byte, error), rows map[string]string) {
	t.Helper()
	for key, want := range rows {
		v, err := get(nil, append([]byte{0}, key...))
		if want == "" && !errors.Is(err, base.ErrNotFound) || want != "" && (err != nil || string(v) != want) {
			t.Errorf("%s: %s is %.20q (%v), want %.20q", when, key, v, err, want)
		}
	}
}

// A flush lets go of no more of the log than it has made superfluous. What was
// written while it was at work, to memtables or as a large batch, is in the log
// alone when the flush is installed, and a power loss right then must leave it.
func TestFlushKeepsTheLogOfNewerWrites(t *testing.T) {
	for _, large := range []bool{false, true} {
		under := memfs.New()
		faulty := faultfs.New(under)
		db := openTest(t, testOptions(faulty))
		reached, release := stall(faulty)
		var crashed *memfs.FS
		second := make(chan struct{})
		faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Nth: 2, Before: func(vfs.Op) {
			crashed = under.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
			close(second)
		}})
		rows := map[string]string{"a": "1", "b": "2", "c": "3"}
		if large {
			rows["b"] = string(bytes.Repeat([]byte("b"), 100<<10)) // more than a memtable
		}
		put := func(key string) {
			t.Helper()
			must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte(rows[key]), commit.Sync))
		}
		put("a")
		must(t, db.commits.Alone(context.Background(), db.rotate))
		<-reached
		put("b")
		if !large {
			must(t, db.commits.Alone(context.Background(), db.rotate))
		}
		put("c")
		release()
		<-second
		must(t, db.Close())
		db = openTest(t, testOptions(crashed))
		expectRows(t, "after a power loss behind the flush", db.Reads().AppendGet, rows)
		must(t, db.Close())
	}
}

// What waits for its flush is read like everything else: versions, deletes and
// range deletes, by readers of now and of before.
func TestReadsBesideFlush(t *testing.T) {
	faulty := faultfs.New(memfs.New())
	db := openTest(t, testOptions(faulty))
	reached, release := stall(faulty)
	set := func(key, value string) {
		t.Helper()
		must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte(value), commit.Async))
	}
	set("a", "1")
	set("b", "1")
	set("c", "1")
	before, err := db.Reads().Snapshot()
	must(t, err)
	must(t, db.commits.Alone(context.Background(), db.rotate))
	<-reached
	must(t, db.Commits().DeleteRange(nil, []byte("\x00a"), []byte("\x00b"), commit.Async))
	must(t, db.Commits().Delete(nil, []byte{0}, []byte("c"), commit.Async))
	b := new(batch.Batch) // makes the third memory: a large one
	must(t, b.Set([]byte{0}, []byte("b"), bytes.Repeat([]byte("b"), 100<<10)))
	must(t, b.Set([]byte{0}, []byte("d"), []byte("2")))
	rows := map[string]string{"a": "", "b": "1", "c": "", "d": ""}
	expectRows(t, "one memtable waits", db.Reads().AppendGet, rows)
	must(t, db.commits.Alone(context.Background(), db.rotate))
	expectRows(t, "two memtables wait", db.Reads().AppendGet, rows)
	expectRows(t, "two memtables wait, snapshot", before.AppendGet, map[string]string{"a": "1", "b": "1", "c": "1", "d": ""})
	release()
	must(t, db.Flush(context.Background()))

	reached, release = stall(faulty)
	set("e", "2")
	middle, err := db.Reads().Snapshot()
	must(t, err)
	must(t, db.Commit(t.Context(), b, commit.Async)) // rotates
	<-reached
	rows["b"], rows["d"], rows["e"] = string(bytes.Repeat([]byte("b"), 100<<10)), "2", "2"
	expectRows(t, "a large batch waits", db.Reads().AppendGet, rows)
	expectRows(t, "a large batch waits, snapshot", middle.AppendGet, map[string]string{"b": "1", "d": "", "e": "2"})
	release()
	must(t, before.Close())
	must(t, middle.Close())
	must(t, db.Close())
}

// A flush whose range delete covers the inputs of a running compaction leaves
// them to it. If it took them away, the compaction would remove them a second
// time, which the manifest refuses, and the database would refuse writes.
func TestFlushLeavesInputsOfRunningCompaction(t *testing.T) {
	ctx := context.Background()
	faulty := faultfs.New(memfs.New())
	db := openTest(t, testOptions(faulty))
	fillFile(t, db, "a", 300)
	fillFile(t, db, "a", 300)
	reached, release := stall(faulty)
	compacted := make(chan error)
	go func() { compacted <- db.Compact(ctx, nil, nil) }()
	<-reached
	must(t, db.Commits().DeleteRange(nil, []byte("\x00"), []byte("\x01"), commit.Sync))
	must(t, db.Flush(ctx))
	release()
	must(t, <-compacted)
	must(t, db.Commits().Set(nil, []byte{0}, []byte("after"), nil, commit.Sync))
	expectRows(t, "after the compaction", db.Reads().AppendGet, map[string]string{"a00000": "", "a00299": ""})
	must(t, db.Close())
}

// A log segment that was rotated away from becomes durable soon, even if no
// commit asks for it and no table can be written.
func TestRotatedLogBecomesDurable(t *testing.T) {
	under := memfs.New()
	faulty := faultfs.New(under)
	db := openTest(t, testOptions(faulty))
	faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO})
	must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), []byte("1"), commit.Async))
	end := db.segments.Log().Appended()
	must(t, db.commits.Alone(context.Background(), db.rotate))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must(t, db.changed.Wait(ctx, func() bool { return db.segments.Log().Durable() >= end }))
	crashed := openTest(t, testOptions(under.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})))
	expectRows(t, "after a power loss", crashed.Reads().AppendGet, map[string]string{"a": "1"})
	must(t, crashed.Close())
	db.Close() // cannot flush
}

// Nothing goes into a log segment before the manifest names it durably: a crash
// would leave a segment that nobody replays. So while that edit is held up, a
// commit that needs the segment is not acknowledged, or survives a crash.
func TestLogIsNamedBeforeItsFirstRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under := memfs.New()
		faulty := faultfs.New(under)
		db := openTest(t, testOptions(faulty))
		synctest.Wait()
		faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO})
		goOn := make(chan struct{})
		faulty.Add(faultfs.Rule{Kinds: vfs.OpWrite, Name: "*.manifest", Before: func(vfs.Op) { <-goOn }})
		must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), []byte("1"), commit.Sync))
		must(t, db.commits.Alone(context.Background(), db.rotate)) // into the segment that was ready
		done := make(chan error, 1)
		go func() {
			err := db.commits.Alone(context.Background(), func() error {
				return db.rotate()
			})
			if err == nil {
				err = db.Commits().Set(nil, []byte{0}, []byte("b"), []byte("2"), commit.Sync)
			}
			done <- err
		}()
		synctest.Wait()
		acknowledged := len(done) == 1
		crashed := openTest(t, testOptions(under.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})))
		rows := map[string]string{"a": "1"}
		if acknowledged {
			rows["b"] = "2"
		}
		expectRows(t, "after a power loss", crashed.Reads().AppendGet, rows)
		must(t, crashed.Close())
		close(goOn)
		must(t, <-done)
		db.Close() // cannot flush
	})
}

// exchangingFS puts another intact table of the same size in the place of each
// new one, as a disk does that loses a write to a file that is used again.
type exchangingFS struct {
	vfs.FS
	other func(name string)
}

type exchangedFile struct {
	vfs.File
	closed func()
}

func (f *exchangingFS) Create(name string) (vfs.File, error) {
	file, err := f.FS.Create(name)
	if err != nil || filepath.Ext(name) != ".sst" || f.other == nil {
		return file, err
	}
	return exchangedFile{file, func() { f.other(name) }}, nil
}

func (f exchangedFile) Close() error {
	err := f.File.Close()
	f.closed()
	return err
}

// A table that reads back intact, but holds something else than what was
// written, replaces nothing.
func TestExchangedOutputIsRefused(t *testing.T) {
	under := memfs.New()
	fs := &exchangingFS{FS: under}
	opts := testOptions(fs)
	opts.HotCacheBytes = 0
	db := openTest(t, opts)
	fs.other = func(name string) {
		num, _ := store.ParseTableName(filepath.Base(name))
		f, err := under.Create(name)
		must(t, err)
		w := sstable.NewWriter(f, sstable.WriterOptions{
			DBID: db.id, FileNum: num, BlockSizeBytes: opts.BlockBytes, FilterBitsPerKey: opts.FilterBits,
		})
		must(t, w.Add([]byte("\x00a"), base.MakeTrailer(1, base.KindSet), []byte("other")))
		_, err = w.Finish(nil, nil)
		must(t, err)
	}
	must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), []byte("value"), commit.Sync))
	if err := db.Flush(context.Background()); !errors.Is(err, store.ErrOutputDiffers) {
		t.Errorf("flush into an exchanged table: %v", err)
	}
	expectRows(t, "after the flush", db.Reads().AppendGet, map[string]string{"a": "value"})
	db.Close() // cannot flush
}

// A flush that fails leaves no file behind, and can be tried again.
func TestFailedFlushLeavesNoTable(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpSyncData, vfs.OpRead} {
		fs := memfs.New()
		faulty := faultfs.New(fs)
		db := openTest(t, testOptions(faulty))
		must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), []byte("1"), commit.Sync))
		faulty.Add(faultfs.Rule{Kinds: kind, Name: "*.sst", Err: syscall.EIO})
		if err := db.Flush(context.Background()); !errors.Is(err, syscall.EIO) {
			t.Errorf("flush with a failed %v: %v", kind, err)
		}
		names, err := fs.List("db")
		must(t, err)
		for _, name := range names {
			if filepath.Ext(name) == ".sst" {
				t.Errorf("a failed %v leaves %s", kind, name)
			}
		}
		must(t, db.Close())
		db = openTest(t, testOptions(fs))
		expectRows(t, "after a reopen", db.Reads().AppendGet, map[string]string{"a": "1"})
		must(t, db.Close())
	}
}

// Close waits for a read that is under way before it closes the files: the read
// finds what it looks for.
func TestCloseWaitsForReads(t *testing.T) {
	faulty := faultfs.New(memfs.New())
	opts := testOptions(faulty)
	db := openTest(t, opts)
	fillFile(t, db, "a", 300)
	read := func(row string) error {
		_, err := db.Reads().AppendGet(nil, append([]byte{0}, row...))
		return err
	}
	must(t, read("a00000")) // opens the table
	reached, goOn := make(chan struct{}), make(chan struct{})
	faulty.Add(faultfs.Rule{Kinds: vfs.OpRead, Name: "*.sst", Before: func(vfs.Op) {
		close(reached)
		<-goOn
	}})
	done, closed := make(chan error, 1), make(chan error, 1)
	go func() { done <- read("a00299") }()
	<-reached
	go func() { closed <- db.Close() }()
	<-db.stopped.Done()
	spin()
	close(goOn)
	if err := <-done; err != nil {
		t.Errorf("a read that Close had to wait for: %v", err)
	}
	must(t, <-closed)
}

// spin gives other goroutines a while to do what they should not.
func spin() {
	for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); {
		runtime.Gosched()
	}
}

// What GetFunc shows stays in memory during the call, whatever is flushed,
// compacted or closed meanwhile, and Close waits for the call.
func TestMemoryOutlivesReaders(t *testing.T) {
	value := bytes.Repeat([]byte("v"), 1000)
	for _, table := range []bool{false, true} {
		db := openTest(t, testOptions(memfs.New()))
		must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), value, commit.Async))
		if table {
			must(t, db.Flush(context.Background()))
		}
		closed := make(chan error, 1)
		err := db.Reads().GetFunc([]byte("\x00a"), func(v []byte) error {
			must(t, db.Flush(context.Background()))
			fillFile(t, db, "b", 100)
			go func() { closed <- db.Close() }()
			spin()
			if len(closed) != 0 {
				t.Error("Close did not wait for the reader")
			}
			if !bytes.Equal(v, value) {
				t.Error("the value changed under the reader")
			}
			return nil
		})
		must(t, err)
		must(t, <-closed)
	}
}
