//go:build amd64 || arm64

package kernel

import "unsafe"

// prefetch is one instruction, which no address makes fault.
//
//go:noescape
func prefetch(p unsafe.Pointer)
