//go:build !amd64 && !arm64

package kernel

import "unsafe"

// prefetch does nothing on this processor.
func prefetch(unsafe.Pointer, int) {}
