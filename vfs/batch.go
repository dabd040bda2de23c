package vfs

import (
	"io"
	"sync"
	"sync/atomic"
)

// batchDepth is how many reads of a batch are under way at once. Disks of today
// answer some thirty small reads together in little more than the time of one.
const batchDepth = 32

// Read is one read of a batch: P is filled from File at Offset. N and Err are what
// ReadAt returned.
type Read struct {
	File   io.ReaderAt
	P      []byte
	Offset int64

	N   int
	Err error
}

// ReadBatch does reads, of one file or several, side by side, and returns when all
// have ended. Each has its own outcome.
func ReadBatch(reads []Read) {
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(reads)); i = next.Add(1) - 1 {
			r := &reads[i]
			r.N, r.Err = r.File.ReadAt(r.P, r.Offset)
		}
	}
	var workers sync.WaitGroup
	for range min(len(reads), batchDepth) - 1 {
		workers.Go(work)
	}
	work()
	workers.Wait()
}
