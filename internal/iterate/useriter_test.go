package iterate

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// visibleRows is the meaning of UserIter.
func visibleRows(records []base.Record, ts []rangedel.Tombstone, o Options) []base.Record {
	var rows []base.Record
	var done []byte
	for _, r := range records {
		if r.Trailer.Seq() > o.Seq || done != nil && bytes.Equal(r.Key, done) {
			continue
		}
		done = r.Key
		hidden := r.Trailer.Kind() == base.KindDelete || bytes.Compare(r.Key, o.Lower) < 0 ||
			o.Upper != nil && bytes.Compare(r.Key, o.Upper) >= 0
		for _, d := range ts {
			hidden = hidden || r.Trailer.Seq() < d.Seq && d.Seq <= o.Seq &&
				bytes.Compare(d.Lo, r.Key) <= 0 && bytes.Compare(r.Key, d.Hi) < 0
		}
		if !hidden {
			rows = append(rows, r)
		}
	}
	return rows
}

// rowWalker shows a UserIter as a walker. The trailer of a row is the one in
// its value.
type rowWalker struct{ *UserIter }

func (w rowWalker) row(ok bool) *base.Record {
	if ok != w.Valid() {
		panic("the result and Valid differ")
	}
	if !ok {
		return nil
	}
	return &base.Record{Key: w.Key(), Trailer: w.rec.Trailer, Value: w.Value()}
}

func (w rowWalker) First() *base.Record            { return w.row(w.UserIter.First()) }
func (w rowWalker) Last() *base.Record             { return w.row(w.UserIter.Last()) }
func (w rowWalker) SeekGE(key []byte) *base.Record { return w.row(w.UserIter.SeekGE(key)) }
func (w rowWalker) SeekLT(key []byte) *base.Record { return w.row(w.UserIter.SeekLT(key)) }
func (w rowWalker) Next() *base.Record             { return w.row(w.UserIter.Next()) }
func (w rowWalker) Prev() *base.Record             { return w.row(w.UserIter.Prev()) }

// evenSeqs numbers records. The odd ones are left to tombstones: a number is of one write.
func evenSeqs() func() base.SeqNum {
	next := ascendingSeqs()
	return func() base.SeqNum { return 2 * next() }
}

// randomTombstones returns some with odd numbers below 2 * count. Some lie side by side, as
// a window leaves them.
func randomTombstones(rng *rand.Rand, count int) (ts []rangedel.Tombstone) {
	seq := func() base.SeqNum { return base.SeqNum(2*rng.IntN(count) + 1) }
	for range rng.IntN(6) {
		ts = append(ts, rangedel.Tombstone{Lo: randomKey(rng), Hi: randomKey(rng), Seq: seq()})
	}
	if rng.IntN(2) == 0 {
		var bounds [][]byte
		var seqs []base.SeqNum
		for range 2 + rng.IntN(8) {
			bounds, seqs = append(bounds, randomKey(rng)), append(seqs, seq())
		}
		slices.SortFunc(bounds, bytes.Compare)
		slices.Sort(seqs)
		for i, lo := range bounds[1:] {
			ts = append(ts, rangedel.Tombstone{Lo: bounds[i], Hi: lo, Seq: seqs[i]})
		}
	}
	return ts
}

// randomDead returns a map of some ranges in which there is no row for who sees what o
// says, or what is newer.
func randomDead(rng *rand.Rand, records []base.Record, ts []rangedel.Tombstone, o Options) *deadrange.Map {
	m := deadrange.New(nothingAdded)
	for range rng.IntN(4) {
		lo, hi := randomKey(rng), randomKey(rng)
		m.Note(lo, hi)
		p, ok := m.Begin()
		if !ok {
			continue
		}
		for _, r := range visibleRows(records, ts, Options{Seq: o.Seq}) { // as if each were a write
			m.Wrote(r.Key)
		}
		for _, r := range records {
			if r.Trailer.Seq() > o.Seq && r.Trailer.Kind() != base.KindDelete {
				m.Wrote(r.Key)
			}
		}
		m.Settle(p, hi, o.Seq, o.At)
	}
	return m
}

// expectNotDead checks that no row that a reader of some number sees is taken for dead.
func expectNotDead(t *testing.T, m *deadrange.Map, records []base.Record, ts []rangedel.Tombstone, seqs ...base.SeqNum) {
	t.Helper()
	for _, seq := range seqs {
		for _, row := range visibleRows(records, ts, Options{Seq: seq}) {
			if r := m.Find(row.Key, seq, 0); r != nil {
				t.Fatalf("%q is a row as of %d, and dead is %q-%q as of %d", row.Key, seq, r.Lo, r.Hi, r.Seq)
			}
		}
	}
}

func randomLists(rng *rand.Rand, ts []rangedel.Tombstone) []rangedel.Source {
	parts := make([][]rangedel.Tombstone, 1+rng.IntN(3))
	for _, d := range ts {
		i := rng.IntN(len(parts))
		parts[i] = append(parts[i], d)
	}
	var lists []rangedel.Source
	for _, part := range parts {
		lists = append(lists, rangedel.Build(part))
	}
	return lists
}

func randomOptions(rng *rand.Rand, maxSeq int) Options {
	o := Options{Seq: base.SeqNumMax}
	if rng.IntN(2) == 0 {
		o.Seq = base.SeqNum(rng.IntN(maxSeq + 1))
	}
	if rng.IntN(3) == 0 {
		o.Lower = randomKey(rng)
	}
	if rng.IntN(3) == 0 {
		o.Upper = randomKey(rng)
	}
	if rng.IntN(30) == 0 {
		o.Upper = []byte{}
	}
	return o
}

func TestVisibleWalk(t *testing.T) {
	var m Merging // both reused by all trials
	var v UserIter
	trials(t, 1500, func(t *testing.T, rng *rand.Rand) {
		count := rng.IntN(150)
		records := randomRecords(rng, count, evenSeqs())
		if rng.IntN(2) == 0 {
			zeroOldest(rng, records)
		}
		ts := randomTombstones(rng, count+1)
		o := randomOptions(rng, 2*count+2)
		if len(ts) > 0 && rng.IntN(3) == 0 {
			o.Seq = ts[rng.IntN(len(ts))].Seq // a snapshot after a range delete
		}
		rows := visibleRows(records, ts, o)
		o.Dead = randomDead(rng, records, ts, o)
		o.Walk = o.Dead.NewWalk(base.SeqNumMax)
		o.RangeDeletes = randomLists(rng, ts)
		var failAt *int
		if rng.IntN(4) == 0 {
			failAt = new(int)
		}
		sources, closed := randomSources(t, rng, records, 1+rng.IntN(5), failAt)
		if o.Late = rng.IntN(2) == 0; o.Late {
			for i := range sources {
				sources[i].Iter = &lateIter{Iterator: sources[i].Iter, rng: rng, failAt: failAt}
			}
		}
		m.Reset(sources)
		v.Init(&m, o)
		walk(t, rng, rowWalker{&v}, rows, 300, failAt)
		if err := v.Close(); err != nil || !closed() {
			t.Fatalf("Close: %v", err)
		}
		expectNotDead(t, o.Dead, records, ts, o.Seq, base.SeqNum(rng.IntN(2*count+2)), base.SeqNumMax)
	})
}

// growingIter is a memtable that is written to while it is walked: before any
// move there may be new records, newer than the reader.
type growingIter struct {
	*sliceIter
	rng  *rand.Rand
	next func() base.SeqNum
	left int // writes to come, or else walks would double the table each time
}

func (it *growingIter) grow() *sliceIter {
	if it.left > 0 && it.rng.IntN(3) == 0 {
		it.left--
		r := base.Record{Key: randomKey(it.rng), Trailer: base.MakeTrailer(it.next(), base.KindSet)}
		i := sort.Search(len(it.records), func(i int) bool {
			o := &it.records[i]
			return base.Compare(o.Key, o.Trailer, r.Key, r.Trailer) > 0
		})
		it.records = slices.Insert(it.records, i, r)
		if i <= it.at {
			it.at++
		}
	}
	return it.sliceIter
}

func (it *growingIter) First() *base.Record            { return it.grow().First() }
func (it *growingIter) Last() *base.Record             { return it.grow().Last() }
func (it *growingIter) SeekGE(key []byte) *base.Record { return it.grow().SeekGE(key) }
func (it *growingIter) SeekLT(key []byte) *base.Record { return it.grow().SeekLT(key) }
func (it *growingIter) Next() *base.Record             { return it.grow().Next() }
func (it *growingIter) Prev() *base.Record             { return it.grow().Prev() }

func TestVisibleWalkBesideWrites(t *testing.T) {
	trials(t, 500, func(t *testing.T, rng *rand.Rand) {
		count := rng.IntN(80)
		next := evenSeqs()
		records := randomRecords(rng, count, next)
		ts := randomTombstones(rng, count+1)
		o := randomOptions(rng, 2*count+2)
		o.Seq = min(o.Seq, base.SeqNum(2*count+1))
		o.RangeDeletes = randomLists(rng, ts)
		sources, _ := randomSources(t, rng, records, 1+rng.IntN(4), nil)
		for i := range sources {
			if it, ok := sources[i].Iter.(*sliceIter); ok {
				sources[i] = Source{&growingIter{it, rng, next, 100}, base.SeqNumMax}
			}
		}
		v := NewUserIter(NewMerging(sources), o)
		walk(t, rng, rowWalker{v}, visibleRows(records, ts, o), 150, nil)
	})
}

// A settled table is walked without copies, a table of versions is not; both
// have to be right when keys are many and versions few.
func TestVisibleWalkOfSettledTable(t *testing.T) {
	trials(t, 200, func(t *testing.T, rng *rand.Rand) {
		records := randomRecords(rng, 100, func() base.SeqNum { return 0 })
		settled := records[:0]
		for i, r := range records {
			fresh := i == 0 || !bytes.Equal(r.Key, records[i-1].Key)
			if fresh && r.Trailer.Kind() == base.KindSet {
				settled = append(settled, r)
			}
		}
		source := base.Iterator(newSliceIter(settled, true))
		if rng.IntN(2) == 0 {
			source = newBlockIter(settled)
		}
		v := NewUserIter(NewMerging([]Source{{source, 0}}), Options{Seq: base.SeqNum(rng.IntN(3))})
		walk(t, rng, rowWalker{v}, settled, 300, nil)
	})
}

func numberedRecords(count int, seq func(i int) base.SeqNum) []base.Record {
	records := make([]base.Record, count)
	for i := range records {
		records[i] = base.Record{
			Key:     fmt.Appendf(nil, "key%013d", i),
			Trailer: base.MakeTrailer(seq(i), base.KindSet),
			Value:   bytes.Repeat([]byte{'v'}, 100),
		}
	}
	return records
}

// Rows under one range tombstone are jumped over in sources that are older
// than it, in both directions.
func TestVisibleJumpsOverDeletedRange(t *testing.T) {
	const count = 10000
	records := numberedRecords(count, func(int) base.SeqNum { return 5 })
	list := rangedel.Build([]rangedel.Tombstone{
		{Lo: records[10].Key, Hi: records[count-10].Key, Seq: 9},
	})
	for _, sourceCount := range []int{1, 3} {
		var sources []Source
		var iters []*sliceIter
		for i := range sourceCount {
			var part []base.Record
			for j := i; j < count; j += sourceCount {
				part = append(part, records[j])
			}
			iters = append(iters, newSliceIter(part, true))
			sources = append(sources, Source{iters[i], 5})
		}
		v := NewUserIter(NewMerging(sources), Options{
			Seq: base.SeqNumMax, RangeDeletes: []rangedel.Source{list},
		})
		rows := 0
		for ok := v.First(); ok; ok = v.Next() {
			rows++
		}
		for ok := v.Last(); ok; ok = v.Prev() {
			rows++
		}
		steps := 0
		for _, it := range iters {
			steps += it.steps
		}
		if rows != 40 || steps > 200 {
			t.Fatalf("%d sources: %d rows in %d steps", sourceCount, rows, steps)
		}
	}
}

// What a window leaves behind is passed at once: one tombstone for each of its steps,
// side by side, over what is in tables and over what is in a memtable; nothing newer than
// the last one can be seen.
func TestVisiblePassesWindowAtOnce(t *testing.T) {
	const count, step, left = 10000, 20, 100
	records := numberedRecords(count, func(int) base.SeqNum { return 5 })
	var ts []rangedel.Tombstone
	for i := 0; i < count-left; i += step {
		ts = append(ts, rangedel.Tombstone{
			Lo: records[i].Key, Hi: records[i+step].Key, Seq: base.SeqNum(10 + i),
		})
	}
	inOne := rangedel.Tombstone{Lo: records[0].Key, Hi: records[count-left].Key, Seq: 10 + count}
	for name, c := range map[string]struct {
		ts     []rangedel.Tombstone
		maxSeq base.SeqNum
	}{
		"tables":          {ts, 5},
		"a memtable, one": {append(ts, inOne), base.SeqNumMax},
	} {
		iter := newSliceIter(records, true)
		v := NewUserIter(NewMerging([]Source{{iter, c.maxSeq}}), Options{
			Seq: inOne.Seq, RangeDeletes: []rangedel.Source{rangedel.Build(c.ts)},
		})
		if !v.First() || !bytes.Equal(v.Key(), records[count-left].Key) {
			t.Fatalf("%s: the first row is %q, %v", name, v.Key(), v.Err())
		}
		if iter.steps > 100 {
			t.Errorf("%s: %d steps to the first row", name, iter.steps)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Many versions of one key do not make each step linear in their number.
func TestVisibleJumpsOverVersions(t *testing.T) {
	const count = 10000
	var records []base.Record
	for i, key := range []string{"a", "b", "c"} {
		for seq := range count {
			kind := base.KindSet
			if i == 1 && seq == count-1 {
				kind = base.KindDelete // the newest of b
			}
			records = append(records, base.Record{
				Key:     []byte(key),
				Trailer: base.MakeTrailer(base.SeqNum(count-seq), kind),
				Value:   []byte("v"),
			})
		}
	}
	records[count].Trailer = base.MakeTrailer(count, base.KindDelete)
	it := newSliceIter(records, true)
	v := NewUserIter(NewMerging([]Source{{it, base.SeqNumMax}}), Options{Seq: base.SeqNumMax})
	var got []byte
	for ok := v.First(); ok; ok = v.Next() {
		got = append(got, v.Key()...)
	}
	for ok := v.Prev(); ok; ok = v.Prev() {
		got = append(got, v.Key()...)
	}
	if string(got) != "acca" || it.steps > 300 {
		t.Fatalf("rows %q in %d steps", got, it.steps)
	}
}

// Values too large to copy are shown in the memory of their source.
func TestVisibleDoesNotKeepLargeValues(t *testing.T) {
	records := numberedRecords(4, func(i int) base.SeqNum { return base.SeqNum(i + 1) })
	for i := range records {
		records[i].Value = bytes.Repeat([]byte{byte('a' + i)}, heldValueBytes+1)
	}
	v := NewUserIter(NewMerging([]Source{{newSliceIter(records, true), base.SeqNumMax}}),
		Options{Seq: base.SeqNumMax})
	want := len(records)
	for ok := v.Last(); ok; ok = v.Prev() {
		if want--; !bytes.Equal(v.Value(), records[want].Value) {
			t.Fatalf("row %d has the wrong value", want)
		}
	}
	if want != 0 || cap(v.held.Value) > heldValueBytes {
		t.Fatalf("%d rows not seen, %d bytes kept", want, cap(v.held.Value))
	}
}

func TestVisibleAllocatesNothing(t *testing.T) {
	var parts [2][]base.Record
	records := numberedRecords(1000, func(i int) base.SeqNum { return base.SeqNum(i % 7) })
	for i, r := range records {
		parts[i%2] = append(parts[i%2], r)
	}
	list := []rangedel.Source{rangedel.Build([]rangedel.Tombstone{
		{Lo: records[100].Key, Hi: records[200].Key, Seq: 5},
	})}
	a, b := newSliceIter(parts[0], true), newSliceIter(parts[1], true)
	sources := []Source{{a, 7}, {b, 7}}
	var m Merging
	var v UserIter
	scan := func() {
		a.closed, b.closed = false, false
		m.Reset(sources)
		v.Init(&m, Options{Seq: base.SeqNumMax, RangeDeletes: list})
		for ok := v.SeekGE(records[50].Key); ok; ok = v.Next() {
		}
		for ok := v.Prev(); ok; ok = v.Prev() {
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	scan()
	if allocs := testing.AllocsPerRun(20, scan); allocs != 0 {
		t.Fatalf("%v allocations in a scan", allocs)
	}
}

// failingSource is a source of range tombstones that cannot be read from a key on.
type failingSource struct {
	rangedel.Source
	from []byte
}

var errTombstones = errors.New("tombstones cannot be read")

func (s *failingSource) Around(key []byte, seq base.SeqNum) (rangedel.Piece, error) {
	if bytes.Compare(key, s.from) >= 0 {
		return rangedel.Piece{}, errTombstones
	}
	p, err := s.Source.Around(key, seq)
	if p.Hi == nil || bytes.Compare(p.Hi, s.from) > 0 {
		p.Hi = s.from
	}
	return p, err
}

// Where tombstones cannot be read there are no rows and no end, but an error; a seek to
// where they can be leads on.
func TestVisibleFailsWithoutTombstones(t *testing.T) {
	const count, unread = 100, 60
	records := numberedRecords(count, func(int) base.SeqNum { return 5 })
	source := &failingSource{rangedel.Build([]rangedel.Tombstone{
		{Lo: records[10].Key, Hi: records[20].Key, Seq: 9},
	}), records[unread].Key}
	v := NewUserIter(NewMerging([]Source{{newSliceIter(records, true), 5}}), Options{
		Seq: base.SeqNumMax, RangeDeletes: []rangedel.Source{source},
	})
	rows := 0
	for ok := v.First(); ok; ok = v.Next() {
		rows++
	}
	if rows != unread-10 || !errors.Is(v.Err(), errTombstones) {
		t.Fatalf("%d rows, then %v", rows, v.Err())
	}
	if v.Last() || !errors.Is(v.Err(), errTombstones) || v.Prev() || v.Next() {
		t.Fatalf("the last row: %v", v.Err())
	}
	if !v.SeekLT(records[unread].Key) || v.Err() != nil || !bytes.Equal(v.Key(), records[unread-1].Key) {
		t.Fatalf("the last row that can be read: %q, %v", v.Key(), v.Err())
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}
