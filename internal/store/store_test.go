package store

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// newStore returns a store without tables in a directory of its own.
func newStore(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	must(t, fs.MkdirAll("db"))
	must(t, fs.SyncDir("."))
	var memory offheap.Accountant
	epochs := new(epoch.Domain)
	cache := framecache.New(framecache.Config{CapacityBytes: 1 << 20, Epochs: epochs, Memory: &memory})
	t.Cleanup(func() {
		if leaked := cache.Close(); leaked != 0 {
			t.Errorf("%d bytes of the cache are in use", leaked)
		}
	})
	s := New(Config{
		FS: fs, Dir: "db", Cache: cache, Epochs: epochs, BlockBytes: 512, FilterBits: 12,
		Keyspaces: keyspace.NewRegistry(keyspace.Config{
			Codec: func(int, bool) compress.Codec { return compress.None },
		}),
		Events: event.NewSink(slog.New(slog.DiscardHandler)),
	})
	s.SkipFileNums(1)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rows is a source of records.
type rows struct {
	records []base.Record
	at      int
}

// rowsOf returns rows that have keys from one number up to another, all with one
// sequence number.
func rowsOf(from, to int, seq base.SeqNum) *rows {
	r := &rows{}
	for n := from; n < to; n++ {
		r.records = append(r.records, base.Record{
			Key: fmt.Appendf(nil, "\x00%05d", n), Value: fmt.Append(nil, seq),
			Trailer: base.MakeTrailer(seq, base.KindSet),
		})
	}
	return r
}

func (r *rows) First() *base.Record { r.at = -1; return r.Next() }
func (r *rows) Err() error          { return nil }

func (r *rows) Next() *base.Record {
	if r.at++; r.at >= len(r.records) {
		return nil
	}
	return &r.records[r.at]
}

// write writes one table of rowsOf.
func write(t testing.TB, s *Store, from, to int, seq base.SeqNum) *manifest.FileMeta {
	t.Helper()
	outputs, _, err := s.Write(t.Context(), rowsOf(from, to, seq), Output{}, compact.Config{})
	must(t, err)
	if len(outputs) != 1 {
		t.Fatalf("%d tables", len(outputs))
	}
	return outputs[0]
}

func exists(fs vfs.FS, n base.FileNum) bool {
	_, err := fs.Stat(filepath.Join("db", TableName(n)))
	return err == nil
}

func versionOf(t testing.TB, v *manifest.Version, e *manifest.Edit) *manifest.Version {
	t.Helper()
	next, err := v.Apply(e)
	must(t, err)
	return next
}

// A table lives as long as a tree has it. Then its file goes if the manifest has
// given it up, and stays if not.
func TestTablesLiveAsLongAsTheirTrees(t *testing.T) {
	fs := memfs.New()
	s := newStore(t, fs)
	gone, kept := write(t, s, 0, 100, 1), write(t, s, 0, 100, 2)
	v := versionOf(t, &manifest.Version{}, &manifest.Edit{AddFiles: []manifest.LevelFile{{Meta: gone}, {Meta: kept}}})
	first := s.NewTree(v)
	first.Ref() // for a reader who is slow
	edit := &manifest.Edit{
		RemoveFiles: []manifest.LevelNum{{Num: gone.Num}, {Num: kept.Num}},
		AddFiles:    []manifest.LevelFile{{Level: 1, Meta: kept}}, // it moves
	}
	v = versionOf(t, v, edit)
	s.GiveUp([]manifest.LevelNum{{Num: gone.Num}})
	second := s.NewTree(v)
	if s.Live(gone.Num) || !s.Live(kept.Num) {
		t.Error("the store does not know what the manifest names")
	}
	if first.Levels[0][0] != second.Levels[1][0] {
		t.Error("a table that moves is opened twice")
	}
	s.Dispose(first.Unref())
	get := func(tree *Tree, want string) {
		t.Helper()
		key := []byte("\x0000007")
		_, value, found, err := tree.Get(key, base.Hash(key), base.SeqNumMax)
		if !found || err != nil || string(value) != want {
			t.Errorf("%q, %v, %v; want %q", value, found, err, want)
		}
	}
	get(first, "2")
	if _, value, found, err := first.Levels[0][1].Get([]byte("\x0000007"), base.Hash([]byte("\x0000007")), 1); !found || err != nil || string(value) != "1" {
		t.Errorf("the slow reader gets %q, %v, %v", value, found, err)
	}
	unused := first.Unref()
	if len(unused) != 1 || unused[0].Meta != gone {
		t.Fatalf("unused are %v", unused)
	}
	s.Dispose(unused)
	if exists(fs, gone.Num) || !exists(fs, kept.Num) {
		t.Error("the wrong files are gone")
	}
	get(second, "2")
	s.Dispose(second.Unref()) // the database is closed
	if !exists(fs, kept.Num) {
		t.Error("a table that the manifest names was deleted")
	}
}

// Once Write returns, its tables are there whatever happens to the machine.
func TestOutputsAreDurable(t *testing.T) {
	fs := memfs.New()
	s := newStore(t, fs)
	outputs, _, err := s.Write(t.Context(), rowsOf(0, 3000, 1), Output{FileBytes: 8 << 10}, compact.Config{})
	must(t, err)
	if len(outputs) < 2 {
		t.Fatalf("%d tables", len(outputs))
	}
	s = newStore(t, fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone}))
	for _, meta := range outputs {
		must(t, s.verifyOutput(t.Context(), meta))
	}
}

// What is temporary is not synced: nobody needs it after a crash.
func TestTemporaryOutputsAreNotSynced(t *testing.T) {
	faulty := faultfs.New(memfs.New())
	s := newStore(t, faulty)
	rule := faulty.Add(faultfs.Rule{Kinds: vfs.OpSync | vfs.OpSyncData | vfs.OpSyncDir, Sticky: true, Err: syscall.EIO})
	_, _, err := s.Write(t.Context(), rowsOf(0, 100, 1), Output{Temporary: true}, compact.Config{})
	if err != nil || rule.Seen() > 0 {
		t.Errorf("%v, after %d syncs", err, rule.Seen())
	}
}

// Whatever fails while tables are written, none is left.
func TestFailedWriteLeavesNothing(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpCreate, vfs.OpWrite, vfs.OpSyncData, vfs.OpSyncDir, vfs.OpRead} {
		under := memfs.New()
		faulty := faultfs.New(under)
		s := newStore(t, faulty)
		name := "*.sst"
		nth := int64(2)
		if kind == vfs.OpSyncDir {
			name, nth = "", 1
		}
		rule := faulty.Add(faultfs.Rule{Kinds: kind, Name: name, Nth: nth, Err: syscall.EIO})
		outputs, _, err := s.Write(t.Context(), rowsOf(0, 3000, 1), Output{FileBytes: 8 << 10}, compact.Config{})
		if !errors.Is(err, syscall.EIO) || rule.Fired() == 0 {
			t.Errorf("%v: %d tables, %v", kind, len(outputs), err)
		}
		if names, err := under.List("db"); err != nil || len(names) > 0 {
			t.Errorf("%v: %v is left, %v", kind, names, err)
		}
	}
}

// The files of one commit past the log are one run, whatever their order.
func TestRuns(t *testing.T) {
	s := newStore(t, memfs.New())
	var files []manifest.LevelFile
	for i, c := range []struct{ base, largest base.SeqNum }{{0, 1}, {10, 13}, {10, 12}, {20, 21}, {0, 30}, {0, 31}} {
		meta := write(t, s, i*10, i*10+10, 0)
		meta.SeqBase, meta.SmallestSeq, meta.LargestSeq = c.base, c.largest, c.largest
		files = append(files, manifest.LevelFile{Meta: meta})
	}
	tree := s.NewTree(versionOf(t, &manifest.Version{}, &manifest.Edit{AddFiles: files}))
	var sizes []int
	must(t, tree.LevelZeroRuns(func(run []*Table) error { sizes = append(sizes, len(run)); return nil }))
	if fmt.Sprint(sizes) != "[1 1 1 2 1]" || tree.Runs != 5 || tree.MaxSeq[0] != 31 {
		t.Errorf("runs of %v files; the tree says %d, and %d is the newest", sizes, tree.Runs, tree.MaxSeq[0])
	}
	s.Dispose(tree.Unref())
}
