package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// bulkRows are the rows of a load: in order, in none, and in order but for some.
var bulkRows = map[string]func(rng *rand.Rand, i, n int) int{
	"in order":    func(_ *rand.Rand, i, _ int) int { return i },
	"in no order": func(rng *rand.Rand, _, n int) int { return rng.IntN(n) },
	"mostly in order": func(rng *rand.Rand, i, n int) int {
		if rng.IntN(50) == 0 {
			return rng.IntN(n)
		}
		return i
	},
}

func allRows(t *testing.T, scan func(lightning.ScanOptions, func(iter.Seq2[[]byte, []byte]) error) error) map[string]string {
	t.Helper()
	rows := map[string]string{}
	must(t, scan(lightning.ScanOptions{}, func(all iter.Seq2[[]byte, []byte]) error {
		for key, value := range all {
			rows[string(key)] = string(value)
		}
		return nil
	}))
	return rows
}

// What is loaded is there at once, over what was there, and still is when the database is
// opened again; a snapshot from before does not see it.
func TestBulkLoad(t *testing.T) {
	for name, row := range bulkRows {
		for _, n := range []int{0, 1, 10, 20_000} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				fs := memfs.New()
				db := open(t, small(fs))
				k, err := db.Keyspace(context.Background(), "loaded", nil)
				must(t, err)
				want := map[string]string{}
				for i := range 100 {
					key := fmt.Sprintf("k%07d", i*97)
					must(t, k.Put([]byte(key), []byte("old")))
					want[key] = "old"
				}
				snap, err := k.Snapshot()
				must(t, err)
				loader, err := k.BulkLoader()
				must(t, err)
				rng := rand.New(rand.NewPCG(uint64(n), 1))
				before := maps.Clone(want)
				for i := range n {
					key, value := fmt.Sprintf("k%07d", row(rng, i, n)), fmt.Sprintf("%d %060d", i, i)
					must(t, loader.Put([]byte(key), []byte(value)))
					want[key] = value
				}
				if got := allRows(t, k.Scan); !maps.Equal(got, before) {
					t.Fatal("the load is seen before its commit")
				}
				must(t, loader.Commit())
				must(t, loader.Close())
				if got := allRows(t, k.Scan); !maps.Equal(got, want) {
					t.Fatalf("%d rows, want %d", len(got), len(want))
				}
				if got := allRows(t, snap.Scan); !maps.Equal(got, before) {
					t.Fatal("a snapshot sees the load")
				}
				must(t, snap.Close())
				must(t, k.Put([]byte("k0000000"), []byte("new")))
				want["k0000000"] = "new"
				must(t, db.Close())
				db = open(t, small(fs))
				if k, err = db.Keyspace(context.Background(), "loaded", nil); err != nil {
					t.Fatal(err)
				}
				if got := allRows(t, k.Scan); !maps.Equal(got, want) {
					t.Fatalf("%d rows after reopening, want %d", len(got), len(want))
				}
			})
		}
	}
}

// tableFiles returns the names of the tables in a directory.
func tableFiles(t *testing.T, fs *memfs.FS) (names []string) {
	t.Helper()
	all, err := fs.List("db")
	must(t, err)
	for _, name := range all {
		if bytes.HasSuffix([]byte(name), []byte(".sst")) {
			names = append(names, name)
		}
	}
	return names
}

// A load that is given up leaves nothing, neither rows nor files, and one that goes on while
// the database is closed neither.
func TestBulkLoadGivenUp(t *testing.T) {
	for name, row := range bulkRows {
		t.Run(name, func(t *testing.T) {
			fs := memfs.New()
			db := open(t, small(fs))
			load := func() *lightning.BulkLoader {
				loader, err := db.BulkLoader()
				must(t, err)
				rng := rand.New(rand.NewPCG(1, 1))
				for i := range 20_000 {
					must(t, loader.Put(fmt.Appendf(nil, "k%07d", row(rng, i, 20_000)), make([]byte, 60)))
				}
				return loader
			}
			loader := load()
			must(t, loader.Close())
			must(t, loader.Close())
			wantErr(t, loader.Put([]byte("a"), nil), lightning.ErrHandleClosed)
			wantErr(t, loader.Commit(), lightning.ErrHandleClosed)
			if files := tableFiles(t, fs); len(files) > 0 {
				t.Errorf("files are left: %v", files)
			}
			loader = load()
			must(t, db.Close())
			if err := loader.Commit(); !errors.Is(err, lightning.ErrClosed) {
				t.Errorf("commit to a closed database: %v", err)
			}
			must(t, loader.Close())
			if files := tableFiles(t, fs); len(files) > 0 {
				t.Errorf("files are left: %v", files)
			}
		})
	}
}

// Whatever operation on a file fails, a load is there whole or not at all, and its files go
// where it is not.
func TestBulkLoadFails(t *testing.T) {
	for name, row := range bulkRows {
		t.Run(name, func(t *testing.T) {
			for nth := 1; ; nth += 1 + nth/8 {
				if !bulkLoadFails(t, row, nth) {
					break
				}
			}
		})
	}
}

// bulkLoadFails lets the n-th operation that writes fail. It reports whether one did.
func bulkLoadFails(t *testing.T, row func(rng *rand.Rand, i, n int) int, nth int) bool {
	const rows = 3000
	fs := memfs.New()
	disk := faultfs.New(fs)
	opts := small(fs)
	opts.FS = disk
	db := open(t, opts)
	must(t, db.Put([]byte("before"), []byte("1")))
	failed := false
	disk.Add(faultfs.Rule{Kinds: vfs.OpWrite | vfs.OpCreate | vfs.OpAnySync, Nth: int64(nth), Before: func(vfs.Op) { failed = true }, Err: errors.New("injected")})
	loader, err := db.BulkLoader()
	must(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := 0; i < rows && err == nil; i++ {
		err = loader.Put(fmt.Appendf(nil, "k%07d", row(rng, i, rows)), make([]byte, 100))
	}
	if err == nil {
		err = loader.Commit()
	}
	must(t, loader.Close())
	disk.Reset()
	if err == nil && len(allRows(t, db.Scan)) < rows/2 {
		t.Fatalf("operation %d fails: no error, and no rows", nth)
	}
	_ = db.Close()
	db = open(t, small(fs))
	if n := len(allRows(t, db.Scan)); n != 1 && n < rows/2 || err == nil && n == 1 {
		t.Errorf("operation %d fails, %v: %d rows", nth, err, n)
	}
	must(t, db.Close())
	return failed
}

// Records expire as told, and by the time to live of the keyspace.
func TestBulkLoadExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", small(memfs.New()))
		must(t, err)
		k, err := db.Keyspace(context.Background(), "a", &lightning.KeyspaceOptions{TTL: time.Hour})
		must(t, err)
		loader, err := k.BulkLoader()
		must(t, err)
		must(t, loader.PutUntil([]byte("b"), []byte("2"), time.Time{}))
		must(t, loader.Put([]byte("c"), []byte("3")))
		must(t, loader.PutUntil([]byte("a"), []byte("1"), time.Now().Add(3*time.Hour)))
		must(t, loader.Commit())
		for hours, want := range []int{3, 2, 2, 1} {
			if got := len(allRows(t, k.Scan)); got != want {
				t.Errorf("%d rows after %d hours, want %d", got, hours, want)
			}
			time.Sleep(time.Hour)
		}
		must(t, db.Close())
	})
}

// Change feeds have what was loaded, each key once, and nothing of it twice.
func TestBulkLoadIsInTheFeed(t *testing.T) {
	for name, row := range bulkRows {
		t.Run(name, func(t *testing.T) {
			opts := small(memfs.New())
			opts.LogArchive.SizeBytes = 64 << 20
			db := open(t, opts)
			loader, err := db.BulkLoader()
			must(t, err)
			want := map[string]string{}
			rng := rand.New(rand.NewPCG(1, 1))
			for i := range 5000 {
				key := fmt.Sprintf("k%07d", row(rng, i, 5000))
				want[key] = fmt.Sprint(i)
				must(t, loader.Put([]byte(key), fmt.Append(nil, i)))
			}
			must(t, loader.Commit())
			must(t, db.Put([]byte("z"), nil))
			got := map[string]string{}
			for batch, err := range db.Changes(t.Context(), 0) {
				must(t, err)
				last := false
				for change := range batch.All() {
					if string(change.Key) == "z" {
						last = true
						continue
					}
					got[string(change.Key)] = string(change.Value)
				}
				if last {
					break
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("%d keys in the feed, want %d: %v", len(got), len(want), slices.Sorted(maps.Keys(got))[:min(3, len(got))])
			}
		})
	}
}

// A loader is used by one goroutine at a time, and the zero one by none.
func TestBulkLoaderMisuse(t *testing.T) {
	var zero lightning.BulkLoader
	wantErr(t, zero.Put([]byte("a"), nil), lightning.ErrClosed)
	wantErr(t, zero.PutUntil([]byte("a"), nil, time.Time{}), lightning.ErrClosed)
	wantErr(t, zero.Commit(), lightning.ErrClosed)
	wantErr(t, zero.Close(), lightning.ErrClosed)
	db := open(t, small(memfs.New()))
	loader, err := db.BulkLoader()
	must(t, err)
	wantErr(t, loader.Put(make([]byte, 1<<20), nil), lightning.ErrKeyTooLarge)
	must(t, loader.Put([]byte("a"), []byte("1")))
	must(t, loader.Commit())
	wantErr(t, loader.Commit(), lightning.ErrHandleClosed)
	if got, err := db.Get([]byte("a")); err != nil || string(got) != "1" {
		t.Errorf("%q, %v", got, err)
	}
	k, err := db.Keyspace(context.Background(), "dropped", nil)
	must(t, err)
	loader, err = k.BulkLoader()
	must(t, err)
	must(t, loader.Put([]byte("a"), []byte("1")))
	must(t, db.DropKeyspace(context.Background(), "dropped"))
	wantErr(t, loader.Commit(), lightning.ErrKeyspaceDropped)
	must(t, loader.Close())
}
