package torture

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func smallOptions(fs vfs.FS) *lightning.Options {
	return &lightning.Options{
		FS:           fs,
		MemoryBudget: 4 << 20,
		Tree:         lightning.TreeOptions{MemtableBytes: 64 << 10, L0Files: 2},
	}
}

// TestLargeBatchesLeaveTheLog commits nothing but batches that are too large
// for a memtable. The memtable stays empty, and the log once moved to another
// segment with a full memtable only: one segment grew for ever, and the next
// open after a crash had to read all of it.
func TestLargeBatchesLeaveTheLog(t *testing.T) {
	fs := memfs.New()
	db, err := lightning.Open("db", smallOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 100 {
		if err := batchStep(100<<10, fmt.Sprint("k", i%3)).do(db); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	var logBytes int64
	for _, name := range list(t, fs) {
		if info, err := fs.Stat(filepath.Join("db", name)); err == nil && strings.HasSuffix(name, ".wal") {
			logBytes += info.Size()
		}
	}
	if limit := int64(2 << 20); logBytes > limit {
		t.Fatalf("the log keeps %d bytes after a flush, more than %d", logBytes, limit)
	}
}

// TestReadOnlyReplayFillsMemtables opens a crashed database read-only whose
// log holds two large batches and then many small ones. Once a memtable was
// waiting, each group of the log got a memtable of its own, as large as the
// options say: replaying a long log took all memory there is.
func TestReadOnlyReplayFillsMemtables(t *testing.T) {
	under := memfs.New()
	fs := faultfs.New(under)
	db, err := lightning.Open("db", smallOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fs.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO})
	defer fs.Reset()
	if err := batchStep(40<<10, "large").do(db); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := db.Put(fmt.Appendf(nil, "k%03d", i), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	opts := smallOptions(under.Crash(memfs.CrashOptions{}))
	opts.ReadOnly = true
	reader, err := lightning.Open("db", opts)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if n := readAll(t, reader).Len(); n != 101 {
		t.Errorf("%d rows, not 101", n)
	}
	if n := reader.Metrics().Memory.MemtablesWaiting; n > 1 {
		t.Errorf("a large batch and 100 small ones take %d memtables", n)
	}
}

func list(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	return names
}
