package view

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/internal/offheap"
)

// walker is an iterator that stands somewhere while the memtables under it are flushed.
type walker struct {
	openIterator
	word inuse.Word
	at   int // index of the row on which it stands; -1, len(rows): before and behind them
}

// openWalker opens one; not all say who moves them.
func (d *driver) openWalker() *walker {
	lower, upper := d.bounds()
	w := &walker{at: -1}
	o := options(lower, upper)
	if d.rng.IntN(4) > 0 {
		o.Word = &w.word
	}
	at := d.point()
	it, err := d.NewIterator(o)
	must(d.t, err)
	w.openIterator = openIterator{it, within(d.rowsAt(at), lower, upper), lower, upper}
	return w
}

// move moves it in some way.
func (w *walker) move(d *driver) {
	if !w.word.Enter() {
		d.t.Fatal("somebody is in the word")
	}
	defer w.word.Leave()
	switch d.rng.IntN(8) {
	case 0:
		w.First()
		w.at = 0
	case 1:
		w.Last()
		w.at = len(w.rows) - 1
	case 2:
		key := d.key()
		w.SeekGE([]byte(key))
		w.at = slices.IndexFunc(w.rows, func(r row) bool { return r.key >= key })
		if w.at < 0 {
			w.at = len(w.rows)
		}
	case 3, 4, 5:
		w.Next()
		w.at = min(w.at+1, len(w.rows))
	default:
		w.Prev()
		w.at = max(w.at-1, -1)
	}
}

// Iterators show the same, wherever they stand and whichever way they go on, when what
// they stand on is flushed and merged under them; meanwhile they keep next to nothing of
// memtables.
func TestIteratorsMoveOn(t *testing.T) {
	base := rand.Uint64()
	t.Logf("seeds from %d", base)
	parked := 0
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d := &driver{room: newRoom(t, 0), rng: rand.New(rand.NewPCG(base, seed))}
			var walkers []*walker
			for range 400 {
				switch n := d.rng.IntN(20); {
				case n < 7:
					d.write(d.randomOps()...)
				case n == 7:
					d.writeLarge(d.randomOps()...)
				case n == 8:
					d.seal()
					d.flush()
					d.settle()
					parked += checkParked(t, d, walkers)
				case n == 9:
					d.compact(d.rng.IntN(2))
					d.settle()
				case n < 12 && len(walkers) < 8:
					walkers = append(walkers, d.openWalker())
				case n == 12 && len(walkers) > 0:
					i := d.rng.IntN(len(walkers))
					must(t, walkers[i].Close())
					walkers = slices.Delete(walkers, i, i+1)
				case len(walkers) > 0:
					walkers[d.rng.IntN(len(walkers))].move(d)
				}
				for _, w := range walkers {
					d.expectRow(&w.openIterator, w.at)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			for _, w := range walkers {
				must(t, w.Close())
			}
			d.settle()
		})
	}
	if parked == 0 {
		t.Error("no iterator was parked")
	}
}

// checkParked returns how many walkers are parked, and looks what they keep.
func checkParked(t *testing.T, d *driver, walkers []*walker) (parked int) {
	free := true // of iterators that hold old memtables for their next move
	for _, w := range walkers {
		if w.core.state == nil {
			parked++
		}
		free = free && (w.core.state == nil || !w.core.state.hasOld(d.State()))
	}
	const pagesEach = 4 // key and value may lie across borders, of pages of 16 KiB at most
	most := d.State().CommittedBytes() + int64(parked*pagesEach*16<<10)
	if kept := d.memory.Bytes(offheap.OwnerMemtable); free && kept > most {
		t.Errorf("%d bytes of memtables for %d parked iterators, at most %d", kept, parked, most)
	}
	return parked
}

// An iterator that somebody is in, and one of which nobody knows it, keep what they
// show until their next move, and then nothing of it.
func TestBusyIteratorIsNotParked(t *testing.T) {
	for _, known := range []bool{true, false} {
		r := newRoom(t, 0)
		r.write(set("\x00a", "1"), set("\x00b", "2"))
		var word inuse.Word
		o := options("\x00", "\x02")
		if known {
			o.Word = &word
			word.Enter()
		}
		it, err := r.NewIterator(o)
		must(t, err)
		it.First()
		old := r.State().Mem
		r.seal()
		r.flush()
		r.settle()
		if it.core.state == nil || old.refs.Load() != 1 || string(it.Key()) != "a" {
			t.Errorf("known %v: the iterator was parked, or shows %q", known, it.Key())
		}
		if !it.Next() || string(it.Key()) != "b" || string(it.Value()) != "2" {
			t.Errorf("known %v: the iterator goes on to %q=%q: %v", known, it.Key(), it.Value(), it.Err())
		}
		r.settle()
		if old.refs.Load() != 0 {
			t.Errorf("known %v: the memtable has %d references", known, old.refs.Load())
		}
		must(t, it.Close())
	}
}

// Iterators that are moved on while the janitor looks who is parked on a part of memory do
// not count: it may be the memtable that takes writes, and others read all of it.
func TestMemoryOfOthersIsNotGivenBack(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"))
	r.seal()
	r.write(set("\x00b", "2"), set("\x00c", "3"))
	var words [2]inuse.Word
	var iterators []*Iterator
	for i := range words {
		o := options("\x00", "\x02")
		o.Word = &words[i]
		it, err := r.NewIterator(o)
		must(t, err)
		defer func() { must(t, it.Close()) }()
		it.Last()
		iterators = append(iterators, it)
	}
	r.flush()
	r.settle()
	mem := r.State().Mem
	shown := parkAll(iterators, r.State())
	if len(shown[mem]) != len(iterators) {
		t.Fatalf("%d iterators are parked on the memtable", len(shown[mem]))
	}
	for i, it := range iterators {
		words[i].Enter()
		it.Prev()
		words[i].Leave()
	}
	mem.shrinkUnder(shown[mem])
	for key, want := range map[string]string{"\x00b": "2", "\x00c": "3"} {
		if got, err := r.AppendGet(nil, []byte(key)); err != nil || string(got) != want {
			t.Errorf("%q is %q: %v", key, got, err)
		}
	}
}

// While operands are applied no iterator is opened: they could come to stand for some
// that it sees and some that it does not. What iterators see counts as what snapshots see.
func TestIteratorsAreKeptOutOfJoins(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"))
	it := r.iterator()
	r.write(set("\x00a", "2"))
	opened := make(chan *Iterator)
	err := r.KeepSnapshotsOut(func(newest base.SeqNum) error {
		if newest != 1 {
			t.Errorf("the newest one reads at %d", newest)
		}
		if h := (handle{}); r.handles.openAt(&h, func() ReadPoint { return ReadPoint{} }) {
			t.Error("an iterator was opened")
		}
		go func() { opened <- r.iterator() }()
		r.write(set("\x00a", "3"))
		return nil
	})
	must(t, err)
	later := <-opened
	if got := r.scan(later); got != "a=3" {
		t.Errorf("an iterator that waited sees %q", got)
	}
	if seqs := r.SnapshotSeqs(); !slices.Equal(seqs, []base.SeqNum{1, 3}) {
		t.Errorf("readers at %d", seqs)
	}
	must(t, it.Close())
	must(t, later.Close())
	if seqs := r.SnapshotSeqs(); len(seqs) != 0 {
		t.Errorf("readers at %d", seqs)
	}
}
