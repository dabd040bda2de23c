package kernel

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Load64 reads a little-endian number of any alignment at p+offset.
//
// The array type has alignment one and Uint64 compiles to a plain load, so no
// assumption is made about the address; the caller vouches for the 8 bytes.
func Load64(p unsafe.Pointer, offset uintptr) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(p, offset))[:])
}

// less is 1 if a < b, else 0, without a branch.
func less(a, b uint64) int {
	_, borrow := bits.Sub64(a, b, 0)
	return int(borrow)
}

// lowerBound is LowerBound in Go.
func lowerBound(p unsafe.Pointer, n int, x uint64) int {
	low, n := narrow(p, n, x, 1)
	if n == 1 {
		low += less(Load64(p, uintptr(low)<<3), x)
	}
	return low
}

// narrow halves the numbers until no more than most are left in which the search ends, from
// the one at low on.
func narrow(p unsafe.Pointer, n int, x uint64, most int) (low, left int) {
	for n > most {
		half := n >> 1
		if Load64(p, uintptr(low+half-1)<<3) < x {
			low += half
		}
		n -= half
	}
	return low, n
}
