//go:build linux && !race

package offheap

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestHugePagesIn(t *testing.T) {
	for text, want := range map[string]int64{
		"5566-7788 ---p 00000000 00:00 0 [rollup]\nRss:  1052 kB\nAnonHugePages:      4096 kB\nSwap: 0 kB\n": 4 << 20,
		"AnonHugePages:         0 kB\n": 0,
		"Rss:  1052 kB\n":               -1,
		"":                              -1,
		"AnonHugePages: many\n":         -1,
	} {
		got, known := hugePagesIn([]byte(text))
		if known != (want >= 0) || known && got != want {
			t.Errorf("%q: %d, %v", text, got, known)
		}
	}
}

// An arena that is written full lies in huge pages, if the kernel has some to give.
func TestArenaHasHugePages(t *testing.T) {
	before, known := HugePageBytes()
	if !known {
		t.Skip("the kernel does not tell")
	}
	own, err := unix.Mmap(-1, 0, 8*hugePageBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(own) }()
	adviseHuge(own)
	for i := 0; i < len(own); i += 4096 {
		own[i] = 1
	}
	possible, _ := HugePageBytes()
	if possible == before {
		t.Skip("the kernel gives none")
	}
	var accountant Accountant
	arena, err := NewArena(&accountant, OwnerMemtable, 16*hugePageBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Free()
	for range 15 * hugePageBytes / 4096 {
		at, ok := arena.Alloc(4096, 8)
		if !ok {
			t.Fatal("the arena is full")
		}
		clear(arena.Bytes(at, 4096))
	}
	if after, _ := HugePageBytes(); after-possible < 8*hugePageBytes {
		t.Errorf("of %d bytes %d are in huge pages", 15*hugePageBytes, after-possible)
	}
}
