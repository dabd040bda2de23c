package sstable

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
)

// packable is a table whose blocks can be taken over, and its records.
func packable(t *testing.T) (*Reader, []entry, WriterOptions) {
	o := WriterOptions{BlockSizeBytes: 512, Compression: compress.Fast, FilterBitsPerKey: 10}
	var entries []entry
	for n := range 1000 {
		entries = append(entries, set(fmt.Sprintf("key%04d", n), base.SeqNum(1000-n), "value value value value value"))
	}
	f, p := build(t, o, entries, nil)
	if p.BlockCount < 50 {
		t.Fatalf("%d blocks", p.BlockCount)
	}
	return open(t, f, 0), entries, o
}

// A table that blocks were added to says of itself what one says that has the same records, and
// is as it should be; so do not what was added and what was made anew differ to a reader.
func TestAddWhole(t *testing.T) {
	r, entries, o := packable(t)
	defer r.Close()
	_, want := build(t, o, entries, nil)
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		out, fresh, taken := &memFile{}, false, 0
		o.DBID, o.FileNum = testID, testFile
		w := NewWriter(out, o)
		it := r.NewIter(IterOptions{NoFill: true, Fresh: &fresh})
		for rec := it.First(); rec != nil; {
			p, ok := WholeAt(it, nil)
			if ok != (AtWhole(it) && fresh) {
				t.Fatalf("at %q: %v, fresh %v", rec.Key, ok, fresh)
			}
			if ok && w.Takes(&p) && rng.IntN(3) > 0 {
				if err := w.AddWhole(&p); err != nil {
					t.Fatal(err)
				}
				taken++
				rec = it.PassBlock()
				continue
			}
			if err := w.Add(rec.Key, rec.Trailer, rec.Value); err != nil {
				t.Fatal(err)
			}
			rec = it.Next()
		}
		if err := errors.Join(it.Err(), it.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := w.Finish(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Count != want.Count || got.EntryChecksum != want.EntryChecksum || !bytes.Equal(got.Lo, want.Lo) || !bytes.Equal(got.Hi, want.Hi) ||
			got.SmallestSeq != want.SmallestSeq || got.LargestSeq != want.LargestSeq || taken < 5 {
			t.Errorf("seed %d, %d blocks taken over: %+v, want %+v", seed, taken, got, want)
		}
		copied := open(t, out, 0)
		if _, err := copied.Verify(t.Context()); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for _, e := range entries {
			if _, value, found, err := get(copied, e.key, base.SeqNumMax); !found || err != nil || !bytes.Equal(value, e.value) {
				t.Fatalf("seed %d: %q is %q, %v", seed, e.key, value, err)
			}
		}
		copied.Close()
	}
}

// A block is taken over only where it is worth it, and only behind what was added.
func TestTakes(t *testing.T) {
	r, entries, o := packable(t)
	defer r.Close()
	o.DBID, o.FileNum = testID, testFile
	fresh := false
	it := r.NewIter(IterOptions{NoFill: true, Fresh: &fresh})
	defer it.Close()
	it.First()
	whole, ok := WholeAt(it, nil)
	last := bytes.Clone(whole.Last)
	if !ok || whole.follow != followMax {
		t.Fatalf("%v, %d follow", ok, whole.follow)
	}
	for before, follow := range map[string]int{string(last): -1, string(last) + "\x00": 0, "key0060": 4, "kez": 4} {
		p, ok := WholeAt(it, []byte(before))
		if ok != (follow >= 0) || ok && (p.follow < follow || follow == 0 && p.follow > 0) {
			t.Errorf("before %q: %v, %d follow", before, ok, p.follow)
		}
	}
	alone := whole
	alone.follow = followMax - 1
	for name, c := range map[string]struct {
		blockBytes int
		pending    bool
		p          *Whole
		want       bool
	}{
		"first":              {512, false, &alone, true},
		"many follow":        {512, true, &whole, true},
		"few follow":         {512, true, &alone, false},
		"far from full":      {2048, false, &whole, false},
		"larger than blocks": {256, false, &whole, false},
	} {
		o.BlockSizeBytes = c.blockBytes
		w := NewWriter(&memFile{}, o)
		if c.pending {
			if err := w.Add([]byte("a"), entries[0].tr, nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.Takes(c.p); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		_ = w.Abort()
	}
	w := NewWriter(&memFile{}, o)
	if err := w.Add([]byte("key0000"), base.MakeTrailer(2000, base.KindSet), nil); err != nil {
		t.Fatal(err)
	}
	err := w.AddWhole(&whole)
	if !errors.Is(err, errOrder) || w.AddWhole(&whole) != err {
		t.Errorf("a block that is not behind what was added: %v", err)
	}
	_ = w.Abort()
}

// A block whose sequence numbers are raised when they are read would show others elsewhere.
func TestRaisedIsNotWhole(t *testing.T) {
	o := WriterOptions{Compression: compress.Fast}
	f, _ := build(t, o, []entry{set("a", 1, string(make([]byte, 1000)))}, nil)
	for _, seqBase := range []base.SeqNum{0, 5} {
		r := openRaised(t, f, 0, seqBase)
		fresh := false
		it := r.NewIter(IterOptions{NoFill: true, Fresh: &fresh})
		it.First()
		if _, ok := WholeAt(it, nil); ok != (seqBase == 0) || fresh != ok {
			t.Errorf("base %d: %v, fresh %v", seqBase, ok, fresh)
		}
		it.Close()
		r.Close()
	}
}
