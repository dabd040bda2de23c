// Package framecache keeps blocks of table files in memory that the garbage
// collector does not see.
//
// A file has a Table with one slot for each of its blocks; a slot holds the
// address of the block, or zero. Finding a block is one load from the slot and
// one from the cache line that the block begins in: there is no hash, no shard
// and no lock on that way. Memory comes from an offheap.Slab. What else there
// is to know about a block in the cache is in its frame, which readers do not
// look at unless they pin it.
//
// # Life of a frame
//
//	free     -> private   Alloc: pinned by the caller, who reads the block into it
//	private  -> attached  Publish: the slot has its address, and it is in the small or main queue
//	private  -> free      Release without Publish
//	attached -> limbo     eviction or Drop: the slot is zero again
//	limbo    -> held      the epoch passed but the frame is pinned
//	limbo, held -> free   the epoch passed and nobody pins it
//
// # Invariants
//
//   - A frame's address, and size and number in the preamble of its block, are
//     written while it is private and do not change before it is free. Its memory
//     is freed only when nobody can reach it: readers inside an epoch guard may
//     have found it as long as the ticket taken after its unlinking has not passed;
//     pins are only added by those readers or by Publish to an attached frame, so once the ticket
//     passed they only get fewer, and at zero nobody is left.
//   - The bytes of all frames that are not free never exceed the capacity when
//     Alloc hands out one more. Limbo counts, as its memory is still in use.
//   - Since a caller of Alloc is usually inside a guard, which keeps what it
//     evicts in limbo, eviction runs ahead: it holds a reserve of free or
//     soon-to-be-free memory.
//
// # Thread-safety
//
// Everything but Close may be called at any time by any number of goroutines.
// Get and Pin take no lock, and change nothing but the count of uses in a slot
// and the pins of a frame; all else that changes queues, slots or the frame
// list happens under Cache.mu.
package framecache

import (
	"math"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/reuse"
)

const (
	// The reserve is a fraction of the capacity, within bounds: a few blocks
	// for a small cache, and no more than many readers that wait for the disk
	// at once need for a large one.
	reserveFraction    = 32
	reserveMinBytes    = 64 << 10
	reserveMaxBytes    = 8 << 20
	reserveMaxFraction = 8
	batchFraction      = 4 // of the reserve, evicted beyond the need

	// An aheadFraction of the capacity, within a bound, may be borrowed for reading
	// ahead, beside it.
	aheadFraction = 8
	aheadMaxBytes = 16 << 20

	// What is beside its frames leaves the cache this part of its capacity at least.
	limitFraction = 4

	// wasteFreeBytes is how much of the slab's waste does not count: much of it is where
	// the next frames go.
	wasteFreeBytes = 512 << 10

	// One frame may take half of the capacity.
	frameMaxFraction = 2
	frameMaxBytes    = 1<<31 - 1

	// Refusals of small blocks raise the reserve to this share at most, and it
	// is given up after blocks took wantedPatience times its size.
	wantedMaxFraction = 4
	wantedPatience    = 16
)

// Config says how large a cache is and what it works with.
type Config struct {
	CapacityBytes int64
	Epochs        *epoch.Domain
	Memory        *offheap.Accountant
	Uses          *reuse.Curve // is told of blocks that are asked for; nil: nobody is
}

// Cache holds the frames of all tables. See the package comment.
type Cache struct {
	frames directory // read without the lock

	epochs *epoch.Domain
	slab   *offheap.Slab
	memory *offheap.Accountant
	uses   *reuse.Curve // nil: none
	below  uint64       // hashes of blocks below it are sampled for it

	// Ahead is for reading ahead.
	Ahead Allowance

	mu       ranked.Mutex[ranked.Cache]
	closed   bool
	capacity int64
	used     int64 // bytes of all frames that are not free
	wanted   int64 // added to the reserve by refusals, see makeRoom
	queues   [queueCount]queue
	ghost    ghost
	tables   []*Table // by ordinal, nil where one was dropped
	holes    []uint32 // ordinals of the nils
	tableIDs uint64   // given out so far
	counts   counts
	retired  []retired // the oldest first
}

type counts struct {
	allocs                                     atomic.Uint64 // read without the lock
	refusals, evictions, promotions, ghostHits uint64
}

// Metrics is a consistent picture of a cache. Hits are not counted: it would
// cost more than the hit.
type Metrics struct {
	CapacityBytes int64
	UsedBytes     int64 // of all frames, limbo included
	LimboBytes    int64 // of frames evicted and not yet freed
	Frames        int   // visible in tables
	Misses        uint64
	Refusals      uint64 // misses that got no frame
	Evictions     uint64
	Promotions    uint64 // frames that proved useful while on probation
	GhostHits     uint64 // frames that came back soon after their eviction
}

// New returns an empty cache.
func New(cfg Config) *Cache {
	c := &Cache{
		epochs:   cfg.Epochs,
		memory:   cfg.Memory,
		slab:     offheap.NewSlab(cfg.Memory, offheap.OwnerCache),
		capacity: max(cfg.CapacityBytes, 0),
		uses:     cfg.Uses,
	}
	if c.uses != nil {
		c.below = c.uses.Below()
	}
	c.Ahead.max.Store(min(c.capacity/aheadFraction, aheadMaxBytes))
	c.ghost.resize(c.capacity)
	return c
}

// SetCapacity changes how many bytes the cache may hold. When it shrinks,
// frames are evicted at once; memory that readers still look at follows as
// they leave and other calls come in. A call with the present capacity frees
// what can be freed by now.
func (c *Cache) SetCapacity(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.capacity = max(bytes, 0)
	c.Ahead.max.Store(min(c.capacity/aheadFraction, aheadMaxBytes))
	c.ghost.resize(c.capacity)
	c.shrink()
}

// CapacityBytes returns how many bytes the cache may hold.
func (c *Cache) CapacityBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.capacity
}

// shrink brings the frames down to the limit.
func (c *Cache) shrink() {
	if over := c.attachedBytes() - (c.limit() - c.reserveBytes()); over > 0 {
		c.evict(over)
	}
	c.reclaim(math.MaxInt64)
	c.reclaimHeld()
}

// limit is the capacity without what is being read beside the cache, which is large values
// and the buffers of those who read tables in large pieces, and without what the slab has
// of the system and cannot use, or a part of it. What of that is free for the next frames
// is in the reserve already.
func (c *Cache) limit() int64 {
	beside := c.memory.Bytes(offheap.OwnerLarge) + c.memory.Bytes(offheap.OwnerBuffers)
	waste := max(c.slab.WasteBytes()-max(c.reserveBytes(), wasteFreeBytes), 0)
	return max(c.capacity-beside-waste, c.capacity/limitFraction)
}

// reserveBytes is how much is kept out of attached frames in normal times.
func (c *Cache) reserveBytes() int64 {
	r := min(max(c.capacity/reserveFraction, reserveMinBytes), reserveMaxBytes)
	return min(r, c.capacity/reserveMaxFraction)
}

// attachedBytes counts the frames that eviction has not dealt with: attached
// and private ones, and those held by pins alone, which can last.
func (c *Cache) attachedBytes() int64 { return c.used - c.queues[queueLimbo].bytes }

// Alloc returns a private frame of sizeBytes, pinned once, to read a block
// into and Publish, or just to Release. It returns false when the capacity
// has no room for it now; the caller then uses memory of its own.
func (c *Cache) Alloc(sizeBytes int) (Handle, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.allocs.Add(1)
	f := c.alloc(sizeBytes)
	if f == nil {
		c.counts.refusals++
		return Handle{}, false
	}
	return Handle{cache: c, frame: f}, true
}

func (c *Cache) alloc(sizeBytes int) *frame {
	if c.closed || sizeBytes <= 0 || sizeBytes > frameMaxBytes {
		return nil
	}
	need := chargeBound(sizeBytes)
	if !c.makeRoom(need) {
		return nil
	}
	f := c.takeFrame()
	if f == nil {
		return nil
	}
	block, err := c.slab.Alloc(sizeBytes)
	if err != nil { // the system is out of memory: no reason to fail a read
		c.putFrame(f)
		return nil
	}
	invariant.Check(int64(cap(block)) <= need, "%d bytes for %d", cap(block), sizeBytes)
	f.setBlock(block)
	f.pins.Store(privatePin + 1)
	c.used += f.charge()
	return f
}

// chargeBound returns an upper bound of what the slab takes for a block.
func chargeBound(sizeBytes int) int64 {
	const (
		classMinBytes = 64
		soleFromBytes = 16 << 10 // larger blocks may be mapped in units
		soleUnitBytes = 4 << 10
		slabMaxBytes  = 128 << 10 // larger ones always are
		unitBytes     = 64 << 10
	)
	switch {
	case sizeBytes > slabMaxBytes:
		return int64(sizeBytes) + unitBytes
	case sizeBytes > soleFromBytes:
		return int64(sizeBytes) + max(int64(sizeBytes)/8+classMinBytes, soleUnitBytes)
	}
	return int64(sizeBytes) + int64(sizeBytes)/8 + classMinBytes
}

// makeRoom evicts and reclaims until need more bytes fit. What is evicted here
// can often not be reclaimed here, because the caller is inside a guard. So a
// block that is large against the reserve is refused once, and a small one is
// when readers stay inside long while others fill the cache. Each refusal
// raises the reserve by what was missing, within bounds, so that the next try
// finds room; with each success it sinks a little.
func (c *Cache) makeRoom(need int64) bool {
	limit := c.limit()
	if need > limit/frameMaxFraction {
		return false
	}
	reserve := c.reserveBytes()
	goal := limit - reserve - max(c.wanted-need, 0)
	batch := reserve / batchFraction
	for range 2 { // the second round knows which frames are held by pins
		if over := c.attachedBytes() + need - goal; over > 0 {
			c.evict(over + batch)
		}
		// Not only when it is urgent: a caller that is inside a guard lets
		// the epoch move by one at most, and it has to move several times.
		c.reclaim(need + batch)
		if c.used+need > limit {
			c.reclaimHeld()
		}
		if c.used+need <= limit {
			if need >= c.wanted {
				c.wanted = 0
			} else {
				c.wanted -= min(c.wanted, need/wantedPatience)
			}
			return true
		}
	}
	raised := min(c.wanted+need, c.capacity/wantedMaxFraction)
	c.wanted = max(c.wanted, need, raised)
	return false
}

// reclaim frees frames from limbo whose readers have left, about wantBytes of
// them; those that are pinned become held.
func (c *Cache) reclaim(wantBytes int64) {
	for wantBytes > 0 {
		f := c.last(queueLimbo)
		if f == nil || !c.epochs.Passed(f.ticket) {
			return
		}
		c.remove(f)
		if f.pins.Load() != 0 {
			c.push(queueHeld, f)
			continue
		}
		wantBytes -= f.charge()
		c.free(f)
	}
}

// reclaimHeld frees the held frames whose last pin is gone. It looks at all of
// them.
func (c *Cache) reclaimHeld() {
	for i := c.queues[queueHeld].tail; i != 0; {
		f := c.frames.at(i)
		i = f.prev
		if f.pins.Load() == 0 {
			c.remove(f)
			c.free(f)
		}
	}
}

// free gives back the memory of a frame that nobody can reach.
func (c *Cache) free(f *frame) {
	c.used -= f.charge()
	c.slab.Free(f.block())
	c.putFrame(f)
}

// Misses is how many blocks were asked for that were not in the cache, since New.
// It takes no lock.
func (c *Cache) Misses() uint64 { return c.counts.allocs.Load() }

// Metrics returns the present state and the counts since New.
func (c *Cache) Metrics() Metrics {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Metrics{
		CapacityBytes: c.capacity,
		UsedBytes:     c.used,
		LimboBytes:    c.queues[queueLimbo].bytes + c.queues[queueHeld].bytes,
		Frames:        c.queues[queueSmall].count + c.queues[queueMain].count,
		Misses:        c.counts.allocs.Load(),
		Refusals:      c.counts.refusals,
		Evictions:     c.counts.evictions,
		Promotions:    c.counts.promotions,
		GhostHits:     c.counts.ghostHits,
	}
}

// Close drops all tables, waits for the readers inside guards and returns the
// memory. It reports the bytes of frames that are still pinned; if there are
// any, a handle was not released, and the memory is not unmapped under it.
func (c *Cache) Close() (leakedBytes int64) {
	c.mu.Lock()
	c.closed = true
	tables := append([]*Table(nil), c.tables...)
	c.mu.Unlock()
	for _, t := range tables {
		if t != nil {
			t.Drop()
		}
	}
	c.epochs.Synchronize()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reclaim(math.MaxInt64)
	c.reclaimHeld()
	if c.used == 0 {
		c.slab.Close()
	}
	return c.used
}

// Handle is one pin on a frame. It is a value; Release is called exactly once
// among all copies. The zero Handle is nothing and may be released.
type Handle struct {
	cache *Cache
	frame *frame
}

// Bytes returns the block, which is valid until Release. It may be written
// only before Publish, by whom Alloc gave the handle to.
func (h Handle) Bytes() []byte {
	if h.frame == nil {
		return nil
	}
	return h.frame.bytes()
}

// Release gives up the pin.
func (h Handle) Release() {
	if h.frame == nil {
		return
	}
	left := h.frame.pins.Add(-1)
	if invariant.Enabled {
		invariant.Check(left >= 0 && left != privatePin-1, "handle released twice: %d", left)
	}
	if left == privatePin {
		// Never published: nobody else knows it, no epoch has to pass.
		h.cache.mu.Lock()
		h.cache.free(h.frame)
		h.cache.mu.Unlock()
	}
}
