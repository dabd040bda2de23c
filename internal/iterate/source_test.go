package iterate

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
)

var errInjected = errors.New("injected")

// sliceIter is a base.Iterator over sorted records. As a hostile stand-in for
// a table it overwrites what it returned before at each move, and it can fail.
type sliceIter struct {
	records []base.Record
	at      int // -1 before the first, len(records) past the last
	rec     [2]base.Record
	turn    int
	hostile bool
	steps   int  // moves made
	failAt  *int // counts moves down to a failure; shared among sources
	err     error
	closed  bool
}

func newSliceIter(records []base.Record, hostile bool) *sliceIter {
	return &sliceIter{records: records, at: -1, hostile: hostile}
}

func (it *sliceIter) show() *base.Record {
	it.steps++
	if it.failAt != nil {
		if *it.failAt--; *it.failAt == 0 {
			it.err = errInjected
			return nil
		}
	}
	if !it.hostile {
		if it.at < 0 || it.at >= len(it.records) {
			return nil
		}
		return &it.records[it.at]
	}
	old := &it.rec[it.turn&1]
	spoil(old.Key)
	spoil(old.Value)
	old.Trailer = base.Trailer(0xdb)
	if it.at < 0 || it.at >= len(it.records) {
		return nil
	}
	if it.at%3 == 0 { // sometimes the same pointer as before, sometimes the other
		it.turn++
	}
	rec := &it.rec[it.turn&1]
	from := &it.records[it.at]
	rec.Key = append(rec.Key[:0], from.Key...)
	rec.Value = append(rec.Value[:0], from.Value...)
	rec.Trailer = from.Trailer
	return rec
}

var spoiled = bytes.Repeat([]byte{0xdb}, heldValueBytes)

func spoil(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, spoiled):]
	}
}

func (it *sliceIter) search(key []byte) int {
	return sort.Search(len(it.records), func(i int) bool {
		return bytes.Compare(it.records[i].Key, key) >= 0
	})
}

func (it *sliceIter) place(at int) *base.Record {
	it.err, it.at = nil, at
	return it.show()
}

func (it *sliceIter) First() *base.Record            { return it.place(0) }
func (it *sliceIter) Last() *base.Record             { return it.place(len(it.records) - 1) }
func (it *sliceIter) SeekGE(key []byte) *base.Record { return it.place(it.search(key)) }
func (it *sliceIter) SeekLT(key []byte) *base.Record { return it.place(it.search(key) - 1) }
func (it *sliceIter) Err() error                     { return it.err }

func (it *sliceIter) Next() *base.Record {
	if it.err != nil {
		return nil
	}
	it.at = min(it.at+1, len(it.records))
	return it.show()
}

func (it *sliceIter) Prev() *base.Record {
	if it.err != nil {
		return nil
	}
	it.at = max(it.at-1, -1)
	return it.show()
}

func (it *sliceIter) Close() error {
	if it.closed {
		return errors.New("closed twice")
	}
	it.closed = true
	return nil
}

// blockIter is a source whose records lie in one block.
type blockIter struct{ block.Iter }

func newBlockIter(records []base.Record) *blockIter {
	it := new(blockIter)
	if len(records) > 0 {
		var b block.Builder
		for _, r := range records {
			b.Add(r.Key, r.Trailer, r.Value, base.Hash(r.Key))
		}
		it.Init(block.Trusted(b.Finish()))
	}
	return it
}

func (it *blockIter) Block() *block.Iter { return &it.Iter }

// sliceFiles is a Files over pieces of sorted records.
type sliceFiles struct {
	t      testing.TB
	pieces [][]base.Record
	lo, hi [][]byte
	last   *sliceIter
	opens  int
	failAt *int
	blocks bool // each file is a block
}

func (f *sliceFiles) Len() int        { return len(f.pieces) }
func (f *sliceFiles) Lo(i int) []byte { return f.lo[i] }
func (f *sliceFiles) Hi(i int) []byte { return f.hi[i] }

func (f *sliceFiles) Open(i int) (base.Iterator, error) {
	if f.last != nil && !f.last.closed {
		f.t.Error("two files are open at once")
	}
	if f.failAt != nil {
		if *f.failAt--; *f.failAt == 0 {
			return nil, errInjected
		}
	}
	f.opens++
	if f.blocks {
		return newBlockIter(f.pieces[i]), nil
	}
	f.last = newSliceIter(f.pieces[i], true)
	f.last.failAt = f.failAt
	return f.last, nil
}

// splitFiles cuts sorted records into files at random places, never inside a
// key; some files are empty.
func splitFiles(t testing.TB, rng *rand.Rand, records []base.Record) *sliceFiles {
	f := &sliceFiles{t: t}
	var previousHi []byte
	for begin := 0; begin < len(records); {
		end := begin + 1 + rng.IntN(6)
		for end < len(records) && bytes.Equal(records[end].Key, records[end-1].Key) {
			end++
		}
		end = min(end, len(records))
		lo, hi := records[begin].Key, base.Successor(nil, records[end-1].Key)
		if end < len(records) && rng.IntN(2) == 0 {
			hi = records[end].Key // the files touch
		}
		if rng.IntN(4) == 0 && previousHi != nil && bytes.Compare(previousHi, lo) < 0 {
			// A file that holds range deletes only.
			f.pieces = append(f.pieces, nil)
			f.lo, f.hi = append(f.lo, previousHi), append(f.hi, lo)
		}
		f.pieces = append(f.pieces, records[begin:end])
		f.lo, f.hi = append(f.lo, lo), append(f.hi, hi)
		previousHi = hi
		begin = end
	}
	return f
}

// randomKey draws from few keys: prefixes of one another, with and without a
// common prefix longer than a head, and with zero bytes.
func randomKey(rng *rand.Rand) []byte {
	var key []byte
	if rng.IntN(2) == 0 {
		key = append(key, "b-common-prefix"...)
	}
	for range rng.IntN(3) {
		key = append(key, "\x00abc"[rng.IntN(4)])
	}
	if len(key) == 0 {
		key = append(key, 'a')
	}
	return key
}

// randomRecords returns count versions with the sequence numbers given by
// nextSeq, in internal order. Some values are longer than heldValueBytes.
func randomRecords(rng *rand.Rand, count int, nextSeq func() base.SeqNum) []base.Record {
	records := make([]base.Record, 0, count)
	large := rng.IntN(8) == 0
	for range count {
		r := base.Record{Key: randomKey(rng), Trailer: base.MakeTrailer(nextSeq(), base.KindSet)}
		if rng.IntN(4) == 0 {
			r.Trailer = base.MakeTrailer(r.Trailer.Seq(), base.KindDelete)
		} else {
			r.Value = []byte(r.Trailer.String() + string(r.Key))
			if large && rng.IntN(10) == 0 {
				r.Value = append(r.Value, make([]byte, heldValueBytes)...)
			}
		}
		records = append(records, r)
	}
	return sortRecords(records)
}

func sortRecords(records []base.Record) []base.Record {
	slices.SortFunc(records, func(a, b base.Record) int {
		return base.Compare(a.Key, a.Trailer, b.Key, b.Trailer)
	})
	return records
}

// zeroOldest gives sequence number zero to the oldest version of some keys, as
// compaction does.
func zeroOldest(rng *rand.Rand, records []base.Record) {
	for i := range records {
		oldest := i+1 == len(records) || !bytes.Equal(records[i].Key, records[i+1].Key)
		if oldest && rng.IntN(2) == 0 {
			records[i].Trailer = base.MakeTrailer(0, records[i].Trailer.Kind())
		}
	}
}

// walker is what Merging, Level and, by an adapter, UserIter have in common.
type walker interface {
	First() *base.Record
	Last() *base.Record
	SeekGE(key []byte) *base.Record
	SeekLT(key []byte) *base.Record
	Next() *base.Record
	Prev() *base.Record
	Err() error
}

// walk drives w through random moves and compares it with the records it has
// to show. If failAt is not nil, an error may stop w at any move.
func walk(t *testing.T, rng *rand.Rand, w walker, want []base.Record, moves int, failAt *int) {
	t.Helper()
	model := newSliceIter(want, false)
	if failAt != nil {
		*failAt = 1 + rng.IntN(40)
	}
	stopped := false
	backward := false
	for move := range moves {
		var got, expect *base.Record
		op := rng.IntN(24)
		if move == 0 {
			op %= 4
		}
		key := randomKey(rng)
		switch {
		case op == 0:
			got, expect = w.First(), model.First()
		case op == 1:
			got, expect = w.Last(), model.Last()
		case op == 2:
			got, expect = w.SeekGE(key), model.SeekGE(key)
		case op == 3:
			got, expect = w.SeekLT(key), model.SeekLT(key)
		default:
			if op < 8 {
				backward = !backward
			}
			if backward {
				got, expect = w.Prev(), model.Prev()
			} else {
				got, expect = w.Next(), model.Next()
			}
		}
		stopped = stopped && op > 3
		if err := w.Err(); err != nil {
			if failAt == nil || !errors.Is(err, errInjected) || got != nil {
				t.Fatalf("move %d, op %d: error %v with record %v", move, op, err, got)
			}
			stopped = true
			if *failAt < 0 {
				*failAt = 1 + rng.IntN(40)
			}
			continue
		}
		if stopped {
			t.Fatalf("move %d, op %d: the error is forgotten", move, op)
		}
		if (got == nil) != (expect == nil) {
			t.Fatalf("move %d, op %d, key %q: got %v, want %v", move, op, key, got, expect)
		}
		if got != nil && (!bytes.Equal(got.Key, expect.Key) || got.Trailer != expect.Trailer ||
			!bytes.Equal(got.Value, expect.Value)) {
			t.Fatalf("move %d, op %d, key %q: got %q %v, want %q %v", move, op, key,
				got.Key, got.Trailer, expect.Key, expect.Trailer)
		}
	}
}
