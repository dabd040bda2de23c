package block

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// unpack is Unpack of a form that was not compressed.
func unpack(dst, packed []byte) error { return new(unpacker).unpack(dst, packed) }

// checkPacked proves that the packed form of what b holds makes what Finish makes.
func checkPacked(t *testing.T, b *Builder) {
	t.Helper()
	packed, rawBytes := b.finishPacked()
	packed = bytes.Clone(packed)
	want := bytes.Clone(b.Finish())
	if rawBytes != len(want) {
		t.Fatalf("the block has %d bytes, not the %d that were said", len(want), rawBytes)
	}
	const fence = 32
	buf := bytes.Repeat([]byte{0xa5}, rawBytes+fence)
	if err := unpack(buf[:rawBytes], packed); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf[:rawBytes], want) {
		t.Fatalf("unpacked\n%x, not\n%x", buf[:rawBytes], want)
	}
	if !bytes.Equal(buf[rawBytes:], bytes.Repeat([]byte{0xa5}, fence)) {
		t.Fatal("wrote beyond the block")
	}
	before := []byte("before")
	out, said, done := b.AppendPacked(before)
	if said != rawBytes || !bytes.HasPrefix(out, before) || !done && len(out) != len(before) {
		t.Fatalf("appended %d bytes for a block of %d, which has %d", len(out), said, rawBytes)
	}
	if done {
		clear(buf)
		if err := Unpack(buf[:rawBytes], out[len(before):]); err != nil || !bytes.Equal(buf[:rawBytes], want) {
			t.Fatalf("what was appended is another block: %v", err)
		}
	}
}

func TestPackedIsTheBlock(t *testing.T) {
	const seed = 41
	rng := rand.New(rand.NewPCG(seed, seed))
	var b Builder
	for name, key := range shapes {
		t.Run(fmt.Sprint(name), func(t *testing.T) {
			for range 50 {
				entries := randomEntries(rng, key)
				for _, n := range []int{1, 2, len(entries)} {
					if n = min(n, len(entries)); n > 0 {
						build(&b, entries[:n])
						checkPacked(t, &b)
					}
				}
			}
		})
	}
	t.Run("long", func(t *testing.T) {
		build(&b, []entry{
			{bytes.Repeat([]byte{1}, base.MaxKeyBytes), base.MakeTrailer(7, base.KindSet), make([]byte, 1<<20)},
			{bytes.Repeat([]byte{2}, 300), base.MakeTrailer(1<<50, base.KindDelete), nil},
		})
		checkPacked(t, &b)
	})
}

// TestPackedGolden freezes the example of docs/format/block.md.
func TestPackedGolden(t *testing.T) {
	var b Builder
	build(&b, []entry{
		{[]byte("ab"), base.MakeTrailer(0x105, base.KindSet), []byte("x")},
		{[]byte("abcdefghijKL"), base.MakeTrailer(0x106, base.KindDelete), nil},
		{[]byte("abcdefghijKL"), base.MakeTrailer(0x105, base.KindSet), []byte("yz")},
	})
	packed, _ := b.finishPacked()
	const want = "030111828a040200" + "000a" + "000a0a" + "010002" + "00ff00" + "6162636465666768696a4b4c" + "78797a"
	if got := fmt.Sprintf("%x", packed); got != want {
		t.Errorf("packed\n%s, not\n%s", got, want)
	}
	checkPacked(t, &b)
}

// TestUnpackRefuses cuts and changes a packed form, and asks for other lengths.
func TestUnpackRefuses(t *testing.T) {
	var b Builder
	entries := randomEntries(rand.New(rand.NewPCG(2, 3)), shapes["dense"])
	build(&b, entries)
	packed, rawBytes := b.finishPacked()
	packed = bytes.Clone(packed)
	for cut := range packed {
		if unpack(make([]byte, rawBytes), packed[:cut]) == nil {
			t.Fatalf("no error for %d of %d bytes", cut, len(packed))
		}
	}
	for _, n := range []int{0, 1, headerBytes, rawBytes - 1, rawBytes + 1, 2 * rawBytes} {
		if unpack(make([]byte, n), packed) == nil {
			t.Fatalf("no error for a block of %d bytes instead of %d", n, rawBytes)
		}
	}
	if unpack(make([]byte, rawBytes), append(packed, 0)) == nil {
		t.Fatal("no error for a byte too many")
	}
}

func FuzzUnpack(f *testing.F) {
	var b Builder
	rng := rand.New(rand.NewPCG(4, 4))
	for _, key := range shapes {
		build(&b, randomEntries(rng, key))
		packed, rawBytes := b.finishPacked()
		f.Add(uint16(rawBytes), bytes.Clone(packed))
	}
	f.Fuzz(func(t *testing.T, size uint16, packed []byte) {
		dst := fenced(t, make([]byte, size))
		if unpack(dst, packed) != nil {
			return
		}
		v, err := Parse(dst)
		if err != nil {
			return
		}
		var b Builder
		var it Iter
		it.Init(v)
		for rec := it.First(); rec != nil; rec = it.Next() {
			b.Add(rec.Key, rec.Trailer, rec.Value, base.Hash(rec.Key))
		}
		checkPacked(t, &b)
	})
}

func BenchmarkUnpack(b *testing.B) {
	var builder Builder
	for i := range 80 {
		key := fmt.Appendf(nil, "user:%012d", i*7)
		builder.Add(key, 1, bytes.Repeat([]byte("value "), 30), base.Hash(key))
	}
	packed, rawBytes := builder.finishPacked()
	dst, u := make([]byte, rawBytes), new(unpacker)
	b.SetBytes(int64(rawBytes))
	b.ReportAllocs()
	for b.Loop() {
		if err := u.unpack(dst, packed); err != nil {
			b.Fatal(err)
		}
	}
}
