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
		ranges := deadrange.New()
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
		lo, hi, ok := ranges.Begin()
		if !ok {
			t.Fatal("the run was not noted")
		}
		for i, r := range records {
			inside := string(lo) <= string(r.Key) && string(r.Key) < string(hi)
			if dead := r.Trailer.Kind() == base.KindDelete; dead != inside {
				t.Fatalf("noted %q-%q, and record %d, %q, is %v", lo, hi, i, r.Key, r.Trailer)
			}
		}
		ranges.Settle(hi, 8, 0)
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
	v := NewUserIter(NewMerging([]Source{{iter, 5}}), Options{Seq: 9, Dead: deadrange.New(), Closed: &closed})
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
		ranges := deadrange.New()
		for _, seek := range []string{"", "kex", ""} {
			iter := newSliceIter(records, true)
			v := NewUserIter(NewMerging([]Source{{iter, 5 + count}}), Options{
				Seq: 5 + count, Lower: []byte("k"), Upper: []byte("l"), Dead: ranges, RangeDeletes: deletes,
			})
			begin := v.First
			if seek != "" {
				begin = func() bool { return v.SeekGE([]byte(seek)) }
			}
			known := len(ranges.Active()) > 0
			if !begin() || !bytes.Equal(v.Key(), records[count-left].Key) {
				t.Fatalf("%s: the first row is %q, %v", name, v.Key(), v.Err())
			}
			if known && iter.steps != 1 {
				t.Errorf("%s: %d steps to the first row from %q", name, iter.steps, seek)
			}
			if lo, hi, ok := ranges.Begin(); ok != !known || ok && string(lo) != "k" {
				t.Errorf("%s: noted %q-%q, %v", name, lo, hi, ok)
			} else if ok {
				ranges.Settle(hi, 5+count, 0)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Where a scan ends at its bound the run goes up to there.
func TestDeadRunUpToTheBound(t *testing.T) {
	records := numberedRecords(1000, func(int) base.SeqNum { return 5 })
	for i := range records {
		records[i].Trailer = base.MakeTrailer(5, base.KindDelete)
	}
	for _, upper := range []string{"key0000000000900", "l"} {
		ranges := deadrange.New()
		v := NewUserIter(NewMerging([]Source{{newSliceIter(records, true), 5}}),
			Options{Seq: 9, Lower: []byte("k"), Upper: []byte(upper), Dead: ranges})
		if v.First() {
			t.Fatal("there is a row")
		}
		if lo, hi, ok := ranges.Begin(); !ok || string(lo) != "k" || string(hi) != upper {
			t.Errorf("noted %q-%q, %v", lo, hi, ok)
		}
		ranges.Abandon()
		if v.Last() {
			t.Fatal("there is a row")
		}
		if lo, _, ok := ranges.Begin(); !ok || string(lo) != "k" {
			t.Errorf("backward: noted from %q, %v", lo, ok)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
