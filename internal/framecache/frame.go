package framecache

// This file describes frames: the records that stand for blocks of memory, the
// directory that finds them by number, and the queues they stand in. Frames
// live in chunks without pointers, so that the garbage collector has nothing to
// scan however large the cache is; a chunk is never given back. Readers come
// to a frame only to pin it, by the number in the preamble of its block. Apart
// from the pins, what they look at there without the lock is constant while
// they can reach the frame; the rest belongs to Cache.mu.

import (
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/invariant"
)

const (
	chunkBits   = 10
	chunkFrames = 1 << chunkBits
	chunksMax   = 1 << 14 // 16 M frames: 128 GiB of 8 KiB blocks

	// privatePin is in pins as long as the frame is private. It is far from
	// what pins add up to.
	privatePin = 1 << 30
)

// frame describes one block of memory. It fills a cache line, so that those
// who pin one frame do not disturb those who pin another.
type frame struct {
	home     entry // of its block, without uses; zero while free
	capBytes uint32
	pins     atomic.Int32
	index    uint32 // its number
	table    uint32 // ordinal of its table, while attached
	slot     uint32
	prev     uint32 // towards the head of its queue
	next     uint32 // towards the tail; next free frame while free
	queue    queueKind
	ticket   epoch.Ticket // when it was unlinked, while in limbo
	_        [16]byte
}

// setBlock gives a frame its memory, and the memory its preamble.
func (f *frame) setBlock(block []byte) {
	f.home = entryOf(block)
	invariant.Check(f.home.uses() == 0, "block at %#x is not aligned", uintptr(f.home))
	f.capBytes = uint32(cap(block))
	*f.home.preamble() = preamble{sizeBytes: uint32(len(block)), index: f.index}
}

// bytes returns the content; its capacity ends with it.
func (f *frame) bytes() []byte { return f.home.bytes() }

// block returns the block with the capacity that the slab gave it.
func (f *frame) block() []byte { return unsafe.Slice((*byte)(f.home.start()), f.capBytes) }

// charge is what the frame counts against the capacity.
func (f *frame) charge() int64 { return int64(f.capBytes) }

type frameChunk [chunkFrames]frame

// directory finds frames by number. Number zero is no frame.
type directory struct {
	chunks [chunksMax]atomic.Pointer[frameChunk]
	count  uint32 // chunks present
	free   uint32 // first free frame
}

// at returns the frame with the number, which was given out before.
func (d *directory) at(index uint32) *frame {
	return &d.chunks[index>>chunkBits%chunksMax].Load()[index%chunkFrames]
}

// takeFrame returns a free frame, or nil when there can be no more.
func (c *Cache) takeFrame() *frame {
	d := &c.frames
	if d.free == 0 {
		if d.count == chunksMax {
			return nil
		}
		chunk := new(frameChunk)
		base := d.count << chunkBits
		for i := chunkFrames - 1; i >= 0; i-- {
			if chunk[i].index = base + uint32(i); chunk[i].index != 0 {
				chunk[i].next = d.free
				d.free = chunk[i].index
			}
		}
		d.chunks[d.count].Store(chunk)
		d.count++
	}
	f := d.at(d.free)
	d.free = f.next
	f.next = 0
	return f
}

func (c *Cache) putFrame(f *frame) {
	f.home, f.capBytes = 0, 0
	f.next = c.frames.free
	c.frames.free = f.index
}

// queueKind names a queue; a frame is in at most one.
type queueKind uint8

const (
	queueNone  queueKind = iota // free or private
	queueSmall                  // attached, on probation
	queueMain                   // attached, proved useful
	queueLimbo                  // unlinked; readers may look at it
	queueHeld                   // unlinked; only pins keep it
	queueCount
)

// queue is a list linked through the frames, from head (last pushed) to tail.
type queue struct {
	head, tail uint32
	count      int
	bytes      int64
}

func (c *Cache) push(kind queueKind, f *frame) {
	q := &c.queues[kind]
	f.queue = kind
	f.prev, f.next = 0, q.head
	if q.head != 0 {
		c.frames.at(q.head).prev = f.index
	} else {
		q.tail = f.index
	}
	q.head = f.index
	q.count++
	q.bytes += f.charge()
}

// remove takes f out of the queue it is in.
func (c *Cache) remove(f *frame) {
	q := &c.queues[f.queue]
	if f.prev != 0 {
		c.frames.at(f.prev).next = f.next
	} else {
		q.head = f.next
	}
	if f.next != 0 {
		c.frames.at(f.next).prev = f.prev
	} else {
		q.tail = f.prev
	}
	f.prev, f.next, f.queue = 0, 0, queueNone
	q.count--
	q.bytes -= f.charge()
}

// last returns the frame at the tail, nil when the queue is empty.
func (c *Cache) last(kind queueKind) *frame {
	if i := c.queues[kind].tail; i != 0 {
		return c.frames.at(i)
	}
	return nil
}
