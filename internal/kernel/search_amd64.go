package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// lowerBoundAVX2 is lowerBound for processors with AVX2: it looks at all numbers.
//
//go:noescape
func lowerBoundAVX2(p unsafe.Pointer, n int, x uint64) int

var hasVectors = cpu.X86.HasAVX2 && !switchedOff

const (
	vectors = "AVX2"
	// vectorMax is how many numbers are looked at all: more are halved first.
	vectorMax = 24
	// vectorMin is how many there must be for it to be worth a call.
	vectorMin = 8
)

// LowerBound returns how many of the n ascending numbers at p are less than x,
// which is the index of the first one that is not. The caller vouches for 8n
// readable bytes at p.
func LowerBound(p unsafe.Pointer, n int, x uint64) int {
	if !hasVectors || n < vectorMin {
		return lowerBound(p, n, x)
	}
	low, n := narrow(p, n, x, vectorMax)
	return low + lowerBoundAVX2(unsafe.Add(p, low<<3), n, x)
}
