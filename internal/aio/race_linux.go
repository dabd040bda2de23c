//go:build race

package aio

import (
	"runtime"
	"unsafe"
)

// wrote tells the race detector what the kernel has written.
func wrote(p []byte) {
	if len(p) > 0 {
		runtime.RaceWriteRange(unsafe.Pointer(unsafe.SliceData(p)), len(p))
	}
}
