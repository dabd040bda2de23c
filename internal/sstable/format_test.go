package sstable

import (
	"bytes"
	"testing"
)

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
