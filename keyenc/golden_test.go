package keyenc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// golden is an encoding that must stay as it is, because keys are stored.
type golden struct {
	elems Tuple // as Decode returns them
	key   string
}

// wellKnown is the UUID of the DNS name space, as RFC 9562 has it.
func wellKnown() UUID {
	return UUID{
		0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
	}
}

// goldens are in the order of the keys.
func goldens() []golden {
	id := wellKnown()
	return []golden{
		{Tuple{}, ""},
		{Tuple{nil}, "04"},
		{Tuple{nil, nil}, "04 04"},
		{Tuple{false}, "08"},
		{Tuple{true}, "09"},
		{Tuple{int64(math.MinInt64)}, "10 8000000000000000"},
		{Tuple{int64(-1<<56 - 1)}, "10 feffffffffffffff"},
		{Tuple{int64(-1 << 56)}, "11 00000000000000"},
		{Tuple{int64(-70_000)}, "15 feee90"},
		{Tuple{int64(-257)}, "16 feff"},
		{Tuple{int64(-256)}, "17 00"},
		{Tuple{int64(-9)}, "17 f7"},
		{Tuple{int64(-8)}, "18"},
		{Tuple{int64(-1)}, "1f"},
		{Tuple{int64(0)}, "20"},
		{Tuple{int64(1)}, "21"},
		{Tuple{int64(1), "a"}, "21 6c6100"},
		{Tuple{int64(1), Desc("a")}, "21 939eff"},
		{Tuple{int64(55)}, "57"},
		{Tuple{int64(56)}, "58 38"},
		{Tuple{int64(255)}, "58 ff"},
		{Tuple{int64(256)}, "59 0100"},
		{Tuple{int64(70_000)}, "5a 011170"},
		{Tuple{int64(math.MaxInt64)}, "5f 7fffffffffffffff"},
		{Tuple{uint64(math.MaxInt64 + 1)}, "5f 8000000000000000"},
		{Tuple{uint64(math.MaxUint64)}, "5f ffffffffffffffff"},
		{Tuple{math.NaN()}, "60 0000000000000000"},
		{Tuple{math.Inf(-1)}, "60 000fffffffffffff"},
		{Tuple{-1.0}, "60 400fffffffffffff"},
		{Tuple{0.0}, "60 8000000000000000"},
		{Tuple{math.SmallestNonzeroFloat64}, "60 8000000000000001"},
		{Tuple{1.5}, "60 bff8000000000000"},
		{Tuple{math.Inf(1)}, "60 fff0000000000000"},
		{Tuple{time.Time{}}, "64 0000000000 00000000"},
		{Tuple{time.Unix(0, -1).UTC()}, "64 0e7791f6ff 3b9ac9ff"},
		{Tuple{time.Unix(0, 0).UTC()}, "64 0e7791f700 00000000"},
		{Tuple{time.Date(9999, 12, 31, 23, 59, 59, nanosMax, time.UTC)}, "64 497786387f 3b9ac9ff"},
		{Tuple{UUID{}}, "68 00000000000000000000000000000000"},
		{Tuple{id}, "68 6ba7b8109dad11d180b400c04fd430c8"},
		{Tuple{""}, "6c 00"},
		{Tuple{"\x00"}, "6c 0101 00"},
		{Tuple{"\x01"}, "6c 0102 00"},
		{Tuple{"\x02"}, "6c 02 00"},
		{Tuple{"a"}, "6c 61 00"},
		{Tuple{"a", nil}, "6c 61 00 04"},
		{Tuple{"a\x00\x01b"}, "6c 61 0101 0102 62 00"},
		{Tuple{"a\x01"}, "6c 61 0102 00"},
		{Tuple{"ab"}, "6c 61 62 00"},
		{Tuple{"\xff"}, "6c ff 00"},
		{Tuple{[]byte{}}, "70 00"},
		{Tuple{[]byte("\x00a")}, "70 0101 61 00"},
		{Tuple{[]byte("a")}, "70 61 00"},
		{Tuple{Tuple{}}, "74 00"},
		{Tuple{Tuple{}, nil}, "74 00 04"},
		{Tuple{Tuple{nil}}, "74 04 00"},
		{Tuple{Tuple{"a"}, int64(1)}, "74 6c6100 00 21"},
		{Tuple{Tuple{"a", Desc(int64(1)), Tuple{}}}, "74 6c6100 de 7400 00"},
		{Tuple{Desc(Tuple{int64(1), Desc(int64(2))})}, "8b de 22 ff"},
		{Tuple{Desc(Tuple{})}, "8b ff"},
		{Tuple{Desc([]byte("a"))}, "8f 9e ff"},
		{Tuple{Desc("a\x00\x01")}, "93 9e fefe fefd ff"},
		{Tuple{Desc("a")}, "93 9e ff"},
		{Tuple{Desc("")}, "93 ff"},
		{Tuple{Desc(id)}, "97 945847ef6252ee2e7f4bff3fb02bcf37"},
		{Tuple{Desc(time.Unix(0, 0).UTC())}, "9b f1886e08ff ffffffff"},
		{Tuple{Desc(1.5)}, "9f 4007ffffffffffff"},
		{Tuple{Desc(int64(256))}, "a6 feff"},
		{Tuple{Desc(int64(1))}, "de"},
		{Tuple{Desc(int64(-9))}, "e8 08"},
		{Tuple{Desc(true)}, "f6"},
		{Tuple{Desc(false)}, "f7"},
		{Tuple{Desc(nil)}, "fb"},
	}
}

func fromHex(t testing.TB, text string) []byte {
	t.Helper()
	key, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestGolden freezes the bytes of docs/format/keyenc.md: a change here loses
// the keys of users.
func TestGolden(t *testing.T) {
	var previous golden
	for i, c := range goldens() {
		want := fromHex(t, c.key)
		if got := mustAppend(t, c.elems...); !bytes.Equal(got, want) {
			t.Errorf("%v: got %x, want %x", c.elems, got, want)
		}
		if got, err := Decode(want); err != nil || !sameTuple(got, c.elems) {
			t.Errorf("%s: decoded as %#v, %v; want %#v", c.key, got, err, c.elems)
		}
		ordered := bytes.Compare(fromHex(t, previous.key), want) < 0 &&
			compareTuples(previous.elems, c.elems) < 0
		if i > 0 && !ordered {
			t.Errorf("%v and %v are not in order", previous.elems, c.elems)
		}
		previous = c
	}
}

// Every key that ends too soon is refused there, unless the end is between two
// elements.
func TestTruncatedKeysAreRefused(t *testing.T) {
	for _, c := range goldens() {
		key := fromHex(t, c.key)
		for size := range key {
			tuple, err := Decode(key[:size])
			whole := len(tuple) < len(c.elems) && bytes.Equal(mustAppend(t, tuple...), key[:size])
			if err == nil && !whole {
				t.Errorf("%x is decoded as %v", key[:size], tuple)
			}
			if err == nil {
				continue
			}
			refusal, ok := errors.AsType[*DecodeError](err)
			if !ok || refusal.Offset != size || refusal.Found != endOfKey {
				t.Errorf("%x: %v", key[:size], err)
			}
		}
	}
}

// What Append never makes, and where it is seen.
func TestMalformedKeysAreRefused(t *testing.T) {
	const (
		wantTag     = ", want the tag of an element"
		wantInteger = ", want an integer in its shortest form"
		wantFloat   = ", want a number, or NaN in its one form"
	)
	for _, c := range []struct{ key, want string }{
		{"21 00", "byte 1: found 0x00" + wantTag},
		{"ff", "byte 0: found 0xff" + wantTag},
		{"03", "byte 0: found 0x03" + wantTag},
		{"80", "byte 0: found 0x80" + wantTag},
		{"7f", "byte 0: found 0x7f" + wantTag},
		{"74 05", "byte 1: found 0x05" + wantTag},
		{"74 ff", "byte 1: found 0xff" + wantTag},
		{"8b 00", "byte 1: found 0x00" + wantTag},
		{"58 37", "byte 1: found 0x37" + wantInteger},
		{"59 00ff", "byte 1: found 0x00ff" + wantInteger},
		{"17 f8", "byte 1: found 0xf8" + wantInteger},
		{"16 ff00", "byte 1: found 0xff00" + wantInteger},
		{"10 7fffffffffffffff", "byte 1: found 0x7fffffffffffffff" + wantInteger},
		{"10 ff00000000000000", "byte 1: found 0xff00000000000000" + wantInteger},
		{"a7 c8", "byte 1: found 0xc8" + wantInteger},
		{"5a 0111", "byte 3: found end of key, want 1 B more"},
		{"60 7fffffffffffffff", "byte 1: found 0x7fffffffffffffff" + wantFloat},
		{"60 000ffffffffffffe", "byte 1: found 0x000ffffffffffffe" + wantFloat},
		{"60 fff0000000000001", "byte 1: found 0xfff0000000000001" + wantFloat},
		{"60 ffffffffffffffff", "byte 1: found 0xffffffffffffffff" + wantFloat},
		{"9f ffffffffffffffff 8b", "byte 10: found end of key, want the end of a tuple"},
		{"64 4977863880 00000000", "byte 1: found 0x4977863880, want seconds before the year 10000"},
		{"64 0000000000 3b9aca00", "byte 6: found 0x3b9aca00, want less than 10^9 nanoseconds"},
		{"68 00", "byte 2: found end of key, want 15 B more"},
		{"6c 61", "byte 2: found end of key, want the end of a text"},
		{"6c 61 01 00", "byte 2: found 0x0100, want an escaped 0x00 or 0x01"},
		{"6c 0101 0103 00", "byte 3: found 0x0103, want an escaped 0x00 or 0x01"},
		{"93 fe00 ff", "byte 1: found 0xfe00, want an escaped 0x00 or 0x01"},
		{"74 21", "byte 2: found end of key, want the end of a tuple"},
	} {
		tuple, err := Decode(fromHex(t, c.key))
		if err == nil || err.Error() != "decode key: "+c.want {
			t.Errorf("%s: %v, %v; want %s", c.key, tuple, err, c.want)
		}
	}
}

// Well-formed keys of other elements than the reader thought.
func TestWrongTypesAreRefused(t *testing.T) {
	key := mustAppend(t, "a", Desc("b"), uint64(math.MaxUint64), -1)
	for _, c := range []struct {
		skip int
		read func(d *Decoder) (any, error)
		want string
	}{
		{0, func(d *Decoder) (any, error) { return d.Int64() },
			"byte 0: found string, want integer"},
		{0, func(d *Decoder) (any, error) { return d.Bytes(nil) },
			"byte 0: found string, want bytes"},
		{0, func(d *Decoder) (any, error) { return d.Desc().String() },
			"byte 0: found string, want descending string"},
		{1, func(d *Decoder) (any, error) { return d.String() },
			"byte 3: found descending string, want string"},
		{1, func(d *Decoder) (any, error) { return d.Desc().Bool() },
			"byte 3: found descending string, want descending bool"},
		{2, func(d *Decoder) (any, error) { return d.Int64() },
			"byte 6: found integer 18446744073709551615, want an integer of at most 2^63-1"},
		{3, func(d *Decoder) (any, error) { return d.Uint64() },
			"byte 15: found integer -1, want an integer of at least 0"},
		{3, func(d *Decoder) (any, error) { return nil, d.End() },
			"byte 15: found 1 B more, want end of key"},
		{4, func(d *Decoder) (any, error) { return d.Time() },
			"byte 16: found end of key, want time"},
		{4, func(d *Decoder) (any, error) { return d.Any() },
			"byte 16: found end of key, want an element"},
	} {
		d := NewDecoder(key)
		for range c.skip {
			if _, err := d.Any(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.read(d); err == nil || err.Error() != "decode key: "+c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// The tag of every type, and no other byte, begins an element.
func TestTags(t *testing.T) {
	var known []byte
	for tag := range 256 {
		if typeName(byte(tag)) != "" {
			known = append(known, byte(tag))
		}
	}
	want := fromHex(t, "04 08 09")
	for tag := byte(0x10); tag <= 0x60; tag++ {
		want = append(want, tag)
	}
	want = append(want, fromHex(t, "64 68 6c 70 74")...)
	if !slices.Equal(known, want) {
		t.Errorf("got %x, want %x", known, want)
	}
}
