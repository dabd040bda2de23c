package engine

import (
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/view"
)

// budget divides the memory of the database. The block cache, which can give back what
// it has at any time, gets what all else leaves. Its method is called with each new
// read state, one call at a time.
type budget struct {
	memory *offheap.Accountant
	cache  *framecache.Cache

	totalBytes int64
	fixedBytes int64        // of what has one size: the buffer of the log
	nextBytes  atomic.Int64 // that the hot-record cache is about to take
}

const (
	// cacheMinFraction of the budget is what the cache has at least.
	cacheMinFraction = 8
	// hotMemtables is room for so many memtables that the hot-record cache leaves.
	hotMemtables = 4
)

// divide gives the cache what is left by memtables, as large as they may become, and by
// those of old read states that somebody still reads. After what is beside its frames, which
// changes with each read, the cache looks itself.
func (b *budget) divide(s *view.State) {
	old := max(b.memory.Bytes(offheap.OwnerMemtable)-s.CommittedBytes(), 0)
	taken := s.ReservedBytes() + old + b.fixedBytes + b.memory.Bytes(offheap.OwnerHotCache) + b.nextBytes.Load()
	b.cache.SetCapacity(max(b.totalBytes-taken, b.totalBytes/cacheMinFraction))
}
