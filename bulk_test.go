package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// bulkRows are the rows of a load: in order, in none, in order but for some from the begin, and
// in order for longer than the loader looks.
var bulkRows = map[string]func(rng *rand.Rand, i, n int) int{
	"in order":    func(_ *rand.Rand, i, _ int) int { return i },
	"in no order": func(rng *rand.Rand, _, n int) int { return rng.IntN(n) },
	"mostly in order": func(rng *rand.Rand, i, n int) int {
		if rng.IntN(50) == 0 {
			return rng.IntN(n)
		}
		return i
	},
	"in order at first": func(rng *rand.Rand, i, n int) int {
		if i > n*3/4 {
			return rng.IntN(n + n/4)
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
			for nth := 1; ; nth += 1 + nth/4 {
				if !bulkLoadFails(t, row, nth) {
					break
				}
			}
		})
	}
}

// bulkLoadFails lets the n-th operation that writes fail. It reports whether one did.
func bulkLoadFails(t *testing.T, row func(rng *rand.Rand, i, n int) int, nth int) bool {
	const rows = 6000
	fs := memfs.New()
	disk := faultfs.New(fs)
	opts := small(fs)
	opts.FS = disk
	db := open(t, opts)
	must(t, db.Put([]byte("before"), []byte("1")))
	must(t, db.Flush(context.Background()))
	var failed atomic.Bool
	disk.Add(faultfs.Rule{
		Kinds: vfs.OpWrite | vfs.OpCreate | vfs.OpAnySync, Nth: int64(nth),
		Before: func(vfs.Op) { failed.Store(true) }, Err: errors.New("injected"),
	})
	nothing, all := map[string]string{"before": "1"}, map[string]string{"before": "1"}
	loader, err := db.BulkLoader()
	must(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range rows {
		key, value := fmt.Sprintf("k%07d", row(rng, i, rows)), fmt.Sprintf("%0100d", i)
		all[key] = value
		if err == nil {
			err = loader.Put([]byte(key), []byte(value))
		}
	}
	if err == nil {
		err = loader.Commit()
	}
	must(t, loader.Close())
	disk.Reset()
	if got := allRows(t, db.Scan); err == nil && !maps.Equal(got, all) || err != nil && !maps.Equal(got, nothing) && !maps.Equal(got, all) {
		t.Fatalf("operation %d fails, %v: %d rows", nth, err, len(got))
	}
	if files := tableFiles(t, fs); err != nil && db.Metrics().Health.WriteErr == nil && len(files) > 1 {
		t.Errorf("operation %d fails, %v: files are left: %v", nth, err, files)
	}
	_ = db.Close()
	db = open(t, small(fs))
	if got := allRows(t, db.Scan); err == nil && !maps.Equal(got, all) || !maps.Equal(got, nothing) && !maps.Equal(got, all) {
		t.Errorf("operation %d fails, %v: %d rows after reopening", nth, err, len(got))
	}
	must(t, db.Close())
	return failed.Load()
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

// Change feeds have what was loaded, each key once, in one commit.
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
			got, commits := map[string]string{}, 0
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
				commits++
			}
			if commits != 1 {
				t.Errorf("%d commits", commits)
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
	must(t, db.Close())
	if _, err := db.BulkLoader(); !errors.Is(err, lightning.ErrClosed) {
		t.Errorf("a loader for a closed database: %v", err)
	}
}

// A record that is refused because another goroutine was in the loader is not forgotten.
func TestBulkLoaderUsedByTwo(t *testing.T) {
	db := open(t, small(memfs.New()))
	loader, err := db.BulkLoader()
	must(t, err)
	defer loader.Close()
	var refused atomic.Bool // this or the other one is
	put := func(key string, value []byte) {
		if errors.Is(loader.Put([]byte(key), value), lightning.ErrConcurrentUse) {
			refused.Store(true)
		}
	}
	for n := 0; !refused.Load(); n++ {
		if n == 100 {
			t.Fatal("the two do not meet")
		}
		var wg sync.WaitGroup
		var done atomic.Bool
		wg.Go(func() {
			put("large", make([]byte, 16<<20)) // takes a while to copy
			done.Store(true)
		})
		for i := 0; !refused.Load() && !done.Load(); i++ {
			put(fmt.Sprint(n, i), nil)
		}
		wg.Wait()
	}
	wantErr(t, loader.Commit(), lightning.ErrConcurrentUse)
}

// A database is closed while a load is committed: it is there or not, and nothing leaks.
func TestBulkLoadBesideClose(t *testing.T) {
	for name, row := range bulkRows {
		t.Run(name, func(t *testing.T) {
			for n := range 6 {
				fs := memfs.New()
				db := open(t, small(fs))
				loader, err := db.BulkLoader()
				must(t, err)
				rng := rand.New(rand.NewPCG(1, 1))
				all := map[string]string{}
				for i := range 8000 {
					key, value := fmt.Sprintf("k%07d", row(rng, i, 8000)), fmt.Sprintf("%060d", i)
					all[key] = value
					must(t, loader.Put([]byte(key), []byte(value)))
				}
				done := make(chan error, 1)
				go func() { done <- loader.Commit() }()
				for range n * 200 {
					runtime.Gosched()
				}
				must(t, db.Close())
				err = <-done
				must(t, loader.Close())
				if err != nil && !errors.Is(err, lightning.ErrClosed) {
					t.Errorf("commit: %v", err)
				}
				db = open(t, small(fs))
				if got := allRows(t, db.Scan); err == nil && !maps.Equal(got, all) || err != nil && len(got) != 0 && !maps.Equal(got, all) {
					t.Errorf("commit beside close, %v: %d rows", err, len(got))
				}
				must(t, db.Close())
			}
		})
	}
}

// Values that are larger than what the loader passes on at once, or than a memtable, are loaded
// as others.
func TestBulkLoadOfLargeValues(t *testing.T) {
	for name, row := range bulkRows {
		t.Run(name, func(t *testing.T) {
			db := open(t, small(memfs.New()))
			loader, err := db.BulkLoader()
			must(t, err)
			rng := rand.New(rand.NewPCG(1, 1))
			want := map[string]string{}
			for i := range 60 {
				key, value := fmt.Sprintf("k%07d", row(rng, i, 60)), strings.Repeat(fmt.Sprint(i), rng.IntN(200_000))
				want[key] = value
				must(t, loader.Put([]byte(key), []byte(value)))
			}
			must(t, loader.Commit())
			if got := allRows(t, db.Scan); !maps.Equal(got, want) {
				t.Errorf("%d rows, want %d", len(got), len(want))
			}
		})
	}
}
