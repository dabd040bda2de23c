package framecache

// This file is all that a reader looks at on its way to a block: the slot of
// the table, and the preamble of the block, which is in the block's own memory
// right before the content. The frame, which would be one more cache line from
// somewhere else in memory, is not on that way.

import (
	"unsafe"

	"github.com/lightningdb/lightning/internal/offheap"
)

// usesMax is where the count of uses stops. It is also the mask of the count
// in an entry.
const usesMax = 3

// entry is what a slot holds: zero for nothing, else the address of the
// content of the block, plus the count of its uses since eviction last
// considered it. They do not get in each other's way, because blocks of the
// slab are aligned to offheap.BlockAlignBytes, more than usesMax.
type entry uintptr

// preamble stands before the content of each block, in the room that the slab
// leaves there. Like the address it is written while the frame is private and
// constant as long as anybody can reach the frame.
type preamble struct {
	sizeBytes uint32 // of the content
	index     uint32 // number of the frame
}

// These do not compile unless a preamble fits its room exactly and the count
// of uses fits below an address.
var (
	_ [offheap.PrefixBytes]byte = [unsafe.Sizeof(preamble{})]byte{}
	_ [offheap.BlockAlignBytes - 1 - usesMax]byte
)

func entryOf(block []byte) entry {
	return entry(uintptr(unsafe.Pointer(unsafe.SliceData(block))))
}

// uses returns the count of uses.
func (e entry) uses() int { return int(e & usesMax) }

// unused returns the entry with its count at zero.
func (e entry) unused() entry { return e &^ usesMax }

// start returns the address as a pointer. The entry must not be zero.
//
// That an integer holds the address, which keeps nothing alive, is sound: the
// slab keeps all memory that blocks are cut from, and so the whole mapping,
// reachable until it is freed there, and the rules for the life of a frame say
// that this is not before the last reader has left. Where the memory is of the
// Go heap, as under the race detector, the slab refers to it with an ordinary
// pointer, and objects of that heap do not move; callers keep the cache, and
// by it the slab, alive until they have the pointer. Elsewhere the collector
// does not know the address and ignores the pointer.
func (e entry) start() unsafe.Pointer {
	address := uintptr(e.unused())
	// Going through a pointer to the variable is how an address that the
	// compiler cannot account for becomes a pointer.
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}

// preamble returns what stands before the content. Sound because the slab
// leaves offheap.PrefixBytes, which is the size of a preamble, before each
// block in the same mapping, aligned to 8 bytes as the block is.
func (e entry) preamble() *preamble {
	return (*preamble)(unsafe.Add(e.start(), -offheap.PrefixBytes))
}

// bytes returns the content; its capacity ends with it. Sound because the
// preamble has the size that was asked of the slab.
func (e entry) bytes() []byte {
	return unsafe.Slice((*byte)(e.start()), e.preamble().sizeBytes)
}
