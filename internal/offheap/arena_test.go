package offheap

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

func TestArenaHandsOutAlignedZeroesUntilFull(t *testing.T) {
	for _, capBytes := range []int{1 << 10, 64 << 10, 100_000, 5<<20 + 13} {
		var acct Accountant
		a, err := NewArena(&acct, OwnerMemtable, capBytes)
		if err != nil {
			t.Fatal(err)
		}
		if uintptr(a.Base())%64 != 0 || acct.Total() != 0 || a.Cap() != capBytes {
			t.Fatalf("fresh arena: base %p, accounted %d, capacity %d", a.Base(), acct.Total(), a.Cap())
		}
		rng := rand.New(rand.NewPCG(1, uint64(capBytes)))
		end := uint32(1)
		for {
			size, align := uint32(rng.IntN(300)+1), uint32(1)<<rng.IntN(7)
			usedBytes := a.Used()
			offset, ok := a.Alloc(size, align)
			if !ok {
				if usedBytes+int(size)+int(align) <= capBytes || a.Used() != usedBytes {
					t.Fatalf("refused %d bytes with %d of %d used", size, usedBytes, capBytes)
				}
				break
			}
			if offset < end || offset%align != 0 || int(offset+size) > capBytes {
				t.Fatalf("offset %d for %d bytes aligned %d after %d", offset, size, align, end)
			}
			end = offset + size
			for i, b := range unsafe.Slice((*byte)(unsafe.Add(a.Base(), offset)), size) {
				if b != 0 {
					t.Fatalf("byte %d of a fresh allocation is %#x", i, b)
				}
			}
			clearTo(a, offset, size, 0xff)
			if got := acct.Bytes(OwnerMemtable); got < int64(a.Used()) || got > int64(a.Used()+2*hugePageBytes) {
				t.Fatalf("accounted %d bytes for %d used", got, a.Used())
			}
		}
		if acct.Bytes(OwnerMemtable) != int64(a.Committed()) || acct.Bytes(OwnerCache) != 0 {
			t.Fatalf("accounted %d, committed %d", acct.Total(), a.Committed())
		}
		a.Free()
		a.Free()
		if acct.Total() != 0 || a.Cap() != 0 || a.Committed() != 0 {
			t.Fatalf("accounted %d after Free", acct.Total())
		}
	}
}

func clearTo(a *Arena, offset, size uint32, value byte) {
	b := unsafe.Slice((*byte)(unsafe.Add(a.Base(), offset)), size)
	for i := range b {
		b[i] = value
	}
}

func TestArenaRefusesImpossibleCapacities(t *testing.T) {
	var acct Accountant
	for _, capBytes := range []int{0, -1, maxArenaBytes + 1} {
		if _, err := NewArena(&acct, OwnerMemtable, capBytes); err == nil {
			t.Errorf("capacity of %d bytes accepted", capBytes)
		}
	}
	a, err := NewArena(&acct, OwnerMemtable, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	if _, ok := a.Alloc(1<<32-1, 64); ok {
		t.Error("an allocation of 4 GiB fits in 1 MiB")
	}
}

func TestOwnerNames(t *testing.T) {
	for o, want := range map[Owner]string{OwnerMemtable: "memtable", OwnerCache: "cache", 7: "owner(7)"} {
		if o.String() != want {
			t.Errorf("owner %d is called %q, want %q", uint8(o), o, want)
		}
	}
}

func BenchmarkArenaAlloc(b *testing.B) {
	var acct Accountant
	a, err := NewArena(&acct, OwnerMemtable, 64<<20)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { a.Free() }()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := a.Alloc(136, 8); !ok {
			a.Free()
			if a, err = NewArena(&acct, OwnerMemtable, 64<<20); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// A slice is zero, aligned, and nobody else's.
func TestSlices(t *testing.T) {
	type pair struct {
		a uint64
		b byte
	}
	a, err := NewArena(&Accountant{}, OwnerMemtable, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	if _, ok := a.Alloc(3, 1); !ok {
		t.Fatal("no three bytes")
	}
	list := Slice[pair](a, 100)
	after, _ := a.Alloc(1, 1)
	before := a.Used()
	if len(list) != 100 || SliceBytes[pair](100) != 1600 || Slice[pair](a, 1<<12) != nil || a.Used() != before {
		t.Errorf("%d values, %d bytes, used %d", len(list), SliceBytes[pair](100), a.Used())
	}
	for i := range list {
		if list[i] != (pair{}) {
			t.Errorf("value %d is %v", i, list[i])
		}
		list[i] = pair{^uint64(0), 0xff}
	}
	if got := a.Bytes(after, 1)[0]; got != 0 {
		t.Errorf("the byte behind is %x", got)
	}
}
