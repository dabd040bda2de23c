package block

import (
	"syscall"
	"testing"
)

// fenced returns a copy of data that ends at an unreadable page, so that any
// read beyond the end is a fault.
func fenced(t testing.TB, data []byte) []byte {
	t.Helper()
	page := syscall.Getpagesize()
	size := (len(data) + page - 1) / page * page
	memory, err := syscall.Mmap(-1, 0, size+page,
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(memory) })
	if err := syscall.Mprotect(memory[size:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	copy(memory[size-len(data):], data)
	return memory[size-len(data) : size : size]
}
