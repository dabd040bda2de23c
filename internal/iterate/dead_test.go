package iterate

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// Deleted records are walked over once, in either direction; then it is known that
// there is nothing, to readers who are not older than that.
func TestDeadRunsAreJumpedOver(t *testing.T) {
	const count = 10000
	for _, backward := range []bool{false, true} {
		records := numberedRecords(count, func(int) base.SeqNum { return 5 })
		for i := 10; i < count-10; i++ {
			records[i].Trailer = base.MakeTrailer(5, base.KindDelete)
			records[i].Value = nil
		}
		ranges := deadrange.New(nothingAdded)
		lower, upper := []byte("k"), []byte("l")
		walkOver := func(seq base.SeqNum) (steps int) {
			t.Helper()
			iter := newSliceIter(records, true)
			v := NewUserIter(NewMerging([]Source{{iter, 5}}), Options{Seq: seq, Lower: lower, Upper: upper, Dead: ranges})
			rows := 0
			begin, move := v.First, v.Next
			if backward {
				begin, move = v.Last, v.Prev
			}
			for ok := begin(); ok; ok = move() {
				rows++
			}
			if err := v.Close(); err != nil || rows != 20 {
				t.Fatalf("%d rows, %v", rows, err)
			}
			return iter.steps
		}
		if n := walkOver(8); n < count-20 {
			t.Errorf("%d steps before anything is known", n)
		}
		known := ranges.Active()
		if len(known) != 1 {
			t.Fatalf("%v are known", known)
		}
		for i, r := range records {
			inside := string(known[0].Lo) <= string(r.Key) && string(r.Key) < string(known[0].Hi)
			if dead := r.Trailer.Kind() == base.KindDelete; dead != inside {
				t.Fatalf("known is %q-%q, and record %d, %q, is %v", known[0].Lo, known[0].Hi, i, r.Key, r.Trailer)
			}
		}
		if n := walkOver(8); n > 60 {
			t.Errorf("%d steps over what is known", n)
		}
		if n := walkOver(7); n < count-20 {
			t.Errorf("an older reader took %d steps", n)
		}
	}
}

// A walk over what is no row ends when the database is closed meanwhile.
func TestLongWalksEndWithTheDatabase(t *testing.T) {
	records := numberedRecords(10000, func(int) base.SeqNum { return 5 })
	for i := range records {
		records[i].Trailer = base.MakeTrailer(5, base.KindDelete)
	}
	var closed atomic.Bool
	iter := newSliceIter(records, true)
	v := NewUserIter(NewMerging([]Source{{iter, 5}}), Options{Seq: 9, Dead: deadrange.New(nothingAdded), Closed: &closed})
	if v.First() || v.Err() != nil {
		t.Fatalf("while it is open: %v", v.Err())
	}
	closed.Store(true)
	for what, begin := range map[string]func() bool{"forward": v.First, "backward": v.Last} {
		before := iter.steps
		if begin() || v.Err() != base.ErrClosed {
			t.Errorf("%s: %v", what, v.Err())
		}
		if n := iter.steps - before; n > 2*closedRun {
			t.Errorf("%s: %d steps", what, n)
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// nothingAdded is of a map beside which nobody writes.
func nothingAdded([]byte, []byte, base.SeqNum) bool { return false }

// A run that begins where a scan was told to begin is found there the next time, before
// any source is asked; rows under range tombstones are such a run as well.
func TestDeadRangeIsFoundFromWhereTheScanBegins(t *testing.T) {
	const count, left = 1000, 10
	for name, kind := range map[string]base.Kind{"deleted": base.KindDelete, "hidden": base.KindSet} {
		records := numberedRecords(count, func(i int) base.SeqNum { return base.SeqNum(5 + i) })
		for i := range count - left {
			records[i].Trailer = base.MakeTrailer(base.SeqNum(5+i), kind)
		}
		var deletes []rangedel.Source
		if kind == base.KindSet { // newer than some of the source, so it is no reason to skip
			deletes = append(deletes, rangedel.Build([]rangedel.Tombstone{
				{Lo: []byte("k"), Hi: records[count-left].Key, Seq: 5 + count - left},
			}))
		}
		ranges := deadrange.New(nothingAdded)
		for i, seek := range []string{"", "kex", ""} {
			iter := newSliceIter(records, true)
			v := NewUserIter(NewMerging([]Source{{iter, 5 + count}}), Options{
				Seq: 5 + count, Lower: []byte("k"), Upper: []byte("l"), Dead: ranges, RangeDeletes: deletes,
			})
			begin := v.First
			if seek != "" {
				begin = func() bool { return v.SeekGE([]byte(seek)) }
			}
			if !begin() || !bytes.Equal(v.Key(), records[count-left].Key) {
				t.Fatalf("%s: the first row is %q, %v", name, v.Key(), v.Err())
			}
			if i > 0 && iter.steps != 1 {
				t.Errorf("%s: %d steps to the first row from %q", name, iter.steps, seek)
			}
			known := ranges.Active()
			if len(known) != 1 || string(known[0].Lo) != "k" || !bytes.Equal(known[0].Hi, records[count-left].Key) {
				t.Errorf("%s: known is %v", name, known)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Where a scan begins and ends at its bounds the run goes from there and up to there.
func TestDeadRunUpToTheBound(t *testing.T) {
	records := numberedRecords(1000, func(int) base.SeqNum { return 5 })
	for i := range records {
		records[i].Trailer = base.MakeTrailer(5, base.KindDelete)
	}
	for _, upper := range []string{"key0000000000900", "l"} {
		for what, move := range map[string]func(v *UserIter) bool{
			"first": (*UserIter).First, "last": (*UserIter).Last,
			"seek forward":  func(v *UserIter) bool { return v.SeekGE([]byte("a")) },
			"seek backward": func(v *UserIter) bool { return v.SeekLT([]byte("z")) },
		} {
			ranges := deadrange.New(nothingAdded)
			v := NewUserIter(NewMerging([]Source{{newSliceIter(records, true), 5}}),
				Options{Seq: 9, Lower: []byte("k"), Upper: []byte(upper), Dead: ranges})
			if move(v) {
				t.Fatal("there is a row")
			}
			known := ranges.Active()
			if len(known) != 1 || string(known[0].Lo) != "k" || string(known[0].Hi) != upper || known[0].Seq != 9 {
				t.Errorf("%s: known is %v", what, known)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Who pops the head of a queue passes each deleted record few times, and looks for the
// head behind what is known.
func TestHeadOfAQueue(t *testing.T) {
	const count = 4000
	records := numberedRecords(2*count, func(int) base.SeqNum { return 5 })
	ranges := deadrange.New(nothingAdded)
	iter := newSliceIter(records, true)
	for head := range count {
		seq := base.SeqNum(10 + head)
		v := NewUserIter(NewMerging([]Source{{iter, seq}}), Options{Seq: seq, Lower: []byte("k"), Dead: ranges})
		if !v.First() || string(v.Key()) != string(records[head].Key) {
			t.Fatalf("the head is %q, and should be %q", v.Key(), records[head].Key)
		}
		records[head].Trailer = base.MakeTrailer(seq, base.KindDelete)
	}
	// Until the range is worth it, and the seek and half of what it grows by after that.
	if most := noteRun()*noteRun()/2 + count*(2+growRun/2); iter.steps > most {
		t.Errorf("%d heads took %d steps, want at most %d", count, iter.steps, most)
	}
}

// A run is not proved where something newer was passed, which readers who are newer see.
func TestNewerRecordsProveNothing(t *testing.T) {
	for _, kind := range []base.Kind{base.KindSet, base.KindDelete} {
		for what, move := range map[string]func(v *UserIter) bool{"first": (*UserIter).First, "last": (*UserIter).Last} {
			records := numberedRecords(1000, func(int) base.SeqNum { return 5 })
			for i := range records {
				records[i].Trailer = base.MakeTrailer(5, base.KindDelete)
			}
			records[500].Trailer = base.MakeTrailer(8, kind)
			ranges := deadrange.New(nothingAdded)
			v := NewUserIter(NewMerging([]Source{{newSliceIter(records, true), 8}}),
				Options{Seq: 6, Lower: []byte("k"), Upper: []byte("l"), Dead: ranges})
			if move(v) {
				t.Fatal("there is a row")
			}
			if known := len(ranges.Active()) > 0; known != (kind == base.KindDelete) {
				t.Errorf("%s: beside a newer %v it is known that there is nothing: %v", what, kind, known)
			}
		}
	}
}

// A reader of the past who skips all that a range tombstone hides from him proves nothing
// if that may hold what others see.
func TestSkippedRecordsProveNothing(t *testing.T) {
	const count, edge, written = 1000, 10, 500
	for what, move := range map[string]func(v *UserIter) bool{"first": (*UserIter).First, "last": (*UserIter).Last} {
		for _, seen := range []base.SeqNum{6, 8} {
			records := numberedRecords(count, func(int) base.SeqNum { return 5 })
			records[written].Trailer = base.MakeTrailer(8, base.KindSet)
			ranges := deadrange.New(nothingAdded)
			for _, known := range [][2]string{
				{"k", string(records[edge].Key)}, {string(records[count-edge].Key), "l"},
			} { // so that a few beside it are a run
				ranges.Prove(ranges.NewWalk(6), []byte(known[0]), []byte(known[1]), 6, 0)
			}
			v := NewUserIter(NewMerging([]Source{{newSliceIter(records, true), base.SeqNumMax}}), Options{
				Seq: 6, Lower: []byte("k"), Upper: []byte("l"), Dead: ranges, Walk: ranges.NewWalk(seen),
				RangeDeletes: []rangedel.Source{rangedel.Build([]rangedel.Tombstone{{Lo: []byte("k"), Hi: []byte("l"), Seq: 6}})},
			})
			if move(v) {
				t.Fatal("there is a row")
			}
			// What was written after the walk began is looked for, here by nothingAdded.
			if dead := ranges.Find(records[written].Key, 9, 0) != nil; dead != (seen == 6) {
				t.Errorf("%s: a walk that has all up to %d takes a newer row for dead: %v", what, seen, dead)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A newer version of a key whose operands a walk backward looks through is one that it has
// passed.
func TestNewerVersionsOfOperandsProveNothing(t *testing.T) {
	records := numberedRecords(1000, func(int) base.SeqNum { return 5 })
	for i := range records {
		records[i].Trailer = base.MakeTrailer(5, base.KindDelete)
	}
	key := records[500].Key
	records = sortRecords(append(records,
		base.Record{Key: key, Trailer: base.MakeTrailer(8, base.KindSet)},
		base.Record{Key: key, Trailer: base.MakeTrailer(3, base.KindMerge)}))
	ranges := deadrange.New(nothingAdded)
	v := NewUserIter(NewMerging([]Source{{newSliceIter(records, true), 8}}),
		Options{Seq: 6, Lower: []byte("k"), Upper: []byte("l"), Dead: ranges, Walk: ranges.NewWalk(8)})
	if v.Last() || v.Err() != nil {
		t.Fatalf("there is %q, %v", v.Key(), v.Err())
	}
	if r := ranges.Find(key, 9, 0); r != nil {
		t.Errorf("a newer row is taken for dead: %v", r)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

// A source that holds something newer than a tombstone stays where it is when others are
// moved behind that. The walk stands on the same record then, which is no circle.
func TestSkippedBesideANewerSource(t *testing.T) {
	const count = 31
	for what, c := range map[string]struct {
		move   func(v *UserIter) bool
		known  [2][2]int // dead ranges, from record to record
		beside int       // the record of the other source
	}{
		"first": {(*UserIter).First, [2][2]int{{0, 5}, {11, 20}}, 25},
		"last":  {(*UserIter).Last, [2][2]int{{26, 31}, {10, 20}}, 5},
	} {
		records := numberedRecords(count+1, func(int) base.SeqNum { return 5 })
		row, all := records[count], records[:count]
		if what == "last" {
			row.Key = []byte("a") // before the others
			all = append([]base.Record{row}, all...)
		} else {
			all = records
		}
		ranges := deadrange.New(nothingAdded)
		for _, r := range c.known {
			ranges.Prove(ranges.NewWalk(12), records[r[0]].Key, records[r[1]].Key, 12, 0)
		}
		v := NewUserIter(NewMerging([]Source{
			{newSliceIter(all, true), base.SeqNumMax}, {newSliceIter(records[c.beside:c.beside+1], true), 5},
		}), Options{
			Seq: 12, Dead: ranges, Walk: ranges.NewWalk(12),
			RangeDeletes: []rangedel.Source{rangedel.Build([]rangedel.Tombstone{{Lo: records[0].Key, Hi: records[count].Key, Seq: 10}})},
		})
		if !c.move(v) || string(v.Key()) != string(row.Key) {
			t.Errorf("%s: no row: %v", what, v.Err())
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

// scripted is a source that returns records in an order of its own, wherever one seeks: as
// one does that somebody has written into.
type scripted struct {
	base.Iterator
	records []base.Record
}

func (s *scripted) next() *base.Record {
	if len(s.records) == 0 {
		return nil
	}
	rec := &s.records[0]
	s.records = s.records[1:]
	return rec
}

func (s *scripted) First() *base.Record        { return s.next() }
func (s *scripted) Last() *base.Record         { return s.next() }
func (s *scripted) SeekGE([]byte) *base.Record { return s.next() }
func (s *scripted) SeekLT([]byte) *base.Record { return s.next() }
func (s *scripted) Next() *base.Record         { return s.next() }
func (s *scripted) Prev() *base.Record         { return s.next() }
func (s *scripted) Err() error                 { return nil }
func (s *scripted) Close() error               { return nil }

// A walk that was given up, because it goes in circles, has not seen what is behind it.
func TestWalkInCirclesProvesNothing(t *testing.T) {
	for name, keys := range map[string]string{"forward": "f pqrstuv f", "backward": "k edcbaZY k"} {
		ranges := deadrange.New(nothingAdded)
		ranges.Prove(ranges.NewWalk(5), []byte("f"), []byte("l"), 5, 0)
		source := &scripted{}
		for _, key := range keys {
			if key != ' ' {
				source.records = append(source.records,
					base.Record{Key: []byte{byte(key)}, Trailer: base.MakeTrailer(5, base.KindDelete)})
			}
		}
		v := NewUserIter(NewMerging([]Source{{source, 5}}), Options{Seq: 5, Lower: []byte("A"), Upper: []byte("z"), Dead: ranges})
		move := v.SeekGE
		if name == "backward" {
			move = v.SeekLT
		}
		if move([]byte("m")) || v.Err() == nil {
			t.Errorf("%s: no error", name)
		}
		if known := ranges.Active(); len(known) != 1 || string(known[0].Lo) != "f" || string(known[0].Hi) != "l" {
			t.Errorf("%s: after %v it is known that there is nothing in %q to %q", name, v.Err(), known[0].Lo, known[0].Hi)
		}
	}
}
