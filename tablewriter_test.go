package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// writeTable makes a table of rows k0000000 and so on, every step-th from from to to, with a
// mark in their values.
func writeTable(t testing.TB, fs vfs.FS, path string, from, to, step int, mark string) {
	t.Helper()
	w, err := lightning.CreateTable(path, &lightning.TableOptions{FS: fs})
	must(t, err)
	defer w.Close()
	for i := from; i < to; i += step {
		must(t, w.Put(fmt.Appendf(nil, "k%07d", i), fmt.Appendf(nil, "%s %060d", mark, i)))
	}
	must(t, w.Finish())
}

// Tables are taken in whole, beside records and over what was there, in any keyspace; where they
// overlap the last one counts. What is there then is still there when the database is opened
// again.
func TestAddTable(t *testing.T) {
	ctx := context.Background()
	fs := memfs.New()
	db := open(t, small(fs))
	k, err := db.Keyspace(ctx, "added", nil)
	must(t, err)
	writeTable(t, fs, "even", 0, 6000, 2, "even")
	writeTable(t, fs, "third", 0, 6000, 3, "third")
	want := map[string]string{}
	note := func(i int, mark string) { want[fmt.Sprintf("k%07d", i)] = fmt.Sprintf("%s %060d", mark, i) }
	must(t, k.Put([]byte("k0000001"), []byte("old")))
	must(t, k.Put([]byte("k0000002"), []byte("old")))
	want["k0000001"] = "old"
	for _, in := range []interface {
		BulkLoader() (*lightning.BulkLoader, error)
	}{db, k} {
		load, err := in.BulkLoader()
		must(t, err)
		must(t, load.AddTable(ctx, "even"))
		must(t, load.Put([]byte("k0000004"), []byte("put")))
		must(t, load.AddTable(ctx, "third"))
		must(t, load.Commit())
		must(t, load.Close())
	}
	for i := 0; i < 6000; i += 2 {
		note(i, "even")
	}
	want["k0000004"] = "put"
	for i := 0; i < 6000; i += 3 {
		note(i, "third")
	}
	if got := allRows(t, k.Scan); !maps.Equal(got, want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	delete(want, "k0000001")
	if got := allRows(t, db.Scan); !maps.Equal(got, want) {
		t.Fatalf("%d rows of the default keyspace, want %d", len(got), len(want))
	}
	must(t, fs.Remove("even"))
	must(t, fs.Remove("third"))
	must(t, db.Close())
	db = open(t, small(fs))
	if got := allRows(t, db.Scan); !maps.Equal(got, want) {
		t.Fatalf("%d rows after reopening, want %d", len(got), len(want))
	}
	must(t, db.Close())
}

// A record expires when its table says, or else when the keyspace does from AddTable on.
func TestAddTableExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		fs := memfs.New()
		w, err := lightning.CreateTable("table", &lightning.TableOptions{FS: fs})
		must(t, err)
		must(t, w.PutUntil([]byte("a"), []byte("an hour"), time.Now().Add(time.Hour)))
		must(t, w.Put([]byte("b"), []byte("as the keyspace")))
		must(t, w.PutUntil([]byte("c"), []byte("for ever"), time.Time{}))
		wantErr(t, w.PutUntil([]byte("d"), nil, time.Now().AddDate(400, 0, 0)), lightning.ErrTTL)
		must(t, w.Finish())
		db := open(t, small(fs))
		k, err := db.Keyspace(ctx, "short", &lightning.KeyspaceOptions{TTL: time.Minute})
		must(t, err)
		time.Sleep(10 * time.Minute)
		load, err := k.BulkLoader()
		must(t, err)
		must(t, load.AddTable(ctx, "table"))
		must(t, load.Commit())
		must(t, load.Close())
		for _, c := range []struct {
			after time.Duration
			want  string
		}{{30 * time.Second, "a b c"}, {10 * time.Minute, "a"}, {time.Hour, ""}} {
			time.Sleep(c.after)
			if got := strings.Join(slices.Sorted(maps.Keys(allRows(t, k.Scan))), " "); got != c.want {
				t.Errorf("%v later there are %q, want %q", c.after, got, c.want)
			}
		}
		must(t, db.Close())
	})
}

// What a table cannot hold is refused, and what was refused does no harm.
func TestTableWriterRefuses(t *testing.T) {
	fs := memfs.New()
	w, err := lightning.CreateTable("table", &lightning.TableOptions{FS: fs})
	must(t, err)
	must(t, w.Put(nil, []byte("the empty key")))
	must(t, w.Put([]byte("b"), nil))
	wantErr(t, w.Put([]byte("b"), nil), lightning.ErrKeyOrder)
	wantErr(t, w.Put([]byte("a"), nil), lightning.ErrKeyOrder)
	wantErr(t, w.Put(nil, nil), lightning.ErrKeyOrder)
	wantErr(t, w.Put(bytes.Repeat([]byte("k"), lightning.MaxKeyBytes+1), nil), lightning.ErrKeyTooLarge)
	must(t, w.Put([]byte("c"), []byte("3")))
	if _, err := fs.Stat("table"); err == nil {
		t.Error("the table has its name before it is whole")
	}
	must(t, w.Finish())
	wantErr(t, w.Finish(), lightning.ErrHandleClosed)
	wantErr(t, w.Put([]byte("d"), nil), lightning.ErrHandleClosed)
	must(t, w.Close())
	must(t, w.Close())
	wantErr(t, new(lightning.TableWriter).Put(nil, nil), lightning.ErrHandleClosed)

	db := open(t, small(fs))
	load, err := db.BulkLoader()
	must(t, err)
	must(t, load.AddTable(context.Background(), "table"))
	must(t, load.Commit())
	if got := allRows(t, db.Scan); !maps.Equal(got, map[string]string{"": "the empty key", "b": "", "c": "3"}) {
		t.Errorf("there is %v", got)
	}
	wantErr(t, load.AddTable(context.Background(), "table"), lightning.ErrHandleClosed)
	must(t, db.Close())

	w, err = lightning.CreateTable("empty", &lightning.TableOptions{FS: fs})
	must(t, err)
	if err := w.Finish(); err == nil {
		t.Error("a table without records")
	}
	w, err = lightning.CreateTable("given up", &lightning.TableOptions{FS: fs})
	must(t, err)
	must(t, w.Put([]byte("a"), nil))
	must(t, w.Close())
	names, err := fs.List(".")
	must(t, err)
	if slices.Sort(names); !slices.Equal(names, []string{"db", "table"}) {
		t.Errorf("there are %q", names)
	}
}

// A table that is damaged, that belongs to a database, or is none, is refused before anything
// of it is added: the load goes on without it.
func TestAddTableThatIsDamaged(t *testing.T) {
	ctx := context.Background()
	fs := memfs.New()
	writeTable(t, fs, "table", 0, 300, 1, "row")
	content := readAll(t, fs, "table")
	db := open(t, small(fs))
	must(t, db.Put([]byte("a"), []byte("1")))
	must(t, db.Flush(ctx))
	load, err := db.BulkLoader()
	must(t, err)
	must(t, load.Put([]byte("put"), []byte("2")))
	for at := 0; at < len(content); at += 1 + at%7 {
		damaged := bytes.Clone(content)
		damaged[at] ^= 0x10
		writeAll(t, fs, "damaged", damaged)
		if err := load.AddTable(ctx, "damaged"); err == nil {
			t.Fatalf("byte %d is changed, and nobody says so", at)
		}
	}
	for length := 0; length < len(content); length += 1 + length/3 {
		writeAll(t, fs, "damaged", content[:length])
		wantErr(t, load.AddTable(ctx, "damaged"), lightning.ErrCorrupted)
	}
	own := "db/" + tableFiles(t, fs)[0]
	if err := load.AddTable(ctx, own); !errors.Is(err, lightning.ErrCorrupted) || !strings.Contains(err.Error(), "belongs to database") {
		t.Errorf("a table of the database itself: %v", err)
	}
	if err := load.AddTable(ctx, "nowhere"); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a table that does not exist: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	wantErr(t, load.AddTable(cancelled, "table"), context.Canceled)
	must(t, load.Commit())
	if got := allRows(t, db.Scan); !maps.Equal(got, map[string]string{"a": "1", "put": "2"}) {
		t.Errorf("there is %v", got)
	}
	must(t, db.Close())
}

// After a crash at any place the table is there whole, or what was there before.
func TestTableWriterCrashes(t *testing.T) {
	fs := memfs.New()
	writeTable(t, fs, "table", 0, 10, 1, "old")
	old := readAll(t, fs, "table")
	judge := func(state *memfs.FS, where string) (whole bool) {
		if got := readAll(t, state, "table"); bytes.Equal(got, old) {
			return false
		}
		db := open(t, small(state))
		load, err := db.BulkLoader()
		must(t, err)
		if err := load.AddTable(context.Background(), "table"); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		must(t, load.Commit())
		if rows := allRows(t, db.Scan); len(rows) != 3000 {
			t.Fatalf("%s: %d rows", where, len(rows))
		}
		must(t, db.Close())
		return true
	}
	fs.SetHook(func(op vfs.Op) error {
		states, _ := fs.CrashStates(4)
		for state := range states {
			judge(state, fmt.Sprint("crash before ", op))
		}
		return nil
	})
	writeTable(t, fs, "table", 0, 3000, 1, "new")
	fs.SetHook(nil)
	if !judge(fs.Crash(memfs.CrashOptions{}), "at the end") {
		t.Error("a table that was finished is not durable")
	}
}

// Whatever operation of a file fails, whoever asked for it is told, and no part of a table is
// left or added.
func TestTableFaults(t *testing.T) {
	ctx := context.Background()
	injected := errors.New("injected")
	run := func(nth int64) (failed bool) {
		inner := memfs.New()
		db := open(t, small(inner))
		defer func() { must(t, db.Close()) }()
		fs := faultfs.New(inner)
		fs.Add(faultfs.Rule{Err: injected, Nth: nth})
		w, err := lightning.CreateTable("table", &lightning.TableOptions{FS: fs})
		for i := 0; i < 3000 && err == nil; i++ {
			err = w.Put(fmt.Appendf(nil, "k%07d", i), make([]byte, 60))
		}
		if err == nil {
			err = w.Finish()
		}
		if err == nil {
			return false
		}
		wantErr(t, err, injected)
		if w != nil {
			_ = w.Close()
		}
		if _, err := inner.Stat("table"); err != nil {
			return true
		}
		load, err := db.BulkLoader() // it has its name: it is whole
		must(t, err)
		must(t, load.AddTable(ctx, "table"))
		must(t, load.Close())
		return true
	}
	n := int64(1)
	for run(n) {
		n++
	}
	if n < 6 {
		t.Errorf("only %d operations", n)
	}
}

// A table that cannot be read is told, and a load that had begun to add it ends.
func TestAddTableFaults(t *testing.T) {
	ctx := context.Background()
	injected := errors.New("injected")
	inner := memfs.New()
	writeTable(t, inner, "table", 0, 3000, 1, "row")
	fs := faultfs.New(inner)
	o := small(inner)
	o.FS = fs
	db := open(t, o)
	for nth, failed := int64(1), true; failed; nth++ {
		var op vfs.Op
		rule := fs.Add(faultfs.Rule{
			Err: injected, Name: "table", Nth: nth, Kinds: vfs.OpAll &^ vfs.OpClose,
			Before: func(o vfs.Op) { op = o },
		})
		load, err := db.BulkLoader()
		must(t, err)
		err = load.AddTable(ctx, "table")
		if failed = rule.Fired() > 0; !failed {
			must(t, err)
		}
		want := 0
		if err == nil { // or it was read again
			want = 3000
		} else if !errors.Is(err, injected) {
			t.Errorf("%v failed: %v", op, err)
		}
		if commitErr := load.Commit(); commitErr != nil {
			wantErr(t, commitErr, lightning.ErrHandleClosed)
		}
		if rows := allRows(t, db.Scan); len(rows) != want {
			t.Fatalf("%v failed: %d rows, want %d", op, len(rows), want)
		}
		must(t, load.Close())
		must(t, db.DeleteRange(nil, nil))
		fs.Reset()
	}
	must(t, db.Close())
}

func readAll(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	content := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(content, 0)
		must(t, err)
	}
	return content
}

func writeAll(t testing.TB, fs vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Create(name)
	must(t, err)
	if len(content) > 0 {
		_, err = f.WriteAt(content, 0)
		must(t, err)
	}
	must(t, f.Close())
}
