package framecache

import (
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/offheap"
)

// This file gives back large blocks that found no room in the cache and that readers
// may still look at, as soon as those have left: nothing of them may pile up. All of it
// belongs to Cache.mu.

// retired is a block that nobody finds any more.
type retired struct {
	block  offheap.Block
	ticket epoch.Ticket // when it was retired
}

// Retire frees a block when all who are in an epoch guard now have left. later does
// something when the caller need not wait for it.
func (c *Cache) Retire(block offheap.Block, later func(task func())) {
	c.mu.Lock()
	c.retired = append(c.retired, retired{block, c.epochs.Now()})
	first := len(c.retired) == 1
	c.reclaimRetired()
	c.mu.Unlock()
	if first {
		later(func() { freeRetired(c, later) })
	}
}

// freeRetired frees what is retired now, and has what comes meanwhile freed later.
func freeRetired(c *Cache, later func(task func())) {
	c.epochs.Synchronize()
	c.mu.Lock()
	c.reclaimRetired()
	more := len(c.retired) > 0
	c.mu.Unlock()
	if more {
		later(func() { freeRetired(c, later) })
	}
}

// MakeWay frees what is retired and nobody can look at any more, and brings the frames
// down to what large blocks leave, of which there is a new one.
func (c *Cache) MakeWay() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reclaimRetired()
	c.shrink()
}

func (c *Cache) reclaimRetired() {
	n := 0
	for n < len(c.retired) && c.epochs.Passed(c.retired[n].ticket) {
		c.retired[n].block.Free()
		n++
	}
	rest := copy(c.retired, c.retired[n:])
	clear(c.retired[rest:])
	c.retired = c.retired[:rest]
}
