package framecache

// This file describes frames: the records that stand for blocks of memory, the
// directory that finds them by number, and the queues they stand in. Frames
// live in chunks without pointers, so that the garbage collector has nothing to
// scan however large the cache is; a chunk is never given back. Apart from the
// atomic fields, what readers look at without the lock is constant while they
// can reach the frame; the rest belongs to Cache.mu.

import (
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/epoch"
)

const (
	chunkBits   = 10
	chunkFrames = 1 << chunkBits
	chunksMax   = 1 << 14 // 16 M frames: 128 GiB of 8 KiB blocks

	// freqMax is where the count of uses stops.
	freqMax = 3

	// privatePin is in pins as long as the frame is private. It is far from
	// what pins add up to.
	privatePin = 1 << 30
)

// frame describes one block of memory. It fills a cache line.
type frame struct {
	address   uintptr // of the block, see start
	sizeBytes uint32
	capBytes  uint32
	freq      atomic.Uint32 // uses since it was last considered, at most freqMax
	pins      atomic.Int32
	index     uint32 // its number
	table     uint32 // ordinal of its table, while attached
	slot      uint32
	prev      uint32 // towards the head of its queue
	next      uint32 // towards the tail; next free frame while free
	queue     queueKind
	ticket    epoch.Ticket // when it was unlinked, while in limbo
	_         [8]byte
}

func (f *frame) setBlock(block []byte) {
	f.address = uintptr(unsafe.Pointer(unsafe.SliceData(block)))
	f.sizeBytes = uint32(len(block))
	f.capBytes = uint32(cap(block))
}

// start returns the address as a pointer. An integer holds it because frames
// must have no pointers. That is sound: the slab keeps the memory until the
// frame is freed (under the race detector too, where it is of the Go heap,
// whose objects do not move), and nobody asks a free frame.
func (f *frame) start() *byte { return (*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&f.address))) }

// bytes returns the content; its capacity ends with it.
func (f *frame) bytes() []byte { return unsafe.Slice(f.start(), f.sizeBytes) }

// block returns the block as the slab knows it.
func (f *frame) block() []byte { return unsafe.Slice(f.start(), f.capBytes)[:f.sizeBytes] }

// charge is what the frame counts against the capacity.
func (f *frame) charge() int64 { return int64(f.capBytes) }

// use counts a use. Two readers at once may count one: that is good enough,
// and once the count is full nothing is written.
func (f *frame) use() {
	if n := f.freq.Load(); n < freqMax {
		f.freq.Store(n + 1)
	}
}

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
	f.address, f.sizeBytes, f.capBytes = 0, 0, 0
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
