package iterate

import (
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
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
		if lo, hi, ok := ranges.Begin(); !ok || string(lo) != string(records[0].Key) || string(hi) != upper {
			t.Errorf("noted %q-%q, %v", lo, hi, ok)
		}
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
