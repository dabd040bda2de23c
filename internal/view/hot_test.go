package view

import (
	"errors"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/hotcache"
)

// heat reads a key until the hot-record cache has it.
func (r *room) heat(key string) {
	r.t.Helper()
	for range 1000 {
		r.get(key)
		if _, answer := r.hot.Get(nil, []byte(key), base.Hash([]byte(key))); answer != hotcache.Unknown {
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
	}
	if v, err := before.AppendGet(nil, key); string(v) != "v" || err != nil {
		t.Errorf("the snapshot sees %q, %v", v, err)
	}
	must(t, before.Close())
}
