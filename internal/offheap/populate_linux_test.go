//go:build linux && !race

package offheap

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// isResident reports whether there is memory for all of b.
func isResident(t *testing.T, b []byte) bool {
	t.Helper()
	pages := make([]byte, len(b)/unix.Getpagesize())
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		uintptr(unsafe.Pointer(unsafe.SliceData(pages))))
	if errno != 0 {
		t.Fatalf("mincore: %v", errno)
	}
	for _, page := range pages {
		if page&1 == 0 {
			return false
		}
	}
	return true
}

// The memory behind what an arena hands out comes before it is asked for, a step at a
// time, and is accounted for.
func TestMemoryIsProvidedAhead(t *testing.T) {
	var acct Accountant
	a, err := NewArena(&acct, OwnerMemtable, 8*hugePageBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	if err := unix.Madvise(a.usable[6*hugePageBytes:][:hugePageBytes], unix.MADV_POPULATE_WRITE); err != nil {
		t.Skipf("this kernel provides no memory ahead: %v", err)
	}
	for _, used := range []int{1, 2*hugePageBytes + 1} {
		if _, ok := a.Alloc(uint32(used-a.Used()+baseAlignBytes), 1); !ok {
			t.Fatal("the arena is full")
		}
		next := (a.Used() + hugePageBytes - 1) / hugePageBytes * hugePageBytes
		for begun := time.Now(); !isResident(t, a.usable[next:][:hugePageBytes]); runtime.Gosched() {
			if time.Since(begun) > time.Minute {
				t.Fatalf("after %d bytes nothing was provided", a.Used())
			}
		}
		if got := acct.Total(); got != int64(next+hugePageBytes) {
			t.Errorf("accounted %d bytes for %d and a step", got, a.Used())
		}
	}
	a.Shrink(nil)
	a.populateAhead(a.usable[:hugePageBytes])
	if isResident(t, a.usable[:hugePageBytes]) || acct.Total() != 0 {
		t.Errorf("memory was provided after it was given back; accounted %d bytes", acct.Total())
	}
}
