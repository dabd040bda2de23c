package txn

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// files is Spilled in memory: the records of each Add, newest first, of which it
// leaves out none.
type files struct {
	runs [][]base.Record
	open int   // iterators
	fail error // of the next call
}

func (f *files) take(t *testing.T, w *Writes, pins []Step) {
	t.Helper()
	if err := w.Spill(f, pins); err != nil {
		t.Fatal(err)
	}
}

func (f *files) Add(records Records, _ []base.SeqNum, _ func(base.SeqNum) bool) error {
	if f.fail != nil {
		return f.fail
	}
	var run []base.Record
	for rec := records.First(); rec != nil; rec = records.Next() {
		run = append(run, base.Record{Key: bytes.Clone(rec.Key), Trailer: rec.Trailer, Value: bytes.Clone(rec.Value)})
	}
	f.runs = slices.Insert(slices.Clone(f.runs), 0, run)
	return records.Err()
}

func (f *files) Get(key []byte, seq base.SeqNum) (base.Trailer, []byte, bool, error) {
	for _, run := range f.runs {
		for _, rec := range run {
			if bytes.Equal(rec.Key, key) && rec.Trailer.Seq() <= seq {
				return rec.Trailer, rec.Value, true, f.fail
			}
		}
	}
	return 0, nil, false, f.fail
}

func (f *files) NewIter() (base.Iterator, error) {
	if f.fail != nil {
		return nil, f.fail
	}
	f.open++
	all := slices.Concat(f.runs...)
	slices.SortFunc(all, func(a, b base.Record) int { return base.Compare(a.Key, a.Trailer, b.Key, b.Trailer) })
	return &fileIter{files: f, all: all, at: -1}, nil
}

// RollBack keeps everything: the rollbacks of Writes must do.
func (f *files) RollBack(base.SeqNum) {}

type fileIter struct {
	files *files
	all   []base.Record
	at    int
	rec   base.Record
}

// land shows a copy, which the next move spoils.
func (it *fileIter) land(at int) *base.Record {
	for i := range it.rec.Key {
		it.rec.Key[i] = '?'
	}
	for i := range it.rec.Value {
		it.rec.Value[i] = '?'
	}
	it.at = min(max(at, -1), len(it.all))
	if it.at < 0 || it.at == len(it.all) || it.files.fail != nil {
		return nil
	}
	rec := it.all[it.at]
	it.rec = base.Record{Key: bytes.Clone(rec.Key), Trailer: rec.Trailer, Value: bytes.Clone(rec.Value)}
	return &it.rec
}

func (it *fileIter) seek(key []byte) int {
	i, _ := slices.BinarySearchFunc(it.all, key, func(r base.Record, key []byte) int { return bytes.Compare(r.Key, key) })
	return i
}

func (it *fileIter) First() *base.Record            { return it.land(0) }
func (it *fileIter) Last() *base.Record             { return it.land(len(it.all) - 1) }
func (it *fileIter) Next() *base.Record             { return it.land(it.at + 1) }
func (it *fileIter) Prev() *base.Record             { return it.land(it.at - 1) }
func (it *fileIter) SeekGE(key []byte) *base.Record { return it.land(it.seek(key)) }
func (it *fileIter) SeekLT(key []byte) *base.Record { return it.land(it.seek(key) - 1) }
func (it *fileIter) Err() error                     { return it.files.fail }
func (it *fileIter) Close() error                   { it.files.open--; return nil }

// checkResult compares what spilled writes come to, over some rows, with the
// model.
func checkResult(t *testing.T, w *Writes, f *files, p *plain) {
	t.Helper()
	f.take(t, w, nil)
	got, want := rows(2), overlay(rows(2), p)
	for _, d := range w.Deletes().Fragments() {
		if !slices.Equal(d.Seqs, []base.SeqNum{0}) {
			t.Fatalf("range delete at %v", d.Seqs)
		}
		_ = got.DeleteRange(d.Lo, d.Hi)
	}
	if w.spilled == nil {
		return
	}
	iter, err := f.NewIter()
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	r := w.Result(iter, func(key []byte) { told[string(key)] = true })
	var versions []base.Record // of one key
	apply := func() {
		for i, rec := range slices.Backward(versions) {
			key := string(rec.Key)
			if !told[key] || rec.Trailer.Seq() != base.SeqNum(len(versions)-1-i) ||
				len(versions) > 1 && rec.Trailer.Kind() != base.KindMerge {
				t.Fatalf("%q %v is version %d of %d, told: %v", key, rec.Trailer, i, len(versions), told[key])
			}
			switch rec.Trailer.Kind() {
			case base.KindDelete:
				delete(got, key)
			case base.KindMerge:
				operand, _ := base.Decode(rec.Trailer, rec.Value)
				got[key] += string(operand.Value)
			default:
				stored, _ := base.Decode(rec.Trailer, rec.Value)
				got[key] = string(stored.Value)
			}
		}
		versions = nil
	}
	last := ""
	for rec := r.First(); rec != nil; rec = r.Next() {
		if key := string(rec.Key); key != last {
			if key < last {
				t.Fatalf("%q comes after %q", key, last)
			}
			apply()
			last = key
		}
		versions = append(versions, base.Record{Key: bytes.Clone(rec.Key), Trailer: rec.Trailer, Value: bytes.Clone(rec.Value)})
	}
	apply()
	if err := errors.Join(r.Err(), iter.Close()); err != nil || f.open != 0 {
		t.Fatalf("%v; %d iterators are open", err, f.open)
	}
	if !maps.Equal(got, want) {
		t.Fatalf("came to %v, not %v", got, want)
	}
}

// Writes of which a part was spilled say what they would say from memory,
// through everything that takes them back.
func TestSpilledWritesAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 8))
		w, p, f := &Writes{}, &plain{says: map[string]*string{}}, &files{}
		var places savepoints
		for range 100 {
			switch r.IntN(14) {
			case 0:
				places.note(w, p)
			case 1:
				p = places.rollBack(r, w, p)
			case 2, 3:
				f.take(t, w, nil)
			default:
				change(r, w, p)
			}
			checkWrites(t, w, p)
			checkHoles(t, w)
		}
		checkResult(t, w, f, p)
	}
}

func checkHoles(t *testing.T, w *Writes) {
	t.Helper()
	end := Step(-1)
	for _, h := range w.rollbacks {
		if h.lo <= end || h.hi <= h.lo || h.hi > w.spilledTo {
			t.Fatalf("rollbacks %v, spilled to %d", w.rollbacks, w.spilledTo)
		}
		end = h.hi
	}
}

// An iterator shows what it showed, over all that happens but the taking back.
func TestCursorsAcrossSpills(t *testing.T) {
	type view struct {
		c    *Cursor
		m    *walker
		want replayed
	}
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 9))
		w, p, f := &Writes{}, &plain{says: map[string]*string{}}, &files{}
		var views []view
		for range 60 {
			switch r.IntN(8) {
			case 0:
				f.take(t, w, nil)
			case 1:
				rows := rows(1 + r.IntN(3))
				want := overlay(rows, p)
				c := newCursor(t, Scope{
					Rows: newTable(rows, key(0), "l"), Lower: []byte(key(0)), Upper: []byte("l"), Operators: appending{},
				}, w)
				views = append(views, view{c, &walker{slices.Sorted(maps.Keys(want)), -1}, want})
			default:
				change(r, w, p)
			}
			for _, v := range views {
				step(t, r, v.c, v.m, v.want)
			}
		}
		for _, v := range views {
			if err := v.c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if f.open != 0 {
			t.Fatalf("%d iterators are open", f.open)
		}
	}
}

// A cursor that shows what was rolled back is told from one that does not, wherever
// the writes are.
func TestCursorOverWhatWasTakenBack(t *testing.T) {
	for _, spills := range []int{0, 1, 2} {
		w, f := &Writes{}, &files{}
		cursor := func() *Cursor {
			return newCursor(t, Scope{Rows: newTable(nil, "a", "z"), Lower: []byte("a"), Upper: []byte("z")}, w)
		}
		w.Put([]byte("a"), []byte("1"))
		if spills > 1 {
			f.take(t, w, nil)
		}
		before, at := cursor(), w.Step()
		w.Put([]byte("a"), []byte("2"))
		w.Put([]byte("b"), []byte("2"))
		c := cursor()
		if spills > 0 {
			f.take(t, w, []Step{at})
		}
		if before.Shows(at) || !c.Shows(at) {
			t.Errorf("%d spills: %v, %v", spills, before.Shows(at), c.Shows(at))
		}
		w.RollBack(at)
		after := cursor()
		w.Put([]byte("c"), []byte("3"))
		for _, c := range []*Cursor{before, after} {
			if c.Shows(at) || !c.First() || string(c.Key()) != "a" || string(c.Value()) != "1" || c.Next() {
				t.Errorf("%d spills: a cursor shows %q = %q", spills, c.Key(), c.Value())
			}
		}
		if v, outcome, err := w.Get([]byte("a")); string(v) != "1" || outcome != Present || err != nil {
			t.Errorf("%d spills: %q, %v, %v", spills, v, outcome, err)
		}
		for _, c := range []*Cursor{before, c, after} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A failed spill changes nothing, and what cannot be read is an error for who
// needs it.
func TestSpillFails(t *testing.T) {
	w, f := &Writes{}, &files{}
	w.Put([]byte("a"), []byte("1"))
	f.fail = errors.New("disk")
	if err := w.Spill(f, nil); err != f.fail {
		t.Errorf("spill: %v", err)
	}
	if v, outcome, err := w.Get([]byte("a")); string(v) != "1" || outcome != Present || err != nil {
		t.Errorf("after a failed spill: %q, %v, %v", v, outcome, err)
	}
	fail := f.fail
	f.fail = nil
	f.take(t, w, nil)
	scope := Scope{Rows: newTable(replayed{"b": ""}, "a", "z"), Lower: []byte("a"), Upper: []byte("z")}
	c := newCursor(t, scope, w)
	f.fail = fail
	if _, _, err := w.Get([]byte("a")); err != fail {
		t.Errorf("get: %v", err)
	}
	if c.First() || c.Err() != fail || c.Next() || c.Last() || c.Err() != fail {
		t.Errorf("cursor: %v", c.Err())
	}
	if _, err := NewCursor(scope, w); err != fail {
		t.Errorf("new cursor: %v", err)
	}
	f.fail = nil
	if !c.First() || c.Err() != nil || string(c.Key()) != "a" {
		t.Errorf("after the failure: %q, %v", c.Key(), c.Err())
	}
	w.Put([]byte("c"), nil)
	if v, outcome, err := w.Get([]byte("a")); string(v) != "1" || outcome != Present || err != nil {
		t.Errorf("from a file: %q, %v, %v", v, outcome, err)
	}
}

// A list whose size is asked for counts what a write takes beside its bytes.
func TestSizeBytes(t *testing.T) {
	w, f := &Writes{}, &files{}
	for n := range 1000 {
		w.Put(fmt.Appendf(nil, "%04d", n), nil)
	}
	if size := w.SizeBytes(); size < 100_000 || size > 300_000 {
		t.Errorf("a thousand small writes take %d bytes", size)
	}
	f.take(t, w, nil)
	if w.SizeBytes() != 0 || w.Len() != 0 {
		t.Errorf("%d bytes after a spill", w.SizeBytes())
	}
}
