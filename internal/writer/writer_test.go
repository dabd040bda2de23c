package writer

import (
	"log/slog"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const memtableBytes = 64 << 10

// newWriter returns a writer without a log, over one empty memtable, as recovery
// has it.
func newWriter(t testing.TB) (*Writer, *view.Reader) {
	t.Helper()
	memory, reads, j := new(offheap.Accountant), new(view.Reader), janitor.New()
	cache := framecache.New(framecache.Config{CapacityBytes: 1 << 20, Epochs: new(epoch.Domain), Memory: memory})
	keyspaces := keyspace.NewRegistry(keyspace.Config{})
	line := timeline.New(clock.System, nil)
	line.Start(0)
	tables := store.New(store.Config{
		FS: memfs.New(), Dir: "db", Keyspaces: keyspaces, Events: event.NewSink(slog.New(slog.DiscardHandler)),
	})
	reads.Init(view.Config{
		Clock: clock.System, Timeline: line, Keyspaces: keyspaces, Store: tables, Janitor: j,
		Installed: func(*view.State) {}, SnapshotClosed: func() {},
	})
	mem, err := view.NewMemtable(memory, memtableBytes)
	must(t, err)
	mem.FirstLog, mem.FirstPosition = 3, 300
	reads.Update(func(c *view.Change) { c.Mem, c.Tree = mem, tables.NewTree(&manifest.Version{}) })
	t.Cleanup(func() {
		reads.GiveUp()
		j.Stop()
		cache.Close()
		if n := memory.Total(); n != 0 {
			t.Errorf("%d bytes of memory are in use", n)
		}
	})
	w := New(Config{
		Reads: reads, Keyspaces: keyspaces, Memory: memory, Timeline: line, Clock: clock.System,
		MemtableBytes: memtableBytes, L0Files: 4, Published: func() {},
	})
	return w, reads
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// groupOf returns a group of one batch that sets some keys to a value.
func groupOf(t testing.TB, first base.SeqNum, value string, keys ...string) *commit.Group {
	t.Helper()
	b := new(batch.Batch)
	for _, key := range keys {
		must(t, b.Set([]byte{0}, []byte(key), []byte(value)))
	}
	return &commit.Group{
		First: first, Last: first + base.SeqNum(len(keys)-1), Payloads: [][]byte{b.Bytes()}, Records: b.Len(),
		SizeBytes: int64(b.SizeBytes()), MemtableBytes: b.MemtableBytes(),
	}
}

func neverAsked(t testing.TB) func() error {
	return func() error { t.Error("room is made where there is some"); return nil }
}

// A memtable that is sealed knows its newest number. An empty one is dropped: a
// flush would have nothing to write, and the number would be no record's.
func TestSeal(t *testing.T) {
	w, reads := newWriter(t)
	must(t, w.SealInPlace(0))
	if len(reads.State().Immutables) != 0 {
		t.Fatal("an empty memtable waits for its flush")
	}
	next := func() *view.Flushable {
		t.Helper()
		mem, err := view.NewMemtable(w.cfg.Memory, memtableBytes)
		must(t, err)
		return mem
	}
	mem := next()
	w.seal(mem, 5)
	if s := reads.State(); len(s.Immutables) != 0 || s.Mem != mem {
		t.Error("an empty memtable waits for its flush, or still takes writes")
	}
	must(t, w.Replay(groupOf(t, 6, "v", "a", "b"), neverAsked(t)))
	mem.FirstLog, mem.FirstPosition = 7, 700
	must(t, w.SealInPlace(7))
	s := reads.State()
	if len(s.Immutables) != 1 || s.Immutables[0] != mem || mem.LastSeq != 7 {
		t.Fatalf("%d memtables wait, the number of the newest is %d", len(s.Immutables), mem.LastSeq)
	}
	if s.Mem.FirstLog != 7 || s.Mem.FirstPosition != 700 || !s.Mem.Empty() {
		t.Errorf("the next one begins in segment %d at %d", s.Mem.FirstLog, s.Mem.FirstPosition)
	}
}

// What is replayed is there and visible, in the memtable or, where that is too
// small for it, in its own right at the same place in the log.
func TestReplay(t *testing.T) {
	w, reads := newWriter(t)
	expect := func(key, want string) {
		t.Helper()
		if v, err := reads.AppendGet(nil, []byte("\x00"+key)); err != nil || string(v) != want {
			t.Errorf("%s = %.20q, %v; want %.20q", key, v, err, want)
		}
	}
	must(t, w.Replay(groupOf(t, 1, "1", "a", "b"), neverAsked(t)))
	if reads.VisibleSeq() != 2 {
		t.Errorf("%d is visible", reads.VisibleSeq())
	}
	expect("b", "1")
	// One that does not fit beside what is there asks for room, once.
	half := string(make([]byte, memtableBytes*2/3))
	asked := 0
	makeRoom := func() error { asked++; return w.SealInPlace(reads.VisibleSeq()) }
	must(t, w.Replay(groupOf(t, 3, half, "c"), makeRoom))
	must(t, w.Replay(groupOf(t, 4, half, "d"), makeRoom))
	if asked != 1 || len(reads.State().Immutables) != 1 {
		t.Errorf("asked %d times, %d memtables wait", asked, len(reads.State().Immutables))
	}
	// A large one ends the memtable before it.
	large := string(make([]byte, 2*memtableBytes))
	must(t, w.Replay(groupOf(t, 5, large, "a"), makeRoom))
	s := reads.State()
	if asked != 2 || len(s.Immutables) != 3 || !s.Immutables[0].IsLarge() || s.Immutables[1].LastSeq != 4 {
		t.Fatalf("asked %d times, %d wait", asked, len(s.Immutables))
	}
	if m := s.Immutables[0]; m.FirstLog != 3 || m.FirstPosition != 300 || m.LastSeq != 5 {
		t.Errorf("the large one is in segment %d at %d, up to %d", m.FirstLog, m.FirstPosition, m.LastSeq)
	}
	for key, want := range map[string]string{"a": large, "b": "1", "c": half, "d": half} {
		expect(key, want)
	}
	if reads.VisibleSeq() != 5 {
		t.Errorf("%d is visible", reads.VisibleSeq())
	}
}
