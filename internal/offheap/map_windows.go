//go:build windows && !race

package offheap

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// reserve sets aside address space; commit must be called before a part of it
// is touched.
func reserve(sizeBytes int) ([]byte, error) {
	addr, err := windows.VirtualAlloc(0, uintptr(sizeBytes), windows.MEM_RESERVE, windows.PAGE_READWRITE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of memory: %w", sizeBytes, err)
	}
	// Sound: the address is a fresh reservation outside the Go heap, so the
	// collector never moves or frees it. Going through a pointer to the
	// variable is how a foreign address becomes a pointer.
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))), sizeBytes), nil
}

// commit makes a part of a reservation usable, filled with zeroes.
func commit(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	_, err := windows.VirtualAlloc(addr, uintptr(len(b)), windows.MEM_COMMIT, windows.PAGE_READWRITE)
	if err != nil {
		return fmt.Errorf("commit %d bytes of memory: %w", len(b), err)
	}
	return nil
}

// discard gives back the memory of a part of a reservation, whose content is lost.
func discard(b []byte) {
	// What is not given back stays until release.
	_ = windows.VirtualFree(uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), windows.MEM_DECOMMIT)
}

// release gives back what reserve returned.
func release(b []byte) {
	// Releasing a reservation of our own cannot fail, and nobody could do
	// anything about it.
	_ = windows.VirtualFree(uintptr(unsafe.Pointer(unsafe.SliceData(b))), 0, windows.MEM_RELEASE)
}
