package compress

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
)

var codecs = []Codec{None, Fast, Small}

// compressible returns size bytes of which about half are predictable.
func compressible(rng *rand.Rand, size int) []byte {
	b := make([]byte, 0, size+64)
	for len(b) < size {
		b = fmt.Appendf(b, "record-%08d:", rng.IntN(1<<20))
		for range 8 {
			b = append(b, byte(rng.Uint32()))
		}
	}
	return b[:size]
}

func random(rng *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// store is Append, or else the bytes as they are.
func store(dst []byte, c Codec, src []byte) ([]byte, Codec) {
	out, done := Append(dst, c, src, len(src))
	if !done {
		return append(out, src...), None
	}
	return out, c
}

func TestRoundTrip(t *testing.T) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, seed))
	prefix := []byte("kept prefix")
	for _, size := range []int{0, 1, 2, 15, 100, 4 << 10, 8 << 10, 64<<10 + 3, 3 << 20} {
		for _, src := range [][]byte{compressible(rng, size), random(rng, size), make([]byte, size)} {
			for _, c := range codecs {
				out, used := store(bytes.Clone(prefix), c, src)
				if !bytes.HasPrefix(out, prefix) {
					t.Fatalf("%v, %d bytes: what was in dst is gone", c, size)
				}
				payload := out[len(prefix):]
				if used != None && len(payload)*100 > len(src)*(100-minSavedPercent) {
					t.Fatalf("%v kept for %d of %d bytes", used, len(payload), size)
				}
				if used == None && !bytes.Equal(payload, src) {
					t.Fatalf("%v, %d bytes: None altered the bytes", c, size)
				}
				// The bytes behind dst are a fence that must stay whole.
				buf := bytes.Repeat([]byte{0xa5}, size+64)
				if err := Decompress(buf[:size], used, payload); err != nil {
					t.Fatalf("%v, %d bytes: %v", used, size, err)
				}
				if !bytes.Equal(buf[:size], src) {
					t.Fatalf("%v, %d bytes: round trip differs", used, size)
				}
				if !bytes.Equal(buf[size:], bytes.Repeat([]byte{0xa5}, 64)) {
					t.Fatalf("%v, %d bytes: wrote beyond dst", used, size)
				}
			}
		}
	}
}

func TestAppendKeepsOnlyWhatPays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []Codec{Fast, Small} {
		if _, used := store(nil, c, random(rng, 8<<10)); used != None {
			t.Errorf("%v kept for random bytes", c)
		}
		if out, used := store(nil, c, make([]byte, 8<<10)); used != c || len(out) > 200 {
			t.Errorf("zeroes: used %v, %d bytes; want %v", used, len(out), c)
		}
	}
	if out, used := store(nil, Codec(9), []byte("abc")); used != None || string(out) != "abc" {
		t.Errorf("unknown codec: %q, %v", out, used)
	}
}

func TestDecompressRefusesWrongLength(t *testing.T) {
	src := bytes.Repeat([]byte("abcdefgh"), 1000)
	for _, c := range codecs {
		out, used := store(nil, c, src)
		if used != c {
			t.Fatalf("used %v, want %v", used, c)
		}
		for _, n := range []int{0, 1, len(src) - 1, len(src) + 1, 2 * len(src)} {
			if err := Decompress(make([]byte, n), used, out); err == nil {
				t.Errorf("%v: no error for %d instead of %d bytes", c, n, len(src))
			}
		}
		for cut := range out[:len(out)-1] {
			if err := Decompress(make([]byte, len(src)), used, out[:cut]); err == nil {
				t.Errorf("%v: no error for %d of %d payload bytes", c, cut, len(out))
			}
		}
	}
	if err := Decompress(nil, Codec(3), nil); err == nil {
		t.Error("no error for an unknown codec")
	}
}

// TestHostileLengths feeds headers that claim gigabytes.
func TestHostileLengths(t *testing.T) {
	fast := append(binary.AppendUvarint(nil, 4<<30-1), 0, 1, 2, 3)
	// A zstd frame: magic, descriptor (8-byte content size, single segment),
	// size, one raw block of one byte.
	var small [2][]byte
	for i, size := range []uint64{3 << 30, 64 << 20} {
		small[i] = []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}
		small[i] = binary.LittleEndian.AppendUint64(small[i], size)
		small[i] = append(small[i], 9, 0, 0, 'x')
	}
	// The same without a content size but a window of 512 MiB.
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 19 << 3, 9, 0, 0, 'x'}
	dst := make([]byte, 100)
	_ = Decompress(dst, Small, small[0]) // makes the shared coder
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		if Decompress(dst, Fast, fast) == nil || Decompress(dst, Small, small[0]) == nil ||
			Decompress(dst, Small, small[1]) == nil || Decompress(dst, Small, window) == nil {
			t.Fatal("no error")
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Fatalf("%d bytes allocated for claims of hostile headers", n)
	}
}

func TestCodecText(t *testing.T) {
	for c, want := range map[Codec]string{None: "none", Fast: "fast", Small: "small", 7: "codec(7)"} {
		if c.String() != want || c.Valid() != (c < 3) {
			t.Errorf("%d: %v, valid %v", uint8(c), c, c.Valid())
		}
	}
}

func FuzzDecompress(f *testing.F) {
	for _, c := range codecs {
		out, used := store(nil, c, bytes.Repeat([]byte("fuzz seed "), 50))
		f.Add(byte(used), uint16(500), out)
	}
	f.Fuzz(func(t *testing.T, codec byte, size uint16, src []byte) {
		buf := bytes.Repeat([]byte{0xa5}, int(size)+32)
		dst := buf[:size]
		err := Decompress(dst, Codec(codec), src)
		if !bytes.Equal(buf[size:], bytes.Repeat([]byte{0xa5}, 32)) {
			t.Fatal("wrote beyond dst")
		}
		if err != nil {
			return
		}
		out, used := store(nil, Codec(codec), dst)
		again := make([]byte, size)
		if err := Decompress(again, used, out); err != nil || !bytes.Equal(again, dst) {
			t.Fatalf("round trip: %v", err)
		}
	})
}

func BenchmarkAppend8KiB(b *testing.B) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, src := range map[string][]byte{
		"half": compressible(rng, 8<<10), "random": random(rng, 8<<10),
	} {
		for _, c := range codecs {
			b.Run(name+"/"+c.String(), func(b *testing.B) {
				var out []byte
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					out, _ = store(out[:0], c, src)
				}
				b.ReportMetric(float64(len(out))/float64(len(src)), "ratio")
			})
		}
	}
}

func BenchmarkDecompress8KiB(b *testing.B) {
	src := compressible(rand.New(rand.NewPCG(3, 4)), 8<<10)
	dst := make([]byte, len(src))
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			out, used := store(nil, c, src)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Decompress(dst, used, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Who uses the library in a bubble of testing/synctest first can use it outside of it later.
func TestBubbles(t *testing.T) {
	src := bytes.Repeat([]byte("some text "), 100)
	roundTrip := func(t *testing.T) {
		stored, done := Append(nil, Small, src, len(src))
		if dst := make([]byte, len(src)); !done || Decompress(dst, Small, stored) != nil || !bytes.Equal(dst, src) {
			t.Error("not what was stored")
		}
	}
	synctest.Test(t, roundTrip)
	roundTrip(t)
	synctest.Test(t, roundTrip)
}
