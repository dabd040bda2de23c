//go:build !race

package lightning_test

// Without the race detector, under which the arenas lie in Go's heap and would be
// counted in full, however little of them is used.

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/lightningdb/lightning"
)

// heapBytes is what is in use of Go's heap.
func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools held is gone now
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A keyspace takes at most a kibibyte of memory, its handle included, whether the
// manifest or the log knows of it.
func TestKeyspacesTakeLittleMemory(t *testing.T) {
	const count, bytesMax = 10_000, 1 << 10
	for _, flushed := range []bool{true, false} {
		few := heapOf(t, 0, flushed)
		each := (heapOf(t, count, flushed) - few) / count
		t.Logf("flushed: %v, each takes %d B", flushed, each)
		if each > bytesMax {
			t.Errorf("flushed: %v, each takes %d B", flushed, each)
		}
	}
}

// heapOf returns what an open database with so many keyspaces and a handle to each
// takes.
func heapOf(t *testing.T, count int, flushed bool) int64 {
	opts := makeKeyspaces(t, count, flushed)
	before := heapBytes()
	db, err := lightning.Open("db", opts)
	must(t, err)
	handles := make([]*lightning.Keyspace, count)
	for i := range handles {
		handles[i], err = db.Keyspace(context.Background(), fmt.Sprintf("tenant-%06d", i), nil)
		must(t, err)
	}
	taken := heapBytes() - before
	if names := db.Keyspaces(); len(names) != len(handles) {
		t.Errorf("%d keyspaces of %d", len(names), count)
	}
	runtime.KeepAlive(handles)
	must(t, db.Close())
	return taken
}
