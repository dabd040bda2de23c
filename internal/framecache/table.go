package framecache

import (
	"math"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/kernel"
	"github.com/lightningdb/lightning/internal/offheap"
)

// dropStep is how many slots Drop clears before it lets others have the lock.
const dropStep = 1024

// Table is the frame table of one file: where each of its blocks is. Slots are
// loaded by readers at any time, who may also count a use in one; apart from
// that they are stored under Cache.mu.
type Table struct {
	cache   *Cache
	slots   []atomic.Uintptr // an entry each, 0 = not in the cache
	id      uint64           // never given to another table
	below   uint64           // hashes of blocks below it are sampled
	ordinal uint32           // in Cache.tables
	dropped bool             // belongs to Cache.mu
}

// NewTable returns a table for a file of the given number of blocks.
func (c *Cache) NewTable(slots int) *Table {
	t := &Table{cache: c, slots: make([]atomic.Uintptr, slots), below: c.below}
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
	e := t.use(slot)
	if e == 0 {
		return nil
	}
	b := e.bytes()
	runtime.KeepAlive(t) // until there is a pointer to the memory: see entry.start
	return b
}

// Peek is Get for one who only prepares for it: no use is counted.
func (t *Table) Peek(slot int) []byte {
	e := entry(t.slots[slot].Load())
	if e == 0 {
		return nil
	}
	b := e.bytes()
	runtime.KeepAlive(t)
	return b
}

// ExpectSlot asks the processor for a slot.
func (t *Table) ExpectSlot(slot int) {
	kernel.Prefetch(unsafe.Pointer(&t.slots[slot]), int(unsafe.Sizeof(t.slots[slot])))
}

// ExpectBlock asks the processor for the first bytes of the block in a slot, with what
// stands before it. It returns false when the block is not in the cache. The caller is
// inside an epoch guard.
func (t *Table) ExpectBlock(slot, sizeBytes int) bool {
	e := entry(t.slots[slot].Load())
	if e == 0 {
		return false
	}
	kernel.Prefetch(unsafe.Pointer(e.preamble()), sizeBytes+offheap.PrefixBytes)
	return true
}

// use loads the slot and counts a use, unless there are enough: then nothing
// is written. Of readers that come at once some may not be counted, which is
// good enough. Only a slot that has not changed is written, so that an entry
// that was taken out does not come back.
func (t *Table) use(slot int) entry {
	s := &t.slots[slot]
	e := s.Load()
	if e&usesMax != usesMax && e != 0 {
		s.CompareAndSwap(e, e+1)
	}
	if hash := blockHash(t.id, uint32(slot)); hash < t.below && e != 0 {
		t.cache.uses.Use(hash, int(entry(e).preamble().sizeBytes), true)
	}
	return entry(e)
}

// Pin returns a handle on the block in the slot, or false when it is not in
// the cache. The caller is inside an epoch guard, which the handle outlives.
func (t *Table) Pin(slot int) (Handle, bool) {
	e := t.use(slot)
	if e == 0 {
		return Handle{}, false
	}
	f := t.cache.frames.at(e.preamble().index)
	// The frame may have been unlinked since the load; the guard keeps it
	// from being freed until the pin counts.
	f.pins.Add(1)
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
	if hash := blockHash(t.id, uint32(slot)); hash < t.below { // a use that missed
		c.uses.Use(hash, int(h.frame.charge()), false)
	}
	if e := t.use(slot); e != 0 {
		f := c.frames.at(e.preamble().index)
		f.pins.Add(1) // attached, hence not freed before the lock is released
		h.frame.pins.Store(0)
		c.free(h.frame)
		return Handle{cache: c, frame: f}
	}
	f := h.frame
	f.table, f.slot = t.ordinal, uint32(slot)
	f.pins.Add(-privatePin)
	c.admit(f, t.id)
	t.slots[slot].Store(uintptr(f.home))
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
			if e := entry(t.slots[i].Load()); e != 0 {
				c.unlink(c.frames.at(e.preamble().index))
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
