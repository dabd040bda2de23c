package block

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// plainOf is what Plain has to return at slot at, one record after the other.
func plainOf(entries []entry, at int, p *Plain, most int, forward bool) (n int) {
	step := 1
	if !forward {
		step = -1
	}
	for i := at + step; n < most && i >= 0 && i < len(entries); i += step {
		e := entries[i]
		switch c := bytes.Compare(e.key, p.Bound); {
		case e.trailer.Kind() != base.KindSet, e.trailer.Seq() > p.Newest, e.trailer.Seq() < p.Oldest:
			return n
		case p.Bound != nil && (c == 0 || (c < 0) != forward):
			return n
		case forward && bytes.Equal(e.key, entries[i-1].key):
			return n
		}
		n++
	}
	return n
}

func TestPlain(t *testing.T) {
	for name, key := range shapes {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(200) {
				testPlain(t, rand.New(rand.NewPCG(seed, 7)), key)
			}
		})
	}
}

func testPlain(t *testing.T, rng *rand.Rand, key func(*rand.Rand) []byte) {
	entries := randomEntries(rng, key)
	if rng.IntN(3) == 0 {
		entries = randomFixed(rng, 1+rng.IntN(80))
	}
	var b Builder
	var it Iter
	it.Init(Trusted(build(&b, entries)))
	random := func() entry { return entries[rng.IntN(len(entries))] }
	for range 50 {
		p := Plain{Newest: base.SeqNumMax}
		if rng.IntN(2) == 0 {
			p.Newest = random().trailer.Seq()
		}
		if rng.IntN(3) == 0 {
			p.Oldest = random().trailer.Seq()
		}
		if rng.IntN(4) > 0 {
			p.Bound = random().key
		}
		at, most, forward := rng.IntN(len(entries)), 1+rng.IntN(80), rng.IntN(2) == 0
		it.First()
		for range at {
			it.Next()
		}
		got, want := it.Plain(&p, most, forward), plainOf(entries, at, &p, most, forward)
		if got != want {
			t.Fatalf("%d plain behind slot %d of %d, forward %v, most %d; want %d", got, at, len(entries), forward, most, want)
		}
		if it.slot != at {
			t.Fatal("the iterator has moved")
		}
	}
}

func TestPlainOfNoRecord(t *testing.T) {
	var it Iter
	if n := it.Plain(&Plain{Newest: base.SeqNumMax}, 10, true); n != 0 {
		t.Errorf("%d in an empty block", n)
	}
	var b Builder
	it.Init(Trusted(build(&b, randomFixed(rand.New(rand.NewPCG(1, 2)), 3))))
	if n := it.Plain(&Plain{Newest: base.SeqNumMax}, 10, true); n != 0 {
		t.Errorf("%d before the first record", n)
	}
}

func TestTighten(t *testing.T) {
	for _, c := range []struct {
		bound, key string
		forward    bool
		want       string
	}{
		{"m", "a", true, "a"}, {"m", "z", true, "m"}, {"m", "a", false, "m"}, {"m", "z", false, "z"},
	} {
		p := Plain{Bound: []byte(c.bound)}
		if p.Tighten([]byte(c.key), c.forward); string(p.Bound) != c.want {
			t.Errorf("%s and %s, forward %v: %s", c.bound, c.key, c.forward, p.Bound)
		}
	}
	var p Plain
	if p.Tighten([]byte("k"), true); string(p.Bound) != "k" {
		t.Errorf("%q", p.Bound)
	}
}
