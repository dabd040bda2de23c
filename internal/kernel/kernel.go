// Package kernel holds the small loops that the readers of blocks spend their time in: lower
// bound over arrays of 64-bit numbers, and the instruction that asks for memory ahead of its
// use.
//
// prefetch.go is about the latter. The search is a pure function over memory that the caller
// owns. The arrays are little-endian and need no alignment, as they lie in file images.
// Where the processor has vectors that make it faster it is in assembly, with a twin in Go
// that does the same.
package kernel

import "os"

// switchedOff says that no loop is to use vectors: LIGHTNING_SIMD=off in the environment of
// the process. It is for those who suspect one, and for tests.
var switchedOff = os.Getenv("LIGHTNING_SIMD") == "off"

// Vectors returns the name of the instructions that loops use, "" if they are in Go.
func Vectors() string {
	if hasVectors {
		return vectors
	}
	return ""
}
