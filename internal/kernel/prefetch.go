package kernel

import "unsafe"

// lineBytes is how much memory the processors that matter fetch at once.
const lineBytes = 64

// Prefetch asks the processor for the line of memory at p, and does not wait for it. Any
// address is allowed. It is a call, of a few nanoseconds, so it pays only where the line
// is likely to be far away.
func Prefetch(p unsafe.Pointer) { prefetch(p) }

// PrefetchBytes asks for all lines of b.
func PrefetchBytes(b []byte) {
	for i := 0; i < len(b); i += lineBytes {
		prefetch(unsafe.Pointer(&b[i]))
	}
}
