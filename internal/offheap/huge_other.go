//go:build !linux || race

package offheap

func adviseHuge([]byte) {}
