package torture

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/model"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// world is a database beside its model. Each keyspace has a model of its own;
// the default one is "".
type world struct {
	t      testing.TB
	rng    *rand.Rand
	fs     *memfs.FS
	opts   lightning.Options
	db     *lightning.DB
	spaces map[string]*spacePair
	snaps  []snapshotPair
	iters  []iteratorPair
}

type spacePair struct {
	handle *lightning.Keyspace // nil for the default keyspace
	store  model.Store
}

type snapshotPair struct {
	snap   *lightning.Snapshot
	stores map[string]spacePair
}

// iteratorPair is an open iterator and the rows it must show.
type iteratorPair struct {
	it   *lightning.Iterator
	rows []model.Row
	pos  int
}

// reader is what DB, Keyspace and Snapshot have in common.
type reader interface {
	Get(key []byte) ([]byte, error)
	Has(key []byte) (bool, error)
	MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error
	Iterator(o lightning.IterOptions) (*lightning.Iterator, error)
	Scan(o lightning.ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error
}

func (w *world) reader(s *spacePair) reader {
	if s.handle != nil {
		return s.handle
	}
	return w.db
}

func randomOptions(rng *rand.Rand, fs *memfs.FS) lightning.Options {
	return lightning.Options{
		FS:           fs,
		MemoryBudget: 4<<20 + rng.Int64N(4<<20),
		Durability:   lightning.Durability(rng.IntN(3)),
		Compression:  lightning.Compression(rng.IntN(4)),
		Tree: lightning.TreeOptions{
			MemtableBytes:    64<<10 + rng.IntN(64<<10),
			BlockBytes:       256 << rng.IntN(6),
			FilterBitsPerKey: []int{-1, 4, 12}[rng.IntN(3)],
			FileBytes:        4096 << rng.IntN(5),
			L0Files:          1 + rng.IntN(4),
		},
		Debug: lightning.DebugOptions{NoHotCache: rng.IntN(4) == 0},
	}
}

func (w *world) check(err error, doing string, args ...any) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", fmt.Sprintf(doing, args...), err)
	}
}

// key returns one of few keys, so that operations meet: short and long ones,
// prefixes of one another, with zero bytes and 0xff.
func (w *world) key() []byte {
	n := w.rng.IntN(60)
	switch w.rng.IntN(8) {
	case 0:
		return []byte{byte(n)}
	case 1:
		return append(make([]byte, 1+n%4), byte(n))
	case 2:
		return []byte{0xff, 0xff, byte(n)}
	case 3:
		return fmt.Appendf(nil, "a-rather-long-prefix-that-most-keys-share/%03d", n)
	}
	return fmt.Appendf(nil, "k%02d", n)
}

func (w *world) value() []byte {
	size := w.rng.IntN(40)
	switch w.rng.IntN(30) {
	case 0:
		size = w.rng.IntN(20000)
	case 1:
		size = 0
	}
	v := make([]byte, size)
	for i := range v {
		v[i] = byte(w.rng.IntN(4))
	}
	return v
}

func (w *world) keyRange() (lo, hi []byte) {
	lo, hi = w.key(), w.key()
	if string(lo) > string(hi) {
		lo, hi = hi, lo
	}
	return lo, hi
}

func (w *world) someSpace() *spacePair {
	if w.rng.IntN(2) == 0 {
		return w.spaces[""]
	}
	n := w.rng.IntN(len(w.spaces))
	for _, name := range sortedNames(w.spaces) {
		if n == 0 {
			return w.spaces[name]
		}
		n--
	}
	panic("unreachable")
}

func (w *world) open() {
	db, err := lightning.Open("db", &w.opts)
	w.check(err, "open")
	w.db = db
	for name, s := range w.spaces {
		if name != "" {
			s.handle, err = db.Keyspace(name, nil)
			w.check(err, "keyspace %q", name)
		}
	}
}

func (w *world) closeHandles() {
	for _, s := range w.snaps {
		w.check(s.snap.Close(), "close snapshot")
	}
	for _, p := range w.iters {
		w.check(p.it.Close(), "close iterator")
	}
	w.snaps, w.iters = nil, nil
}

func (w *world) reopen() {
	w.closeHandles()
	w.check(w.db.Close(), "close")
	w.opts = randomOptions(w.rng, w.fs)
	w.open()
}

// step does one random operation on both and compares.
func (w *world) step() {
	switch n := w.rng.IntN(100); {
	case n < 30:
		w.put()
	case n < 38:
		w.delete()
	case n < 42:
		w.deleteRange()
	case n < 50:
		w.batch()
	case n < 62:
		w.get(w.someSpace())
	case n < 70:
		w.compare(w.someSpace())
	case n < 75:
		w.multiGet(w.someSpace())
	case n < 79:
		w.takeSnapshot()
	case n < 82:
		w.readSnapshot()
	case n < 85:
		w.openIterator()
	case n < 92:
		w.walkIterator()
	case n < 95:
		w.check(w.db.Flush(context.Background()), "flush")
	case n < 97:
		lo, hi := w.keyRange()
		w.check(w.db.Compact(context.Background(), lo, hi), "compact [%q, %q)", lo, hi)
	case n < 98:
		w.check(w.db.Compact(context.Background(), nil, nil), "compact everything")
	case n < 99:
		w.changeKeyspaces()
	default:
		w.reopen()
	}
}

func (w *world) put() {
	s, k, v := w.someSpace(), w.key(), w.value()
	var err error
	if s.handle != nil {
		err = s.handle.Put(k, v)
	} else {
		err = w.db.Put(k, v)
	}
	w.check(err, "put %q", k)
	s.store = s.store.Put(string(k), string(v))
}

func (w *world) delete() {
	s, k := w.someSpace(), w.key()
	var err error
	if s.handle != nil {
		err = s.handle.Delete(k)
	} else {
		err = w.db.Delete(k)
	}
	w.check(err, "delete %q", k)
	s.store = s.store.Delete(string(k))
}

func (w *world) deleteRange() {
	s := w.someSpace()
	lo, hi := w.keyRange()
	var err error
	if s.handle != nil {
		err = s.handle.DeleteRange(lo, hi)
	} else {
		err = w.db.DeleteRange(lo, hi)
	}
	w.check(err, "delete range [%q, %q)", lo, hi)
	s.store = s.store.DeleteRange(string(lo), string(hi))
}

// batch writes several keyspaces at once; one in ten is larger than a memtable.
func (w *world) batch() {
	b := w.db.NewBatch()
	filler := 0
	if w.rng.IntN(10) == 0 {
		filler = 20
	}
	stores := map[*spacePair]model.Store{}
	for range 1 + w.rng.IntN(8) + filler {
		s := w.someSpace()
		if _, ok := stores[s]; !ok {
			stores[s] = s.store
		}
		into := b
		if s.handle != nil {
			into = b.In(s.handle)
		}
		k := w.key()
		switch w.rng.IntN(6) {
		case 0:
			w.check(into.Delete(k), "batch delete")
			stores[s] = stores[s].Delete(string(k))
		case 1:
			lo, hi := w.keyRange()
			w.check(into.DeleteRange(lo, hi), "batch delete range")
			stores[s] = stores[s].DeleteRange(string(lo), string(hi))
		default:
			v := w.value()
			if filler > 0 {
				v = append(v, make([]byte, 5000)...)
			}
			w.check(into.Put(k, v), "batch put")
			stores[s] = stores[s].Put(string(k), string(v))
		}
	}
	w.check(b.CommitWith(lightning.Durability(w.rng.IntN(3))), "commit")
	for s, store := range stores {
		s.store = store
	}
}

func (w *world) get(s *spacePair) { w.getFrom(w.reader(s), s.store) }

func (w *world) getFrom(r reader, store model.Store) {
	k := w.key()
	want, ok := store.Get(string(k))
	got, err := r.Get(k)
	if !ok && !errors.Is(err, lightning.ErrNotFound) {
		w.t.Fatalf("get %q = %q, %v; want not found", k, got, err)
	}
	if ok && (err != nil || string(got) != want) {
		w.t.Fatalf("get %q = %q, %v; want %q", k, got, err, want)
	}
	has, err := r.Has(k)
	if err != nil || has != ok {
		w.t.Fatalf("has %q = %v, %v; want %v", k, has, err, ok)
	}
}

func (w *world) multiGet(s *spacePair) {
	keys := make([][]byte, w.rng.IntN(8))
	for i := range keys {
		keys[i] = w.key()
	}
	seen := 0
	err := w.reader(s).MultiGet(keys, func(i int, value []byte, err error) error {
		seen++
		want, ok := s.store.Get(string(keys[i]))
		if ok != (err == nil) || string(value) != want {
			w.t.Fatalf("multiget %q = %q, %v; want %q", keys[i], value, err, want)
		}
		return nil
	})
	w.check(err, "multiget")
	if seen != len(keys) {
		w.t.Fatalf("multiget called back %d times for %d keys", seen, len(keys))
	}
}

// compare scans a random range in both directions.
func (w *world) compare(s *spacePair) { w.compareWith(w.reader(s), s.store) }

func (w *world) compareWith(r reader, store model.Store) {
	lo, hi := w.keyRange()
	o := lightning.ScanOptions{Reverse: w.rng.IntN(2) == 0}
	o.Lower, o.Upper = lo, hi
	want := store.Rows(string(lo), string(hi))
	if w.rng.IntN(3) == 0 {
		o.Lower, o.Upper = nil, nil
		want = store.Rows("", "")
	}
	if string(hi) == "" {
		want = nil
	}
	n := 0
	err := r.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		for k, v := range rows {
			if n == len(want) {
				w.t.Fatalf("scan shows %q beyond the %d rows expected", k, n)
			}
			row := want[n]
			if o.Reverse {
				row = want[len(want)-1-n]
			}
			if string(k) != row.Key || string(v) != row.Value {
				w.t.Fatalf("scan row %d = %q %q, want %q %q", n, k, v, row.Key, row.Value)
			}
			n++
		}
		return nil
	})
	w.check(err, "scan")
	if n != len(want) {
		w.t.Fatalf("scan of [%q, %q) shows %d rows, want %d", o.Lower, o.Upper, n, len(want))
	}
}

func (w *world) takeSnapshot() {
	if len(w.snaps) == 4 {
		w.check(w.snaps[0].snap.Close(), "close snapshot")
		w.snaps = w.snaps[1:]
	}
	snap, err := w.db.Snapshot()
	w.check(err, "snapshot")
	p := snapshotPair{snap: snap, stores: map[string]spacePair{}}
	for name, s := range w.spaces {
		p.stores[name] = *s
	}
	w.snaps = append(w.snaps, p)
}

func (w *world) readSnapshot() {
	for _, p := range w.snaps {
		for _, name := range sortedNames(p.stores) {
			s := p.stores[name]
			var r reader = p.snap
			if s.handle != nil {
				r = p.snap.In(s.handle)
			}
			w.getFrom(r, s.store)
			w.compareWith(r, s.store)
		}
	}
}

func (w *world) openIterator() {
	if len(w.iters) == 4 {
		w.check(w.iters[0].it.Close(), "close iterator")
		w.iters = w.iters[1:]
	}
	s := w.someSpace()
	lo, hi := w.keyRange()
	it, err := w.reader(s).Iterator(lightning.IterOptions{Lower: lo, Upper: hi})
	w.check(err, "iterator")
	w.iters = append(w.iters, iteratorPair{it: it, rows: s.store.Rows(string(lo), string(hi)), pos: -2})
}

// walkIterator moves an old iterator about: it must show what it showed when
// it was made.
func (w *world) walkIterator() {
	if len(w.iters) == 0 {
		return
	}
	p := &w.iters[w.rng.IntN(len(w.iters))]
	for range 1 + w.rng.IntN(10) {
		p.move(w)
		if valid := p.pos >= 0 && p.pos < len(p.rows); p.it.Valid() != valid {
			w.t.Fatalf("iterator valid = %v, want %v (err %v)", p.it.Valid(), valid, p.it.Err())
		} else if valid && (string(p.it.Key()) != p.rows[p.pos].Key ||
			string(p.it.Value()) != p.rows[p.pos].Value) {
			w.t.Fatalf("iterator stands on %q, want %q", p.it.Key(), p.rows[p.pos].Key)
		}
	}
}

func (p *iteratorPair) move(w *world) {
	key := string(w.key())
	op := w.rng.IntN(8)
	if p.pos == -2 { // never positioned
		op %= 4
	}
	switch op {
	case 0:
		p.it.First()
		p.pos = 0
	case 1:
		p.it.Last()
		p.pos = len(p.rows) - 1
	case 2:
		p.it.SeekGE([]byte(key))
		for p.pos = 0; p.pos < len(p.rows) && p.rows[p.pos].Key < key; p.pos++ {
		}
	case 3:
		p.it.SeekLT([]byte(key))
		for p.pos = len(p.rows) - 1; p.pos >= 0 && p.rows[p.pos].Key >= key; p.pos-- {
		}
	case 4, 5:
		p.it.Next()
		p.pos = min(p.pos+1, len(p.rows))
	default:
		p.it.Prev()
		p.pos = max(p.pos-1, -1)
	}
}

func (w *world) changeKeyspaces() {
	name := fmt.Sprintf("space-%d", w.rng.IntN(4))
	if _, ok := w.spaces[name]; ok {
		w.check(w.db.DropKeyspace(name), "drop %q", name)
		delete(w.spaces, name)
		return
	}
	k, err := w.db.Keyspace(name, &lightning.KeyspaceOptions{
		Compression: lightning.Compression(w.rng.IntN(4)),
	})
	w.check(err, "keyspace %q", name)
	w.spaces[name] = &spacePair{handle: k}
}

func TestModel(t *testing.T) {
	seeds, steps := uint64(30), 1500
	if testing.Short() {
		seeds, steps = 6, 800
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			runModel(t, seed, steps)
		})
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := memfs.New()
	w := &world{t: t, rng: rng, fs: fs, opts: randomOptions(rng, fs),
		spaces: map[string]*spacePair{"": {}}}
	w.open()
	for range steps {
		w.step()
	}
	for _, name := range sortedNames(w.spaces) {
		w.compareWith(w.reader(w.spaces[name]), w.spaces[name].store)
	}
	w.closeHandles()
	w.check(w.db.Close(), "close")
}
