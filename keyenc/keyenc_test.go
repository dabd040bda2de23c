package keyenc

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/property"
)

func mustAppend(t testing.TB, elems ...any) []byte {
	t.Helper()
	key, err := Append(nil, elems...)
	if err != nil {
		t.Fatalf("append %v: %v", elems, err)
	}
	return key
}

// sameTuple is equality with NaN equal to itself, types included.
func sameTuple(a, b Tuple) bool {
	return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
}

func TestKeysSortAsTuples(t *testing.T) {
	property.Check(t, func(t *property.T) {
		a := drawTuple(3).Draw(t, "a")
		b := drawLike(t, a)
		keyA, errA := Append(nil, a...)
		keyB, errB := Append(nil, b...)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got, want := bytes.Compare(keyA, keyB), compareTuples(a, b); got != want {
			t.Fatalf("%s %x\n%s %x\ncompare as %d, want %d",
				Format(keyA), keyA, Format(keyB), keyB, got, want)
		}
		if (Format(keyA) == Format(keyB)) != bytes.Equal(keyA, keyB) {
			t.Fatalf("%x and %x are shown as %s and %s", keyA, keyB, Format(keyA), Format(keyB))
		}
	})
}

// All short texts of the bytes that the escape is about, in both directions.
func TestTextsSort(t *testing.T) {
	texts := []string{""}
	for begin := 0; len(texts) < 1+5+25; begin++ {
		for _, next := range []string{"\x00", "\x01", "\x02", "\x03", "\xff"} {
			texts = append(texts, texts[begin]+next)
		}
	}
	for _, a := range texts {
		for _, b := range texts {
			want := strings.Compare(a, b)
			if got := bytes.Compare(mustAppend(t, a), mustAppend(t, b)); got != want {
				t.Errorf("%q and %q compare as %d, want %d", a, b, got, want)
			}
			got := bytes.Compare(mustAppend(t, Desc(a), 1), mustAppend(t, Desc(b), 1))
			if got != -want {
				t.Errorf("descending %q and %q compare as %d, want %d", a, b, got, -want)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	property.Check(t, func(t *property.T) {
		tuple := drawTuple(3).Draw(t, "tuple")
		cut := property.IntRange(0, len(tuple)).Draw(t, "cut")
		first, err := Append([]byte("before"), tuple[:cut]...)
		if err != nil {
			t.Fatal(err)
		}
		key, err := Append(first, tuple[cut:]...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(bytes.TrimPrefix(key, []byte("before")))
		if err != nil {
			t.Fatal(err)
		}
		if !sameTuple(got, tuple) {
			t.Fatalf("got %#v, want %#v", got, tuple)
		}
	})
}

// Prefix freedom is what makes ranges exact: a key begins with the bytes of
// some elements if and only if its tuple begins with the elements.
func TestRangeHoldsTuplesThatBeginWithElements(t *testing.T) {
	property.Check(t, func(t *property.T) {
		tuple := drawTuple(2).Draw(t, "tuple")
		prefix := drawLike(t, tuple)
		if property.Bool().Draw(t, "real prefix") {
			prefix = tuple[:property.IntRange(0, len(tuple)).Draw(t, "size")]
		}
		lo, hi, err := Range(prefix...)
		if err != nil {
			t.Fatal(err)
		}
		key, err := Append(nil, tuple...)
		if err != nil {
			t.Fatal(err)
		}
		inside := bytes.Compare(lo, key) <= 0 && (hi == nil || bytes.Compare(key, hi) < 0)
		begins := len(prefix) <= len(tuple) && compareTuples(prefix, tuple[:len(prefix)]) == 0
		if inside != begins {
			t.Fatalf("%s in range of %s: %t, want %t", Format(key), Format(lo), inside, begins)
		}
		if len(prefix) > 0 && hi == nil {
			t.Fatal("range of elements without an end")
		}
	})
}

func TestRangeOfNothingIsAllKeys(t *testing.T) {
	lo, hi, err := Range()
	if lo != nil || hi != nil || err != nil {
		t.Errorf("got %x, %x, %v", lo, hi, err)
	}
	if _, _, err := Range(1, make(chan int)); err == nil {
		t.Error("range of a channel has no error")
	}
}

func TestPrefixEnd(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"", "none"}, {"\xff", "none"}, {"\xff\xff", "none"},
		{"a", "b"}, {"a\xff", "b"}, {"a\xff\xff", "b"}, {"\xffa", "\xffb"},
		{"\x00", "\x01"}, {"\xfe", "\xff"},
	} {
		prefix := []byte(c.prefix)
		end := PrefixEnd(prefix)
		if (end == nil) != (c.want == "none") || end != nil && string(end) != c.want {
			t.Errorf("end of %q is %q, want %q", c.prefix, end, c.want)
		}
		if string(prefix) != c.prefix {
			t.Errorf("PrefixEnd changed %q to %q", c.prefix, prefix)
		}
	}
}

type (
	ownInt    int16
	ownString string
	ownBytes  []byte
	ownFloat  float32
	ownUUID   [16]byte
	ownBool   bool
)

// Every type that Append takes, and what it is decoded as.
func TestElementTypes(t *testing.T) {
	zone := time.FixedZone("zone", 3600)
	for _, c := range []struct{ elem, want any }{
		{int(-1), int64(-1)}, {int8(-128), int64(-128)}, {int16(300), int64(300)},
		{int32(-70000), int64(-70000)}, {uint(7), int64(7)}, {uint8(255), int64(255)},
		{uint16(65535), int64(65535)}, {uint32(1 << 31), int64(1 << 31)},
		{uint64(math.MaxInt64), int64(math.MaxInt64)},
		{uint64(math.MaxInt64 + 1), uint64(math.MaxInt64 + 1)},
		{float32(0.1), float64(float32(0.1))}, {math.Copysign(0, -1), float64(0)},
		{math.Float64frombits(0xfff8_0000_0000_0001), math.NaN()},
		{math.Float64frombits(0x7ff0_0000_0000_0001), math.NaN()},
		{time.Date(2026, 1, 2, 4, 0, 0, 5, zone), time.Date(2026, 1, 2, 3, 0, 0, 5, time.UTC)},
		{time.Time{}, time.Time{}}, {time.Hour, int64(time.Hour)},
		{[]byte(nil), []byte{}}, {Tuple(nil), Tuple{}}, {Tuple{int8(1), "a"}, Tuple{int64(1), "a"}},
		{ownInt(-300), int64(-300)}, {ownString("a\x00"), "a\x00"}, {ownBytes("b\x01"), []byte("b\x01")},
		{ownFloat(1.5), 1.5}, {ownUUID{1, 2, 15: 3}, UUID{1, 2, 15: 3}}, {ownBool(true), true},
	} {
		got, err := Decode(mustAppend(t, c.elem, Desc(c.elem)))
		if want := (Tuple{c.want, Desc(c.want)}); err != nil || !sameTuple(got, want) {
			t.Errorf("%T %v: decoded as %#v, %v; want %#v", c.elem, c.elem, got, err, want)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	loop := Tuple{nil}
	loop[0] = loop
	early := time.Date(0, 12, 31, 23, 59, 59, nanosMax, time.UTC)
	late := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		elem   any
		reason string
	}{
		{make(chan int), "type chan int has no encoding"},
		{[]int{1}, "type []int has no encoding"},
		{[15]byte{}, "type [15]uint8 has no encoding"},
		{[]any{1}, "type []interface {} has no encoding"},
		{(*int)(nil), "type *int has no encoding"},
		{complex(1, 2), "type complex128 has no encoding"},
		{early, "time is outside of the years 1 to 9999 in UTC"},
		{late, "time is outside of the years 1 to 9999 in UTC"},
		{time.Unix(math.MaxInt64, 0), "time is outside of the years 1 to 9999 in UTC"},
		{time.Unix(math.MinInt64, 0), "time is outside of the years 1 to 9999 in UTC"},
		{Desc(Desc(1)), "Desc of Desc"},
		{Desc(make(chan int)), "type chan int has no encoding"},
		{Tuple{1, Tuple{late}}, "time is outside of the years 1 to 9999 in UTC"},
		{loop, "more than 64 tuples in each other"},
	} {
		key, err := Append([]byte("before"), "good", c.elem)
		refusal, ok := errors.AsType[*EncodeError](err)
		if !ok || refusal.Index != 1 || refusal.Reason != c.reason {
			t.Errorf("%T: %v, want %q of element 1", c.elem, err, c.reason)
		}
		if string(key) != "before" {
			t.Errorf("%T: the key is %q after the failure", c.elem, key)
		}
	}
	want := "encode key: element 1: type chan int has no encoding"
	if _, err := Append(nil, nil, make(chan int)); err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestDecoderReadsWhatWasWritten(t *testing.T) {
	moment := time.Date(1969, 7, 20, 20, 17, 40, 1, time.UTC)
	id := UUID{0: 1, 15: 2}
	long := strings.Repeat("long\x00\x01", 30)
	values := []any{
		true, -5, uint64(math.MaxUint64), 2.5, moment, id, long, []byte("b\x00"), Tuple{int64(1)}, nil,
	}
	var elems []any
	for _, v := range values {
		elems = append(elems, v, Desc(v))
	}
	d := NewDecoder(mustAppend(t, elems...))
	read := func(name string, want any, read func() (any, error)) {
		t.Helper()
		for _, direction := range []string{"ascending", "descending"} {
			at := d.at
			if direction == "ascending" {
				if _, err := d.Desc().Float64(); err == nil {
					t.Errorf("%s is read as descending float", name)
				}
			} else {
				if _, err := read(); err == nil {
					t.Errorf("descending %s is read as ascending", name)
				}
				d.Desc()
			}
			if d.at != at {
				t.Fatalf("%s: a failed read moved from %d to %d", name, at, d.at)
			}
			got, err := read()
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s: got %v, %v; want %v", direction, name, got, err, want)
			}
		}
	}
	read("bool", true, func() (any, error) { return d.Bool() })
	read("int64", int64(-5), func() (any, error) { return d.Int64() })
	read("uint64", uint64(math.MaxUint64), func() (any, error) { return d.Uint64() })
	read("float64", 2.5, func() (any, error) { return d.Float64() })
	read("time", moment, func() (any, error) { return d.Time() })
	read("uuid", id, func() (any, error) { return d.UUID() })
	read("string", long, func() (any, error) { return d.String() })
	read("bytes", []byte("+b\x00"), func() (any, error) { return d.Bytes([]byte("+")) })
	read("tuple", Tuple{int64(1)}, func() (any, error) { return d.Tuple() })
	if d.Desc().Nil() || !d.Nil() || d.Nil() || d.End() == nil || !d.More() || !d.Desc().Nil() {
		t.Error("nil and descending nil are not told apart")
	}
	if d.More() || d.End() != nil || d.Nil() {
		t.Error("the end of the key is not seen")
	}
}

// A Desc that a failed read has used up must not turn the next one.
func TestDescIsForOneRead(t *testing.T) {
	d := NewDecoder(mustAppend(t, 1, 2))
	if _, err := d.Desc().Int64(); err == nil {
		t.Error("1 is read as descending")
	}
	if v, err := d.Int64(); v != 1 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
	if v, err := d.Desc().Any(); v != int64(2) || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
}

// deep returns tuples in each other.
func deep(levels int) Tuple {
	tuple := Tuple{}
	for range levels - 1 {
		tuple = Tuple{tuple}
	}
	return tuple
}

func TestNestingHasALimit(t *testing.T) {
	key := mustAppend(t, deep(depthMax))
	if got, err := Decode(key); err != nil || !reflect.DeepEqual(got, Tuple{deep(depthMax)}) {
		t.Errorf("tuples as deep as possible: %v, %v", got, err)
	}
	if _, err := NewDecoder(key).Tuple(); err != nil {
		t.Error(err)
	}
	if _, err := Append(nil, deep(depthMax+1)); err == nil {
		t.Error("a tuple that nobody could read is written")
	}
	key = slices.Concat(bytes.Repeat([]byte{tagTuple}, depthMax+1), make([]byte, depthMax+1))
	for name, read := range map[string]func() error{
		"Decode": func() error { _, err := Decode(key); return err },
		"Tuple":  func() error { _, err := NewDecoder(key).Tuple(); return err },
	} {
		refusal, ok := errors.AsType[*DecodeError](read())
		if !ok || refusal.Offset != depthMax || refusal.Want != "at most 64 tuples in each other" {
			t.Errorf("%s of deeper tuples: %v", name, refusal)
		}
	}
	if _, err := Decode(bytes.Repeat([]byte{tagTuple}, 1<<20)); err == nil {
		t.Error("a million tuples in each other are decoded")
	}
}

func TestFormat(t *testing.T) {
	moment := time.Date(2026, 1, 2, 15, 4, 5, 600, time.UTC)
	id := wellKnown()
	for _, c := range []struct {
		elems []any
		want  string
	}{
		{nil, "()"},
		{[]any{nil, true, -3, uint64(math.MaxUint64)}, "(nil, true, -3, 18446744073709551615)"},
		{[]any{1.0, 0.5, 1e300, math.NaN(), math.Inf(-1)}, "(1.0, 0.5, 1e+300, NaN, -Inf)"},
		{[]any{moment}, "(2026-01-02T15:04:05.0000006Z)"},
		{[]any{id}, "(6ba7b810-9dad-11d1-80b4-00c04fd430c8)"},
		{[]any{"a\n\"", []byte{0, 255}, []byte{}}, `("a\n\"", 0x00ff, 0x)`},
		{[]any{Tuple{1, Tuple{}, Desc(2)}}, "((1, (), desc 2))"},
		{[]any{Desc(Tuple{"x", Desc(3)})}, `(desc ("x", desc 3))`},
	} {
		if got := Format(mustAppend(t, c.elems...)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	for key, want := range map[string]string{
		"\x21\xff\x00": "(1, malformed 0xff00)",
		"\x74\x21":     "(malformed 0x7421)",
	} {
		if got := Format([]byte(key)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
