package engine

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checkpoint"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A log segment that cannot be recycled is removed. It used to be forgotten:
// nobody used it and nobody deleted it before the next open, which on a full
// disk is the space that was missing.
func TestUnusableLogIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		faulty := faultfs.New(fs)
		opts := testOptions(faulty)
		retries := make(chan struct{}, 1)
		opts.Clock = retryClock{opts.Clock, retries}
		db := openTest(t, opts)
		defer db.Close()
		broken := faulty.Add(faultfs.Rule{Kinds: vfs.OpRename, Name: "*.wal", Err: syscall.EIO})
		for broken.Fired() == 0 {
			fill(t, db, "a", 10)
			if err := db.Flush(context.Background()); err != nil && broken.Fired() == 0 {
				t.Fatal(err)
			}
		}
		<-retries // it has failed
		must(t, db.changed.Wait(context.Background(), func() bool { return db.segments.Prepared() != 0 }))
		known := map[base.FileNum]bool{}
		for _, n := range db.segments.All() {
			known[n] = true
		}
		names, err := fs.List("db")
		must(t, err)
		for _, name := range names {
			if n, ok := checkpoint.FileNum(name); ok && strings.HasSuffix(name, ".wal") && !known[n] {
				t.Errorf("%s is forgotten", name)
			}
		}
	})
}

// Memtables share a segment of the log while no other is prepared, and commits do not wait
// for one. A flush leaves the log of the others in it, and a power loss takes nothing.
func TestMemtablesShareALogSegment(t *testing.T) {
	under := memfs.New()
	faulty := faultfs.New(under)
	db := openTest(t, testOptions(faulty))
	must(t, db.changed.Wait(t.Context(), func() bool { return db.segments.Prepared() != 0 }))
	faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate | vfs.OpRename, Name: "*.wal", Err: syscall.EIO, Sticky: true})
	rows, flushed := map[string]string{}, 0
	put := func(i int) {
		key, value := fmt.Sprintf("%04d", i), strings.Repeat("v", 1<<10)
		must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte(value), commit.Sync))
		rows[key] = value
	}
	// The first memtable takes the segment that was ready, and the next ones share it.
	for i := 0; flushed < 3; i++ {
		before := db.reads.State().Mem
		put(i)
		if mem := db.reads.State().Mem; mem != before {
			flushed++
			must(t, db.flusher.await(t.Context(), t.Context(), db.reads.VisibleSeq()-1))
			if shares := mem.FirstLog == before.FirstLog; shares != (flushed > 1) {
				t.Errorf("memtable %d shares the segment: %v", flushed, shares)
			}
		}
	}
	crashed := under.Crash(memfs.CrashOptions{})
	faulty.Reset()
	must(t, db.Close())
	again := openTest(t, testOptions(crashed))
	defer again.Close()
	expectRows(t, "after a power loss", again.Reads().AppendGet, rows)
}
