package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func putFile(t *testing.T, fs *memfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Create("db/" + name)
	must(t, err)
	_, err = f.WriteAt(content, 0)
	must(t, errors.Join(err, f.Close()))
}

// Open removes what a crash left of unfinished work, and nothing that only has
// a similar name.
func TestOpenRemovesItsOrphansOnly(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	fill(t, db, "a", 10)
	must(t, db.Close())
	before, err := fs.List("db")
	must(t, err)
	theirs := slices.Repeat([]byte("not a table "), 20)
	kept := []string{"000900.sst", "000901.txt", "notes.sst"}
	for _, name := range kept {
		putFile(t, fs, name, theirs)
	}
	orphans := []string{"000902.sst", "000903.sst", "000904.wal"}
	putFile(t, fs, orphans[0], nil)
	putFile(t, fs, orphans[1], make([]byte, 200))
	putFile(t, fs, orphans[2], make([]byte, 200))
	db = openTest(t, testOptions(fs))
	must(t, db.Close())
	after, err := fs.List("db")
	must(t, err)
	for _, name := range kept {
		if !slices.Contains(after, name) {
			t.Errorf("%s was not ours, and is gone", name)
		}
	}
	for _, name := range orphans {
		if slices.Contains(after, name) {
			t.Errorf("%s is still there; before: %v", name, before)
		}
	}
}

// A log segment that was begun under a number which the manifest has not given
// out yet says that the manifest is an old copy. To take it for an orphan would
// delete what was acknowledged since.
func TestManifestOlderThanTheLogIsReported(t *testing.T) {
	fs := memfs.New()
	faulty := faultfs.New(fs)
	// Without flushes the segments that the old copy names are all there.
	faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO})
	db := openTest(t, testOptions(faulty))
	prepared := func() {
		t.Helper()
		must(t, db.changed.Wait(context.Background(), func() bool { return db.segments.Prepared() != 0 }))
	}
	prepared()
	names, err := fs.List("db")
	must(t, err)
	name := names[slices.IndexFunc(names, func(name string) bool {
		_, ok := manifest.ParseFileName(name)
		return ok
	})]
	old := readFile(t, fs, name)
	for _, key := range []string{"a", "b"} {
		must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte("1"), commit.Sync))
		must(t, db.commits.Alone(context.Background(), db.rotate))
		prepared()
	}
	must(t, db.Commits().Set(nil, []byte{0}, []byte("c"), []byte("1"), commit.Sync)) // in a segment of later
	crashed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	db.Close() // cannot flush
	putFile(t, crashed, name, old)
	again, err := Open("db", testOptions(crashed))
	if err == nil {
		again.Close()
	}
	if !errors.Is(err, base.ErrCorrupted) {
		t.Errorf("open with an old copy of the manifest: %v", err)
	}
}

func readFile(t *testing.T, fs *memfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open("db/" + name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	must(t, errors.Join(err, f.Close()))
	return b
}

// What is written after a recovery is newer than all that was recovered: it
// wins over it, now and after a reopen.
func TestWritesAfterRecoveryAreNewer(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	for i := range 10 {
		must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), []byte{byte('0' + i)}, commit.Sync))
	}
	crashed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
	must(t, db.Close())
	db = openTest(t, testOptions(crashed))
	must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), []byte("new"), commit.Sync))
	expectRows(t, "after the recovery", db.Reads().AppendGet, map[string]string{"a": "new"})
	must(t, db.Close())
	db = openTest(t, testOptions(crashed))
	expectRows(t, "after a reopen", db.Reads().AppendGet, map[string]string{"a": "new"})
	must(t, db.Close())
}

// Open looks at the length of every live table and lists all that are wrong,
// before anything is answered.
func TestOpenListsTablesOfWrongSize(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	fillFile(t, db, "a", 10)
	fillFile(t, db, "b", 10)
	must(t, db.Close())
	names, err := fs.List("db")
	must(t, err)
	changed := map[string]bool{}
	for _, name := range names {
		if _, ok := store.ParseTableName(name); ok {
			content := readFile(t, fs, name)
			if len(changed) == 0 {
				putFile(t, fs, name, content[:len(content)-1])
			} else {
				putFile(t, fs, name, append(content, 0))
			}
			changed[name] = true
		}
	}
	_, err = Open("db", testOptions(fs))
	if len(changed) != 2 || !errors.Is(err, base.ErrCorrupted) {
		t.Fatalf("open with %d tables of the wrong length: %v", len(changed), err)
	}
	for name := range changed {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not in the list: %v", name, err)
		}
	}
}

// A log that is longer than a memtable is replayed in full, with and without
// leave to write tables meanwhile.
func TestLogLongerThanAMemtableIsReplayed(t *testing.T) {
	fs := memfs.New()
	faulty := faultfs.New(fs)
	faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO})
	db := openTest(t, testOptions(faulty))
	rows := map[string]string{}
	for i := range 600 { // more than a memtable, less than three
		key, value := fmt.Sprintf("%05d", i), strings.Repeat("v", 100)
		must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte(value), commit.Async))
		rows[key] = value
	}
	must(t, db.SyncLog(context.Background()))
	if memories := 1 + len(db.reads.State().Immutables); memories < 2 {
		t.Fatalf("%d memories: the test needs more", memories)
	}
	for _, readOnly := range []bool{true, false} {
		opts := testOptions(fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone}))
		opts.ReadOnly = readOnly
		crashed := openTest(t, opts)
		expectRows(t, fmt.Sprintf("read-only %v", readOnly), crashed.Reads().AppendGet, rows)
		must(t, crashed.Close())
	}
	db.Close() // cannot flush
}

// TestRefusedOpenChangesNothing opens a database that lacks a table. The manifest
// was once rolled before the tables were looked at, so that a good older copy of
// it, put back to repair things, no longer fitted the rest.
func TestRefusedOpenChangesNothing(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	fillFile(t, db, "a", 100)
	must(t, db.Close())
	names, err := fs.List("db")
	must(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			must(t, fs.Remove(filepath.Join("db", name)))
		}
	}
	fs.SetHook(func(op vfs.Op) error {
		if vfs.OpMutations.Has(op.Kind) && op.Kind != vfs.OpLock {
			t.Errorf("%v", op)
		}
		return nil
	})
	if _, err := Open("db", testOptions(fs)); !errors.Is(err, base.ErrCorrupted) {
		t.Errorf("a database without its table opens: %v", err)
	}
}

// On a full disk an open removes what a crash has left before the archive knows its files: those
// that the manifest names for it stay, blob tables as well.
func TestArchivedTablesAreNoOrphans(t *testing.T) {
	blob := &manifest.FileMeta{Num: 7}
	kept := &manifest.FileMeta{Num: 6, Blobs: []manifest.BlobUse{{Num: 7, Table: blob}}}
	r := recovery{state: &manifest.State{
		Ingests: []manifest.IngestCommit{{Tables: []*manifest.FileMeta{kept}}},
		Blobs:   map[base.FileNum]*manifest.FileMeta{7: blob},
	}}
	for n, unnamed := range map[base.FileNum]bool{6: false, 7: false, 8: true} {
		if name := store.TableName(n); r.isUnnamedTable(name) != unnamed {
			t.Errorf("%s: unnamed is not %v", name, unnamed)
		}
	}
}
