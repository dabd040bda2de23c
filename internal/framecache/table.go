package framecache

import (
	"math"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/invariant"
)

// dropStep is how many slots Drop clears before it lets others have the lock.
const dropStep = 1024

// Table is the frame table of one file: which frame each of its blocks is in.
// Slots are loaded by readers at any time and stored under Cache.mu.
type Table struct {
	cache   *Cache
	slots   []atomic.Uint32 // number of the frame, 0 = not in the cache
	id      uint64          // never given to another table
	ordinal uint32          // in Cache.tables
	dropped bool            // belongs to Cache.mu
}

// NewTable returns a table for a file of the given number of blocks.
func (c *Cache) NewTable(slots int) *Table {
	t := &Table{cache: c, slots: make([]atomic.Uint32, slots)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tableIDs++
	t.id = c.tableIDs
	if n := len(c.holes); n > 0 {
		t.ordinal = c.holes[n-1]
		c.holes = c.holes[:n-1]
		c.tables[t.ordinal] = t
		return t
	}
	t.ordinal = uint32(len(c.tables))
	c.tables = append(c.tables, t)
	return t
}

// Get returns the block in the slot, or nil when it is not in the cache. The
// caller is inside an epoch guard; the bytes are valid until it exits and must
// not be written.
func (t *Table) Get(slot int) []byte {
	index := t.slots[slot].Load()
	if index == 0 {
		return nil
	}
	f := t.cache.frames.at(index)
	f.use()
	return f.bytes()
}

// Pin returns a handle on the block in the slot, or false when it is not in
// the cache. The caller is inside an epoch guard, which the handle outlives.
func (t *Table) Pin(slot int) (Handle, bool) {
	index := t.slots[slot].Load()
	if index == 0 {
		return Handle{}, false
	}
	f := t.cache.frames.at(index)
	// The frame may have been unlinked since the load; the guard keeps it
	// from being freed until the pin counts.
	f.pins.Add(1)
	f.use()
	return Handle{cache: t.cache, frame: f}, true
}

// Publish makes the frame that Alloc returned visible in the slot; its bytes
// must not be written any more. The handle stays pinned and is returned,
// unless the slot was filled meanwhile: then h is released and the frame that
// is there is returned, pinned. In a dropped table h just stays private.
func (t *Table) Publish(slot int, h Handle) Handle {
	c := t.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	invariant.Check(h.frame.pins.Load() == privatePin+1, "publish of a frame that is not private")
	if t.dropped {
		return h
	}
	if index := t.slots[slot].Load(); index != 0 {
		f := c.frames.at(index)
		f.pins.Add(1) // attached, hence not freed before the lock is released
		f.use()
		h.frame.pins.Store(0)
		c.free(h.frame)
		return Handle{cache: c, frame: f}
	}
	f := h.frame
	f.table, f.slot = t.ordinal, uint32(slot)
	f.pins.Add(-privatePin)
	c.admit(f, t.id)
	t.slots[slot].Store(f.index)
	return h
}

// Drop evicts all blocks of the file. The table stays empty from then on;
// handles stay valid until they are released.
func (t *Table) Drop() {
	c := t.cache
	c.mu.Lock()
	dropped := t.dropped
	t.dropped = true // nothing is published from here on
	c.mu.Unlock()
	if dropped {
		return
	}
	for start := 0; start < len(t.slots); start += dropStep {
		c.mu.Lock()
		for i := start; i < min(start+dropStep, len(t.slots)); i++ {
			if index := t.slots[i].Load(); index != 0 {
				c.unlink(c.frames.at(index))
			}
		}
		c.reclaim(math.MaxInt64)
		c.reclaimHeld()
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tables[t.ordinal] = nil
	c.holes = append(c.holes, t.ordinal)
}
