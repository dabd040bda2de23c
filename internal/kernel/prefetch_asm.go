//go:build amd64 || arm64

package kernel

import "unsafe"

// prefetch asks for each 64th byte, the first one in any case. No address makes it fault.
//
//go:noescape
func prefetch(p unsafe.Pointer, sizeBytes int)
