package view

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/offheap"
)

// sortedCase is writes of a few shapes of keys, as the groups of a log.
type sortedCase struct {
	records  []base.Record // in the order of writing
	sorter   *Sorter
	memory   offheap.Accountant
	nextSeq  base.SeqNum
	inMemory bool
}

// keyShapes make keys that are alike in different ways.
var keyShapes = map[string]func(rng *rand.Rand, i int) string{
	"few":      func(rng *rand.Rand, _ int) string { return fmt.Sprintf("k%02d", rng.IntN(20)) },
	"random":   func(rng *rand.Rand, _ int) string { return fmt.Sprintf("\x00%016x", rng.Uint64()) },
	"ordered":  func(_ *rand.Rand, i int) string { return fmt.Sprintf("\x00%016d", i) },
	"backward": func(_ *rand.Rand, i int) string { return fmt.Sprintf("\x00%016d", 1<<30-i) },
	"padded":   func(rng *rand.Rand, _ int) string { return "p" + strings.Repeat("\x00", rng.IntN(12)) },
	"nested":   func(rng *rand.Rand, _ int) string { return strings.Repeat("n", 1+rng.IntN(300)) },
	"alike":    func(rng *rand.Rand, _ int) string { return fmt.Sprintf("the same first words %d", rng.IntN(9999)) },
}

func (c *sortedCase) fill(t *testing.T, rng *rand.Rand, count int, shape func(*rand.Rand, int) string) {
	t.Helper()
	for i := 0; i < count; {
		var b batch.Batch
		first := c.nextSeq
		for range 1 + rng.IntN(4) {
			key, value := []byte(shape(rng, i)), fmt.Appendf(nil, "%d:%s", i, strings.Repeat("v", rng.IntN(200)))
			rec := base.Record{Key: key, Value: value, Trailer: base.MakeTrailer(c.nextSeq, base.KindSet)}
			if rng.IntN(5) == 0 {
				rec.Trailer, rec.Value = base.MakeTrailer(c.nextSeq, base.KindDelete), nil
				must(t, b.Delete(nil, key))
			} else {
				must(t, b.Set(nil, key, value))
			}
			c.records = append(c.records, rec)
			c.nextSeq++
			i++
		}
		last, err := c.sorter.Add(first, b.Bytes())
		must(t, err)
		if last != c.nextSeq-1 {
			t.Fatalf("the last record is %d, not %d", last, c.nextSeq-1)
		}
		c.nextSeq += base.SeqNum(rng.IntN(3)) // numbers of commits past the log
	}
}

// Sorted batches show what was added, in internal order, whatever the keys are.
func TestSortedBatches(t *testing.T) {
	for name, shape := range keyShapes {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, uint64(len(name))))
			c := sortedCase{nextSeq: 10}
			var err error
			count := 5000
			if name == "random" {
				count = 2 * parallelMin
			}
			c.sorter, err = NewSorter(&c.memory, 1<<10*count, 0)
			must(t, err)
			c.fill(t, rng, count, shape)
			part, err := c.sorter.Flushable()
			must(t, err)
			slices.SortFunc(c.records, func(a, b base.Record) int { return base.Compare(a.Key, a.Trailer, b.Key, b.Trailer) })
			c.checkWalk(t, part)
			c.checkGets(t, part, rng)
			c.checkBorders(t, part)
			part.Free()
			if n := c.memory.Total(); n != 0 {
				t.Errorf("%d bytes were not given back", n)
			}
		})
	}
}

func (c *sortedCase) checkWalk(t *testing.T, part *Flushable) {
	it := part.NewIter()
	i := 0
	for rec := it.First(); rec != nil; rec = it.Next() {
		want := c.records[i]
		if !bytes.Equal(rec.Key, want.Key) || rec.Trailer != want.Trailer || !bytes.Equal(rec.Value, want.Value) {
			t.Fatalf("record %d is %q %v, want %q %v", i, rec.Key, rec.Trailer, want.Key, want.Trailer)
		}
		i++
	}
	for rec := it.Last(); rec != nil; rec = it.Prev() {
		i--
		if rec.Trailer != c.records[i].Trailer {
			t.Fatalf("backward, record %d is %v", i, rec.Trailer)
		}
	}
	if i != 0 {
		t.Errorf("%d records were not seen backward", i)
	}
}

func (c *sortedCase) checkGets(t *testing.T, part *Flushable, rng *rand.Rand) {
	for range 1_000_000 / len(c.records) {
		key, seq := c.records[rng.IntN(len(c.records))].Key, base.SeqNum(rng.Uint64N(uint64(c.nextSeq)))
		want := base.Trailer(0)
		for _, rec := range c.records {
			if bytes.Equal(rec.Key, key) && rec.Trailer.Seq() <= seq {
				want = max(want, rec.Trailer)
			}
		}
		if got, _, found := part.Get(key, seq); got != want || found != (want != 0) {
			t.Fatalf("get of %q at %d: %v, want %v", key, seq, got, want)
		}
	}
}

// checkBorders sees that borders are keys, in order, and divide what there are enough of.
func (c *sortedCase) checkBorders(t *testing.T, part *Flushable) {
	borders := part.Borders(3)
	if !slices.IsSortedFunc(borders, bytes.Compare) || len(borders) > 2 {
		t.Errorf("the borders are %q", borders)
	}
	if part.Borders(1) != nil || part.Borders(0) != nil {
		t.Error("one span has borders")
	}
	for i, border := range borders {
		at := slices.IndexFunc(c.records, func(r base.Record) bool { return bytes.Equal(r.Key, border) })
		if third := len(c.records) * (i + 1) / 3; at < 0 || at > third {
			t.Errorf("border %d, %q, is at record %d of %d", i, border, at, len(c.records))
		}
	}
}

// A Sorter takes as much as it was made for, its references included, and a group
// that is larger alone.
func TestSorterFits(t *testing.T) {
	var memory offheap.Accountant
	s, err := NewSorter(&memory, 64<<10, 100)
	must(t, err)
	var b batch.Batch
	must(t, b.Set(nil, []byte("key"), make([]byte, 100)))
	count := 0
	for ; s.Fits(b.SizeBytes()); count++ {
		_, err := s.Add(base.SeqNum(count+1), b.Bytes())
		must(t, err)
	}
	if most := (64 << 10) / b.SizeBytes(); count > most || count < most/5 {
		t.Errorf("%d records fit", count)
	}
	s.Free()
	if n := memory.Total(); n != 0 {
		t.Errorf("%d bytes were not given back", n)
	}
	must(t, b.Set(nil, []byte("large"), make([]byte, 64<<10)))
	s, err = NewSorter(&memory, 64<<10, b.SizeBytes())
	must(t, err)
	_, err = s.Add(1, b.Bytes())
	must(t, err)
	if s.Fits(1) || memory.Total() < 64<<10 || memory.Total() > 2*64<<10 {
		t.Errorf("a large group is not alone, or takes %d bytes", memory.Total())
	}
	part, err := s.Flushable()
	must(t, err)
	if _, value, found := part.Get([]byte("large"), base.SeqNumMax); !found || len(value) != 64<<10 || part.LastSeq != 2 {
		t.Errorf("found %d bytes, the last is %d", len(value), part.LastSeq)
	}
	if n := part.HeapBytes(); n > 1<<10 {
		t.Errorf("a large group takes %d bytes of Go's heap", n)
	}
	if part.Free(); memory.Total() != 0 {
		t.Errorf("%d bytes were not given back", memory.Total())
	}
}

func BenchmarkSorter(b *testing.B) {
	const count = 400_000
	rng := rand.New(rand.NewPCG(1, 1))
	var groups [][]byte
	for range count {
		var g batch.Batch
		key := make([]byte, 17)
		for i := range key[1:] {
			key[1+i] = byte(rng.Uint32())
		}
		must(b, g.Set(nil, key, make([]byte, 100)))
		groups = append(groups, g.Bytes())
	}
	for b.Loop() {
		s, err := NewSorter(&offheap.Accountant{}, 128<<20, 0)
		must(b, err)
		for i, g := range groups {
			_, err := s.Add(base.SeqNum(i+1), g)
			must(b, err)
		}
		part, err := s.Flushable()
		must(b, err)
		it := part.NewIter()
		for rec := it.First(); rec != nil; rec = it.Next() {
		}
		part.Free()
	}
}
