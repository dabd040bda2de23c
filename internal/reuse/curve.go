// Package reuse estimates how often a cache would answer, for every size that it could
// have, while it has one.
//
// A Curve looks at a sample of what is asked for: items whose hash is below a bound, one
// in rate of them, each of which stands for rate items of its size. It keeps them in the
// order of their last use. How much was used between two uses of an item is the size from
// which on a cache that drops what was used longest ago would have answered the second. The
// order is kept roughly: in levels, of which each holds what lies between two sizes, the
// second twice the first. An item that is used goes to the begin of the first level; what
// overflows a level goes to the begin of the next.
//
// Sampling by hash and counting by distance are those of Waldspurger, Park, Garthwaite and
// Ahmad, "Efficient MRC Construction with SHARDS" (FAST 2015); levels in place of exact
// distances make a use cost a few steps.
//
// # Thread-safety
//
// All methods may be called at any time by any number of goroutines. Who comes while
// another one is noting a use is not counted, so nobody waits.
package reuse

import (
	"math"
	"runtime"
	"sync/atomic"
)

const (
	// sampleItems is how many items a curve knows at most, roughly.
	sampleItems = 8 << 10
	// rateMin is the least rate: what is not sampled costs next to nothing.
	rateMin = 64
	// windowMin is after how many sampled uses there is something to be seen at least.
	windowMin = 256
)

// Curve is the estimate. See the package comment.
type Curve struct {
	below uint64 // hashes below it are sampled
	rate  int64
	due   func()

	windowUses int64 // sampled

	busy   atomic.Bool // who has set it has all below to himself
	levels []level
	nodes  []node // the first is the end of all lists
	free   int32  // list of nodes by next, 0: none
	index  map[uint64]int32
	uses   float64 // sampled ones, the older the less
	missed float64 // of these, those that the cache as it is did not answer
	passes float64 // and writes, sampled as uses are
	writes float64
	window int64
}

// level is a part of the order of use.
type level struct {
	sizeBytes  int64 // of the cache that ends with this level
	roomBytes  int64 // of the level, in sampled bytes
	usedBytes  int64
	head, tail int32
	hits       float64 // uses of items in it, the older the less
}

type node struct {
	hash       uint64
	prev, next int32
	bytes      int32
	level      int8
}

// Config is for what a curve is.
type Config struct {
	MinBytes, MaxBytes int64 // of the caches that it tells apart
	ItemBytes          int64 // of a usual item
	// Due is called after about every WindowUses uses, sampled or not: there is something
	// new to be seen. It must not wait, and not call the curve.
	Due        func()
	WindowUses int64
}

// New returns a curve that has seen nothing.
func New(cfg Config) *Curve {
	rate := int64(rateMin)
	for cfg.MaxBytes/cfg.ItemBytes/rate > sampleItems {
		rate *= 2
	}
	c := &Curve{
		below: math.MaxUint64/uint64(rate) + 1, rate: rate,
		due: cfg.Due, windowUses: max(cfg.WindowUses/rate, windowMin),
		nodes: make([]node, 1), index: map[uint64]int32{},
	}
	for size, before := max(cfg.MinBytes, 1), int64(0); ; size *= 2 {
		c.levels = append(c.levels, level{sizeBytes: size, roomBytes: (size - before) / rate})
		if size >= cfg.MaxBytes {
			return c
		}
		before = size
	}
}

// Below is the bound of sampled hashes, for those who compare many with it.
func (c *Curve) Below() uint64 { return c.below }

// Use notes that an item was used, if its hash is sampled, and whether the cache as it is
// answered.
func (c *Curve) Use(hash uint64, sizeBytes int, answered bool) {
	c.note(hash, func() {
		c.use(hash, int32(min(sizeBytes, math.MaxInt32)))
		if !answered {
			c.missed++
		}
	})
}

// Pass notes that the cache was asked for something that it is not there for.
func (c *Curve) Pass(hash uint64) { c.note(hash, func() { c.passes++ }) }

// Write notes that the cache was told of a write.
func (c *Curve) Write(hash uint64) { c.note(hash, func() { c.writes++ }) }

// note does something if the hash is sampled and nobody else does.
func (c *Curve) note(hash uint64, do func()) {
	if hash >= c.below || !c.busy.CompareAndSwap(false, true) {
		return
	}
	do()
	c.window++
	due := c.window%c.windowUses == 0
	c.busy.Store(false)
	if due {
		c.due()
	}
}

func (c *Curve) use(hash uint64, bytes int32) {
	c.uses++
	i, known := c.index[hash]
	if known {
		c.levels[c.nodes[i].level].hits++
		c.unlink(i)
	} else {
		i = c.newNode()
		c.index[hash] = i
	}
	c.nodes[i].hash, c.nodes[i].bytes = hash, bytes
	c.push(0, i)
	for at := range c.levels {
		l := &c.levels[at]
		for l.usedBytes > l.roomBytes && l.tail != 0 {
			last := l.tail
			c.unlink(last)
			if at+1 == len(c.levels) {
				c.forget(last, c.nodes[last].hash)
			} else {
				c.push(at+1, last)
			}
		}
	}
}

// forget gives up a node that is in no list.
func (c *Curve) forget(i int32, hash uint64) {
	delete(c.index, hash)
	c.nodes[i] = node{next: c.free}
	c.free = i
}

func (c *Curve) newNode() int32 {
	if i := c.free; i != 0 {
		c.free = c.nodes[i].next
		return i
	}
	c.nodes = append(c.nodes, node{})
	return int32(len(c.nodes) - 1)
}

// push puts a node at the begin of a level.
func (c *Curve) push(at int, i int32) {
	l, n := &c.levels[at], &c.nodes[i]
	n.level, n.prev, n.next = int8(at), 0, l.head
	if l.head != 0 {
		c.nodes[l.head].prev = i
	} else {
		l.tail = i
	}
	l.head = i
	l.usedBytes += int64(n.bytes)
}

func (c *Curve) unlink(i int32) {
	n := &c.nodes[i]
	l := &c.levels[n.level]
	if n.prev != 0 {
		c.nodes[n.prev].next = n.next
	} else {
		l.head = n.next
	}
	if n.next != 0 {
		c.nodes[n.next].prev = n.prev
	} else {
		l.tail = n.prev
	}
	l.usedBytes -= int64(n.bytes)
}

// Estimate is what a curve says at a time.
type Estimate struct {
	// Uses is how many there were, sampled or not, the older the less.
	Uses float64
	// Missed is how many of these the cache as it is did not answer.
	Missed float64
	// Passes and Writes are how many of both there were in the same time.
	Passes, Writes float64

	sizes []int64
	hits  []float64
}

// Take returns the estimate, and lets what it came from count for half from now on.
func (c *Curve) Take() Estimate {
	for !c.busy.CompareAndSwap(false, true) {
		runtime.Gosched() // a use takes less than a microsecond
	}
	defer c.busy.Store(false)
	rate := float64(c.rate)
	e := Estimate{Uses: c.uses * rate, Missed: c.missed * rate, Passes: c.passes * rate, Writes: c.writes * rate}
	for i := range c.levels {
		l := &c.levels[i]
		e.sizes, e.hits = append(e.sizes, l.sizeBytes), append(e.hits, l.hits/max(c.uses, 1))
		l.hits /= 2
	}
	c.uses, c.missed, c.passes, c.writes = c.uses/2, c.missed/2, c.passes/2, c.writes/2
	return e
}

// Hits returns the share of uses that a cache of a size would answer.
func (e *Estimate) Hits(sizeBytes int64) (share float64) {
	before := int64(0)
	for i, size := range e.sizes {
		if sizeBytes >= size {
			share += e.hits[i]
		} else {
			share += e.hits[i] * float64(max(sizeBytes-before, 0)) / float64(size-before)
			break
		}
		before = size
	}
	return share
}

// Sizes returns the sizes that the curve tells apart, in order.
func (e *Estimate) Sizes() []int64 { return e.sizes }
