//go:build unix && !race

package offheap

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reserve maps sizeBytes of zeroes. Pages are provided by the kernel when they
// are first touched.
func reserve(sizeBytes int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, sizeBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of memory: %w", sizeBytes, err)
	}
	return b, nil
}

// commit makes a part of a reservation usable; here all of it is from the
// start.
func commit([]byte) error { return nil }

// discard gives back the memory of a part of a reservation, whose content is lost. It is
// advice: a system that does not take it keeps the memory.
func discard(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }

// release gives back what reserve returned.
func release(b []byte) {
	// Unmapping a mapping of our own cannot fail, and nobody could do anything
	// about it.
	_ = unix.Munmap(b)
}
