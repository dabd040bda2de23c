package view

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/leak"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// handClock is a clock whose hands the test moves.
type handClock struct {
	clock.Clock
	at atomic.Int64
}

func (c *handClock) Now() time.Time { return time.Unix(0, c.at.Load()) }

// room is a Reader with all that it reads, and what writers do to it: memtables are
// sealed, flushed to tables and merged, without log, manifest or workers.
type room struct {
	Reader
	t        testing.TB
	fs       *memfs.FS
	clock    handClock
	memory   offheap.Accountant
	janitor  *janitor.Janitor
	store    *store.Store
	timeline *timeline.Timeline
	version  *manifest.Version
	hot      *hotcache.Cache
	// installed has what the callback was told.
	installed []*State

	mergeGate func() // called between the read and the installation of a merge; nil: nothing
	last      base.SeqNum
	history   []op
}

const memtableBytes = 1 << 20

// newRoom returns a room with an empty memtable. The end of the test closes it, and
// looks whether everything was given back.
func newRoom(t testing.TB, hotBytes int64) *room {
	t.Helper()
	r := &room{t: t, fs: memfs.New(), janitor: janitor.New(), version: new(manifest.Version)}
	r.clock.Clock = clock.System
	r.clock.at.Store(1000)
	must(t, r.fs.MkdirAll("db"))
	cache := framecache.New(framecache.Config{CapacityBytes: 1 << 20, Epochs: &r.Epochs, Memory: &r.memory})
	operators, err := merge.NewRegistry(nil)
	must(t, err)
	keyspaces := keyspace.NewRegistry(keyspace.Config{
		Codec:     func(int, bool) compress.Policy { return compress.Policy{} },
		Operators: operators,
	})
	must(t, keyspaces.Apply(keyspace.Act{ID: 1, Keyspace: &manifest.Keyspace{ID: 1, Name: "merging", Merge: merge.Append}}))
	r.store = store.New(store.Config{
		FS: r.fs, Dir: "db", Files: filepool.New(r.fs, 100), Cache: cache, Epochs: &r.Epochs, BlockBytes: 256, FilterBits: 10,
		Keyspaces: keyspaces, Events: event.NewSink(slog.New(slog.DiscardHandler), nil),
	})
	r.store.SkipFileNums(1)
	r.timeline = timeline.New(&r.clock, nil)
	r.timeline.Start(0)
	if hotBytes > 0 {
		r.hot, err = hotcache.New(hotcache.Config{
			SizeBytes: hotBytes, MaxBytes: 4 * hotBytes, Epochs: &r.Epochs, Memory: &r.memory,
		})
		must(t, err)
	}
	r.Init(Config{
		Clock: &r.clock, Timeline: r.timeline, Keyspaces: keyspaces, Store: r.store, Janitor: r.janitor, Hot: r.hot,
		Installed:      func(s *State) { r.installed = append(r.installed, s) },
		Freed:          func(*State) {},
		SnapshotClosed: func() {},
	})
	r.Update(func(c *Change) { c.Mem, c.Tree = r.newMemtable(), r.store.NewTree(r.version) })
	t.Cleanup(func() {
		if !r.Closed() {
			r.Close()
			r.GiveUp()
		}
		if err := r.Leaks(); err != nil {
			t.Error(err)
		}
		r.janitor.Stop()
		if r.hot != nil {
			r.hot.Free()
		}
		if leaked := cache.Close(); leaked != 0 {
			t.Errorf("%d bytes of the cache are in use", leaked)
		}
		if n := r.memory.Total(); n != 0 {
			t.Errorf("%d bytes of memory were not given back", n)
		}
		r.expectFiles()
	})
	return r
}

func (r *room) newMemtable() *Flushable {
	m, err := NewMemtable(&r.memory, memtableBytes)
	must(r.t, err)
	return m
}

// settle waits for the janitor to have done what it was asked.
func (r *room) settle() {
	done := make(chan struct{})
	// What a task of his adds comes behind.
	r.janitor.Add(func() { r.janitor.Add(func() { r.janitor.AddFile(func() { close(done) }) }) })
	<-done
}

// files returns the names in the directory.
func (r *room) files() []string {
	names, err := r.fs.List("db")
	must(r.t, err)
	slices.Sort(names)
	return names
}

// expectFiles looks whether the directory has the tables of the version, and
// nothing else.
func (r *room) expectFiles() {
	r.t.Helper()
	var want []string
	for _, files := range r.version.Levels {
		for _, f := range files {
			want = append(want, store.TableName(f.Num))
		}
	}
	slices.Sort(want)
	if got := r.files(); !slices.Equal(got, want) {
		r.t.Errorf("the directory has %q, want %q", got, want)
	}
}

// op is a write, for the model.
type op struct {
	kind       base.Kind
	key, value string // of a range delete its bounds
	expiry     base.Instant
}

func (o op) add(b *batch.Batch) error {
	key, value := []byte(o.key), []byte(o.value)
	switch o.kind {
	case base.KindDelete:
		return b.Delete(nil, key)
	case base.KindRangeDelete:
		return b.DeleteRange(key, value)
	case base.KindMerge:
		return b.Merge(nil, key, value)
	case base.KindSetExpiring:
		return b.SetExpiring(nil, key, value, o.expiry)
	}
	return b.Set(nil, key, value)
}

func set(key, value string) op { return op{kind: base.KindSet, key: key, value: value} }
func del(key string) op        { return op{kind: base.KindDelete, key: key} }
func delRange(lo, hi string) op {
	return op{kind: base.KindRangeDelete, key: lo, value: hi}
}

// write does some writes as one commit, as the applier does.
func (r *room) write(ops ...op) {
	r.t.Helper()
	var b batch.Batch
	for _, o := range ops {
		must(r.t, o.add(&b))
		if o.kind == base.KindSetExpiring {
			r.timeline.Use()
		}
	}
	mem, first := r.State().Mem.Table, r.last+1
	var hashes []uint64
	for records := batch.NewReader(b.Bytes()); ; {
		ok, err := records.Next()
		must(r.t, err)
		if !ok {
			break
		}
		r.last++
		if records.Kind == base.KindRangeDelete {
			if r.hot != nil {
				r.hot.BeginAll()
			}
			must(r.t, mem.AddRangeDelete(records.Key, records.Value, r.last, first))
			continue
		}
		if r.hot != nil {
			hashes = append(hashes, base.Hash(records.Key))
			r.hot.BeginWrite(base.Hash(records.Key))
		}
		must(r.t, mem.Add(records.Key, base.Hash(records.Key), base.MakeTrailer(r.last, records.Kind), records.Value))
		if records.Kind != base.KindDelete {
			r.Dead.Wrote(records.Key)
		}
	}
	r.history = append(r.history, ops...)
	r.Publish(r.last)
	if r.hot != nil {
		for _, hash := range hashes {
			r.hot.EndWrite(hash)
		}
		r.hot.EndAll()
	}
}

// writeLarge does some writes as a commit that goes into no memtable.
func (r *room) writeLarge(ops ...op) {
	r.t.Helper()
	var b batch.Batch
	for _, o := range ops {
		must(r.t, o.add(&b))
		if o.kind == base.KindSetExpiring {
			r.timeline.Use()
		}
	}
	r.seal()
	first := r.last + 1
	r.last += base.SeqNum(len(ops))
	sorter, err := NewSorter(new(offheap.Accountant), 0, b.SizeBytes())
	must(r.t, err)
	_, err = sorter.Add(first, b.Bytes())
	must(r.t, err)
	large, err := sorter.Flushable()
	must(r.t, err)
	r.history = append(r.history, ops...)
	r.Dead.Upset()
	defer r.Dead.Calm()
	if r.hot != nil {
		r.hot.BeginAll()
		defer r.hot.EndAll()
	}
	r.Update(func(c *Change) {
		c.Immutables = append([]*Flushable{large}, c.Immutables...)
		c.Visible = r.last
	})
}

// seal makes the memtable immutable.
func (r *room) seal() {
	if r.State().Mem.Empty() {
		return
	}
	next := r.newMemtable()
	r.Update(func(c *Change) {
		c.Mem.LastSeq = r.last
		c.Immutables = append([]*Flushable{c.Mem}, c.Immutables...)
		c.Mem = next
	})
}

// flush writes what is immutable to a table of level 0.
func (r *room) flush() {
	s := r.Pin()
	defer r.Release(s)
	if len(s.Immutables) == 0 {
		return
	}
	var sources []iterate.Source
	var deletes []rangedel.Iterator
	for _, m := range s.Immutables {
		sources = append(sources, iterate.Source{Iter: m.NewIter(), MaxSeq: base.SeqNumMax})
		deletes = append(deletes, m.RangeDeletes(r.SnapshotSeqs(), nil, nil))
	}
	edit := r.merge(iterate.NewMerging(sources), rangedel.Union(deletes...), store.Output{})
	r.install(edit, func() { r.NoteFlushed(s.Immutables[0].LastSeq) }, func(c *Change) {
		c.Immutables = c.Immutables[:len(c.Immutables)-len(s.Immutables)]
	})
}

// changeHotSize makes the next step of a hot-record cache that grows and shrinks. Only who
// writes calls it.
func (r *room) changeHotSize(rng *rand.Rand) {
	if r.hot == nil {
		return
	}
	alone := func(change func()) error {
		change()
		return nil
	}
	if r.hot.IsMoving() {
		must(r.t, r.hot.DropBefore(alone))
		return
	}
	must(r.t, r.hot.Resize(rng.Int64N(256<<10), false, alone))
}

// compact merges all of a level into the next.
func (r *room) compact(upper int) {
	s := r.Pin()
	defer r.Release(s)
	files := [2][]*manifest.FileMeta{r.version.Levels[upper], r.version.Levels[upper+1]}
	if len(files[0]) == 0 {
		return
	}
	merged, deletes, err := s.Tree.MergeInputs(upper, upper+1, files, 1)
	must(r.t, err)
	out := store.Output{Level: upper + 1, Bottom: true, FileBytes: 1 << 10}
	for _, deeper := range r.version.Levels[upper+2:] {
		out.Bottom = out.Bottom && len(deeper) == 0
	}
	edit := r.merge(merged, deletes, out)
	for i := range files {
		for _, f := range files[i] {
			edit.RemoveFiles = append(edit.RemoveFiles, manifest.LevelNum{Level: upper + i, Num: f.Num})
		}
	}
	r.install(edit, func() {}, func(*Change) {})
}

// mergeSource is what is merged.
type mergeSource interface {
	compact.Source
	io.Closer
}

// merge writes sources to tables.
func (r *room) merge(it mergeSource, deletes rangedel.Iterator, out store.Output) *manifest.Edit {
	pinned := r.Pinned()
	outputs, _, err := r.store.Write(context.Background(), it, out, compact.Config{
		Snapshots: pinned.Seqs, ReadTimes: pinned.Times, RangeDeletes: deletes, Bottom: out.Bottom,
	})
	must(r.t, err)
	must(r.t, it.Close())
	if r.mergeGate != nil {
		r.mergeGate()
	}
	edit := &manifest.Edit{}
	for _, meta := range outputs {
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Level: out.Level, Meta: meta})
	}
	return edit
}

func (r *room) install(edit *manifest.Edit, before func(), change func(c *Change)) {
	next, err := r.version.Apply(edit)
	must(r.t, err)
	r.version = next
	before()
	r.store.GiveUp(edit.RemoveFiles)
	r.Update(func(c *Change) {
		c.Tree = r.store.NewTree(next)
		change(c)
	})
}

// row is what a reader sees of a key.
type row struct {
	key, value string
	expiry     base.Instant
}

func (r row) String() string { return fmt.Sprintf("%q=%q until %d", r.key, r.value, r.expiry) }

// rowsAt is the model: what one sees who reads at a point.
func (r *room) rowsAt(p ReadPoint) []row {
	rows := map[string]row{}
	for _, o := range r.history[:p.Seq] {
		switch o.kind {
		case base.KindSet, base.KindSetExpiring:
			rows[o.key] = row{o.key, o.value, o.expiry}
		case base.KindDelete:
			delete(rows, o.key)
		case base.KindRangeDelete:
			maps.DeleteFunc(rows, func(key string, _ row) bool { return key >= o.key && key < o.value })
		case base.KindMerge:
			rows[o.key] = row{o.key, rows[o.key].value + o.value, 0}
		}
	}
	maps.DeleteFunc(rows, func(_ string, r row) bool { return r.expiry != 0 && r.expiry <= p.Time })
	return slices.SortedFunc(maps.Values(rows), func(a, b row) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
}

// point is what one who reads now sees.
func (r *room) point() ReadPoint { return ReadPoint{r.VisibleSeq(), r.timeline.ReadTime()} }

// expiryOf returns when a key expires, 0 if never; or base.ErrNotFound.
func expiryOf(r *Reader, key []byte) (expiry base.Instant, err error) {
	err = r.Look(key, func(now Current) error {
		if !now.Found {
			return base.ErrNotFound
		}
		expiry = now.Expiry
		return nil
	})
	return expiry, err
}
