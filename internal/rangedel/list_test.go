package rangedel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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

func TestMerge(t *testing.T) {
	property.Check(t, func(t *property.T) {
		var all []Tombstone
		var lists []*List
		for range property.Times(t, 0, 4) {
			ts := tombstonesGen.Draw(t, "tombstones")
			all = append(all, ts...)
			lists = append(lists, Build(ts))
		}
		before := fmt.Sprint(lists)
		merged := Merge(lists...)
		checkMeaning(t, merged, all)
		if after := fmt.Sprint(lists); after != before {
			t.Fatalf("Merge changed its input from %s to %s", before, after)
		}
	})
}

func TestTruncate(t *testing.T) {
	property.Check(t, func(t *property.T) {
		ts := tombstonesGen.Draw(t, "tombstones")
		lo := keyGen.Draw(t, "lo")
		var hi []byte
		if property.Bool().Draw(t, "bounded") {
			hi = append([]byte{}, keyGen.Draw(t, "hi")...)
		}
		l := Build(ts)
		cut := l.Truncate(slices.Clone(lo), slices.Clone(hi))
		want := make([]Tombstone, len(ts))
		for i, o := range ts {
			want[i] = o
			if bytes.Compare(o.Lo, lo) < 0 {
				want[i].Lo = lo
			}
			if hi != nil && bytes.Compare(o.Hi, hi) > 0 {
				want[i].Hi = hi
			}
		}
		checkMeaning(t, cut, want)
		checkMeaning(t, l, ts)
		if hi != nil && bytes.Compare(lo, hi) <= 0 {
			// The pieces on both sides of the cut make the whole again.
			whole := Merge(l.Truncate(nil, lo), cut, l.Truncate(hi, nil))
			checkMeaning(t, whole, ts)
		}
	})
}

func TestCursor(t *testing.T) {
	property.Check(t, func(t *property.T) {
		ts := tombstonesGen.Draw(t, "tombstones")
		l := Build(ts)
		var c Cursor
		c.Init(l)
		place := 0
		for range property.Times(t, 0, 60) {
			switch property.IntRange(0, 4).Draw(t, "move") {
			case 0:
				place = property.IntRange(0, len(everyKey)-1).Draw(t, "place")
			case 1, 2:
				place = min(place+1, len(everyKey)-1)
			default:
				place = max(place-1, 0)
			}
			seq := base.SeqNum(property.IntRange(0, 10).Draw(t, "seq"))
			checkProbe(t, &c, ts, everyKey[place], seq)
		}
	})
}

func checkProbe(t *property.T, c *Cursor, ts []Tombstone, key []byte, seq base.SeqNum) {
	got, frag := c.Covering(key, seq)
	if want := bruteCovering(ts, key, seq); got != want {
		t.Fatalf("Covering(%q, %d) = %d, want %d", key, seq, got, want)
	}
	if (frag != nil) != (got != 0) {
		t.Fatalf("Covering(%q, %d) = %d with fragment %v", key, seq, got, frag)
	}
	if frag != nil && !covers(Tombstone{frag.Lo, frag.Hi, 0}, key) {
		t.Fatalf("fragment %q..%q does not hold %q", frag.Lo, frag.Hi, key)
	}
	lo, hi := c.Bounds()
	if bytes.Compare(lo, key) > 0 || hi != nil && bytes.Compare(key, hi) >= 0 {
		t.Fatalf("Bounds() = %q..%q without %q", lo, hi, key)
	}
	seqs := bruteSeqs(ts, key)
	for _, other := range everyKey {
		within := bytes.Compare(lo, other) <= 0 && (hi == nil || bytes.Compare(other, hi) < 0)
		if within && !slices.Equal(bruteSeqs(ts, other), seqs) {
			t.Fatalf("Bounds() = %q..%q around %q, but %q differs", lo, hi, key, other)
		}
	}
}

func TestCursorFarJumps(t *testing.T) {
	const count = 1000
	var ts []Tombstone
	for i := range count {
		lo, hi := fmt.Appendf(nil, "%04d", i), fmt.Appendf(nil, "%04d5", i)
		ts = append(ts, Tombstone{lo, hi, base.SeqNum(i + 1)})
	}
	var c Cursor
	c.Init(Build(ts))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		i := rng.IntN(count)
		if got, _ := c.Covering(ts[i].Lo, base.SeqNumMax); got != ts[i].Seq {
			t.Fatalf("Covering(%q) = %d, want %d", ts[i].Lo, got, ts[i].Seq)
		}
		if got, _ := c.Covering(ts[i].Hi, base.SeqNumMax); got != 0 {
			t.Fatalf("Covering(%q) = %d, want 0", ts[i].Hi, got)
		}
	}
}

func TestNilListAndZeroCursor(t *testing.T) {
	var l *List
	if !l.Empty() || l.Fragments() != nil || l.Covering([]byte("a"), base.SeqNumMax) != 0 ||
		l.Truncate(nil, nil) != nil || Merge() != nil || Merge(nil, l) != nil || Build(nil) != nil {
		t.Fatal("the nil list is not empty")
	}
	var c Cursor
	if seq, frag := c.Covering([]byte("a"), base.SeqNumMax); seq != 0 || frag != nil {
		t.Fatal("the zero cursor found something")
	}
	if lo, hi := c.Bounds(); lo != nil || hi != nil {
		t.Fatal("the zero cursor has bounds")
	}
}

func TestFromFragments(t *testing.T) {
	frag := func(lo, hi string, seqs ...base.SeqNum) Fragment {
		return Fragment{[]byte(lo), []byte(hi), seqs}
	}
	good := []Fragment{frag("a", "b", 3), frag("b", "c", 3), frag("c", "d", 4, 3), frag("x", "y", 1)}
	l, err := FromFragments(good)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(l.Fragments()); n != 3 || string(l.Fragments()[0].Hi) != "c" {
		t.Fatalf("equal neighbours were not joined: %v", l.Fragments())
	}
	if l, err := FromFragments(nil); l != nil || err != nil {
		t.Fatalf("none: %v, %v", l, err)
	}
	for _, bad := range [][]Fragment{
		{frag("b", "a", 1)},
		{frag("a", "a", 1)},
		{frag("a", "b")},
		{frag("a", "b", 1, 1)},
		{frag("a", "b", 1, 2)},
		{frag("a", "b", base.SeqNumMax+1)},
		{frag("a", "c", 1), frag("b", "d", 1)},
		{frag("c", "d", 1), frag("a", "b", 1)},
	} {
		if _, err := FromFragments(bad); err == nil {
			t.Errorf("accepted %v", bad)
		}
	}
}

func TestRaise(t *testing.T) {
	l := Build([]Tombstone{{Lo: []byte("a"), Hi: []byte("d"), Seq: 0}, {Lo: []byte("b"), Hi: []byte("c"), Seq: 7}})
	raised := l.Raise(100)
	for key, want := range map[string]base.SeqNum{"a": 100, "b": 107, "c": 100, "d": 0} {
		if got := raised.Covering([]byte(key), base.SeqNumMax); got != want {
			t.Errorf("%s is covered at %d, want %d", key, got, want)
		}
	}
	if l.Covering([]byte("b"), base.SeqNumMax) != 7 || l.Raise(0) != l || (*List)(nil).Raise(1) != nil {
		t.Error("the list has changed")
	}
}
