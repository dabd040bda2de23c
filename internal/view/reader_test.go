package view

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// database is a Reader with all that it works with. It has one empty memtable.
type database struct {
	*Reader
	memory    offheap.Accountant
	store     *store.Store
	timeline  *timeline.Timeline
	installed func(s *State)
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	db := &database{Reader: new(Reader), installed: func(*State) {}}
	fs := memfs.New()
	must(t, fs.MkdirAll("db"))
	cache := framecache.New(framecache.Config{CapacityBytes: 1 << 20, Epochs: &db.Epochs, Memory: &db.memory})
	keyspaces := keyspace.NewRegistry(keyspace.Config{
		Codec: func(int, bool) compress.Codec { return compress.None },
	})
	db.store = store.New(store.Config{
		FS: fs, Dir: "db", Cache: cache, Epochs: &db.Epochs, BlockBytes: 512, FilterBits: 12,
		Keyspaces: keyspaces, Events: event.NewSink(slog.New(slog.DiscardHandler)),
	})
	db.store.SkipFileNums(1)
	db.timeline = timeline.New(clock.System, nil)
	db.timeline.Start(0)
	j := janitor.New()
	db.Init(Config{
		Clock: clock.System, Timeline: db.timeline, Keyspaces: keyspaces, Store: db.store, Janitor: j,
		Installed: func(s *State) { db.installed(s) }, SnapshotClosed: func() {},
	})
	mem := db.newMemtable(t)
	db.Update(func(c *Change) { c.Mem, c.Tree = mem, db.store.NewTree(&manifest.Version{}) })
	t.Cleanup(func() {
		if db.Close() {
			t.Error("closed twice")
		}
		db.GiveUp()
		j.Stop()
		if err := db.Leaks(); err != nil {
			t.Error(err)
		}
		if leaked := cache.Close(); leaked != 0 {
			t.Errorf("%d bytes of the cache are in use", leaked)
		}
		if n := db.memory.Total(); n != 0 {
			t.Errorf("%d bytes of memory are in use", n)
		}
	})
	return db
}

func (db *database) newMemtable(t testing.TB) *Flushable {
	t.Helper()
	mem, err := NewMemtable(&db.memory, 64<<10)
	must(t, err)
	return mem
}

// put writes a key of the default keyspace with the next number, and publishes it.
func (db *database) put(t testing.TB, key, value string) {
	t.Helper()
	seq := db.VisibleSeq() + 1
	must(t, db.State().Mem.Table.Add([]byte("\x00"+key), base.MakeTrailer(seq, base.KindSet), []byte(value)))
	db.Publish(seq)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A new state and its number are one step for who pins a state and asks for
// numbers after that: a merge would else drop what a snapshot is about to see.
// For readers, who may come at any moment, the number follows the state.
func TestStateAndNumberAreOneStep(t *testing.T) {
	db := newDatabase(t)
	type pin struct {
		state   *State
		visible base.SeqNum
	}
	pins := make(chan pin, 1)
	db.installed = func(*State) {
		if seq := db.VisibleSeq(); seq != 0 {
			t.Errorf("number %d was visible before its state was", seq)
		}
		go func() { pins <- pin{db.Pin(), db.VisibleSeq()} }()
		select { // long enough for a pin that does not wait
		case p := <-pins:
			pins <- p
		case <-time.After(10 * time.Millisecond):
		}
	}
	large, err := NewLarge([]byte{1, 0, 0, 0, byte(base.KindSet), 2, 0, 'k', 0}, 7, 7)
	must(t, err)
	db.Update(func(c *Change) { c.Immutables, c.Visible = []*Flushable{large}, 7 })
	db.installed = func(*State) {}
	p := <-pins
	if p.state != db.State() || p.visible != 7 {
		t.Errorf("a pinned state, %v the newest, had number %d", p.state == db.State(), p.visible)
	}
	db.Release(p.state)
}

// A change leaves alone what it does not mention.
func TestUpdateGoesOnFromTheState(t *testing.T) {
	db := newDatabase(t)
	db.put(t, "a", "1")
	before := db.State()
	next := db.newMemtable(t)
	db.Update(func(c *Change) { c.Immutables, c.Mem = []*Flushable{c.Mem}, next })
	after := db.State()
	if after.Tree != before.Tree || after.Immutables[0] != before.Mem || db.VisibleSeq() != 1 {
		t.Errorf("the state is %+v, was %+v; %d is visible", after, before, db.VisibleSeq())
	}
	value, err := db.AppendGet(nil, []byte("\x00a"))
	if string(value) != "1" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
}

// What snapshots keep is told without duplicates, oldest first.
func TestSnapshotsAreListed(t *testing.T) {
	db := newDatabase(t)
	var open []*Snapshot
	snapshot := func() {
		t.Helper()
		s, err := db.Snapshot()
		must(t, err)
		open = append(open, s)
	}
	check := func(want ...base.SeqNum) {
		t.Helper()
		if got := db.SnapshotSeqs(); !slices.Equal(got, want) {
			t.Errorf("snapshots are at %v, want %v", got, want)
		}
		if got := db.Pinned(); !slices.Equal(got.Seqs, want) || got.Times != nil {
			t.Errorf("pinned is %v, want %v", got, want)
		}
		newest := base.SeqNum(0)
		if len(want) > 0 {
			newest = want[len(want)-1]
		}
		err := db.KeepSnapshotsOut(func(got base.SeqNum) error {
			if got != newest {
				t.Errorf("the newest is at %d, want %d", got, newest)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	check()
	for range 3 {
		db.put(t, "a", "")
		snapshot()
		snapshot()
	}
	check(1, 2, 3)
	must(t, open[2].Close())
	check(1, 2, 3)
	must(t, open[3].Close())
	check(1, 3)
	if err := open[3].Close(); err != base.ErrInvalidHandle {
		t.Error(err)
	}
	for _, i := range []int{0, 1, 4, 5} {
		must(t, open[i].Close())
	}
	check()
}

// For each stripe, the time is the earliest of who reads in it or in a newer one.
// What has expired for all of them is gone for good.
func TestTimesOfSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase(t)
		start := base.Instant(time.Now().UnixNano())
		db.put(t, "a", "")
		early, err := db.Snapshot() // before anything expires
		must(t, err)
		db.timeline.Use()
		var open []*Snapshot
		for range 2 {
			db.put(t, "a", "")
			for range 2 {
				time.Sleep(time.Second)
				s, err := db.Snapshot()
				must(t, err)
				open = append(open, s)
			}
		}
		time.Sleep(time.Second)
		check := func(want ...time.Duration) {
			t.Helper()
			var got []time.Duration
			for _, at := range db.Pinned().Times {
				got = append(got, time.Duration(max(at-start, 0)))
			}
			if !slices.Equal(got, want) {
				t.Errorf("the times are %v, want %v", got, want)
			}
		}
		check(0, 1*time.Second, 3*time.Second, 5*time.Second)
		if !db.timeline.Purged(start) || db.timeline.Purged(base.Instant(time.Now().UnixNano())) {
			t.Error("the timeline does not know what may be gone")
		}
		must(t, open[0].Close())
		check(0, 2*time.Second, 3*time.Second, 5*time.Second)
		must(t, early.Close())
		must(t, open[1].Close())
		check(3*time.Second, 5*time.Second)
		must(t, open[2].Close())
		must(t, open[3].Close())
		check(5 * time.Second)
	})
}

// keys is a source of records with one sequence number.
type keys struct {
	list []string
	at   int
	rec  base.Record
}

func (k *keys) First() *base.Record { k.at = -1; return k.Next() }
func (k *keys) Err() error          { return nil }

func (k *keys) Next() *base.Record {
	if k.at++; k.at >= len(k.list) {
		return nil
	}
	k.rec = base.Record{Key: []byte("\x00" + k.list[k.at]), Trailer: base.MakeTrailer(0, base.KindSet)}
	return &k.rec
}

// The tables of one commit past the log are walked as one source, in the order of
// their keys, which is not that in which level 0 has them.
func TestIteratorOverARun(t *testing.T) {
	db := newDatabase(t)
	edit := &manifest.Edit{}
	var want []string
	for i := range 4 {
		k := &keys{}
		for n := range 20 {
			k.list = append(k.list, fmt.Sprintf("%d%03d", i, n))
		}
		want = append(want, k.list...)
		outputs, _, err := db.store.Write(t.Context(), k, store.Output{}, compact.Config{})
		must(t, err)
		meta := outputs[0]
		largest := []base.SeqNum{2, 4, 1, 3}[i] // which orders level 0
		meta.SeqBase, meta.SmallestSeq, meta.LargestSeq = 10, 10, 10+largest
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Meta: meta})
	}
	v, err := new(manifest.Version).Apply(edit)
	must(t, err)
	db.Update(func(c *Change) { c.Tree, c.Visible = db.store.NewTree(v), 20 })
	it, err := db.NewIterator(IterOptions{Lower: []byte{0}, Upper: []byte{1}, PrefixBytes: 1})
	must(t, err)
	if it.Sources() != 1 {
		t.Errorf("%d sources", it.Sources())
	}
	var got []string
	for ok := it.First(); ok; ok = it.Next() {
		got = append(got, string(it.Key()))
	}
	if !slices.Equal(got, want) || it.Err() != nil {
		t.Errorf("%d rows, %v: %v", len(got), it.Err(), got)
	}
	if !it.SeekGE([]byte("\x002010")) || string(it.Key()) != "2010" {
		t.Errorf("a seek ends at %q", it.Key())
	}
	must(t, it.Close())
}
