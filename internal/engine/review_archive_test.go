package engine

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Where a crash has left a segment beside its copy, the open archives it again while it
// looks for orphans. The copy that stays is none.
func TestHistoryOfACopyBesideItsSegment(t *testing.T) {
	under := memfs.New()
	faulty := faultfs.New(under)
	db := openTest(t, historyTestOptions(faulty))
	fill(t, db, "a", 100)
	must(t, db.SyncLog())
	must(t, under.MkdirAll("backup"))
	for _, name := range fileNames(t, under, ".wal") {
		must(t, under.Link(filepath.Join("db", name), filepath.Join("backup", name)))
	}
	want := mustReadFeed(t, db, 1)
	faulty.Add(faultfs.Rule{Kinds: vfs.OpRemove, Name: "*.wal", Sticky: true, Err: syscall.EIO})
	must(t, db.commits.Alone(context.Background(), db.rotate))
	must(t, db.changed.Wait(t.Context(), func() bool { return len(db.reads.State().Immutables) == 0 }))
	settleHistory(db)
	must(t, db.Close())
	faulty.Reset()
	archived := fileNames(t, under, ".archive")
	if len(archived) == 0 {
		t.Fatal("nothing was copied")
	}
	segment := strings.TrimSuffix(archived[0], ".archive") + ".wal"
	if !slices.Contains(fileNames(t, under, ".wal"), segment) {
		t.Fatalf("%s has gone", segment)
	}

	// The janitor is done with the segment between the look at the copy and its removal.
	atCopy := make(chan struct{})
	faulty.Add(faultfs.Rule{Kinds: vfs.OpRemove, Name: segment, Before: func(vfs.Op) {
		select {
		case <-atCopy:
		case <-time.After(200 * time.Millisecond):
		}
	}})
	faulty.Add(faultfs.Rule{Kinds: vfs.OpRemove, Name: archived[0], Before: func(vfs.Op) {
		close(atCopy)
		for range 1000 {
			if _, err := under.Stat(filepath.Join("db", segment)); errors.Is(err, fs.ErrNotExist) {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}})
	db = openTest(t, historyTestOptions(faulty))
	settleHistory(db)
	if lines, err := readFeed(t, db, 1); err != nil || !slices.Equal(lines, want) {
		t.Errorf("%d commits, want %d: %v; files %v", len(lines), len(want), err, fileNames(t, under, ".archive"))
	}
	must(t, db.Close())
}
