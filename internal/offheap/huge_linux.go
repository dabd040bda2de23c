//go:build linux && !race

package offheap

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages, which spare most TLB misses and page faults
// of a densely used range. It is a wish: kernels without them refuse.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
