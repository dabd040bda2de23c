package lightning_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A DropKeyspace that is refused, in a read-only database or after a failed
// write, changes nothing. It marked the keyspace as dropped before it asked
// whether it may, so that reads through handles failed from then on.
func TestRefusedDropKeyspace(t *testing.T) {
	fs := memfs.New()
	faulty := faultfs.New(fs)
	opts := small(fs)
	opts.FS = faulty
	db, err := lightning.Open("db", opts)
	must(t, err)
	k, err := db.Keyspace(context.Background(), "k", nil)
	must(t, err)
	must(t, k.Put([]byte("a"), []byte("1")))
	faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Err: syscall.EIO})
	wantErr(t, db.Put([]byte("b"), []byte("1")), syscall.EIO)
	wantErr(t, db.DropKeyspace(context.Background(), "k"), syscall.EIO)
	if v, err := k.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("after a failed write and a refused drop: %q, %v", v, err)
	}
	wantErr(t, db.Close(), syscall.EIO)

	opts.ReadOnly = true
	db = open(t, opts)
	k, err = db.Keyspace(context.Background(), "k", nil)
	must(t, err)
	wantErr(t, db.DropKeyspace(context.Background(), "k"), lightning.ErrReadOnly)
	if v, err := k.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("after a refused drop, read-only: %q, %v", v, err)
	}
}

// A handle of one database cannot reach into another: a batch view of a foreign
// keyspace used to commit the whole batch to the other database.
func TestForeignKeyspace(t *testing.T) {
	here, there := open(t, small(memfs.New())), open(t, small(memfs.New()))
	foreign, err := there.Keyspace(context.Background(), "k", nil)
	must(t, err)
	b := here.NewBatch()
	must(t, b.Put([]byte("a"), []byte("1")))
	view := b.In(foreign)
	wantErr(t, view.Put([]byte("b"), nil), lightning.ErrForeignKeyspace)
	wantErr(t, view.Delete([]byte("b")), lightning.ErrForeignKeyspace)
	wantErr(t, view.DeleteRange(nil, nil), lightning.ErrForeignKeyspace)
	must(t, view.Commit())
	if ok, err := here.Has([]byte("a")); !ok || err != nil {
		t.Errorf("the batch is not in its own database: %v", err)
	}
	if ok, err := there.Has([]byte("a")); ok || err != nil {
		t.Errorf("the batch is in the other database: %v", err)
	}
	snap, err := here.Snapshot()
	must(t, err)
	defer snap.Close()
	_, err = snap.In(foreign).Get([]byte("a"))
	wantErr(t, err, lightning.ErrForeignKeyspace)
	_, err = snap.In(foreign).Iterator(lightning.IterOptions{})
	wantErr(t, err, lightning.ErrForeignKeyspace)
}

// Keyspace.Snapshot succeeded after the drop, and the snapshot looked like one
// of an empty keyspace.
func TestSnapshotOfDroppedKeyspace(t *testing.T) {
	db := open(t, small(memfs.New()))
	k, err := db.Keyspace(context.Background(), "k", nil)
	must(t, err)
	must(t, db.DropKeyspace(context.Background(), "k"))
	_, err = k.Snapshot()
	wantErr(t, err, lightning.ErrKeyspaceDropped)
}

// A drop that fails half way, at the log, leaves the keyspace as it was: its
// keys are there, and its handle says so.
func TestFailedDropKeyspace(t *testing.T) {
	fs := memfs.New()
	faulty := faultfs.New(fs)
	opts := small(fs)
	opts.FS = faulty
	db := open(t, opts)
	k, err := db.Keyspace(context.Background(), "k", nil)
	must(t, err)
	must(t, k.Put([]byte("a"), []byte("1")))
	faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Err: syscall.EIO})
	wantErr(t, db.DropKeyspace(context.Background(), "k"), syscall.EIO)
	if v, err := k.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("after a failed drop: %q, %v", v, err)
	}
	wantErr(t, db.Close(), syscall.EIO)
}

// makeKeyspaces makes a closed database with so many keyspaces, of which the manifest
// knows if they were flushed, and else the log.
func makeKeyspaces(t testing.TB, count int, flushed bool) *lightning.Options {
	t.Helper()
	fs := memfs.New()
	opts := &lightning.Options{FS: fs, MemoryBudget: 64 << 20}
	db := open(t, opts)
	for i := range count {
		_, err := db.Keyspace(context.Background(), fmt.Sprintf("tenant-%06d", i), nil)
		must(t, err)
	}
	if flushed {
		must(t, db.Close())
		return opts
	}
	killed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
	must(t, db.Close())
	return &lightning.Options{FS: killed, MemoryBudget: opts.MemoryBudget}
}

// BenchmarkOpenKeyspaces is the time until a database with many keyspaces is open:
// after it was closed, and after it was killed before any of them was flushed.
func BenchmarkOpenKeyspaces(b *testing.B) {
	for _, ended := range []string{"closed", "killed"} {
		for _, count := range []int{1_000, 100_000} {
			b.Run(fmt.Sprint(ended, "/", count), func(b *testing.B) {
				opts := makeKeyspaces(b, count, ended == "closed")
				fs := opts.FS.(*memfs.FS)
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					again := *opts
					again.FS = fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
					b.StartTimer()
					db, err := lightning.Open("db", &again)
					b.StopTimer()
					must(b, err)
					must(b, db.Close())
					b.StartTimer()
				}
			})
		}
	}
}

// What the library keeps in keyspaces of its own is out of reach of those who do not
// ask for it, and a keyspace tells its options.
func TestReservedNames(t *testing.T) {
	db := open(t, small(memfs.New()))
	const name = "lightning.tables"
	for _, opts := range []*lightning.KeyspaceOptions{nil, {TTL: time.Hour}} {
		_, err := db.Keyspace(context.Background(), name, opts)
		wantErr(t, err, lightning.ErrKeyspaceReserved)
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name it", err)
		}
	}
	wantErr(t, db.SetKeyspaceOptions(context.Background(), name, lightning.KeyspaceOptions{}), lightning.ErrKeyspaceReserved)
	wantErr(t, db.DropKeyspace(context.Background(), name), lightning.ErrKeyspaceReserved)
	if names := db.Keyspaces(); len(names) != 0 {
		t.Errorf("made: %q", names)
	}
	opts := lightning.KeyspaceOptions{TTL: time.Hour, Compression: lightning.CompressionSmall, Reserved: true}
	k, err := db.Keyspace(context.Background(), name, &opts)
	must(t, err)
	if got := k.Options(); got != opts {
		t.Errorf("options %+v, want %+v", got, opts)
	}
	must(t, db.SetKeyspaceOptions(context.Background(), name, lightning.KeyspaceOptions{Reserved: true}))
	if got := k.Options(); got != (lightning.KeyspaceOptions{Reserved: true}) {
		t.Errorf("options %+v after the change", got)
	}
	k, err = db.Keyspace(context.Background(), "lightning", nil)
	must(t, err)
	if got := k.Options(); got != (lightning.KeyspaceOptions{}) {
		t.Errorf("options %+v of none", got)
	}
	if got := new(lightning.Keyspace).Options(); got != (lightning.KeyspaceOptions{}) {
		t.Errorf("options %+v of a zero keyspace", got)
	}
	for batch, err := range db.Changes(t.Context(), 0) {
		must(t, err)
		for change := range batch.All() {
			if change.Options == nil || !change.Options.Reserved {
				t.Errorf("a mirror cannot make %q with %+v", change.Keyspace, change.Options)
			}
		}
		break
	}
}
