package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// told collects what a watcher is told, as text.
type told struct {
	mu    sync.Mutex
	lines []string
	err   error
	ended bool
}

func (w *told) run(ctx context.Context, watch func(context.Context, lightning.WatchOptions) func(func(lightning.WatchedChange, error) bool), o lightning.WatchOptions) {
	for c, err := range watch(ctx, o) {
		w.mu.Lock()
		if err != nil {
			w.err = err
		} else {
			w.lines = append(w.lines, strings.TrimSpace(fmt.Sprintf("%v %s%s %s", c.Kind, c.Key, c.End, c.Value)))
		}
		w.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

func (w *told) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lines)
}

type watching = func(context.Context, lightning.WatchOptions) func(func(lightning.WatchedChange, error) bool)

func ofDB(db *lightning.DB) watching {
	return func(ctx context.Context, o lightning.WatchOptions) func(func(lightning.WatchedChange, error) bool) {
		return db.Watch(ctx, o)
	}
}

// Watchers are told of the keys that they watch, in order, each kind of change, and of nothing
// that was before.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", keeping(memfs.New()))
		must(t, err)
		k, err := db.Keyspace(t.Context(), "lists", &lightning.KeyspaceOptions{Merge: lightning.MergeAppend})
		must(t, err)
		must(t, db.Put([]byte("user/1"), []byte("before")))
		ctx, cancel := context.WithCancel(t.Context())
		var users, everything, lists, past told
		go users.run(ctx, ofDB(db), lightning.WatchOptions{Prefix: []byte("user/")})
		go everything.run(ctx, ofDB(db), lightning.WatchOptions{})
		go lists.run(ctx, func(ctx context.Context, o lightning.WatchOptions) func(func(lightning.WatchedChange, error) bool) {
			return k.Watch(ctx, o)
		}, lightning.WatchOptions{Prefix: []byte("a")})
		go past.run(ctx, ofDB(db), lightning.WatchOptions{From: 1})
		synctest.Wait()
		must(t, db.Put([]byte("user/1"), []byte("one")))
		must(t, db.Put([]byte("order/1"), []byte("chair")))
		b := db.NewBatch()
		must(t, b.Put([]byte("user/2"), []byte("two")))
		must(t, b.Delete([]byte("user/1")))
		must(t, b.In(k).Merge([]byte("a"), []byte("x")))
		must(t, b.In(k).Merge([]byte("b"), []byte("y")))
		must(t, b.Commit())
		must(t, db.DeleteRange([]byte("a"), []byte("b")))
		must(t, db.DeleteRange([]byte("u"), nil))
		must(t, db.DropKeyspace(t.Context(), "lists"))
		time.Sleep(time.Second)
		synctest.Wait()
		for name, c := range map[string]struct {
			got  []string
			want string
		}{
			"users":      {users.all(), "put user/1 one|put user/2 two|delete user/1|delete-range u"},
			"everything": {everything.all(), "put user/1 one|put order/1 chair|put user/2 two|delete user/1|delete-range ab|delete-range u"},
			"lists":      {lists.all(), "merge a x|delete-range|drop-keyspace"},
			"past":       {past.all(), "put user/1 before|put user/1 one|put order/1 chair|put user/2 two|delete user/1|delete-range ab|delete-range u"},
		} {
			if got := strings.Join(c.got, "|"); got != c.want {
				t.Errorf("%s was told\n%s, want\n%s", name, got, c.want)
			}
		}
		cancel()
		synctest.Wait()
		if !users.ended || !errors.Is(users.err, context.Canceled) {
			t.Errorf("a watcher ended with %v", users.err)
		}
		var late told
		go late.run(t.Context(), ofDB(db), lightning.WatchOptions{})
		synctest.Wait()
		must(t, db.Put([]byte("late"), nil))
		time.Sleep(time.Second)
		must(t, db.Close())
		synctest.Wait()
		if got := late.all(); !slices.Equal(got, []string{"put late"}) || !errors.Is(late.err, lightning.ErrClosed) {
			t.Errorf("a late watcher was told %q, %v", got, late.err)
		}
		var none told
		none.run(t.Context(), ofDB(db), lightning.WatchOptions{})
		if !errors.Is(none.err, lightning.ErrClosed) {
			t.Errorf("of a closed database: %v", none.err)
		}
		none.run(nil, ofDB(db), lightning.WatchOptions{})
		if !errors.Is(none.err, lightning.ErrNilArgument) {
			t.Errorf("without a context: %v", none.err)
		}
	})
}

// Who is too slow misses nothing: he catches up by himself, and is then told as the others are.
func TestWatchSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", keeping(memfs.New()))
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		const writes = 6000
		var quick told
		go quick.run(ctx, ofDB(db), lightning.WatchOptions{})
		next := 0
		slow := func(o lightning.WatchOptions, pause time.Duration) {
			for c, err := range db.Watch(ctx, o) {
				if err != nil {
					return
				}
				if want := fmt.Sprintf("key%05d", next); string(c.Key) != want {
					t.Errorf("told of %s, want %s", c.Key, want)
					return
				}
				if next++; next%500 == 0 {
					time.Sleep(pause)
				}
			}
		}
		go slow(lightning.WatchOptions{Prefix: []byte("key")}, time.Minute)
		synctest.Wait()
		for i := range writes {
			must(t, db.Put(fmt.Appendf(nil, "key%05d", i), make([]byte, i%100)))
			if i%50 == 0 {
				time.Sleep(time.Second)
			}
		}
		time.Sleep(time.Hour)
		must(t, db.Put(fmt.Appendf(nil, "key%05d", writes), nil))
		time.Sleep(time.Second)
		synctest.Wait()
		if next != writes+1 || len(quick.all()) != writes+1 {
			t.Errorf("the slow one was told of %d changes, the quick one of %d; there were %d", next, len(quick.all()), writes+1)
		}
		cancel()
		synctest.Wait()
		must(t, db.Close())
	})
}

// Many watchers of different keys are each told of their own, and leave nothing when they end.
func TestWatchByMany(t *testing.T) {
	db := open(t, keeping(memfs.New()))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const watchers = 1000
	var begun, ended sync.WaitGroup
	counts := make([]int, watchers)
	for i := range watchers {
		begun.Add(1)
		ended.Go(func() {
			loop := db.Watch(ctx, lightning.WatchOptions{Prefix: fmt.Appendf(nil, "%03d/", i)})
			begun.Done()
			for c, err := range loop {
				if err != nil {
					t.Error(err)
					return
				}
				if counts[i]++; string(c.Key) == fmt.Sprintf("%03d/last", i) {
					return
				}
			}
		})
	}
	begun.Wait()
	for i := range watchers {
		must(t, db.Put(fmt.Appendf(nil, "%03d/first", i), nil))
		must(t, db.Put(fmt.Appendf(nil, "%03d/last", i), nil))
	}
	ended.Wait()
	for i, n := range counts {
		if n != 2 {
			t.Errorf("watcher %d was told of %d changes", i, n)
		}
	}
}

// A read-only database has its changes, and then the loop ends.
func TestWatchReadOnly(t *testing.T) {
	disk := memfs.New()
	db := open(t, keeping(disk))
	must(t, db.Put([]byte("a"), nil))
	must(t, db.Put([]byte("b"), nil))
	must(t, db.Close())
	o := keeping(disk)
	o.ReadOnly = true
	reader := openAt(t, "db", o)
	var all told
	all.run(context.Background(), ofDB(reader), lightning.WatchOptions{From: 1, Prefix: []byte("b")})
	if got := all.all(); all.err != nil || !slices.Equal(got, []string{"put b"}) {
		t.Errorf("told %q, %v", got, all.err)
	}
}
