package framecache

import "sync/atomic"

// This file chooses what to evict. New frames are on probation in a small
// first-in-first-out queue. Those used again before they reach its end move to
// the main queue, a clock over counts of uses; the others are evicted, and a
// fingerprint of them is kept as a ghost for a while: a block that comes back
// while its ghost is there goes to the main queue directly. A scan, whose
// blocks are used once, thus passes through the small queue and leaves the
// main one alone.
//
// All of it belongs to Cache.mu, except that readers count uses meanwhile, in
// the slots. A use that is counted while a slot is rewritten here can get lost;
// the rest of the slot changes under the lock alone.

const (
	// smallFraction is the share of the capacity for probation, 1/n.
	smallFraction = 10

	// promoteUses is how many uses after its publication make a frame leave
	// probation for the main queue.
	promoteUses = 1

	// reprievesMax bounds how many used frames of the main queue are passed
	// over for one victim, and so the time the lock is held when all are hot.
	reprievesMax = 128

	// pinnedRounds is how often a queue may come round to its pinned frames
	// before it is given up: as often as a count of uses can go down.
	pinnedRounds = usesMax + 1
)

// admit puts a frame that was just published into a queue.
func (c *Cache) admit(f *frame, tableID uint64) {
	kind := queueSmall
	if c.ghost.take(fingerprint(tableID, f.slot)) {
		c.counts.ghostHits++
		kind = queueMain
	}
	c.push(kind, f)
}

// evict unlinks frames of at least wantBytes, fewer if all others are pinned.
func (c *Cache) evict(wantBytes int64) {
	var skips [queueCount]int // pinned frames met, by queue
	for wantBytes > 0 {
		f := c.victim(&skips)
		if f == nil {
			return
		}
		wantBytes -= f.charge()
		if f.queue == queueSmall {
			c.ghost.put(fingerprint(c.tables[f.table].id, f.slot))
		}
		c.counts.evictions++
		c.unlink(f)
	}
}

// victim finds the frame to evict next. Pinned frames are passed over, since
// evicting them frees nothing; a queue that shows little else is left alone.
func (c *Cache) victim(skips *[queueCount]int) *frame {
	reprieves := reprievesMax
	for {
		kind := queueMain
		if c.queues[queueSmall].bytes > c.capacity/smallFraction {
			kind = queueSmall
		}
		if c.onlyPinned(kind, skips) {
			kind = queueSmall + queueMain - kind
			if c.onlyPinned(kind, skips) {
				return nil
			}
		}
		f := c.last(kind)
		slot := c.slotOf(f)
		e := entry(slot.Load())
		switch {
		case f.pins.Load() != 0:
			skips[kind]++
			c.remove(f)
			c.push(kind, f)
		case kind == queueSmall && e.uses() >= promoteUses:
			c.counts.promotions++
			c.remove(f)
			slot.Store(uintptr(e.unused()))
			c.push(queueMain, f)
		case kind == queueMain && e.uses() > 0 && reprieves > 0:
			reprieves--
			c.remove(f)
			slot.Store(uintptr(e - 1)) // one use less
			c.push(queueMain, f)
		default:
			return f
		}
	}
}

func (c *Cache) onlyPinned(kind queueKind, skips *[queueCount]int) bool {
	return skips[kind] >= pinnedRounds*c.queues[kind].count
}

// slotOf returns the slot that names an attached frame.
func (c *Cache) slotOf(f *frame) *atomic.Uintptr { return &c.tables[f.table].slots[f.slot] }

// unlink makes an attached frame unreachable for new readers and puts it into
// limbo.
func (c *Cache) unlink(f *frame) {
	c.remove(f)
	c.slotOf(f).Store(0)
	f.ticket = c.epochs.Now() // after the store: see epoch.Domain
	c.push(queueLimbo, f)
}
