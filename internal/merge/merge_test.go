package merge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func builtInNamed(t testing.TB, name string) *Operator {
	t.Helper()
	r, err := NewRegistry(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r[name]
}

func set(elements ...string) []byte {
	var list [][]byte
	for _, e := range elements {
		list = append(list, []byte(e))
	}
	return AppendSet(nil, list)
}

func number(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

func TestBuiltIns(t *testing.T) {
	for _, c := range []struct {
		op       string
		value    []byte // nil: absent
		operands [][]byte
		want     []byte
	}{
		{AddInt64, nil, [][]byte{number(5)}, number(5)},
		{AddInt64, number(-7), [][]byte{number(5), number(1)}, number(-1)},
		{AddInt64, number(math.MaxInt64), [][]byte{number(1)}, number(math.MinInt64)},
		{Max, nil, [][]byte{[]byte("b"), []byte("a")}, []byte("b")},
		{Max, []byte("c"), [][]byte{[]byte("b")}, []byte("c")},
		{Max, []byte{}, [][]byte{{}}, []byte{}},
		{Min, []byte("c"), [][]byte{[]byte("b")}, []byte("b")},
		{Min, []byte{}, [][]byte{[]byte("b")}, []byte{}},
		{Append, []byte("x"), [][]byte{[]byte("y"), []byte("z")}, []byte("xyz")},
		{SetUnion, set("a", "c"), [][]byte{set("c", "b"), set("")}, set("", "a", "b", "c")},
		{JSONPatch, nil, [][]byte{[]byte(`{"a":1,"b":null}`)}, []byte(`{"a":1}`)},
		{JSONPatch, []byte(`{"a":{"x":1,"y":2},"n":12345678901234567890}`), [][]byte{[]byte(`{"a":{"x":null}}`), []byte(`{"b":"<"}`)},
			[]byte(`{"a":{"y":2},"b":"<","n":12345678901234567890}`)},
		{JSONPatch, []byte(`{"a":1}`), [][]byte{[]byte(`5`), []byte(`{"b":null,"c":2}`)}, []byte(`{"c":2}`)},
		{JSONPatch, []byte(`{"a":1}`), [][]byte{[]byte(`null`)}, []byte(`null`)},
	} {
		op := builtInNamed(t, c.op)
		newestFirst := append([][]byte(nil), c.operands...)
		reverse(newestFirst)
		got, err := op.Fold([]byte("before"), []byte("k"), c.value, newestFirst)
		if err != nil || string(got) != "before"+string(c.want) {
			t.Errorf("%s: %q with %q = %q, %v; want %q", c.op, c.value, c.operands, got, err, c.want)
		}
	}
}

// Combined operands do what they do one after the other, on any value.
func TestCombineAgreesWithMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for _, name := range []string{AddInt64, Max, Min, Append, SetUnion} {
		op := builtInNamed(t, name)
		random := func() []byte {
			switch name {
			case AddInt64:
				return number(int64(rng.Uint64()))
			case SetUnion:
				var list [][]byte
				for range rng.IntN(4) {
					list = append(list, []byte{byte('a' + rng.IntN(6))})
				}
				return AppendSet(nil, list)
			}
			return bytes.Repeat([]byte{byte('a' + rng.IntN(6))}, rng.IntN(3))
		}
		for range 2000 {
			var value []byte
			if rng.IntN(2) == 0 {
				value = append([]byte{}, random()...)
			}
			operands := make([][]byte, 1+rng.IntN(5))
			for i := range operands {
				operands[i] = random()
			}
			one, ok := op.Join(nil, operands)
			if !ok {
				t.Fatalf("%s does not join %q", name, operands)
			}
			want, err := op.Fold(nil, nil, value, operands)
			if err != nil {
				t.Fatal(err)
			}
			got, err := op.Fold(nil, nil, value, [][]byte{one})
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %q with %q = %q, joined %q, %v", name, value, operands, want, got, err)
			}
		}
	}
}

func TestMalformedValuesAreErrors(t *testing.T) {
	for name, value := range map[string][]byte{
		AddInt64: []byte("short"), SetUnion: {9, 'a'}, JSONPatch: []byte("{"),
	} {
		op := builtInNamed(t, name)
		operand := map[string][]byte{AddInt64: number(1), SetUnion: set("a"), JSONPatch: []byte("{}")}[name]
		for _, c := range [][2][]byte{{value, operand}, {operand, value}} {
			_, err := op.Fold(nil, []byte("key"), c[0], [][]byte{c[1]})
			var failed *Error
			if !errors.As(err, &failed) || failed.Operator != name || string(failed.Key) != "key" || !errors.Is(err, ErrMerge) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if op.Check(value) == nil || op.Check(operand) != nil || op.CheckValue(value) == nil || op.CheckValue(operand) != nil {
			t.Errorf("%s: the check accepts %q or refuses %q", name, value, operand)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	op := &Operator{
		Name:    "bad",
		Merge:   func([]byte, []byte, [][]byte) ([]byte, error) { panic("oh") },
		Combine: func([]byte, [][]byte) ([]byte, bool) { panic("oh") },
	}
	operands := [][]byte{[]byte("2"), []byte("1")}
	if _, err := op.Fold(nil, nil, nil, operands); err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("fold: %v", err)
	}
	if _, ok := op.Join(nil, operands); ok {
		t.Error("joined")
	}
	if string(operands[0]) != "2" {
		t.Error("the operands were left turned around")
	}
	var none *Operator
	if _, err := none.Fold(nil, nil, nil, operands); !errors.Is(err, ErrMerge) {
		t.Errorf("no operator: %v", err)
	}
}

func TestRegistryRefuses(t *testing.T) {
	merge := func(dst, _ []byte, _ [][]byte) ([]byte, error) { return dst, nil }
	for what, ops := range map[string][]Operator{
		"no name":     {{Merge: merge}},
		"no function": {{Name: "x"}},
		"twice":       {{Name: "x", Merge: merge}, {Name: "x", Merge: merge}},
		"a built-in":  {{Name: Max, Merge: merge}},
		"a long name": {{Name: strings.Repeat("x", MaxNameBytes+1), Merge: merge}},
	} {
		if _, err := NewRegistry(ops); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

func FuzzDecodeSet(f *testing.F) {
	f.Add(set("a", "b"))
	f.Add([]byte{0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		elements, err := DecodeSet(nil, b)
		if err == nil && !bytes.Equal(AppendSet(nil, elements), b) {
			t.Errorf("%x is another encoding of the same set", b)
		}
	})
}

func FuzzJSONPatch(f *testing.F) {
	f.Add([]byte(`{"a":1}`), []byte(`{"a":null}`))
	f.Fuzz(func(t *testing.T, value, patch []byte) {
		op := builtInNamed(t, JSONPatch)
		out, err := op.Fold(nil, nil, value, [][]byte{patch})
		if err == nil && checkJSON(out) != nil {
			t.Errorf("%q with %q = %q", value, patch, out)
		}
	})
}

func BenchmarkFoldAddInt64(b *testing.B) {
	op := builtInNamed(b, AddInt64)
	value, operands := number(1), [][]byte{number(2), number(3)}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = op.Fold(dst[:0], nil, value, operands)
	}
}

// TestOperatorsOfUsersGetCopies has an operator write into all that it gets: what it
// gets is memory of memtables and cached blocks, and goes to files if it fails.
func TestOperatorsOfUsersGetCopies(t *testing.T) {
	failed := errors.New("failed")
	fails := false
	vandalise := func(dst []byte, slices ...[]byte) []byte {
		clear(dst[:cap(dst)])
		for _, s := range slices {
			dst = append(dst, s...)
			clear(s[:cap(s)])
		}
		return dst
	}
	r, err := NewRegistry([]Operator{{
		Name: "vandal",
		Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			out := vandalise(dst, append(operands, value)...)
			clear(operands)
			if fails {
				return out, failed
			}
			return out, nil
		},
		Combine: func(dst []byte, operands [][]byte) ([]byte, bool) {
			out := vandalise(dst, operands...)
			clear(operands)
			return out, !fails
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	op := r["vandal"]
	for _, fails = range []bool{false, true} {
		for _, room := range []int{3, 64} {
			memory := []byte("value|one|two|")
			value, operands := memory[:5:6], [][]byte{memory[10:13], memory[6:9:10]}
			dst := append(make([]byte, 0, room), "dst"...)
			for name, call := range map[string]func() ([]byte, bool){
				"onetwovalue": func() ([]byte, bool) {
					out, err := op.Fold(dst, []byte("k"), value, operands)
					return out, err == nil
				},
				"onetwo": func() ([]byte, bool) { return op.Join(dst, operands) },
			} {
				out, ok := call()
				want := "dst"
				if !fails {
					want += name
				}
				if ok == fails || string(out) != want {
					t.Errorf("fails %t, room %d: %q, %t; want %q", fails, room, out, ok, want)
				}
				if string(memory) != "value|one|two|" || string(dst) != "dst" ||
					string(operands[0]) != "two" || string(operands[1]) != "one" {
					t.Fatalf("fails %t, room %d: the memory is %q, %q, %q", fails, room, memory, dst, operands)
				}
			}
		}
	}
}
