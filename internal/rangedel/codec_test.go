package rangedel

import (
	"bytes"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/property"
)

func TestCodec(t *testing.T) {
	property.Check(t, func(t *property.T) {
		var got Fragment
		for _, f := range Build(tombstonesGen.Draw(t, "tombstones")).Fragments() {
			value := f.AppendValue(nil)
			if err := got.Decode(f.Lo, value); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Lo, f.Lo) || !bytes.Equal(got.Hi, f.Hi) || !slices.Equal(got.Seqs, f.Seqs) {
				t.Fatalf("got %v, want %v", got, f)
			}
			checkNewest(t, &f, value)
		}
	})
}

// checkNewest compares what Newest finds in a stored value with the fragment.
func checkNewest(t interface{ Fatalf(string, ...any) }, f *Fragment, value []byte) {
	for seq := base.SeqNum(0); seq <= 10; seq++ {
		hi, newest, found := Newest(value, seq)
		i := slices.IndexFunc(f.Seqs, func(s base.SeqNum) bool { return s <= seq })
		if !bytes.Equal(hi, f.Hi) || found != (i >= 0) || found && newest != f.Seqs[i] {
			t.Fatalf("%v at %d: %q, %d, %v", f, seq, hi, newest, found)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := Fragment{[]byte("a"), []byte("b"), []base.SeqNum{base.SeqNumMax, 7, 0}}
	value := good.AppendValue(nil)
	var f Fragment
	if err := f.Decode(good.Lo, value); err != nil {
		t.Fatal(err)
	}
	for n := range value {
		if err := f.Decode(good.Lo, value[:n]); err == nil {
			t.Errorf("accepted the first %d of %d bytes", n, len(value))
		}
	}
	for name, bad := range map[string][]byte{
		"bytes left over":  append(bytes.Clone(value), 0),
		"no seqs":          {1, 'b', 0},
		"equal seqs":       {1, 'b', 2, 5, 0},
		"negative seq":     {1, 'b', 2, 5, 6},
		"padded number":    {0x81, 0, 'b', 1, 5},
		"huge count":       {1, 'b', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"huge length":      {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'b'},
		"overlong number":  {1, 'b', 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2},
		"seq of 57 bits":   {1, 'b', 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1},
		"empty range":      {1, 'a', 1, 5},
		"backwards range":  {0, 1, 5},
		"nothing whatever": nil,
	} {
		if err := f.Decode([]byte("a"), bad); err == nil {
			t.Errorf("%s: accepted as %v", name, f)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("a"), Fragment{nil, []byte("b"), []base.SeqNum{9, 7, 1}}.AppendValue(nil))
	f.Add([]byte(""), []byte{1, 'b', 1, 5})
	f.Fuzz(func(t *testing.T, lo, value []byte) {
		var frag Fragment
		if frag.Decode(lo, value) != nil {
			return
		}
		if again := frag.AppendValue(nil); !bytes.Equal(again, value) {
			t.Fatalf("%x decodes to %v, which encodes to %x", value, frag, again)
		}
		checkNewest(t, &frag, value)
	})
}
