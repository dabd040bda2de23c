package iterate

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// Long scans over blocks, whose rows are plain but for a few, in both directions.
func TestScanOfBlocks(t *testing.T) { trials(t, 500, scanOfBlocks) }

func scanOfBlocks(t *testing.T, rng *rand.Rand) {
	var m Merging // both reused by all trials
	var v UserIter
	settled := rng.IntN(2) == 0
	records := numberedRecords(200, func(i int) base.SeqNum {
		if settled {
			return 0
		}
		return base.SeqNum(2 * rng.IntN(3))
	})
	parts := make([][]base.Record, 1+rng.IntN(3))
	for _, r := range records {
		i := 0
		if rng.IntN(10) == 0 {
			i = rng.IntN(len(parts))
		}
		parts[i] = append(parts[i], r)
	}
	var sources []Source
	for _, part := range parts {
		sources = append(sources, Source{newBlockIter(part), base.SeqNumMax})
	}
	random := func() []byte { return records[rng.IntN(len(records))].Key }
	o := Options{Seq: base.SeqNum(rng.IntN(7))}
	if rng.IntN(2) == 0 {
		o.Lower, o.Upper = random(), random()
	}
	var ts []rangedel.Tombstone
	for range rng.IntN(3) {
		if lo, hi := random(), random(); bytes.Compare(lo, hi) < 0 {
			ts = append(ts, rangedel.Tombstone{Lo: lo, Hi: hi, Seq: base.SeqNum(1 + 2*rng.IntN(3))})
		}
	}
	o.RangeDeletes = randomLists(rng, ts)
	rows := visibleRows(records, ts, o)
	m.Reset(sources)
	v.Init(&m, o)
	expectScan(t, &v, rows)
	expectTurns(t, rng, &v, rows)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}

}

// expectScan goes over all rows forward, back, and forward again.
func expectScan(t *testing.T, v *UserIter, rows []base.Record) {
	t.Helper()
	expect := func(ok bool, i int) {
		t.Helper()
		if !ok || !bytes.Equal(v.Key(), rows[i].Key) || !bytes.Equal(v.Value(), rows[i].Value) {
			t.Fatalf("row %d of %d: %v, %q, %v; want %q", i, len(rows), ok, v.Key(), v.Err(), rows[i].Key)
		}
	}
	for range 2 {
		for i := range rows {
			expect(v.Next(), i)
		}
		if v.Next() {
			t.Fatalf("%q behind the last row", v.Key())
		}
		for i := len(rows) - 1; i >= 0; i-- {
			expect(v.Prev(), i)
		}
		if v.Prev() {
			t.Fatalf("%q before the first row", v.Key())
		}
	}
}

// expectTurns goes to and fro, from before the first row. Sometimes it has what is plain passed
// to it, up to a row.
func expectTurns(t *testing.T, rng *rand.Rand, v *UserIter, rows []base.Record) {
	t.Helper()
	at := -1
	for turn := range 60 {
		for range 1 + rng.IntN(50) {
			var ok bool
			if turn%2 == 0 {
				at, ok = min(at+1, len(rows)), v.Next()
			} else {
				at, ok = max(at-1, -1), v.Prev()
			}
			if ok != (at >= 0 && at < len(rows)) || ok && !bytes.Equal(v.Key(), rows[at].Key) {
				t.Fatalf("turn %d, row %d of %d: %v, %q, %v", turn, at, len(rows), ok, v.Key(), v.Err())
			}
			if rng.IntN(8) == 0 {
				at = expectPassed(t, v, rows, at, turn%2 == 0, rng.IntN(6))
			}
		}
	}
}

// expectPassed has plain rows behind row at passed, the last of them after most others. It
// returns where the walk is then.
func expectPassed(t *testing.T, v *UserIter, rows []base.Record, at int, forward bool, most int) int {
	t.Helper()
	step, passed, stopped := 1, 0, false
	if !forward {
		step = -1
	}
	more := v.PassPlain(1, func(key, value []byte) bool {
		at += step
		if stopped || at < 0 || at >= len(rows) || !bytes.Equal(key, rows[at].Key[1:]) || !bytes.Equal(value, rows[at].Value) ||
			!bytes.Equal(v.Key(), rows[at].Key) {
			t.Fatalf("row %d of %d: passed %q", at, len(rows), key)
		}
		passed++
		stopped = passed > most
		return !stopped
	})
	if more == stopped {
		t.Fatalf("stopped: %t, and it goes on: %t", stopped, more)
	}
	return at
}
