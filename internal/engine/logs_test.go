package engine

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/base"
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
		must(t, db.changed.Wait(context.Background(), db.segments.Ready))
		known := map[base.FileNum]bool{}
		for _, n := range db.segments.All() {
			known[n] = true
		}
		names, err := fs.List("db")
		must(t, err)
		for _, name := range names {
			if n, ok := fileNumOf(name); ok && strings.HasSuffix(name, ".wal") && !known[n] {
				t.Errorf("%s is forgotten", name)
			}
		}
	})
}
