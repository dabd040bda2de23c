package view

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// A reader sees the writes up to its moment, wherever they have gone meanwhile:
// into immutable memtables, large batches, and tables that were merged.
func TestReadersAgainstAModel(t *testing.T) {
	base := rand.Uint64()
	t.Logf("seeds from %d", base)
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			hotBytes := int64(0)
			if seed%2 == 1 {
				hotBytes = 64 << 10
			}
			d := &driver{room: newRoom(t, hotBytes), rng: rand.New(rand.NewPCG(base, seed))}
			for range 400 {
				d.step()
			}
			d.closeAll()
			d.settle()
			d.expectFiles()
		})
	}
}

// driver does what comes next at random.
type driver struct {
	*room
	rng   *rand.Rand
	iters []*openIterator
	snaps []*openSnapshot
}

type openIterator struct {
	*Iterator
	rows         []row // of the model
	lower, upper string
}

type openSnapshot struct {
	*Snapshot
	at ReadPoint
}

// key returns a key of either keyspace. In the one that merges nothing expires.
func (d *driver) key() string { return d.keyIn("\x00\x00\x01"[d.rng.IntN(3):][:1]) }

func (d *driver) keyIn(space string) string { return fmt.Sprintf("%s%02d", space, d.rng.IntN(24)) }

func (d *driver) randomOp() op {
	value := fmt.Sprint(d.rng.Uint32())
	switch n := d.rng.IntN(20); {
	case n < 3:
		return del(d.key())
	case n < 5:
		lo, hi := d.key(), d.key()
		if lo >= hi {
			lo, hi = hi, lo+"\x00"
		}
		return delRange(lo, hi)
	case n < 9:
		return op{kind: base.KindMerge, key: d.keyIn("\x01"), value: value[:2]}
	case n < 12:
		at := base.Instant(d.clock.at.Load()) + base.Instant(d.rng.IntN(60))
		return op{kind: base.KindSetExpiring, key: d.keyIn("\x00"), value: value, expiry: at}
	}
	return set(d.key(), value)
}

func (d *driver) randomOps() []op {
	ops := make([]op, 1+d.rng.IntN(4))
	for i := range ops {
		ops[i] = d.randomOp()
	}
	return ops
}

func (d *driver) step() {
	switch n := d.rng.IntN(100); {
	case n < 40:
		d.write(d.randomOps()...)
	case n < 43:
		d.writeLarge(d.randomOps()...)
	case n < 49:
		d.seal()
	case n < 53:
		d.flush()
	case n < 56:
		d.compact(d.rng.IntN(3))
	case n < 57:
		d.changeHotSize(d.rng)
	case n < 60:
		d.clock.at.Add(int64(d.rng.IntN(20)))
	case n < 64:
		d.openIterator()
	case n < 67:
		d.openSnapshot()
	case n < 70:
		d.closeOne()
	case n < 80:
		d.checkGets()
	case n < 92 && len(d.iters) > 0:
		d.checkIterator(d.iters[d.rng.IntN(len(d.iters))])
	case len(d.snaps) > 0:
		d.checkSnapshot(d.snaps[d.rng.IntN(len(d.snaps))])
	}
}

// bounds returns what an iterator is to be limited to; a bound of "" is none.
func (d *driver) bounds() (lower, upper string) {
	lower, upper = d.key(), d.key()
	if lower > upper {
		lower, upper = upper, lower
	}
	switch d.rng.IntN(3) {
	case 0:
		return "\x00", "\x02"
	case 1:
		return lower, "\x02"
	}
	return lower, upper
}

func options(lower, upper string) IterOptions {
	return IterOptions{Lower: []byte(lower), Upper: []byte(upper), PrefixBytes: 1}
}

func within(rows []row, lower, upper string) []row {
	return slices.DeleteFunc(rows, func(r row) bool { return r.key < lower || r.key >= upper })
}

func (d *driver) openIterator() {
	lower, upper := d.bounds()
	at := d.point()
	it, err := d.NewIterator(options(lower, upper))
	must(d.t, err)
	d.iters = append(d.iters, &openIterator{it, within(d.rowsAt(at), lower, upper), lower, upper})
}

func (d *driver) openSnapshot() {
	at := d.point()
	s, err := d.Snapshot()
	must(d.t, err)
	if s.Seq() != at.Seq || s.Expires() != (at.Time != 0) {
		d.t.Errorf("a snapshot at %d, expiring: %v; want %v", s.Seq(), s.Expires(), at)
	}
	d.snaps = append(d.snaps, &openSnapshot{s, at})
}

func (d *driver) closeOne() {
	if n := len(d.iters); n > 0 && d.rng.IntN(2) == 0 {
		i := d.rng.IntN(n)
		must(d.t, d.iters[i].Close())
		d.iters = slices.Delete(d.iters, i, i+1)
	} else if n := len(d.snaps); n > 0 {
		i := d.rng.IntN(n)
		must(d.t, d.snaps[i].Close())
		d.snaps = slices.Delete(d.snaps, i, i+1)
	}
}

func (d *driver) closeAll() {
	for len(d.iters)+len(d.snaps) > 0 {
		d.closeOne()
	}
}

// found makes a row of what a get has returned; without a key where there is none.
func (d *driver) found(key string, value []byte, expiry base.Instant, err error) row {
	d.t.Helper()
	if err == base.ErrNotFound {
		return row{}
	}
	must(d.t, err)
	return row{key, string(value), expiry}
}

// lookUp finds a row; the zero one if there is none.
func lookUp(rows []row, key string) row {
	for _, r := range rows {
		if r.key == key {
			return r
		}
	}
	return row{}
}

// checkGets compares all ways to look a key up now.
func (d *driver) checkGets() {
	d.t.Helper()
	rows := d.rowsAt(d.point())
	keys := make([][]byte, 10)
	for i := range keys {
		key := d.key()
		keys[i] = []byte(key)
		want := lookUp(rows, key)
		dst, err := d.AppendGet([]byte("before "), keys[i])
		if string(dst[:7]) != "before " {
			d.t.Fatal("what was in the slice is gone")
		}
		expiry, expiryErr := expiryOf(&d.Reader, keys[i])
		if err != expiryErr {
			d.t.Errorf("Get says %v, Expiry %v", err, expiryErr)
		}
		if got := d.found(key, dst[7:], expiry, err); got != want {
			d.t.Errorf("AppendGet of %q is %v, want %v", key, got, want)
		}
		var value []byte
		err = d.GetFunc(keys[i], func(v []byte) error { value = slices.Clone(v); return nil })
		if got := d.found(key, value, expiry, err); got != want {
			d.t.Errorf("GetFunc of %q is %v, want %v", key, got, want)
		}
	}
	must(d.t, d.MultiGet(keys, d.checkMulti(keys, rows)))
}

func (d *driver) checkMulti(keys [][]byte, rows []row) func(int, []byte, error) error {
	return func(i int, value []byte, err error) error {
		want := lookUp(rows, string(keys[i]))
		want.expiry = 0
		if got := d.found(string(keys[i]), value, 0, err); got != want {
			d.t.Errorf("MultiGet of %q is %v, want %v", keys[i], got, want)
		}
		return nil
	}
}

func (d *driver) checkSnapshot(s *openSnapshot) {
	d.t.Helper()
	rows := d.rowsAt(s.at)
	keys := make([][]byte, 10)
	for i := range keys {
		key := d.key()
		keys[i] = []byte(key)
		want := lookUp(rows, key)
		value, expiry, err := s.AppendGetExpiry(nil, keys[i])
		if got := d.found(key, value, expiry, err); got != want {
			d.t.Errorf("at %v AppendGetExpiry of %q is %v, want %v", s.at, key, got, want)
		}
		value, err = s.AppendGet(nil, keys[i])
		if got := d.found(key, value, expiry, err); got != want {
			d.t.Errorf("at %v AppendGet of %q is %v, want %v", s.at, key, got, want)
		}
		err = s.GetFunc(keys[i], func(v []byte) error { value = slices.Clone(v); return nil })
		if got := d.found(key, value, expiry, err); got != want {
			d.t.Errorf("at %v GetFunc of %q is %v, want %v", s.at, key, got, want)
		}
	}
	must(d.t, s.MultiGet(keys, d.checkMulti(keys, rows)))
	lower, upper := d.bounds()
	it, err := s.NewIterator(options(lower, upper))
	must(d.t, err)
	d.checkIterator(&openIterator{it, within(rows, lower, upper), lower, upper})
	must(d.t, it.Close())
}

// checkIterator walks it all, and then about.
func (d *driver) checkIterator(it *openIterator) {
	d.t.Helper()
	at := 0
	for ok := it.First(); ok; ok = it.Next() {
		d.expectRow(it, at)
		at++
	}
	d.expectRow(it, len(it.rows))
	if at != len(it.rows) {
		d.t.Errorf("%d rows, want %d", at, len(it.rows))
	}
	at = len(it.rows) - 1
	for ok := it.Last(); ok; ok = it.Prev() {
		d.expectRow(it, at)
		at--
	}
	d.expectRow(it, -1)
	d.checkPass(it, d.rng.IntN(2) == 0, d.rng.IntN(30))
	for range 10 {
		key := d.key()
		after, _ := slices.BinarySearchFunc(it.rows, key, func(r row, key string) int {
			if r.key < key {
				return -1
			}
			return 1
		})
		at = after
		if d.rng.IntN(2) == 0 {
			it.SeekGE([]byte(key))
		} else {
			it.SeekLT([]byte(key))
			at = after - 1
		}
		for d.expectRow(it, at); it.Valid() && d.rng.IntN(4) > 0; d.expectRow(it, at) {
			if d.rng.IntN(2) == 0 {
				it.Next()
				at++
			} else {
				it.Prev()
				at--
			}
		}
	}
	must(d.t, it.Err())
}

// checkPass has rows passed, the last of them after most others.
func (d *driver) checkPass(it *openIterator, backward bool, most int) {
	d.t.Helper()
	at, step, passed := 0, 1, 0
	if backward {
		at, step = len(it.rows)-1, -1
	}
	it.Pass(backward, func(key, value []byte) bool {
		d.expectRow(it, at)
		if !bytes.Equal(key, it.Key()) || !bytes.Equal(value, it.Value()) {
			d.t.Errorf("passed %q, %q at %q", key, value, it.Key())
		}
		at += step
		passed++
		return passed <= most
	})
	if want := min(most+1, len(it.rows)); passed != want {
		d.t.Errorf("%d rows passed, want %d", passed, want)
	}
}

// expectRow compares where the iterator stands; outside of the rows it must not be
// valid.
func (d *driver) expectRow(it *openIterator, at int) {
	d.t.Helper()
	if at < 0 || at >= len(it.rows) {
		if it.Valid() || it.Key() != nil || it.Value() != nil || it.Expiry() != 0 {
			d.t.Errorf("the iterator over [%q, %q) shows %q at %d of %d rows", it.lower, it.upper, it.Key(), at, len(it.rows))
		}
		return
	}
	want := it.rows[at]
	if !it.Valid() {
		d.t.Errorf("the iterator over [%q, %q) stands nowhere, want %v: %v", it.lower, it.upper, want, it.Err())
		return
	}
	if got := (row{want.key[:1] + string(it.Key()), string(it.Value()), it.Expiry()}); got != want {
		d.t.Errorf("the iterator over [%q, %q) shows %v, want %v", it.lower, it.upper, got, want)
	}
}
