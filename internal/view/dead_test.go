package view

import (
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// What may have been added to a range since a walk began is seen wherever it is, visible
// or not; deletes, other keys and what is older are not it.
func TestMayHaveAdded(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("b", "old"))
	before := r.last
	added := func() bool { return mayHaveAdded(&r.Reader, []byte("b"), []byte("d"), before) }
	expect := func(what string, want bool) {
		t.Helper()
		if added() != want {
			t.Errorf("%s: added is %v", what, !want)
		}
	}
	expect("nothing", false)
	r.write(set("a", "x"), set("d", "x"), del("c"), delRange("a", "z"))
	expect("others and deletes", false)
	unpublished := r.last + 1
	must(t, r.State().Mem.Table.Add([]byte("c"), base.Hash([]byte("c")), base.MakeTrailer(unpublished, base.KindSet), nil))
	expect("what is not visible yet", true)
	r.last = unpublished
	r.Publish(r.last)
	expect("what is visible", true)
	r.seal()
	expect("what is immutable", true)
	r.flush()
	expect("what was flushed", true)
	before = r.last
	expect("nothing since", false)
	r.write(del("c"))
	r.seal()
	r.flush()
	expect("a delete that was flushed, which cannot be told", true)
	before = r.last
	r.writeLarge(del("b"), set("x", ""))
	expect("a large commit elsewhere", false)
	r.writeLarge(del("b"), set("c", ""))
	expect("a large commit", true)
	before = r.last
	r.Close()
	expect("a closed database", true)
	r.GiveUp()
}

// An iterator that has passed many deleted records has it known that there is nothing, at
// its own number, also when it shows the past; unless it knows better.
func TestIteratorsProveDeadRanges(t *testing.T) {
	const rows = 400
	key := func(i int) string { return fmt.Sprintf("%06d", i) }
	for what, c := range map[string]struct {
		before, meanwhile func(r *room) // the iterator is opened, and moved
		known             bool
	}{
		"at once":               {nil, nil, true},
		"beside other writes":   {nil, func(r *room) { r.write(set(key(rows+1), ""), del(key(3))) }, true},
		"beside a write":        {nil, func(r *room) { r.write(set(key(3), "")) }, false},
		"after a later write":   {func(r *room) { r.write(set(key(3), "")) }, nil, false},
		"after a later delete":  {func(r *room) { r.write(del(key(3))) }, nil, true},
		"beside a large commit": {nil, func(r *room) { r.writeLarge(set(key(rows+1), "")) }, false},
		"after a flush":         {func(r *room) { r.write(del(key(3))); r.seal(); r.flush() }, nil, true},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRoom(t, 0)
			for i := range rows {
				r.write(set(key(i), "x"))
			}
			r.seal()
			r.flush()
			for i := range rows - 1 {
				r.write(del(key((i * 5) % (rows - 1)))) // in no order
			}
			snap, err := r.Snapshot()
			must(t, err)
			if c.before != nil {
				c.before(r)
			}
			it, err := snap.NewIterator(IterOptions{Lower: []byte("0"), Upper: []byte("1")})
			must(t, err)
			if c.meanwhile != nil {
				c.meanwhile(r)
			}
			if !it.First() || string(it.Key()) != key(rows-1) {
				t.Errorf("the first key is %q, %v", it.Key(), it.Err())
			}
			found := r.Dead.Find([]byte(key(0)), snap.Seq(), it.At().Time)
			if (found != nil) != c.known {
				t.Errorf("known is %v", found)
			}
			if found != nil && (string(found.Hi) != key(rows-1) || found.Seq != snap.Seq()) {
				t.Errorf("known is %q-%q as of %d", found.Lo, found.Hi, found.Seq)
			}
			must(t, it.Close())
			must(t, snap.Close())
		})
	}
}
