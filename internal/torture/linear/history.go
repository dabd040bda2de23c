package linear

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/lightningdb/lightning"
)

// A family is a few neighbouring keys that are written and read together. It
// is the unit in which histories are judged: a state is the values of all its
// keys, so that a batch that others see in parts, or a read of several keys
// that mixes two moments, has no place in any order.
const familyKeys = 3

// event is one operation on keys of a family. Times are ticks of the clock of
// the run.
type event struct {
	client  int
	family  int
	name    string
	call    int64
	ret     int64 // open: the outcome is unknown
	write   bool
	mask    uint // of the keys written or read
	values  values
	session int64 // of a write in a life: the how manieth of its client
	// Of a conditional write to one key.
	condition  condition
	old, delta int64

	durability lightning.Durability
}

// open is the time of return of an operation that did not say whether it
// happened: it may take effect at any time, or never, which is after all else.
const open int64 = math.MaxInt64

func (e *event) acknowledged() bool { return e.ret != open }

func (e *event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%d, ", e.call)
	if e.acknowledged() {
		fmt.Fprintf(&b, "%d]", e.ret)
	} else {
		b.WriteString("unknown]")
	}
	fmt.Fprintf(&b, " client %d %s of family %d", e.client, e.name, e.family)
	for i, v := range e.values {
		if e.mask&(1<<i) == 0 {
			continue
		}
		what := fmt.Sprintf("%x", v)
		switch v {
		case absent:
			what = "none"
		case present:
			what = "some"
		}
		fmt.Fprintf(&b, " %d=%s", i, what)
	}
	if e.condition != noCondition {
		fmt.Fprintf(&b, " condition %d, old %x, delta %d", e.condition, e.old, e.delta)
	}
	if e.write {
		fmt.Fprintf(&b, " (%v)", e.durability)
	}
	return b.String()
}

// apply returns the state after e, and whether e can happen in this state.
func (e *event) apply(s values) (values, bool) {
	for i, v := range e.values {
		switch {
		case e.mask&(1<<i) == 0:
		case e.condition != noCondition && !e.happens(s[i], v):
			return s, false
		case e.condition != noCondition && !e.condition.changes():
		case e.write:
			s[i] = v
		case v == present && s[i] == absent, v != present && s[i] != v:
			return s, false
		}
	}
	return s, true
}

func familyModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			var parts [][]porcupine.Operation
			at := map[int]int{}
			for _, o := range history {
				f := o.Input.(*event).family
				if _, ok := at[f]; !ok {
					at[f] = len(parts)
					parts = append(parts, nil)
				}
				parts[at[f]] = append(parts[at[f]], o)
			}
			return parts
		},
		Init: func() any { return values{} },
		Step: func(state, input, _ any) (bool, any) {
			s, ok := input.(*event).apply(state.(values))
			return ok, s
		},
		Hash: func(state any) (h uint64) {
			for _, v := range state.(values) {
				h = mix(h ^ uint64(v))
			}
			return h
		},
	}
}

// judgeLimit bounds the search for an order. Histories are kept so short that
// it takes milliseconds.
const judgeLimit = 20 * time.Second

var errNotJudged = errors.New("no order found, and none excluded")

// judge says whether some order explains the history of families that begin
// with the given values.
func judge(history []*event, begin []values) error {
	operations := make([]porcupine.Operation, 0, len(history)+len(begin))
	add := func(e *event) {
		operations = append(operations, porcupine.Operation{
			ClientId: e.client, Input: e, Call: e.call, Return: e.ret,
		})
	}
	for family, v := range begin {
		add(&event{client: -1, family: family, name: "begin", write: true, mask: wholeMask,
			values: v, call: -1, ret: 0})
	}
	for _, e := range history {
		if e.acknowledged() || e.write { // a read that failed says nothing
			add(e)
		}
	}
	result, info := porcupine.CheckOperationsVerbose(familyModel(), operations, judgeLimit)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("history of %d operations: %w in %v", len(history), errNotJudged, judgeLimit)
	}
	return fmt.Errorf("no order of the operations explains the answers:\n%s", explain(operations, info))
}

// explain shows, for each family that has no order, the end of the longest
// order that was found, and the first operation that has no place in it.
func explain(history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var b strings.Builder
	sizes := map[int]int{}
	for _, o := range history {
		sizes[o.Input.(*event).family]++
	}
	for _, orders := range info.PartialLinearizationsOperations() {
		if len(orders) == 0 || len(orders[0]) == 0 {
			continue
		}
		longest := slices.MaxFunc(orders, func(a, b []porcupine.Operation) int { return len(a) - len(b) })
		family := longest[0].Input.(*event).family
		if len(longest) == sizes[family] {
			continue
		}
		placed := map[*event]bool{}
		state := values{}
		for _, o := range longest {
			e := o.Input.(*event)
			placed[e] = true
			state, _ = e.apply(state)
		}
		fmt.Fprintf(&b, "family %d, the last of %d operations in order:\n", family, len(longest))
		for _, o := range longest[max(0, len(longest)-8):] {
			fmt.Fprintf(&b, "  %v\n", o.Input)
		}
		fmt.Fprintf(&b, "  state then %x; no place for the next of:\n", state)
		rest := slices.DeleteFunc(slices.Clone(history), func(o porcupine.Operation) bool {
			e := o.Input.(*event)
			return e.family != family || placed[e]
		})
		slices.SortFunc(rest, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
		for _, o := range rest[:min(8, len(rest))] {
			fmt.Fprintf(&b, "  %v\n", o.Input)
		}
	}
	return b.String()
}
