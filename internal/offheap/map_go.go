//go:build race || !(unix || windows)

package offheap

// reserve returns zeroed memory of the Go heap, for the race detector, which
// watches only that, and for systems without a way to map memory.
func reserve(sizeBytes int) ([]byte, error) { return make([]byte, sizeBytes), nil }

func commit([]byte) error { return nil }

// discard makes what must not be looked at any more useless.
func discard(b []byte) { clear(b) }

func release([]byte) {}
