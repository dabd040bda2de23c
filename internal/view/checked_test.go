package view

import (
	"bytes"
	"errors"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/wal"
)

// overwritten are flushables with the same records, a memtable and a large batch.
func overwritten(t *testing.T) map[string]*Flushable {
	r := newRoom(t, 0)
	ops := []op{
		{kind: base.KindSet, key: "a", value: "1"}, {kind: base.KindSet, key: "b", value: "2"},
		{kind: base.KindSet, key: "b", value: "3"}, {kind: base.KindDelete, key: "c"},
		{kind: base.KindSet, key: "longer key", value: "and a longer value"},
	}
	r.write(ops...)
	memtable := r.State().Mem
	r.writeLarge(ops...)
	return map[string]*Flushable{"memtable": memtable, "large": r.State().Immutables[0]}
}

// walk returns what a checked iterator shows, and its error.
func walk(m *Flushable) (keys []string, err error) {
	it := m.NewCheckedIter()
	for rec := it.First(); rec != nil; rec = it.Next() {
		keys = append(keys, string(rec.Key))
	}
	return keys, it.Err()
}

// TestCheckedFindsEveryByte changes every byte of every key and value, one at a
// time: the walk ends in corruption that names the record, and what it showed before
// is right.
func TestCheckedFindsEveryByte(t *testing.T) {
	want := []string{"a", "b", "b", "c", "longer key"}
	for name, m := range overwritten(t) {
		if keys, err := walk(m); err != nil || len(keys) != len(want) {
			t.Fatalf("%s, untouched: %q, %v", name, keys, err)
		}
		it := m.NewIter()
		n := 0
		for rec := it.First(); rec != nil; rec = it.Next() {
			for _, part := range [][]byte{rec.Key, rec.Value} {
				for i := range part {
					part[i] ^= 1
					keys, err := walk(m)
					var c *base.CorruptionError
					if !errors.As(err, &c) || !errors.Is(err, ErrOverwritten) || len(c.Lo) == 0 {
						t.Fatalf("%s, record %d: %v", name, n, err)
					}
					for i, key := range keys {
						if key != want[i] {
							t.Errorf("%s, record %d: shows %q", name, n, keys)
						}
					}
					part[i] ^= 1
				}
			}
			n++
		}
		if n != len(want) {
			t.Fatalf("%s: %d records", name, n)
		}
	}
}

// TestCheckedFindsOrderAndLoss is about keys that were changed for a while: later
// ones were put where they do not belong, and what they should stand behind is intact.
func TestCheckedFindsOrderAndLoss(t *testing.T) {
	r := newRoom(t, 0)
	set := func(key string) { r.write(op{kind: base.KindSet, key: key, value: "v"}) }
	set("aaaaaaaaaaaaaaaaaaaa1")
	set("aaaaaaaaaaaaaaaaaaaa2")
	it := r.State().Mem.NewIter()
	it.First()
	key := it.Next().Key // by which the tree knows what both have in common
	key[0] = 'c'
	set("aaaaaaaaaaaaaaaaaaaa3")
	key[0] = 'a'
	if keys, err := walk(r.State().Mem); !errors.Is(err, ErrOverwritten) {
		t.Errorf("shows %q, %v", keys, err)
	}
	m := overwritten(t)["large"].NewCheckedIter()
	m.records = 6
	for rec := m.First(); rec != nil; rec = m.Next() {
	}
	if !errors.Is(m.Err(), ErrOverwritten) {
		t.Errorf("one of 6 records is missing: %v", m.Err())
	}
}

// TestCheckedCopies looks whether a record is a copy, and stays while the other one
// is looked at.
func TestCheckedCopies(t *testing.T) {
	for name, m := range overwritten(t) {
		it := m.NewCheckedIter()
		first := it.First()
		clear(first.Key)
		clear(first.Value)
		if it.Next() == nil || it.Err() != nil {
			t.Errorf("%s: %v", name, it.Err())
		}
		if keys, err := walk(m); err != nil || keys[0] != "a" {
			t.Errorf("%s: %q, %v", name, keys, err)
		}
		if rec := it.SeekGE([]byte("longer")); !bytes.Equal(rec.Value, []byte("and a longer value")) {
			t.Errorf("%s: %v", name, rec)
		}
		if rec := it.SeekLT([]byte("b")); string(rec.Key) != "a" || it.Last() == nil || string(it.Prev().Key) != "c" {
			t.Errorf("%s: %v", name, rec)
		}
	}
}

func TestRestoredIsComplete(t *testing.T) {
	r := newRoom(t, 0)
	var ops []op
	for _, key := range []string{"b", "a", "c"} {
		ops = append(ops, op{kind: base.KindSet, key: key, value: key})
	}
	ops = append(ops, op{kind: base.KindRangeDelete, key: "x", value: "y"})
	r.write(ops...)
	m := r.State().Mem
	var groups []wal.Group
	for i, o := range ops {
		var b batch.Batch
		must(t, o.add(&b))
		groups = append(groups, wal.Group{First: base.SeqNum(i + 1), Payload: b.Bytes()})
	}
	if _, err := m.Restored(new(offheap.Accountant), groups[1:]); err == nil {
		t.Error("restored without a group")
	}
	restored, err := m.Restored(new(offheap.Accountant), groups)
	must(t, err)
	defer restored.Free()
	if keys, err := walk(restored); err != nil || len(keys) != 3 || keys[0] != "a" {
		t.Errorf("%q, %v", keys, err)
	}
	if restored.Covering([]byte("x"), base.SeqNumMax) == 0 {
		t.Error("the range delete is not there")
	}
}

// A large value is not copied. What is written into it after it was shown is found at
// the next step.
func TestLargeValueIsCheckedTwice(t *testing.T) {
	var memory offheap.Accountant
	var b batch.Batch
	must(t, b.Set(nil, []byte("a"), make([]byte, 4*checkedCopyBytes)))
	must(t, b.Set(nil, []byte("b"), make([]byte, 4*checkedCopyBytes)))
	for last := range 2 {
		s, err := NewSorter(&memory, 0, b.SizeBytes())
		must(t, err)
		_, err = s.Add(1, b.Bytes())
		must(t, err)
		part, err := s.Flushable()
		must(t, err)
		it := part.NewCheckedIter()
		rec := it.First()
		for range last {
			rec = it.Next()
		}
		_, value, _ := part.Get(rec.Key, base.SeqNumMax)
		if &rec.Value[0] != &value[0] {
			t.Error("a large value is copied")
		}
		value[100]++
		if it.Next() != nil || !errors.Is(it.Err(), ErrOverwritten) {
			t.Errorf("record %d: the walk goes on: %v", last, it.Err())
		}
		part.Free()
	}
}
