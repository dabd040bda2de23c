//go:build !amd64

package kernel

import "unsafe"

const (
	hasVectors = false
	vectors    = ""
)

// LowerBound returns how many of the n ascending numbers at p are less than x,
// which is the index of the first one that is not. The caller vouches for 8n
// readable bytes at p.
func LowerBound(p unsafe.Pointer, n int, x uint64) int { return lowerBound(p, n, x) }
