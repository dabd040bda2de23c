//go:build !linux || race

package offheap

func adviseHuge([]byte) {}

// HugePageBytes is not known here.
func HugePageBytes() (sizeBytes int64, known bool) { return 0, false }
