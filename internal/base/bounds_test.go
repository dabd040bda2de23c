package base_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// randomBound makes keys of lengths around base.BoundBytes that have long beginnings in
// common, and bytes at the end of the alphabet.
func randomBound(rng *rand.Rand) []byte {
	key := bytes.Repeat([]byte{'k'}, rng.IntN(base.BoundBytes+40))
	for i := range key {
		if rng.IntN(2*base.BoundBytes) == 0 || i > base.BoundBytes-10 && rng.IntN(20) == 0 {
			key[i] = []byte{0, 1, 'k', 0xfe, 0xff}[rng.IntN(5)]
		}
	}
	return key
}

// TestCutBounds cuts the keys between two others, and sees that order, reach and keyspace
// stay, and that what was cut is known again.
func TestCutBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	cut := 0
	for range 200_000 {
		three := [][]byte{randomBound(rng), randomBound(rng), randomBound(rng)}
		low, key, high := three[0], three[1], three[2]
		if bytes.Compare(low, key) <= 0 {
			got := base.CutLow(key, low)
			if bytes.Compare(got, key) > 0 || bytes.Compare(got, low) < 0 || !base.IsLow(got, key) {
				t.Fatalf("%x above %x is cut to %x", key, low, got)
			}
			if len(got) < len(key) {
				cut++
			}
		}
		if bytes.Compare(key, high) < 0 {
			got := base.CutHigh(nil, key, high)
			if bytes.Compare(got, key) <= 0 || bytes.Compare(got, high) > 0 || !base.IsHigh(got, key) {
				t.Fatalf("%x below %x is cut to %x", key, high, got)
			}
			if len(got) <= len(key) {
				cut++
			}
		}
	}
	if cut < 1000 {
		t.Errorf("%d were cut", cut)
	}
}

// TestCutBoundsAreShort cuts keys that nothing is near.
func TestCutBoundsAreShort(t *testing.T) {
	key := bytes.Repeat([]byte("key"), 20_000)
	if got := base.CutLow(key, nil); len(got) != base.BoundBytes {
		t.Errorf("the lower bound has %d bytes", len(got))
	}
	if got := base.CutHigh([]byte("before"), key, nil); len(got) != len("before")+base.BoundBytes {
		t.Errorf("the upper bound has %d bytes", len(got))
	}
	last := bytes.Repeat([]byte{0xff}, 1000)
	if got := base.CutHigh(nil, last, nil); !bytes.Equal(got, base.Successor(nil, last)) {
		t.Errorf("there is something above what has the last byte only: %x", got)
	}
	short := key[:base.BoundBytes]
	if got := base.CutLow(short, nil); !bytes.Equal(got, short) {
		t.Errorf("a short key is cut: %x", got)
	}
	if got := base.CutHigh(nil, short, nil); !bytes.Equal(got, base.Successor(nil, short)) {
		t.Errorf("a short key is cut: %x", got)
	}
}

// TestForeignBounds asks for bounds that nobody makes.
func TestForeignBounds(t *testing.T) {
	key := bytes.Repeat([]byte("key"), base.BoundBytes)
	raised := base.CutHigh(nil, key, nil)
	raised[len(raised)-1]++
	for i, bound := range [][]byte{nil, key[:base.BoundBytes-1], append(key[:base.BoundBytes:base.BoundBytes], 'x')} {
		t.Run(fmt.Sprint("low ", i), func(t *testing.T) {
			if base.IsLow(bound, key) {
				t.Errorf("%x is taken for a bound", bound)
			}
		})
	}
	for i, bound := range [][]byte{nil, key, append(key[:len(key):len(key)], 1), raised, base.CutHigh(nil, key[:100], nil)} {
		t.Run(fmt.Sprint("high ", i), func(t *testing.T) {
			if base.IsHigh(bound, key) {
				t.Errorf("%x is taken for a bound", bound)
			}
		})
	}
}

func TestSeparator(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"a", "c", "b"},
		{"abc", "abz", "abd"},
		{"abc", "abd", "abc"},
		{"abcd", "abd", "abce"},
		{"abc\xff\xffz", "abd", "abc\xff\xff{"},
		{"abc\xff\xff", "abd", "abc\xff\xff"},
		{"a", "ab", "a"},
		{"a", "b", "a"},
		{"abcdef", "b", "ac"},
		{"\xfe", "\xff", "\xfe"},
		{"\xfeaaaa", "\xff", "\xfeb"},
	} {
		if got := base.AppendSeparator([]byte("+"), []byte(c.a), []byte(c.b)); string(got) != "+"+c.want {
			t.Errorf("%q..%q: %q, want %q", c.a, c.b, got[1:], c.want)
		}
	}
}

// shortKey makes keys that have much in common.
func shortKey(rng *rand.Rand) []byte {
	b := make([]byte, 1+rng.IntN(6))
	for i := range b {
		b[i] = "\x00\x01ab\xfe\xff"[rng.IntN(6)]
	}
	return b
}

func TestSeparatorIsBetween(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		a, b := shortKey(rng), shortKey(rng)
		if bytes.Compare(a, b) >= 0 {
			continue
		}
		s := base.AppendSeparator(nil, a, b)
		if bytes.Compare(s, a) < 0 || bytes.Compare(s, b) >= 0 || len(s) > len(a) {
			t.Fatalf("%x..%x: %x", a, b, s)
		}
		if shared := base.CommonPrefix(a, b); !bytes.Equal(a[:shared], b[:shared]) ||
			shared < len(a) && shared < len(b) && a[shared] == b[shared] {
			t.Fatalf("%x and %x share %d", a, b, shared)
		}
	}
}
