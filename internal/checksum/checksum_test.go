package checksum

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

func TestCRCKnownValues(t *testing.T) {
	// Check values of RFC 3720, appendix B.4.
	zeroes := make([]byte, 32)
	ones := make([]byte, 32)
	ascending := make([]byte, 32)
	for i := range ones {
		ones[i] = 0xff
		ascending[i] = byte(i)
	}
	for _, c := range []struct {
		data []byte
		want uint32
	}{
		{nil, 0},
		{[]byte("123456789"), 0xe3069283},
		{zeroes, 0x8a9136aa},
		{ones, 0x62a8ab43},
		{ascending, 0x46dd794e},
	} {
		if got := CRC(0, c.data); got != c.want {
			t.Errorf("CRC(0, %x) = %08x, want %08x", c.data, got, c.want)
		}
	}
}

func TestCRCContinues(t *testing.T) {
	data := []byte("the quick brown fox jumps over the lazy dog")
	want := CRC(0, data)
	for cut := range data {
		if got := CRC(CRC(0, data[:cut]), data[cut:]); got != want {
			t.Fatalf("cut at %d: %08x, want %08x", cut, got, want)
		}
	}
}

func TestBlockIsCRCOfPlaceAndData(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, seed))
	for range 200 {
		file, offset, kind := rng.Uint64(), rng.Int64(), byte(rng.Uint32())
		data := make([]byte, rng.IntN(300))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		var all []byte
		all = binary.LittleEndian.AppendUint64(all, file)
		all = binary.LittleEndian.AppendUint64(all, uint64(offset))
		all = append(append(all, kind), data...)
		got, want := Block(base.FileNum(file), offset, kind, data), CRC(0, all)
		if got != want {
			t.Fatalf("seed %d: Block(%d, %d, %d) = %08x, want %08x", seed, file, offset, kind, got, want)
		}
	}
}

func TestBlockBindsEachPart(t *testing.T) {
	data := []byte("payload")
	want := Block(3, 4096, 1, data)
	for name, got := range map[string]uint32{
		"file":   Block(4, 4096, 1, data),
		"offset": Block(3, 8192, 1, data),
		"kind":   Block(3, 4096, 2, data),
		"data":   Block(3, 4096, 1, []byte("paYload")),
		"length": Block(3, 4096, 1, append(data, 0)),
	} {
		if got == want {
			t.Errorf("another %s gives the same checksum", name)
		}
	}
}

func TestBlockDoesNotAllocate(t *testing.T) {
	data := make([]byte, 512)
	if n := testing.AllocsPerRun(100, func() { Block(1, 2, 3, data) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkBlock8KiB(b *testing.B) {
	data := make([]byte, 8<<10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		Block(12, 8192, 1, data)
	}
}
