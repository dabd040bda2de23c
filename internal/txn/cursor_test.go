package txn

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/merge"
)

// table is rows in a slice, as an engine iterator shows them.
type table struct {
	keys   []string
	values replayed
	at     int
	gone   bool
}

func newTable(m replayed, lower, upper string) *table {
	keys := slices.Sorted(maps.Keys(m))
	keys = slices.DeleteFunc(keys, func(k string) bool { return k < lower || k >= upper })
	return &table{keys: keys, values: m, at: -1}
}

func (t *table) move(at int) bool {
	t.at = min(max(at, -1), len(t.keys))
	return t.at >= 0 && t.at < len(t.keys)
}

func (t *table) First() bool { return t.move(0) }
func (t *table) Last() bool  { return t.move(len(t.keys) - 1) }
func (t *table) Next() bool  { return t.move(t.at + 1) }
func (t *table) Prev() bool  { return t.move(t.at - 1) }

func (t *table) SeekGE(key []byte) bool {
	i, _ := slices.BinarySearch(t.keys, string(key))
	return t.move(i)
}

func (t *table) SeekLT(key []byte) bool {
	i, _ := slices.BinarySearch(t.keys, string(key))
	return t.move(i - 1)
}

func (t *table) Key() []byte          { return []byte(t.keys[t.at]) }
func (t *table) Value() []byte        { return []byte(t.values[t.keys[t.at]]) }
func (t *table) Expiry() base.Instant { return 0 }
func (t *table) Err() error           { return nil }
func (t *table) Close() error         { t.gone = true; return nil }

func newCursor(t *testing.T, s Scope, w *Writes) *Cursor {
	t.Helper()
	c, err := NewCursor(s, w)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// appending is merge.Operators with one that appends.
type appending struct{}

func (appending) MergeOperator([]byte) *merge.Operator {
	return &merge.Operator{Name: "append", Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
		return append(append(dst, value...), bytes.Join(operands, nil)...), nil
	}}
}

// walker is the model of a cursor: a position in the sorted rows.
type walker struct {
	keys []string
	at   int // -1 before the first, len(keys) behind the last
}

func TestCursorAgainstModel(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 3))
		w, p := &Writes{}, &plain{says: map[string]*string{}}
		files := &files{}
		for range r.IntN(25) {
			change(r, w, p)
			if seed%2 == 1 && r.IntN(5) == 0 {
				files.take(t, w, nil)
			}
		}
		lower, upper := key(r.IntN(10)), key(20+r.IntN(12))
		base := rows(1 + r.IntN(3))
		want := overlay(base, p)
		reads := &Reads{}
		c := newCursor(t, Scope{
			Rows: newTable(base, lower, upper), Reads: reads, Lower: []byte(lower), Upper: []byte(upper),
			Operators: appending{},
		}, w)
		for range r.IntN(6) { // not seen by the cursor
			change(r, w, p.clone())
			if seed%2 == 1 && r.IntN(3) == 0 {
				files.take(t, w, nil)
			}
		}
		m := &walker{keys: slices.Sorted(maps.Keys(want)), at: -1}
		m.keys = slices.DeleteFunc(m.keys, func(k string) bool { return k < lower || k >= upper })
		for range 40 {
			step(t, r, c, m, want)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// step moves cursor and model in the same way and compares them.
func step(t *testing.T, r *rand.Rand, c *Cursor, m *walker, values replayed) {
	t.Helper()
	k := key(r.IntN(32))
	i, _ := slices.BinarySearch(m.keys, k)
	var ok bool
	switch r.IntN(10) {
	case 0:
		ok, m.at = c.First(), 0
	case 1:
		ok, m.at = c.Last(), len(m.keys)-1
	case 2:
		ok, m.at = c.SeekGE([]byte(k)), i
	case 3:
		ok, m.at = c.SeekLT([]byte(k)), i-1
	case 4, 5, 6:
		ok, m.at = c.Next(), min(m.at+1, len(m.keys))
	default:
		ok, m.at = c.Prev(), max(m.at-1, -1)
	}
	want := m.at >= 0 && m.at < len(m.keys)
	if ok != want || c.Valid() != want {
		t.Fatalf("landed: %v, not %v", ok, want)
	}
	if !want {
		if c.Key() != nil || c.Value() != nil {
			t.Fatalf("on no row, and shows %q", c.Key())
		}
		return
	}
	if string(c.Key()) != m.keys[m.at] || string(c.Value()) != values[m.keys[m.at]] {
		t.Fatalf("shows %q = %q, not %q = %q", c.Key(), c.Value(), m.keys[m.at], values[m.keys[m.at]])
	}
}

// What a walk has seen, and what it has seen to be absent, is noted; what lies
// beyond is not.
func TestCursorNotesWhatItExamined(t *testing.T) {
	base := replayed{"c": "1", "f": "1", "j": "1"}
	for name, c := range map[string]struct {
		walk      func(c *Cursor)
		seen, not string // letters
	}{
		"nothing":               {func(c *Cursor) {}, "", "bcdefghijk"},
		"first":                 {func(c *Cursor) { c.First() }, "bc", "defghijk"},
		"next from the start":   {func(c *Cursor) { c.Next(); c.Next() }, "bcdef", "ghijk"},
		"to the end":            {func(c *Cursor) { c.SeekGE([]byte("g")); c.Next() }, "ghijk", "bcdef"},
		"seek into a gap":       {func(c *Cursor) { c.SeekGE([]byte("d")) }, "def", "bcghijk"},
		"seek behind the last":  {func(c *Cursor) { c.SeekGE([]byte("k")) }, "k", "bcdefghij"},
		"seek backward":         {func(c *Cursor) { c.SeekLT([]byte("i")) }, "fgh", "bcdeijk"},
		"seek before the first": {func(c *Cursor) { c.SeekLT([]byte("c")) }, "b", "cdefghijk"},
		"last":                  {func(c *Cursor) { c.Last() }, "jk", "bcdefghi"},
		"last and back":         {func(c *Cursor) { c.Last(); c.Prev() }, "fghijk", "bcde"},
		"backward to the begin": {func(c *Cursor) { c.SeekLT([]byte("d")); c.Prev() }, "bc", "defghijk"},
		"turned":                {func(c *Cursor) { c.SeekGE([]byte("e")); c.Prev() }, "cdef", "bghijk"},
		"turned twice": {
			func(c *Cursor) { c.SeekGE([]byte("e")); c.Prev(); c.Next(); c.Next() }, "cdefghij", "bk"},
		"two seeks": {func(c *Cursor) { c.SeekGE([]byte("k")); c.SeekGE([]byte("c")) }, "ck", "bdefghij"},
	} {
		reads := &Reads{}
		cur := newCursor(t, Scope{Rows: newTable(base, "b", "l"), Reads: reads, Lower: []byte("b"), Upper: []byte("l")}, &Writes{})
		c.walk(cur)
		_ = cur.Close()
		reads.Freeze()
		for _, letter := range []byte(c.seen) {
			if !reads.Covers([]byte{letter}) {
				t.Errorf("%s: %c was examined and not noted", name, letter)
			}
		}
		for _, letter := range []byte("a" + c.not + "l") {
			if reads.Covers([]byte{letter}) {
				t.Errorf("%s: %c was not examined and noted", name, letter)
			}
		}
	}
}

// Own writes do not shorten what counts as examined.
func TestCursorNotesWhatOwnWritesHide(t *testing.T) {
	w := &Writes{}
	w.DeleteRange([]byte("c"), []byte("h"))
	w.Put([]byte("m"), nil)
	reads := &Reads{}
	c := newCursor(t, Scope{Rows: newTable(replayed{"d": "1", "p": "1"}, "a", "z"), Reads: reads, Lower: []byte("a"), Upper: []byte("z")}, w)
	if !c.SeekGE([]byte("b")) || !bytes.Equal(c.Key(), []byte("m")) || len(c.Value()) != 0 {
		t.Fatalf("landed on %q", c.Key())
	}
	c.Flush()
	reads.Freeze()
	for _, letter := range []byte("bcdefghijklm") {
		if !reads.Covers([]byte{letter}) {
			t.Errorf("%c was not noted", letter)
		}
	}
	if reads.Covers([]byte("n")) {
		t.Error("n was noted")
	}
}
