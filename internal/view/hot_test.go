package view

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
)

// heat reads a key until the hot-record cache has it.
func (r *room) heat(key string) {
	r.t.Helper()
	for range 1000 {
		r.get(key)
		if _, answer := r.hot.GetAt(nil, []byte(key), base.Hash([]byte(key)), base.SeqNumMax); answer != hotcache.Unknown {
			return
		}
	}
	r.t.Fatalf("%q does not get into the cache", key)
}

// All reads use what the cache knows, those of an older moment only what was so then.
func TestHotRecordsByNumber(t *testing.T) {
	r := newRoom(t, 64<<10)
	key, gone := "\x00a", "\x00gone"
	r.write(set(key, "old"), set(gone, "here"))
	before, err := r.Snapshot()
	must(t, err)
	r.heat(key)
	r.write(set(key, "new"), op{kind: base.KindDelete, key: gone})
	r.heat(key)
	r.heat(gone)
	after, err := r.Snapshot()
	must(t, err)
	reads := func(s *Snapshot) map[string]func(key string) (string, error) {
		return map[string]func(key string) (string, error){
			"AppendGet": func(key string) (string, error) {
				v, err := s.AppendGet(nil, []byte(key))
				return string(v), err
			},
			"GetFunc": func(key string) (got string, err error) {
				err = s.GetFunc([]byte(key), func(v []byte) error { got = string(v); return nil })
				return got, err
			},
			"MultiGet": func(key string) (got string, err error) {
				must(t, s.MultiGet([][]byte{[]byte(key)}, func(_ int, v []byte, e error) error {
					got, err = string(v), e
					return nil
				}))
				return got, err
			},
		}
	}
	for name, read := range reads(before) {
		a, errA := read(key)
		b, errB := read(gone)
		if a != "old" || b != "here" || errA != nil || errB != nil {
			t.Errorf("%s before: %q, %v, and %q, %v", name, a, errA, b, errB)
		}
	}
	for name, read := range reads(after) {
		a, errA := read(key)
		b, errB := read(gone)
		if a != "new" || b != "" || errA != nil || !errors.Is(errB, base.ErrNotFound) {
			t.Errorf("%s after: %q, %v, and %q, %v", name, a, errA, b, errB)
		}
	}
	must(t, errors.Join(before.Close(), after.Close()))
}

// That a key has expired by now is not what an older snapshot sees.
func TestHotAbsenceOfATime(t *testing.T) {
	r := newRoom(t, 64<<10)
	key := []byte("\x00a")
	r.timeline.Use()
	r.write(op{base.KindSetExpiring, string(key), "v", 5000})
	before, err := r.Snapshot()
	must(t, err)
	r.clock.at.Store(9000)
	for range 1000 {
		if err := r.GetFunc(key, func([]byte) error { return nil }); !errors.Is(err, base.ErrNotFound) {
			t.Fatalf("after its instant: %v", err)
		}
		r.get(string(key))
		must(t, r.MultiGet([][]byte{key}, func(_ int, _ []byte, err error) error {
			wantErr(t, err, base.ErrNotFound)
			return nil
		}))
		var tx Snapshot
		must(t, r.OpenForTx(&tx))
		_, err := tx.AppendGet(nil, key)
		wantErr(t, err, base.ErrNotFound)
		must(t, tx.Close())
	}
	if v, err := before.AppendGet(nil, key); string(v) != "v" || err != nil {
		t.Errorf("the snapshot sees %q, %v", v, err)
	}
	must(t, before.Close())
}

// A value that expires is not taken, also from one who came before anything expired.
func TestNobodyFillsWhatExpires(t *testing.T) {
	r := newRoom(t, 64<<10)
	key := []byte("\x00a")
	r.write(op{base.KindSetExpiring, string(key), "v", 5000})
	var tx Snapshot
	must(t, r.OpenForTx(&tx))
	tx.at.Time = 0
	for range 100 {
		v, err := tx.AppendGet(nil, key)
		if must(t, err); string(v) != "v" {
			t.Fatalf("%q", v)
		}
		r.get(string(key))
		must(t, r.MultiGet([][]byte{key}, func(_ int, _ []byte, err error) error { return err }))
	}
	must(t, tx.Close())
	if _, answer := r.hot.GetAt(nil, key, base.Hash(key), base.SeqNumMax); answer != hotcache.Unknown {
		t.Errorf("the cache says %d", answer)
	}
}

// What those find who read single keys of the newest state is offered to the cache; what
// MultiGet, users' snapshots and transactions of the past find is not.
func TestWhoFillsTheCache(t *testing.T) {
	appendGet := func(s *Snapshot) func(key []byte) error {
		return func(key []byte) error { _, err := s.AppendGet(nil, key); return err }
	}
	getFunc := func(fn func(key []byte, fn func(value []byte) error) error) func(key []byte) error {
		return func(key []byte) error { return fn(key, func([]byte) error { return nil }) }
	}
	multiGet := func(fn func(keys [][]byte, fn func(i int, value []byte, err error) error) error) func(key []byte) error {
		return func(key []byte) error {
			return fn([][]byte{key}, func(_ int, _ []byte, err error) error { return err })
		}
	}
	for _, c := range []struct {
		name  string
		read  func(r *room, s, tx *Snapshot) func(key []byte) error
		later bool // something was written after the snapshot and the transaction began
		fills bool
	}{
		{"AppendGet", func(r *room, s, tx *Snapshot) func(key []byte) error {
			return func(key []byte) error { _, err := r.AppendGet(nil, key); return err }
		}, true, true},
		{"GetFunc", func(r *room, s, tx *Snapshot) func(key []byte) error { return getFunc(r.GetFunc) }, true, true},
		{"MultiGet", func(r *room, s, tx *Snapshot) func(key []byte) error { return multiGet(r.MultiGet) }, false, false},
		{"a transaction", func(r *room, s, tx *Snapshot) func(key []byte) error { return appendGet(tx) }, false, true},
		{"a transaction of the past", func(r *room, s, tx *Snapshot) func(key []byte) error { return appendGet(tx) }, true, false},
		{"AppendGet of a snapshot", func(r *room, s, tx *Snapshot) func(key []byte) error { return appendGet(s) }, false, false},
		{"GetFunc of a snapshot", func(r *room, s, tx *Snapshot) func(key []byte) error { return getFunc(s.GetFunc) }, false, false},
		{"MultiGet of a snapshot", func(r *room, s, tx *Snapshot) func(key []byte) error { return multiGet(s.MultiGet) }, false, false},
	} {
		r := newRoom(t, 64<<10)
		here, gone := []byte("\x00a"), []byte("\x00gone")
		r.write(set(string(here), "v"), op{kind: base.KindDelete, key: string(gone)})
		s, err := r.Snapshot()
		must(t, err)
		var tx Snapshot
		must(t, r.OpenForTx(&tx))
		if c.later {
			r.write(set("\x00other", "v"))
		}
		read := c.read(r, s, &tx)
		for key, want := range map[string]hotcache.Answer{string(here): hotcache.Found, string(gone): hotcache.Absent} {
			for range 100 {
				if err := read([]byte(key)); (err == nil) != (want == hotcache.Found) {
					t.Fatalf("%s of %q: %v", c.name, key, err)
				}
			}
			_, answer := r.hot.GetAt(nil, []byte(key), base.Hash([]byte(key)), base.SeqNumMax)
			if c.fills != (answer == want) || !c.fills && answer != hotcache.Unknown {
				t.Errorf("%s: the cache says %d of %q", c.name, answer, key)
			}
		}
		must(t, s.Close())
		must(t, tx.Close())
	}
}

// Every read asks the cache: it is given what is there, which here differs from the tree.
func TestWhoAsksTheCache(t *testing.T) {
	if invariant.Enabled {
		t.Skip("what the cache says is compared with the tree")
	}
	r := newRoom(t, 64<<10)
	key := []byte("\x00a")
	r.write(set(string(key), "of the tree"))
	hash := base.Hash(key)
	r.hot.Fill(r.hot.Ticket(hash), key, []byte("of the cache"), hash, 0)
	s, err := r.Snapshot()
	must(t, err)
	var tx Snapshot
	must(t, r.OpenForTx(&tx))
	var got string
	keep := func(value []byte) error { got = string(value); return nil }
	keepNth := func(_ int, value []byte, err error) error { return errors.Join(err, keep(value)) }
	appended := func(value []byte, err error) error { return errors.Join(err, keep(value)) }
	for name, read := range map[string]func() error{
		"AppendGet":               func() error { return appended(r.AppendGet(nil, key)) },
		"GetFunc":                 func() error { return r.GetFunc(key, keep) },
		"MultiGet":                func() error { return r.MultiGet([][]byte{key}, keepNth) },
		"AppendGet of a snapshot": func() error { return appended(s.AppendGet(nil, key)) },
		"GetFunc of a snapshot":   func() error { return s.GetFunc(key, keep) },
		"MultiGet of a snapshot":  func() error { return s.MultiGet([][]byte{key}, keepNth) },
		"a transaction":           func() error { return appended(tx.AppendGet(nil, key)) },
	} {
		if err := read(); err != nil || got != "of the cache" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	must(t, s.Close())
	must(t, tx.Close())
}

// The rows of an iterator get into the cache as they are, those that expire and those of a view that is
// not the newest any more do not.
func TestKeepHot(t *testing.T) {
	r := newRoom(t, 1<<20)
	always := func() bool { return true }
	for i := range 50 {
		r.write(set(fmt.Sprintf("\x00k%02d", i), fmt.Sprint(i)))
	}
	knows := func(key string) (string, hotcache.Answer) {
		value, answer := r.hot.GetAt(nil, []byte(key), base.Hash([]byte(key)), base.SeqNumMax)
		return string(value), answer
	}
	it, err := r.NewIterator(IterOptions{})
	must(t, err)
	it.First()
	if !KeepHot(it, always) || it.Valid() {
		t.Errorf("not all rows were taken; it stands on %q", it.Key())
	}
	must(t, it.Close())
	for i := range 50 {
		if value, answer := knows(fmt.Sprintf("\x00k%02d", i)); answer != hotcache.Found || value != fmt.Sprint(i) {
			t.Errorf("row %d is %q, %v in the cache", i, value, answer)
		}
	}

	r.write(set("\x00a", "old"))
	it, err = r.NewIterator(IterOptions{})
	must(t, err)
	it.First()
	r.write(set("\x00a", "new"))
	if KeepHot(it, always) {
		t.Error("rows were taken of what is not the newest")
	}
	if value, answer := knows("\x00a"); answer == hotcache.Found && value != "new" {
		t.Errorf("the cache has %q", value)
	}
	must(t, it.Close())
	it, err = r.NewIterator(IterOptions{})
	must(t, err)
	it.First()
	if n := 0; !KeepHot(it, func() bool { n++; return n < 2 }) || !it.Valid() {
		t.Error("it does not end when it is told to")
	}
	must(t, it.Close())

	r.timeline.Use()
	r.write(op{base.KindSetExpiring, "\x00b", "brief", 5000})
	it, err = r.NewIterator(IterOptions{})
	must(t, err)
	it.First()
	if KeepHot(it, always) {
		t.Error("rows were taken where some expire")
	}
	must(t, it.Close())
	if _, answer := knows("\x00b"); answer == hotcache.Found {
		t.Error("a row that expires is in the cache")
	}
}
