package hotcache

import "runtime"

// ringsPerIndex is how many rings are as large as the index of one.
const ringsPerIndex = ringBytesPerBucket / (bucketWords * 8)

// growSteps is in how many steps a cache grows by what is in it and as much again, about.
const growSteps = 8

// Resize makes the cache about sizeBytes large, 4 KiB at least and Config.MaxBytes at most.
// What is in it stays, but for what has no room. One that is to grow gets a step at once, and
// the others by Grow, or all of it, if whole is true. The index before takes memory until DropBefore is called, and there must
// be none when Resize is called. exclude runs its argument while no write is under way; where
// it cannot, nothing has changed. Resize waits for readers: the caller is in no stay.
func (c *Cache) Resize(sizeBytes int64, whole bool, exclude func(change func()) error) error {
	target := min(c.rings.countFor(sizeBytes), int64(len(c.rings.all)))
	had := c.rings.count.Load()
	x, err := newIndex(c.cfg.Memory, max(int(target*c.rings.ringBytes/ringBytesPerBucket), 1))
	if err != nil {
		return err
	}
	if err = c.rings.add(min(target, had+stepOf(target, whole))); err == nil {
		err = exclude(func() {
			c.before.Store(c.now.Load())
			c.now.Store(x)
		})
	}
	if err != nil {
		x.arena.Free()
		c.removeRings(had)
		return err
	}
	c.removeRings(target)
	c.rings.fresh.Store(min(had, target))
	c.target = target
	return nil
}

func stepOf(target int64, whole bool) int64 {
	if whole {
		return target
	}
	return max(target/growSteps, 1)
}

// ResizeBytes is what Resize to a size takes at once at most.
func (c *Cache) ResizeBytes(sizeBytes int64, whole bool) int64 {
	target := c.rings.countFor(sizeBytes)
	return (stepOf(target, whole) + target/ringsPerIndex + 1) * c.rings.ringBytes
}

// WantsMore returns what Grow would take, if the cache is smaller than Resize was told and
// has used most of what it has got so far; 0 if not. It, Grow and Resize are for one at a time.
func (c *Cache) WantsMore() (bytes int64) {
	count := c.rings.count.Load()
	if count < c.target && c.rings.areFull(c.rings.fresh.Load(), count) {
		bytes = stepOf(c.target, false) * c.rings.ringBytes
	}
	return bytes
}

// Grow makes the cache larger by a step. Without memory it stays as it is.
func (c *Cache) Grow() {
	had := c.rings.count.Load()
	if c.rings.add(min(c.target, had+stepOf(c.target, false))) != nil {
		c.target = c.rings.count.Load()
	}
	c.rings.fresh.Store(had)
}

// removeRings removes the last rings until there are no more than so many.
func (c *Cache) removeRings(count int64) {
	last := c.rings.count.Load()
	if last <= count {
		return
	}
	c.rings.count.Store(count) // nothing new is filled there
	for i := count; i < last; i++ {
		r := c.rings.all[i].Load()
		for !r.busy.CompareAndSwap(false, true) { // and stays so: nobody gets in any more
			runtime.Gosched()
		}
		dropAll(c, r)
	}
	c.cfg.Epochs.Synchronize() // nobody has a reference any more
	for i := count; i < last; i++ {
		c.rings.remove(i)
	}
}

// DropBefore forgets the index before, if there is one. exclude is as for Resize, and so is
// the waiting.
func (c *Cache) DropBefore(exclude func(change func()) error) error {
	x := c.before.Load()
	if x == nil {
		return nil
	}
	err := exclude(func() {
		c.leaving.Store(x)
		c.before.Store(nil)
	})
	if err != nil {
		return err
	}
	c.cfg.Epochs.Synchronize() // nobody looks for records by it any more
	c.leaving.Store(nil)
	c.cfg.Epochs.Synchronize() // nor for what refers to them
	x.arena.Free()
	return nil
}

// IsMoving reports whether there is an index before.
func (c *Cache) IsMoving() bool { return c.before.Load() != nil }
