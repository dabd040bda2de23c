package sstable

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

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
		if got := appendSeparator([]byte("+"), []byte(c.a), []byte(c.b)); string(got) != "+"+c.want {
			t.Errorf("%q..%q: %q, want %q", c.a, c.b, got[1:], c.want)
		}
	}
}

func TestSeparatorIsBetween(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		a, b := randomBytes(rng, 1+rng.IntN(6)), randomBytes(rng, 1+rng.IntN(6))
		if bytes.Compare(a, b) >= 0 {
			continue
		}
		s := appendSeparator(nil, a, b)
		if bytes.Compare(s, a) < 0 || bytes.Compare(s, b) >= 0 || len(s) > len(a) {
			t.Fatalf("%x..%x: %x", a, b, s)
		}
		if shared := base.CommonPrefix(a, b); !bytes.Equal(a[:shared], b[:shared]) ||
			shared < len(a) && shared < len(b) && a[shared] == b[shared] {
			t.Fatalf("%x and %x share %d", a, b, shared)
		}
	}
}

func TestBlockRefRoundTrip(t *testing.T) {
	for _, ref := range []blockRef{
		{64, 10, 10}, {1 << 40, 1<<32 - 1, 1<<32 - 1}, {0, 0, 1},
	} {
		b := ref.appendTo(nil)
		got, rest, ok := takeRef(append(bytes.Clone(b), 7))
		if !ok || got != ref || len(rest) != 1 {
			t.Fatalf("%+v: %+v %v %v", ref, got, rest, ok)
		}
		for n := range b {
			if _, _, ok := takeRef(b[:n]); ok {
				t.Fatalf("%+v cut to %d bytes is accepted", ref, n)
			}
		}
	}
}
