package iterate

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// trials runs fn with many random generators, whose seed it prints.
func trials(t *testing.T, count int, fn func(t *testing.T, rng *rand.Rand)) {
	seed := rand.Uint64()
	for i := range count {
		ok := t.Run(fmt.Sprintf("%#x-%d", seed, i), func(t *testing.T) {
			fn(t, rand.New(rand.NewPCG(seed, uint64(i))))
		})
		if !ok {
			return
		}
	}
}

// randomSources spreads records over sources, some of which are levels.
// It returns a function that says whether all that was opened is closed.
func randomSources(t *testing.T, rng *rand.Rand, records []base.Record, count int,
	failAt *int) (sources []Source, closed func() bool) {
	parts := make([][]base.Record, count)
	for _, r := range records {
		i := rng.IntN(count)
		parts[i] = append(parts[i], r)
	}
	var files []*sliceFiles
	var iters []*sliceIter
	for _, part := range parts {
		s := Source{MaxSeq: base.SeqNumMax}
		if rng.IntN(3) > 0 {
			s.MaxSeq = 0
			for _, r := range part {
				s.MaxSeq = max(s.MaxSeq, r.Trailer.Seq())
			}
		}
		if rng.IntN(2) == 0 {
			f := splitFiles(t, rng, part)
			f.failAt, f.blocks = failAt, failAt == nil && rng.IntN(2) == 0
			files = append(files, f)
			s.Iter = NewLevel(f)
		} else if failAt == nil && rng.IntN(2) == 0 {
			s.Iter = newBlockIter(part)
		} else {
			it := newSliceIter(part, true)
			it.failAt = failAt
			iters = append(iters, it)
			s.Iter = it
		}
		sources = append(sources, s)
	}
	return sources, func() bool {
		ok := true
		for _, f := range files {
			ok = ok && (f.last == nil || f.last.closed)
		}
		for _, it := range iters {
			ok = ok && it.closed
		}
		return ok
	}
}

func ascendingSeqs() func() base.SeqNum {
	seq := base.SeqNum(0)
	return func() base.SeqNum { seq++; return seq }
}

func TestMergingWalk(t *testing.T) {
	var m Merging // reused by all trials
	trials(t, 800, func(t *testing.T, rng *rand.Rand) {
		records := randomRecords(rng, rng.IntN(60), ascendingSeqs())
		var failAt *int
		if rng.IntN(3) == 0 {
			failAt = new(int)
		}
		sources, closed := randomSources(t, rng, records, 1+rng.IntN(9), failAt)
		m.Reset(sources)
		walk(t, rng, &m, records, 200, failAt)
		if err := m.Close(); err != nil || !closed() {
			t.Fatalf("Close: %v", err)
		}
	})
}

func TestMergingOfNothing(t *testing.T) {
	m := NewMerging(nil)
	walk(t, rand.New(rand.NewPCG(1, 1)), m, nil, 50, nil)
	v := NewUserIter(m, Options{Seq: base.SeqNumMax})
	if v.Next() || v.First() || v.Prev() || v.Last() || v.Valid() || v.Key() != nil || v.Err() != nil {
		t.Fatal("there are rows in nothing")
	}
}

func TestMergingUnpositioned(t *testing.T) {
	records := randomRecords(rand.New(rand.NewPCG(1, 1)), 20, ascendingSeqs())
	make2 := func() *Merging {
		return NewMerging([]Source{{newSliceIter(records[:7], true), base.SeqNumMax},
			{newSliceIter(records[7:], true), base.SeqNumMax}})
	}
	if rec := make2().Next(); rec == nil || !bytes.Equal(rec.Key, records[0].Key) {
		t.Fatalf("Next of a new Merging: %v", rec)
	}
	if rec := make2().Prev(); rec == nil || !bytes.Equal(rec.Key, records[19].Key) {
		t.Fatalf("Prev of a new Merging: %v", rec)
	}
}

// Equal records do not occur, but where they do the newer source comes first,
// in both directions' order.
func TestMergingTies(t *testing.T) {
	var sources []Source
	for i := range 3 {
		sources = append(sources, Source{newSliceIter([]base.Record{{
			Key: []byte("k"), Trailer: base.MakeTrailer(1, base.KindSet), Value: []byte{byte(i)},
		}}, true), 1})
	}
	m := NewMerging(sources)
	var got []byte
	for rec := m.First(); rec != nil; rec = m.Next() {
		got = append(got, rec.Value...)
	}
	for rec := m.Prev(); rec != nil; rec = m.Prev() {
		got = append(got, rec.Value...)
	}
	if !bytes.Equal(got, []byte{0, 1, 2, 2, 1, 0}) {
		t.Fatalf("order of sources: %v", got)
	}
}

// After a skip the walk shows everything that was not given up, in order, and
// turning around shows everything again.
func TestMergingSkip(t *testing.T) {
	trials(t, 800, func(t *testing.T, rng *rand.Rand) {
		records := randomRecords(rng, 1+rng.IntN(60), ascendingSeqs())
		sources, _ := randomSources(t, rng, records, 1+rng.IntN(5), nil)
		m := NewMerging(sources)
		end, below := randomKey(rng), base.SeqNum(rng.IntN(len(records)+2))
		if maxSeq := sources[0].MaxSeq; rng.IntN(2) == 0 && maxSeq != base.SeqNumMax {
			below = maxSeq + base.SeqNum(rng.IntN(2)) // just what does not, or does, move it
		}
		forwards := rng.IntN(2) == 0
		wanted := func(r *base.Record) bool {
			return r.Trailer.Seq() >= below || forwards == (bytes.Compare(r.Key, end) >= 0)
		}
		step, back, skip, rec := m.Next, m.Prev, m.SkipForward, m.First()
		if !forwards {
			step, back, skip, rec = m.Prev, m.Next, m.SkipBackward, m.Last()
		}
		for range rng.IntN(len(records)) {
			rec = step()
		}
		at := sortedIndex(records, rec)
		if forwards != (bytes.Compare(end, rec.Key) > 0) {
			return // not a skip
		}
		if now, moved := skip(end, below); moved {
			rec = now
		}
		turnAt := rng.IntN(len(records) + 1)
		for ; rec != nil; rec = step() {
			got := sortedIndex(records, rec)
			for at != got {
				if wanted(&records[at]) {
					t.Fatalf("%q %v was passed", records[at].Key, records[at].Trailer)
				}
				at = advance(at, forwards)
			}
			if turnAt--; turnAt < 0 {
				break
			}
			at = advance(at, forwards)
		}
		if rec == nil {
			at = -1
			if forwards {
				at = len(records)
			}
		}
		for rec = back(); rec != nil; rec = back() {
			at = advance(at, !forwards)
			if got := sortedIndex(records, rec); got != at {
				t.Fatalf("on the way back: record %d, want %d", got, at)
			}
		}
		if last := advance(at, !forwards); last != -1 && last != len(records) {
			t.Fatalf("the way back ended at %d of %d", at, len(records))
		}
	})
}

// A source moves only if nothing in it is as new as below: a record at below
// itself is wanted.
func TestMergingSkipBorder(t *testing.T) {
	records := numberedRecords(9, func(int) base.SeqNum { return 5 })
	for _, count := range []int{1, 3} {
		var sources []Source
		for i := range count {
			sources = append(sources,
				Source{newSliceIter(records[9/count*i:9/count*(i+1)], true), 5})
		}
		m := NewMerging(sources)
		for _, below := range []base.SeqNum{5, 6} {
			m.First()
			rec, moved := m.SkipForward(records[8].Key, below)
			if moved != (below > 5) || moved && !bytes.Equal(rec.Key, records[8].Key) {
				t.Errorf("%d sources, SkipForward below %d: %v, %v", count, below, rec, moved)
			}
			m.Last()
			rec, moved = m.SkipBackward(records[1].Key, below)
			if moved != (below > 5) || moved && !bytes.Equal(rec.Key, records[0].Key) {
				t.Errorf("%d sources, SkipBackward below %d: %v, %v", count, below, rec, moved)
			}
		}
	}
}

func advance(at int, forwards bool) int {
	if forwards {
		return at + 1
	}
	return at - 1
}

func sortedIndex(records []base.Record, rec *base.Record) int {
	for i := range records {
		if bytes.Equal(records[i].Key, rec.Key) && records[i].Trailer == rec.Trailer {
			return i
		}
	}
	return -2
}

func TestMergingCloseJoinsErrors(t *testing.T) {
	a, b := newSliceIter(nil, true), newSliceIter(nil, true)
	a.closed = true // closing it again is an error
	m := NewMerging([]Source{{a, 0}, {b, 0}})
	if err := m.Close(); err == nil || !b.closed {
		t.Fatalf("Close: %v, second closed: %v", err, b.closed)
	}
	if errors.Is(m.Close(), errInjected) {
		t.Fatal("a closed Merging has sources")
	}
}
