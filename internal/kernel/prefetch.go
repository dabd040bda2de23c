package kernel

import "unsafe"

// Prefetch asks the processor for the sizeBytes of memory from p on, or for one line if
// those are less, and does not wait for them. Any address is allowed. It is a call, of a
// few nanoseconds, so it pays only where the memory is likely to be far away.
func Prefetch(p unsafe.Pointer, sizeBytes int) { prefetch(p, sizeBytes) }

// PrefetchBytes is Prefetch for a slice.
func PrefetchBytes(b []byte) { prefetch(unsafe.Pointer(unsafe.SliceData(b)), len(b)) }
