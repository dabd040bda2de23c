package torture

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/model"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestFullDiskInLogSegment fills the disk while a log segment outgrows its
// prepared size. The write of a group once failed in the middle, which must
// poison the log: the database refused all writes until it was opened again,
// however much space came back.
func TestFullDiskInLogSegment(t *testing.T) {
	for _, d := range []lightning.Durability{lightning.Sync, lightning.Flush, lightning.Async} {
		t.Run(d.String(), func(t *testing.T) {
			fs := memfs.New()
			opts := smallOptions(fs)
			opts.Durability = d
			opts.Tree.MemtableBytes = 1 << 20
			db, err := lightning.Open("db", opts)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			fs.SetCapacity(fs.UsedBytes() + 32<<10)
			var stored model.Store
			for i := 0; err == nil && i < 1000; i++ {
				step := commitStep(fmt.Sprintf("k%03d", i), string(make([]byte, 1000)), d)
				if err = step.do(db); err == nil {
					stored = step.model(stored)
				}
			}
			if !errors.Is(err, lightning.ErrNoSpace) {
				t.Fatalf("writing to a full disk: %v", err)
			}
			if got := readAll(t, db); !got.Equal(stored) {
				t.Errorf("%d rows while the disk is full, not %d", got.Len(), stored.Len())
			}
			fs.SetCapacity(0)
			if err := db.Put([]byte("space"), []byte("again")); err != nil {
				t.Fatalf("after space has come back: %v", err)
			}
			if err := db.SyncWAL(); err != nil {
				t.Fatal(err)
			}
			r := &crashRun{t: t, opts: *opts}
			r.judgeState(fs.Crash(memfs.CrashOptions{}), []model.Store{stored.Put("space", "again")}, d.String())
		})
	}
}

// TestNoDescriptorForLogSegment lets the open of the next log segment fail
// once. The log goes on as it was then, but the database once took it for a
// failed write and refused all others.
func TestNoDescriptorForLogSegment(t *testing.T) {
	fs := faultfs.New(memfs.New())
	db, err := lightning.Open("db", smallOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fs.Add(faultfs.Rule{Kinds: vfs.OpOpenReadWrite, Name: "*.wal", Err: syscall.EMFILE})
	for i := 0; err == nil && i < 1000; i++ {
		err = db.Put(fmt.Appendf(nil, "k%03d", i), make([]byte, 1000))
	}
	if !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("no descriptor for a log segment: %v", err)
	}
	if err := db.Put([]byte("a"), []byte("1")); err != nil {
		t.Fatalf("the next write: %v", err)
	}
}
