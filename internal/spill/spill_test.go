package spill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// newSpills returns the spills of a database that has nothing else.
func newSpills(t testing.TB, fs *memfs.FS) *Spills {
	t.Helper()
	must(t, fs.MkdirAll("db"))
	var memory offheap.Accountant
	epochs := new(epoch.Domain)
	cache := framecache.New(framecache.Config{CapacityBytes: 1 << 20, Epochs: epochs, Memory: &memory})
	t.Cleanup(func() {
		if leaked := cache.Close(); leaked != 0 {
			t.Errorf("%d bytes of the cache are in use", leaked)
		}
	})
	tables := store.New(store.Config{
		FS: fs, Dir: "db", Files: filepool.New(fs, 8), Cache: cache, Epochs: epochs, BlockBytes: 512, FilterBits: 12,
		Keyspaces: keyspace.NewRegistry(keyspace.Config{
			Codec: func(int, bool) compress.Policy { return compress.Policy{} },
		}),
		Events: event.NewSink(slog.New(slog.DiscardHandler), nil),
	})
	tables.SkipFileNums(1)
	free := func() error { return nil }
	return New(Config{
		Store: tables, Epochs: epochs, FileBytes: 16 << 10, Writable: free, Admit: free, Stopped: context.Background(),
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Many runs become few, which have of each key what is needed, in their order.
func TestRunsAreMerged(t *testing.T) {
	all := newSpills(t, memfs.New())
	s := all.NewSpill()
	var w txn.Writes
	var half txn.Step
	const spills = 3*lookupFanIn*lookupFanIn + 5
	for n := range spills {
		w.Put([]byte("\x00hot"), fmt.Append(nil, n))
		w.Put(fmt.Appendf(nil, "\x00%04d", n), nil)
		if n == spills/2 {
			half = w.Step()
		}
		pins := []txn.Step{half}
		if half == 0 {
			pins = nil
		}
		must(t, w.Spill(s, pins))
		if len(s.runs) > 3*lookupFanIn {
			t.Fatalf("%d runs after %d spills", len(s.runs), n)
		}
	}
	for i, r := range s.runs[1:] {
		if r.tier < s.runs[i].tier || r.largestSeq >= s.runs[i].smallestSeq {
			t.Errorf("run %d is out of order", i+1)
		}
	}
	get := func(key, want string) {
		t.Helper()
		if v, outcome, err := w.Get([]byte(key)); outcome != txn.Present || string(v) != want || err != nil {
			t.Errorf("%q = %q, %v, %v; want %q", key, v, outcome, err, want)
		}
	}
	get("\x00hot", fmt.Sprint(spills-1))
	get("\x000000", "")
	records := uint64(0)
	for _, r := range s.runs {
		for _, tab := range r.tables {
			records += tab.Meta.Count
		}
	}
	if records > spills+4*lookupFanIn {
		t.Errorf("%d records for %d keys", records, spills+1)
	}
	// The version that the pin needs is still there.
	w.RollBack(half)
	get("\x00hot", fmt.Sprint(spills/2))
	if _, outcome, err := w.Get(fmt.Appendf(nil, "\x00%04d", spills-1)); outcome != txn.Untouched || err != nil {
		t.Errorf("what was rolled back is %v, %v", outcome, err)
	}
	s.Drop()
	s.Drop() // does nothing
	all.Close()
}

// What was rolled back hides nothing, when runs become one and no savepoint keeps
// the versions apart any more.
func TestMergedRunsLeaveOutWhatWasTakenBack(t *testing.T) {
	all := newSpills(t, memfs.New())
	s := all.NewSpill()
	var w txn.Writes
	w.Put([]byte("\x00k"), []byte("1"))
	savepoint := w.Step()
	w.Put([]byte("\x00k"), []byte("2"))
	must(t, w.Spill(s, []txn.Step{savepoint}))
	w.RollBack(savepoint)
	for n := range lookupFanIn + 1 {
		w.Put(fmt.Appendf(nil, "\x00%d", n), nil)
		must(t, w.Spill(s, nil))
	}
	if len(s.runs) > lookupFanIn {
		t.Fatalf("%d runs", len(s.runs))
	}
	if v, outcome, err := w.Get([]byte("\x00k")); outcome != txn.Present || string(v) != "1" || err != nil {
		t.Errorf("%q, %v, %v", v, outcome, err)
	}
	s.Drop()
	all.Close()
}

// Close waits for those who write or remove files, and lets nobody begin after it.
func TestCloseWaitsForFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		all := newSpills(t, fs)
		s := all.NewSpill()
		var w txn.Writes
		w.Put([]byte("\x00k"), nil)
		must(t, w.Spill(s, nil))
		must(t, all.Begin())
		closed := make(chan struct{})
		go func() { all.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed beside one who writes files")
		default:
		}
		if err := all.Begin(); !errors.Is(err, base.ErrClosed) {
			t.Errorf("one who comes later gets %v", err)
		}
		if _, _, err := w.Get([]byte("\x00k")); !errors.Is(err, base.ErrClosed) {
			t.Errorf("a read gets %v", err)
		}
		if _, err := s.NewIter(); !errors.Is(err, base.ErrClosed) {
			t.Errorf("an iterator gets %v", err)
		}
		all.End()
		<-closed
		if names, err := fs.List("db"); err != nil || len(names) > 0 {
			t.Errorf("%v is left, %v", names, err)
		}
		s.Drop() // does nothing
	})
}

// A disk that nobody may write to says so, and nothing is half begun.
func TestBeginOfARefusingDatabase(t *testing.T) {
	all := newSpills(t, memfs.New())
	refused := errors.New("refused")
	all.cfg.Writable = func() error { return refused }
	if err := all.Begin(); err != refused {
		t.Error(err)
	}
	all.Close()
}

// An iterator keeps the runs that it walks, whatever becomes of its transaction.
func TestIteratorHoldsItsRuns(t *testing.T) {
	fs := memfs.New()
	all := newSpills(t, fs)
	s := all.NewSpill()
	var w txn.Writes
	for n := range 500 {
		w.Put(fmt.Appendf(nil, "\x00%04d", n), make([]byte, 50))
	}
	must(t, w.Spill(s, nil))
	it, err := s.NewIter()
	must(t, err)
	w.RollBack(0)
	s.Drop()
	rows := 0
	for rec := it.First(); rec != nil; rec = it.Next() {
		rows++
	}
	if rows != 500 || it.Err() != nil {
		t.Errorf("%d rows, %v", rows, it.Err())
	}
	must(t, it.Close())
	if names, err := fs.List("db"); err != nil || len(names) > 0 {
		t.Errorf("%v is left, %v", names, err)
	}
	all.Close()
}
