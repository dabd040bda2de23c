package rangedel

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/property"
)

// keyGen draws from few keys, so that ends meet, with prefixes of one another.
var keyGen = property.SliceOfN(property.SampledFrom([]byte("abc")), 0, 3)

var tombstoneGen = property.Custom(func(t *property.T) Tombstone {
	return Tombstone{
		Lo:  keyGen.Draw(t, "lo"),
		Hi:  keyGen.Draw(t, "hi"),
		Seq: base.SeqNum(property.IntRange(1, 9).Draw(t, "seq")),
	}
})

var tombstonesGen = property.SliceOfN(tombstoneGen, 0, 12)

// everyKey holds every key that keyGen can draw and one right after each.
var everyKey = func() [][]byte {
	keys := [][]byte{{}}
	for begin := 0; len(keys[begin]) < 3; begin++ {
		for _, b := range []byte("abc") {
			keys = append(keys, append(slices.Clone(keys[begin]), b))
		}
	}
	for _, key := range slices.Clone(keys) {
		keys = append(keys, base.Successor(nil, key))
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys
}()

func covers(t Tombstone, key []byte) bool {
	return bytes.Compare(t.Lo, key) <= 0 && bytes.Compare(key, t.Hi) < 0
}

// bruteCovering is the meaning of Covering.
func bruteCovering(ts []Tombstone, key []byte, seq base.SeqNum) base.SeqNum {
	var newest base.SeqNum
	for _, t := range ts {
		if covers(t, key) && t.Seq <= seq {
			newest = max(newest, t.Seq)
		}
	}
	return newest
}

// bruteSeqs returns every sequence number over key, descending.
func bruteSeqs(ts []Tombstone, key []byte) []base.SeqNum {
	var seqs []base.SeqNum
	for _, t := range ts {
		if covers(t, key) {
			seqs = append(seqs, t.Seq)
		}
	}
	slices.Sort(seqs)
	slices.Reverse(seqs)
	return slices.Compact(seqs)
}

func checkShape(t *property.T, l *List) {
	fs := l.Fragments()
	if l.Empty() != (len(fs) == 0) {
		t.Fatalf("Empty() = %v with %d fragments", l.Empty(), len(fs))
	}
	for i := range fs {
		if err := fs[i].check(); err != nil {
			t.Fatalf("fragment %d: %v", i, err)
		}
		if i == 0 {
			continue
		}
		c := bytes.Compare(fs[i-1].Hi, fs[i].Lo)
		if c > 0 || c == 0 && slices.Equal(fs[i-1].Seqs, fs[i].Seqs) {
			t.Fatalf("fragments %d and %d: %v", i-1, i, fs)
		}
	}
}

// checkMeaning compares l with the tombstones it stands for, over every key.
func checkMeaning(t *property.T, l *List, ts []Tombstone) {
	checkShape(t, l)
	for _, key := range everyKey {
		var seqs []base.SeqNum
		for _, f := range l.Fragments() {
			if bytes.Compare(f.Lo, key) <= 0 && bytes.Compare(key, f.Hi) < 0 {
				seqs = f.Seqs
			}
		}
		if want := bruteSeqs(ts, key); !slices.Equal(seqs, want) {
			t.Fatalf("seqs over %q: %v, want %v", key, seqs, want)
		}
		for seq := base.SeqNum(0); seq <= 10; seq++ {
			if got, want := l.Covering(key, seq), bruteCovering(ts, key, seq); got != want {
				t.Fatalf("Covering(%q, %d) = %d, want %d", key, seq, got, want)
			}
		}
	}
}

func TestBuild(t *testing.T) {
	property.Check(t, func(t *property.T) {
		ts := tombstonesGen.Draw(t, "tombstones")
		given := make([]Tombstone, len(ts))
		for i, o := range ts {
			given[i] = Tombstone{slices.Clone(o.Lo), slices.Clone(o.Hi), o.Seq}
		}
		l := Build(given)
		for _, g := range given { // the list must not alias what it was given
			clear(g.Lo)
			clear(g.Hi)
		}
		checkMeaning(t, l, ts)
	})
}

// collect reads an iterator to its end.
func collect(t *property.T, it Iterator) *List {
	var fs []Fragment
	for {
		f, err := it.Next()
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			break
		}
		fs = append(fs, Fragment{bytes.Clone(f.Lo), bytes.Clone(f.Hi), slices.Clone(f.Seqs)})
	}
	if len(fs) == 0 {
		return nil
	}
	return &List{fragments: fs}
}

// fleeting overwrites each fragment when the next one is asked for.
type fleeting struct {
	it   Iterator
	last Fragment
}

func (it *fleeting) Next() (*Fragment, error) {
	clear(it.last.Lo)
	clear(it.last.Hi)
	clear(it.last.Seqs)
	f, err := it.it.Next()
	if f == nil {
		return nil, err
	}
	it.last = Fragment{bytes.Clone(f.Lo), bytes.Clone(f.Hi), slices.Clone(f.Seqs)}
	return &it.last, err
}

func TestUnion(t *testing.T) {
	property.Check(t, func(t *property.T) {
		var all []Tombstone
		var its []Iterator
		for range property.Times(t, 0, 4) {
			ts := tombstonesGen.Draw(t, "tombstones")
			all = append(all, ts...)
			its = append(its, &fleeting{it: Build(ts).Iter()})
		}
		checkMeaning(t, collect(t, &fleeting{it: Union(its...)}), all)
	})
}

// failing yields some fragments and then an error.
type failing struct {
	Iterator
	left int
}

var errFailing = errors.New("failing")

func (it *failing) Next() (*Fragment, error) {
	if it.left--; it.left < 0 {
		return nil, errFailing
	}
	return it.Iterator.Next()
}

// What could not be read ends the walk, and is not passed over.
func TestUnionFails(t *testing.T) {
	list := Build(benchTombstones(10))
	for left := range 10 {
		m := Union(list.Iter(), &failing{list.Iter(), left})
		count := 0
		for {
			f, err := m.Next()
			if err != nil && errors.Is(err, errFailing) {
				break
			}
			if count++; f == nil || count > left {
				t.Fatalf("fragment %d of %d: %v, %v", count, left, f, err)
			}
		}
		if f, err := m.Next(); f != nil || !errors.Is(err, errFailing) {
			t.Errorf("after the error: %v, %v", f, err)
		}
	}
}

func TestAround(t *testing.T) {
	property.Check(t, func(t *property.T) {
		ts := tombstonesGen.Draw(t, "tombstones")
		l := Build(ts)
		for _, key := range everyKey {
			for seq := base.SeqNum(0); seq <= 10; seq++ {
				p, err := l.Around(key, seq)
				if want := bruteCovering(ts, key, seq); p.Seq != want || err != nil {
					t.Fatalf("Around(%q, %d) = %d, %v, want %d", key, seq, p.Seq, err, want)
				}
				checkBounds(t, p, ts, key, seq)
			}
		}
	})
}

// checkBounds checks that all keys within a piece have its answer, and the key is there.
func checkBounds(t *property.T, p Piece, ts []Tombstone, key []byte, seq base.SeqNum) {
	if bytes.Compare(p.Lo, key) > 0 || p.Hi != nil && bytes.Compare(key, p.Hi) >= 0 {
		t.Fatalf("%q..%q is not around %q", p.Lo, p.Hi, key)
	}
	for _, other := range everyKey {
		within := bytes.Compare(p.Lo, other) <= 0 && (p.Hi == nil || bytes.Compare(other, p.Hi) < 0)
		if within && bruteCovering(ts, other, seq) != p.Seq {
			t.Fatalf("%q..%q around %q at %d, but %q differs", p.Lo, p.Hi, key, seq, other)
		}
	}
}

func TestNilList(t *testing.T) {
	var l *List
	p, err := l.Around([]byte("a"), base.SeqNumMax)
	if !l.Empty() || l.Fragments() != nil || l.Covering([]byte("a"), base.SeqNumMax) != 0 || Build(nil) != nil ||
		p.Lo != nil || p.Hi != nil || p.Seq != 0 || err != nil {
		t.Fatal("the nil list is not empty")
	}
	for _, it := range []Iterator{l.Iter(), Union(), Union(l.Iter()), Union(l.Iter(), l.Iter())} {
		if f, err := it.Next(); f != nil || err != nil {
			t.Fatalf("%v, %v", f, err)
		}
	}
}
