package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

// small makes every structure fill soon.
func small(fs *memfs.FS) *lightning.Options {
	return &lightning.Options{
		FS: fs, MemoryBudget: 4 << 20,
		Tree: lightning.TreeOptions{MemtableBytes: 64 << 10, FileBytes: 16 << 10, BlockBytes: 512},
	}
}

func open(t testing.TB, opts *lightning.Options) *lightning.DB {
	t.Helper()
	db, err := lightning.Open("db", opts)
	if err != nil {
		t.Fatal(err)
	}
	if spilling {
		lightning.SpillAt(db, 0)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, lightning.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

func fill(t testing.TB, db *lightning.DB, n int) {
	t.Helper()
	for i := range n {
		must(t, db.Put(fmt.Appendf(nil, "key%06d", i), fmt.Appendf(nil, "value %d of the database", i)))
	}
}

func TestGet(t *testing.T) {
	db := open(t, small(memfs.New()))
	must(t, db.Put([]byte("a"), []byte("1")))
	must(t, db.Put([]byte("empty"), nil))

	got, err := db.Get([]byte("a"))
	if err != nil || string(got) != "1" {
		t.Errorf("get = %q, %v", got, err)
	}
	got[0] = 'x' // the slice is ours
	if again, _ := db.Get([]byte("a")); string(again) != "1" {
		t.Errorf("changing a result changed the database: %q", again)
	}
	if got, err := db.Get([]byte("empty")); err != nil || got == nil || len(got) != 0 {
		t.Errorf("get of an empty value = %#v, %v", got, err)
	}
	_, err = db.Get([]byte("b"))
	wantErr(t, err, lightning.ErrNotFound)
	if dst, err := db.AppendGet([]byte("x"), []byte("a")); string(dst) != "x1" || err != nil {
		t.Errorf("append get = %q, %v", dst, err)
	}
	if dst, err := db.AppendGet([]byte("x"), []byte("b")); string(dst) != "x" || err != lightning.ErrNotFound {
		t.Errorf("append get of an absent key = %q, %v", dst, err)
	}
	stop := errors.New("stop")
	wantErr(t, db.GetFunc([]byte("a"), func(v []byte) error { return stop }), stop)
}

// openFilled returns a database with rows in tables, and the first of them also in memory.
func openFilled(t *testing.T) *lightning.DB {
	t.Helper()
	db := open(t, small(memfs.New()))
	fill(t, db, 5000)
	must(t, db.Compact(context.Background(), nil, nil))
	fill(t, db, 100)
	return db
}

func TestGetDoesNotAllocate(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the check of every cache hit allocates")
	}
	db := openFilled(t)
	buf := make([]byte, 0, 100)
	for _, key := range [][]byte{[]byte("key000001"), []byte("key003000"), []byte("absent")} {
		if n := testing.AllocsPerRun(200, func() { buf, _ = db.AppendGet(buf[:0], key) }); n != 0 {
			t.Errorf("AppendGet of %s allocates %v times", key, n)
		}
	}
	for _, count := range []int{1, 100} {
		keys := make([][]byte, count)
		for i := range keys {
			keys[i] = fmt.Appendf(nil, "key%06d", 2000+i*5)
		}
		read := func(_ int, value []byte, err error) error { buf = append(buf[:0], value...); return err }
		if n := testing.AllocsPerRun(200, func() { must(t, db.MultiGet(keys, read)) }); n != 0 {
			t.Errorf("MultiGet of %d keys allocates %v times", count, n)
		}
	}
	it, err := db.Iterator(lightning.IterOptions{})
	must(t, err)
	defer it.Close()
	it.First()
	if n := testing.AllocsPerRun(1000, func() { it.Next() }); n != 0 {
		t.Errorf("Next allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { it.Prev() }); n != 0 {
		t.Errorf("Prev allocates %v times", n)
	}
}

// What is opened to read costs its handle, and a transaction of a few reads no more than
// that: the reads cost nothing.
func TestHandlesAllocateLittle(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the checks allocate")
	}
	db := openFilled(t)
	keys := [][]byte{[]byte("key000001"), []byte("key003000"), []byte("key004000"), []byte("absent")}
	buf := make([]byte, 0, 100)
	type getter interface {
		AppendGet(dst, key []byte) ([]byte, error)
	}
	get := func(from getter) {
		for i, key := range keys {
			var err error
			if buf, err = from.AppendGet(buf[:0], key); (err == nil) != (i < 3) {
				t.Error(err)
			}
		}
	}
	view := func(tx *lightning.Tx) error { get(tx); return nil }
	for _, c := range []struct {
		what string
		most float64
		do   func()
	}{
		{"View with four gets", 2, func() { must(t, db.View(view)) }},
		{"a snapshot with four gets", 4, func() { // two are for its being forgotten
			s, err := db.Snapshot()
			must(t, err)
			get(s)
			must(t, s.Close())
		}},
		{"an iterator with a seek", 5, func() { // three are
			it, err := db.Iterator(lightning.IterOptions{})
			must(t, err)
			if !it.SeekGE(keys[1]) {
				t.Error(it.Err())
			}
			must(t, it.Close())
		}},
		{"GetFunc", 0, func() { must(t, db.GetFunc(keys[0], func([]byte) error { return nil })) }},
	} {
		c.do() // opens tables
		if n := testing.AllocsPerRun(200, c.do); n > c.most {
			t.Errorf("%s allocates %v times", c.what, n)
		}
	}
}

func TestLimits(t *testing.T) {
	db := open(t, small(memfs.New()))
	long := make([]byte, lightning.MaxKeyBytes)
	must(t, db.Put(long, []byte("v")))
	if v, err := db.Get(long); err != nil || string(v) != "v" {
		t.Errorf("get of the longest key: %q, %v", v, err)
	}
	tooLong := append(long, 0)
	wantErr(t, db.Put(tooLong, nil), lightning.ErrKeyTooLarge)
	_, err := db.Get(tooLong)
	wantErr(t, err, lightning.ErrKeyTooLarge)
	wantErr(t, db.DeleteRange([]byte("b"), []byte("a")), lightning.ErrInvalidRange)
	must(t, db.DeleteRange([]byte("b"), []byte("b")))
	b := db.NewBatch()
	wantErr(t, b.Put(tooLong, nil), lightning.ErrKeyTooLarge)
	if b.Len() != 0 {
		t.Errorf("a refused write left %d records in the batch", b.Len())
	}
	must(t, b.Commit())
}

func TestLargeValues(t *testing.T) {
	db := open(t, small(memfs.New()))
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // a megabyte, far more than a memtable
	must(t, db.Put([]byte("big"), want))
	for _, when := range []string{"in memory", "flushed", "compacted"} {
		got, err := db.Get([]byte("big"))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s: got %d bytes, %v", when, len(got), err)
		}
		if when == "in memory" {
			must(t, db.Flush(context.Background()))
		} else {
			must(t, db.Compact(context.Background(), nil, nil))
		}
	}
}

func TestOptionsAreValidated(t *testing.T) {
	for field, opts := range map[string]lightning.Options{
		"MemoryBudget":                  {MemoryBudget: 1},
		"Durability":                    {Durability: 9},
		"Compression":                   {Compression: 9},
		"Log.AsyncDelay":                {Log: lightning.LogOptions{AsyncDelay: -1}},
		"Tree.MemtableBytes":            {Tree: lightning.TreeOptions{MemtableBytes: 1}},
		"Tree.BlockBytes":               {Tree: lightning.TreeOptions{BlockBytes: 1}},
		"Tree.FilterBitsPerKey":         {Tree: lightning.TreeOptions{FilterBitsPerKey: 100}},
		"Tree.FileBytes":                {Tree: lightning.TreeOptions{FileBytes: 1}},
		"Tree.BlobBytes":                {Tree: lightning.TreeOptions{BlobBytes: 1}},
		"Tree.L0Files":                  {Tree: lightning.TreeOptions{L0Files: 1000}},
		"Tree.CompactionBytesPerSecond": {Tree: lightning.TreeOptions{CompactionBytesPerSecond: 1}},
	} {
		fs := memfs.New()
		opts.FS = fs
		_, err := lightning.Open("db", &opts)
		var e *lightning.OptionError
		if !errors.As(err, &e) || e.Field != field || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error is %v", field, err)
		}
		if fs.Ops() != 0 {
			t.Errorf("%s: a refused open touched the file system", field)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "letter.txt"), []byte("dear"), 0o600))
	_, err := lightning.Open(dir, nil)
	wantErr(t, err, lightning.ErrNotDatabase)
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("a refused open left %v", names)
	}
	for _, opts := range []*lightning.Options{{MustExist: true}, {ReadOnly: true}} {
		missing := filepath.Join(t.TempDir(), "missing")
		_, err = lightning.Open(missing, opts)
		wantErr(t, err, lightning.ErrNotDatabase)
		wantErr(t, err, fs.ErrNotExist)
		if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
			t.Error("a refused open made the directory")
		}
	}
	file := filepath.Join(dir, "letter.txt")
	_, err = lightning.Open(file, nil)
	wantErr(t, err, lightning.ErrNotDatabase)
}

func TestSecondOpener(t *testing.T) {
	dir := t.TempDir()
	db, err := lightning.Open(dir, nil)
	must(t, err)
	_, err = lightning.Open(dir, nil)
	wantErr(t, err, lightning.ErrLocked)
	_, err = lightning.Open(dir, &lightning.Options{ReadOnly: true})
	wantErr(t, err, lightning.ErrLocked)
	must(t, db.Put([]byte("a"), []byte("1")))
	must(t, db.Close())
	db, err = lightning.Open(dir, &lightning.Options{ReadOnly: true})
	must(t, err)
	if v, err := db.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("read-only get = %q, %v", v, err)
	}
	wantErr(t, db.Put([]byte("b"), nil), lightning.ErrReadOnly)
	wantErr(t, db.Flush(context.Background()), lightning.ErrReadOnly)
	_, err = db.Keyspace(context.Background(), "new", nil)
	wantErr(t, err, lightning.ErrReadOnly)
	must(t, db.Close())
}

// TestReadOnlyReplays reads a database whose log was never flushed, without
// changing a byte of it.
func TestReadOnlyReplays(t *testing.T) {
	disk := memfs.New()
	db := open(t, small(disk))
	fill(t, db, 3000)
	crashed := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
	opts := small(crashed)
	opts.ReadOnly = true
	before, err := crashed.List("db")
	must(t, err)
	ro, err := lightning.Open("db", opts)
	must(t, err)
	if v, err := ro.Get([]byte("key002999")); err != nil {
		t.Errorf("get = %q, %v", v, err)
	}
	must(t, ro.Close())
	after, err := crashed.List("db")
	must(t, err)
	after = slices.DeleteFunc(after, func(name string) bool { return name == "LOCK" })
	before = slices.DeleteFunc(before, func(name string) bool { return name == "LOCK" })
	if !slices.Equal(before, after) {
		t.Errorf("files before %v, after %v", before, after)
	}
}

func TestClosed(t *testing.T) {
	db := open(t, small(memfs.New()))
	fill(t, db, 2000)
	must(t, db.Flush(context.Background()))
	fill(t, db, 10)
	snap, err := db.Snapshot()
	must(t, err)
	it, err := db.Iterator(lightning.IterOptions{})
	must(t, err)
	if !it.First() {
		t.Fatal("no first row")
	}
	b := db.NewBatch()
	must(t, b.Put([]byte("x"), nil))

	wantErr(t, db.Close(), lightning.ErrLeaked)
	wantErr(t, db.Close(), lightning.ErrClosed)
	if it.Next() || it.Valid() || it.Key() != nil {
		t.Error("an iterator outlived the database")
	}
	wantErr(t, it.Err(), lightning.ErrClosed)
	wantErr(t, it.Close(), lightning.ErrClosed)
	wantErr(t, it.Close(), lightning.ErrHandleClosed)
	_, err = snap.Get([]byte("a"))
	wantErr(t, err, lightning.ErrClosed)
	must(t, snap.Close())
	_, err = db.Get([]byte("a"))
	wantErr(t, err, lightning.ErrClosed)
	wantErr(t, db.Put([]byte("a"), nil), lightning.ErrClosed)
	wantErr(t, b.Commit(), lightning.ErrClosed)
	wantErr(t, db.SyncLog(context.Background()), lightning.ErrClosed)
	wantErr(t, db.Compact(context.Background(), nil, nil), lightning.ErrClosed)
	_, err = db.Snapshot()
	wantErr(t, err, lightning.ErrClosed)
	_, err = db.Iterator(lightning.IterOptions{})
	wantErr(t, err, lightning.ErrClosed)
}

// A row that an iterator stands on can be read to the end when the database is
// closed meanwhile; it is the next move that says so. Key and Value answered nil
// from the moment of the Close on, so a loop that the Close overtook between a
// move and its Key and Value saw a row that was never written: without a key, or
// with the key of one and no value.
func TestRowStaysWholeWhenTheDatabaseIsClosed(t *testing.T) {
	db := open(t, small(memfs.New()))
	must(t, db.Put([]byte("a"), []byte("1")))
	must(t, db.Put([]byte("b"), []byte("2")))
	rowsSeen := 0
	err := db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		for range rows {
			rowsSeen++
			wantErr(t, db.Close(), lightning.ErrLeaked)
		}
		return nil
	})
	wantErr(t, err, lightning.ErrClosed)
	if rowsSeen != 1 {
		t.Errorf("the scan showed %d rows, and was to end with the Close in the first", rowsSeen)
	}

	db = open(t, small(memfs.New()))
	must(t, db.Put([]byte("a"), []byte("1")))
	it, err := db.Iterator(lightning.IterOptions{})
	must(t, err)
	if !it.Next() {
		t.Fatal(it.Err())
	}
	wantErr(t, db.Close(), lightning.ErrLeaked)
	if string(it.Key()) != "a" || string(it.Value()) != "1" || !it.Valid() {
		t.Errorf("the row is now %q, %q, valid: %v", it.Key(), it.Value(), it.Valid())
	}
	if it.Prev() || it.Valid() || it.Key() != nil || it.Value() != nil {
		t.Error("the iterator moves in a closed database")
	}
	wantErr(t, it.Close(), lightning.ErrClosed)
}

func TestLeakReportNamesTheCaller(t *testing.T) {
	opts := small(memfs.New())
	opts.Debug.TrackHandles = true
	db := open(t, opts)
	it, err := db.Iterator(lightning.IterOptions{})
	must(t, err)
	err = db.Close()
	if err == nil || !strings.Contains(err.Error(), "TestLeakReportNamesTheCaller") {
		t.Errorf("report is %v", err)
	}
	it.Close()
}

func TestIteratorOutlivesChanges(t *testing.T) {
	db := open(t, small(memfs.New()))
	ks, err := db.Keyspace(context.Background(), "k", nil)
	must(t, err)
	for i := range 3000 {
		must(t, ks.Put(fmt.Appendf(nil, "%05d", i), []byte("v")))
	}
	it, err := ks.Iterator(lightning.IterOptions{})
	must(t, err)
	defer it.Close()
	snap, err := ks.Snapshot()
	must(t, err)
	defer snap.Close()
	must(t, db.DropKeyspace(context.Background(), "k"))
	must(t, db.Compact(context.Background(), nil, nil))
	_, err = ks.Get([]byte("00001"))
	wantErr(t, err, lightning.ErrKeyspaceDropped)
	wantErr(t, ks.Put([]byte("a"), nil), lightning.ErrKeyspaceDropped)
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if n != 3000 || it.Err() != nil {
		t.Errorf("the iterator shows %d rows, %v", n, it.Err())
	}
	if _, err := snap.Get([]byte("00001")); err != nil {
		t.Errorf("the snapshot lost a key: %v", err)
	}
	again, err := db.Keyspace(context.Background(), "k", nil)
	must(t, err)
	if ok, err := again.Has([]byte("00001")); ok || err != nil {
		t.Errorf("a new keyspace has an old key: %v", err)
	}
}

func TestDropKeyspaceGivesSpaceBack(t *testing.T) {
	db := open(t, small(memfs.New()))
	ks, err := db.Keyspace(context.Background(), "k", &lightning.KeyspaceOptions{Compression: lightning.CompressionNone})
	must(t, err)
	b := ks.NewBatch()
	for i := range 5000 {
		must(t, b.Put(fmt.Appendf(nil, "%05d", i), bytes.Repeat([]byte("v"), 100)))
	}
	must(t, b.Commit())
	must(t, db.Compact(context.Background(), nil, nil))
	m := db.Metrics()
	before := m.DiskBytes()
	must(t, db.DropKeyspace(context.Background(), "k"))
	must(t, db.Flush(context.Background()))
	m = db.Metrics()
	if after := m.DiskBytes(); after > before/20 {
		t.Errorf("%d bytes before the drop, %d after", before, after)
	}
	wantErr(t, db.DropKeyspace(context.Background(), "k"), lightning.ErrKeyspaceNotFound)
}

func TestKeyspaces(t *testing.T) {
	disk := memfs.New()
	db := open(t, small(disk))
	for i := range 300 { // past the one-byte prefixes
		_, err := db.Keyspace(context.Background(), fmt.Sprintf("space%03d", i), nil)
		must(t, err)
	}
	ks, err := db.Keyspace(context.Background(), "space299", nil)
	must(t, err)
	must(t, ks.Put([]byte("a"), []byte("299")))
	_, err = db.Keyspace(context.Background(), "space299", &lightning.KeyspaceOptions{Compression: lightning.CompressionSmall})
	wantErr(t, err, lightning.ErrKeyspaceDiffers)
	_, err = db.Keyspace(context.Background(), "", nil)
	wantErr(t, err, lightning.ErrKeyspaceName)
	must(t, db.Close())
	db = open(t, small(disk))
	if names := db.Keyspaces(); len(names) != 300 || names[299] != "space299" {
		t.Errorf("%d keyspaces after reopen", len(names))
	}
	ks, err = db.Keyspace(context.Background(), "space299", nil)
	must(t, err)
	if v, err := ks.Get([]byte("a")); err != nil || string(v) != "299" {
		t.Errorf("get = %q, %v", v, err)
	}
	ok, err := db.Has([]byte("a"))
	if ok || err != nil {
		t.Errorf("the default keyspace has a key of another: %v", err)
	}
}

func TestPrefixIteration(t *testing.T) {
	db := open(t, small(memfs.New()))
	for _, k := range []string{"a", "ab", "ab1", "ab2", "ac", "\xff", "\xff\xff", "\xff\xff1"} {
		must(t, db.Put([]byte(k), []byte(k)))
	}
	cases := []struct {
		o    lightning.IterOptions
		want string
	}{
		{lightning.IterOptions{Prefix: []byte("ab")}, "[ab ab1 ab2]"},
		{lightning.IterOptions{Prefix: []byte("ab"), Lower: []byte("ab1")}, "[ab1 ab2]"},
		{lightning.IterOptions{Prefix: []byte("ab"), Upper: []byte("ab2")}, "[ab ab1]"},
		{lightning.IterOptions{Prefix: []byte("ab"), Lower: []byte("x")}, "[]"},
		{lightning.IterOptions{Prefix: []byte("\xff\xff")}, "[\xff\xff \xff\xff1]"},
		{lightning.IterOptions{Prefix: []byte{}}, "[a ab ab1 ab2 ac \xff \xff\xff \xff\xff1]"},
		{lightning.IterOptions{Lower: []byte("ac")}, "[ac \xff \xff\xff \xff\xff1]"},
	}
	for _, c := range cases {
		for _, reverse := range []bool{false, true} {
			var got []string
			err := db.Scan(lightning.ScanOptions{IterOptions: c.o, Reverse: reverse},
				func(rows iter.Seq2[[]byte, []byte]) error {
					for k := range rows {
						got = append(got, string(k))
					}
					return nil
				})
			must(t, err)
			if reverse {
				slices.Reverse(got)
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("%+v (reverse %v) shows %q", c.o, reverse, got)
			}
		}
	}
	_, err := db.Iterator(lightning.IterOptions{Lower: []byte("b"), Upper: []byte("a")})
	wantErr(t, err, lightning.ErrInvalidRange)
}

func TestScanReportsDamage(t *testing.T) {
	disk := memfs.New()
	db := open(t, small(disk))
	fill(t, db, 5000)
	must(t, db.Compact(context.Background(), nil, nil))
	must(t, db.Close())
	damageTables(t, disk)
	db = open(t, small(disk))
	rows := 0
	err := db.Scan(lightning.ScanOptions{}, func(all iter.Seq2[[]byte, []byte]) error {
		for range all {
			rows++
		}
		return nil
	})
	var damage *lightning.CorruptionError
	if !errors.As(err, &damage) || !errors.Is(err, lightning.ErrCorrupted) || damage.File == "" {
		t.Fatalf("a scan over a damaged file returned %v after %d rows", err, rows)
	}
	_, err = db.Get([]byte("key002500"))
	if err != nil && !errors.Is(err, lightning.ErrCorrupted) {
		t.Errorf("get: %v", err)
	}
}

// damageTables flips a bit in the middle of every table.
func damageTables(t *testing.T, disk *memfs.FS) {
	t.Helper()
	names, err := disk.List("db")
	must(t, err)
	for _, name := range names {
		if filepath.Ext(name) != ".sst" {
			continue
		}
		f, err := disk.OpenReadWrite(filepath.Join("db", name))
		must(t, err)
		size, err := f.Size()
		must(t, err)
		one := make([]byte, 1)
		_, err = f.ReadAt(one, size/3)
		must(t, err)
		one[0] ^= 4
		_, err = f.WriteAt(one, size/3)
		must(t, err)
		must(t, f.Close())
	}
}

func TestOpenListsAllDamage(t *testing.T) {
	disk := memfs.New()
	db := open(t, small(disk))
	fill(t, db, 5000)
	must(t, db.Compact(context.Background(), nil, nil))
	must(t, db.Close())
	names, err := disk.List("db")
	must(t, err)
	removed := 0
	for _, name := range names {
		if filepath.Ext(name) == ".sst" && removed < 2 {
			must(t, disk.Remove(filepath.Join("db", name)))
			removed++
		}
	}
	_, err = lightning.Open("db", small(disk))
	if found := lightning.Corruptions(err); len(found) != 2 {
		t.Errorf("%d of 2 missing files reported: %v", len(found), err)
	}
	wantErr(t, err, lightning.ErrCorrupted)
}

func TestDurability(t *testing.T) {
	db := open(t, small(memfs.New()))
	b := db.NewBatch()
	must(t, b.Put([]byte("a"), []byte("1")))
	must(t, b.CommitWith(lightning.DurabilityAsync))
	if seq := db.DurableSeq(); seq != 0 {
		t.Errorf("durable up to %d before any sync", seq)
	}
	must(t, db.SyncLog(context.Background()))
	if seq := db.DurableSeq(); seq != 1 {
		t.Errorf("durable up to %d after a sync of 1", seq)
	}
	must(t, b.CommitWith(lightning.DurabilitySync))
	if m := db.Metrics(); m.DurableSeq != 2 || m.VisibleSeq != 2 {
		t.Errorf("durable %d, visible %d, want 2", m.DurableSeq, m.VisibleSeq)
	}
	if err := b.CommitWith(lightning.Durability(7)); err == nil {
		t.Error("a durability that does not exist was accepted")
	}
}

func TestFailedSyncPoisons(t *testing.T) {
	disk := memfs.New()
	db := open(t, small(disk))
	must(t, db.Put([]byte("a"), []byte("1")))
	failing := errors.New("device error")
	disk.SetHook(failSyncs(failing))
	wantErr(t, db.Put([]byte("b"), []byte("2")), failing)
	disk.SetHook(nil)
	wantErr(t, db.Put([]byte("c"), []byte("3")), failing) // though the disk is fine again
	if v, err := db.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("a read after the failure: %q, %v", v, err)
	}
	_, err := db.Get([]byte("b"))
	wantErr(t, err, lightning.ErrNotFound)
	if m := db.Metrics(); !errors.Is(m.Health.WriteErr, failing) {
		t.Errorf("health says %v", m.Health.WriteErr)
	}
	wantErr(t, db.Close(), failing)
	db = open(t, small(disk))
	must(t, db.Put([]byte("c"), []byte("3")))
}

// failSyncs makes every sync of data fail.
func failSyncs(err error) func(vfs.Op) error {
	return func(op vfs.Op) error {
		if op.Kind == vfs.OpSync || op.Kind == vfs.OpSyncData {
			return err
		}
		return nil
	}
}

func TestConcurrentUse(t *testing.T) {
	opts := small(memfs.New())
	opts.Durability = lightning.DurabilityAsync
	db := open(t, opts)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			key := fmt.Appendf(nil, "own%d", g)
			for i := range 2000 {
				want := fmt.Appendf(nil, "%d-%0100d", g, i)
				if err := db.Put(key, want); err != nil {
					t.Error(err)
					return
				}
				if got, err := db.Get(key); err != nil || !bytes.Equal(got, want) {
					t.Errorf("a goroutine does not read its own write: %q, %v", got, err)
					return
				}
				b := db.NewBatch()
				b.Put([]byte("x"), want)
				b.Put([]byte("y"), want)
				if err := b.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 1000 {
				if err := db.MultiGet([][]byte{[]byte("x"), []byte("y")}, pairChecker(t)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			if err := db.Compact(context.Background(), nil, nil); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

// pairChecker returns a MultiGet callback that wants both values to be the
// same: a batch is never seen in part.
func pairChecker(t *testing.T) func(i int, value []byte, err error) error {
	var first string
	return func(i int, value []byte, err error) error {
		if i == 0 {
			first = string(value)
		} else if string(value) != first {
			t.Errorf("a batch was read in part: %q and %q", first, value)
		}
		return nil
	}
}

func TestLoggerAndCancel(t *testing.T) {
	var log bytes.Buffer
	opts := small(memfs.New())
	opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	db := open(t, opts)
	fill(t, db, 3000)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantErr(t, db.Compact(ctx, nil, nil), context.Canceled)
	must(t, db.Compact(context.Background(), nil, nil))
	must(t, db.Close())
	for _, event := range []string{"flushed", "compacted"} {
		if !strings.Contains(log.String(), event) {
			t.Errorf("the log does not mention %q", event)
		}
	}
}
