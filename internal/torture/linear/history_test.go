package linear

import (
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
)

// A history in which w is a write and r a read of all keys, each with the time
// of its call and of its return.
func w(call, ret int64, v values) *event {
	return &event{name: "write", write: true, mask: 7, values: v, call: call, ret: ret}
}

func r(call, ret int64, v values) *event {
	return &event{name: "read", mask: 7, values: v, call: call, ret: ret}
}

func one(key int, e *event) *event {
	e.mask = 1 << key
	return e
}

// when makes a write conditional.
func when(c condition, old int64, e *event) *event {
	e.condition, e.old = c, old
	return e
}

// plus makes a write one that counts up.
func plus(delta int64, e *event) *event {
	e.condition, e.delta = wasLess, delta
	return e
}

// TestJudge shows that the judge knows what can be explained and what cannot.
func TestJudge(t *testing.T) {
	all := func(n int64) values { return values{n, n, n, 0} }
	for _, c := range []struct {
		name    string
		history []*event
		ok      bool
	}{
		{"a read after a write sees it", []*event{w(1, 2, all(5)), r(3, 4, all(5))}, true},
		{"a read after a write does not see it", []*event{w(1, 2, all(5)), r(3, 4, all(0))}, false},
		{"a read beside a write sees either", []*event{w(1, 5, all(5)), r(2, 3, all(0)), r(3, 4, all(5))}, true},
		{"reads go back", []*event{w(1, 9, all(5)), r(2, 3, all(5)), r(4, 5, all(0))}, false},
		{"a read of what is written later", []*event{r(1, 2, all(5)), w(3, 4, all(5))}, false},
		{"a torn batch", []*event{w(1, 4, all(5)), r(2, 3, values{5, 0, 0})}, false},
		{"a multiget of two moments", []*event{
			one(0, w(1, 2, all(5))), one(1, w(3, 4, all(6))), r(1, 5, values{0, 6, 0}),
		}, false},
		{"two reads that disagree about the order", []*event{
			one(0, w(1, 9, all(5))), one(1, w(1, 9, all(6))), r(2, 3, values{5, 0, 0}), r(4, 5, values{0, 6, 0}),
		}, false},
		{"a deleted key is there", []*event{w(1, 2, all(5)), w(3, 4, all(0)), one(1, r(5, 6, all(5)))}, false},
		{"a key is there", []*event{w(1, 2, all(5)), one(1, r(3, 4, all(present)))}, true},
		{"a key is not there", []*event{w(1, 2, all(5)), w(3, 4, all(0)), one(1, r(5, 6, all(present)))}, false},
		{"a failed write happened", []*event{w(1, open, all(5)), r(3, 4, all(5))}, true},
		{"a failed write did not happen", []*event{w(1, open, all(5)), r(3, 4, all(0))}, true},
		{"a failed write happened and went", []*event{w(1, open, all(5)), r(3, 4, all(5)), r(5, 6, all(0))}, false},
		{"a conditional put after a put", []*event{w(1, 2, all(5)), one(0, when(wasAbsent, 0, w(3, 4, all(6))))}, false},
		{"a conditional put that finds nothing", []*event{one(0, when(wasPresent, 0, w(3, 4, all(6))))}, false},
		{"a conditional put that finds something changes nothing", []*event{
			w(1, 2, all(5)), one(0, when(wasPresent, 0, w(3, 4, all(6)))), r(5, 6, all(5)),
		}, true},
		{"two are the first", []*event{
			one(0, when(wasAbsent, 0, w(1, 4, all(5)))), one(0, when(wasAbsent, 0, w(2, 3, all(6)))),
		}, false},
		{"a swap of what is there", []*event{
			w(1, 2, all(5)), one(0, when(wasOld, 5, w(3, 4, all(6)))), r(5, 6, values{6, 5, 5}),
		}, true},
		{"a swap of what is not there", []*event{w(1, 2, all(5)), one(0, when(wasOld, 6, w(3, 4, all(7))))}, false},
		{"a swap that overlooks what is there", []*event{w(1, 2, all(5)), one(0, when(wasNotOld, 5, w(3, 4, all(7))))}, false},
		{"two get the same", []*event{
			w(1, 2, all(5)), one(0, when(wasOld, 5, w(3, 6, all(0)))), one(0, when(wasOld, 5, w(4, 5, all(0)))),
		}, false},
		{"a sum", []*event{one(3, plus(2, w(1, 4, values{3: 5}))), one(3, plus(3, w(2, 3, values{3: 3})))}, true},
		{"a sum that leaves one out", []*event{
			one(3, plus(2, w(1, 2, values{3: 2}))), one(3, plus(3, w(3, 4, values{3: 3}))),
		}, false},
		{"a failed read says nothing", []*event{w(1, 2, all(5)), r(3, open, all(9))}, true},
	} {
		err := judge(c.history, []values{{}})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "no place for") {
			t.Errorf("%s: the error does not show what has no place: %v", c.name, err)
		}
	}
	if judge([]*event{r(1, 2, all(3))}, []values{{3, 3, 3}}) != nil {
		t.Error("a read of what was there at the beginning is refused")
	}
}

// TestJudgePicture shows that what a crash left is judged by the promises.
func TestJudgePicture(t *testing.T) {
	write := func(client int, session, call, ret, v int64, d lightning.Durability) *event {
		e := w(call, ret, values{v, v, v})
		e.client, e.session, e.durability = client, session, d
		return e
	}
	const sync, toOS, async = lightning.DurabilitySync, lightning.DurabilityBuffered, lightning.DurabilityAsync
	read := func(call, ret, v int64) *event { return r(call, ret, values{v, v, v}) }
	for _, c := range []struct {
		name     string
		history  []*event
		sessions []int64 // found, of clients 0 and 1
		value    int64   // found, of the family
		kept     lightning.Durability
		want     string // part of the error; "" for none
	}{
		{"nothing lost", []*event{write(0, 1, 1, 2, 7, sync)}, []int64{1, 0}, 7, sync, ""},
		{"a synced write is lost", []*event{write(0, 1, 1, 2, 7, sync)}, []int64{0, 0}, 0, sync, "is lost, though"},
		{"an async write is lost", []*event{write(0, 1, 1, 2, 7, async)}, []int64{0, 0}, 0, sync, ""},
		{"a write to the system is lost with the power", []*event{write(0, 1, 1, 2, 7, toOS)}, []int64{0, 0}, 0, sync, ""},
		{"a write to the system is lost with the process", []*event{write(0, 1, 1, 2, 7, toOS)}, []int64{0, 0}, 0, toOS, "is lost, though"},
		{"a synced write in flight is lost", []*event{write(0, 1, 1, 200, 7, sync)}, []int64{0, 0}, 0, sync, ""},
		{"a synced write in flight was read and is lost",
			[]*event{write(0, 1, 1, 200, 7, sync), read(3, 4, 7)}, []int64{0, 0}, 0, sync, "is lost, though"},
		{"an async write before a sync of the log is lost",
			[]*event{write(0, 1, 1, 2, 7, async), {name: syncName, call: 3, ret: 4}}, []int64{0, 0}, 0, sync, "log was synced"},
		{"the newest are lost", []*event{write(0, 1, 1, 2, 7, async), write(1, 1, 3, 4, 8, async)}, []int64{1, 0}, 7, sync, ""},
		{"one before a survivor is lost",
			[]*event{write(0, 1, 1, 2, 7, async), write(1, 1, 3, 4, 8, async)}, []int64{0, 1}, 8, sync, "before the survivor"},
		{"one that was read before a survivor began is lost",
			[]*event{write(0, 1, 1, 50, 7, async), read(2, 3, 7), write(1, 1, 5, 6, 8, async)}, []int64{0, 1}, 8, sync, "before the survivor"},
		{"one beside a survivor is lost",
			[]*event{write(0, 1, 1, 4, 7, async), write(1, 1, 2, 3, 8, async)}, []int64{0, 1}, 8, sync, ""},
		{"a write from after the crash", []*event{write(0, 1, 150, 151, 7, sync)}, []int64{1, 0}, 7, sync, "began after"},
		{"a session goes too far", []*event{write(0, 1, 1, 2, 7, sync)}, []int64{2, 0}, 7, sync, "the last one found is 2"},
		{"an older value than that of the last survivor",
			[]*event{write(0, 1, 1, 2, 7, sync), write(0, 2, 3, 4, 8, sync)}, []int64{2, 0}, 7, sync, "no order"},
		{"a failed write survived", []*event{write(0, 1, 1, open, 7, sync)}, []int64{1, 0}, 7, sync, ""},
		{"a failed write survived without its value", []*event{write(0, 1, 1, open, 7, sync)}, []int64{1, 0}, 0, sync, "no order"},
	} {
		l := &life{state: []values{{}}, sessions: []int64{0, 0}}
		l.families = 1
		for i := range l.sessions {
			made := &client{scene: &l.scene, id: i}
			for _, e := range c.history {
				if e.write && e.client == i {
					made.session = e.session
				}
			}
			l.clients = append(l.clients, made)
		}
		v := values{c.value, c.value, c.value}
		f := &found{sessions: c.sessions, state: []values{v}, last: []*event{r(1000, 1001, v)}}
		p := &picture{after: 100, before: 101, kept: c.kept}
		err := l.judgePicture(p, f, c.history)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// TestValues shows that a value tells its number, and that bytes that were
// mixed up are no value.
func TestValues(t *testing.T) {
	for n := range int64(200) {
		v := encodeValue(n + 1)
		if got, err := decodeValue(v); err != nil || got != n+1 {
			t.Fatalf("value %d reads as %d, %v", n+1, got, err)
		}
		v[len(v)-1] ^= 1
		if got, err := decodeValue(v); err == nil {
			t.Fatalf("damaged value %d reads as %d", n+1, got)
		}
	}
	for _, v := range [][]byte{nil, {}, make([]byte, 7), make([]byte, 8), encodeValue(5)[:7]} {
		if got, err := decodeValue(v); err == nil {
			t.Errorf("%q reads as %d", v, got)
		}
	}
}
