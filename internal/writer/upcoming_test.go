package writer

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/memtable"
)

// The records of a group come in order, each once, whatever batches they are in and
// however many are read at a time; and at the end nothing holds on to them.
func TestUpcomingRecords(t *testing.T) {
	r := newRoom(t)
	const most = memtable.ExpectMax
	for _, sizes := range [][]int{{}, {0}, {1}, {most}, {most + 1}, {1, 0, 1}, {most - 1, 1}, {most, most, 3}, {3 * most}} {
		var payloads [][]byte
		var want []string
		for _, size := range sizes {
			var b batch.Batch
			for range size {
				key := fmt.Sprintf("key%d", len(want))
				want = append(want, key)
				if len(want)%3 == 0 {
					must(t, b.Delete(nil, []byte(key)))
				} else {
					must(t, b.Set(nil, []byte(key), []byte("of "+key)))
				}
			}
			payloads = append(payloads, b.Bytes())
		}
		mem := r.reads.State().Mem.Table
		var u upcoming
		u.begin(payloads, mem, r.hot)
		for i, key := range want {
			got, err := u.next(mem, r.hot)
			must(t, err)
			kind, value := base.KindSet, "of "+key
			if (i+1)%3 == 0 {
				kind, value = base.KindDelete, ""
			}
			if got == nil || string(got.key) != key || got.kind != kind || string(got.value) != value || got.hash != base.Hash(got.key) {
				t.Fatalf("%v: record %d is %+v, want %v of %q", sizes, i, got, kind, key)
			}
		}
		for range 2 {
			if got, err := u.next(mem, r.hot); got != nil || err != nil {
				t.Fatalf("%v: after the last record: %v, %v", sizes, got, err)
			}
		}
		u.end()
		for i := range u.records {
			if u.records[i].key != nil || u.records[i].value != nil || u.keys[i] != nil {
				t.Fatalf("%v: record %d is still held", sizes, i)
			}
		}
	}
}

// What is wrong with a batch is told behind the records before it.
func TestUpcomingMalformed(t *testing.T) {
	r := newRoom(t)
	var b batch.Batch
	must(t, b.Set(nil, []byte("a"), nil))
	must(t, b.Set(nil, []byte("b"), nil))
	encoded := b.Bytes()
	mem := r.reads.State().Mem.Table
	var u upcoming
	u.begin([][]byte{encoded[:len(encoded)-1]}, mem, r.hot)
	if got, err := u.next(mem, r.hot); err != nil || got == nil || string(got.key) != "a" {
		t.Fatalf("the first record: %v, %v", got, err)
	}
	for range 2 {
		if got, err := u.next(mem, r.hot); got != nil || !errors.Is(err, batch.ErrEncoding) {
			t.Fatalf("the second one: %v, %v", got, err)
		}
	}
}

// What is left of a group that was not written to the log is not applied with the next one.
func TestGroupThatIsNotLoggedLeavesNothing(t *testing.T) {
	r := newRoom(t)
	mem := r.reads.State().Mem.Table
	var many, one batch.Batch
	for i := range 3 * memtable.ExpectMax {
		must(t, many.Set(nil, fmt.Appendf(nil, "\x00%03d", i), nil))
	}
	must(t, one.Delete(nil, []byte("\x00a")))
	kind, key, value, ok := one.Only()
	if !ok {
		t.Fatal("one record is not one")
	}
	var u upcoming
	u.begin([][]byte{many.Bytes(), many.Bytes()}, mem, r.hot)
	u.beginOne(kind, key, value, mem, r.hot)
	got, err := u.next(mem, r.hot)
	must(t, err)
	if string(got.key) != string(key) || got.kind != base.KindDelete {
		t.Errorf("%v of %q comes first", got.kind, got.key)
	}
	if got, err := u.next(mem, r.hot); got != nil || err != nil {
		t.Errorf("%+v, %v behind the only record", got, err)
	}
	u.end()
	for i := range u.records {
		if u.records[i].key != nil || u.keys[i] != nil {
			t.Fatalf("record %d is still held", i)
		}
	}
}
