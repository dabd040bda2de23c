package memtable

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// The inner nodes of the tree. A node branches on one byte of the key, at an
// absolute depth; the bytes between the parent's depth and its own are common
// to everything below it (path compression). A node does not say where that
// common part begins, so a new node can be put between it and its parent
// without touching it. All fields are fixed before the node is published,
// except that children are added, that the offset of a child may be replaced
// by that of a larger copy or of a node put in between, and that the end leaf
// may be set. A full node is copied to a larger one and stays behind as
// garbage, still valid for the readers that stand on it.
//
// There are two shapes. A bucketed node has 1, 2, 4 or 8 buckets of seven
// children; the low bits of a key byte pick the bucket, and one word of the
// bucket holds its seven key bytes and their count, so that one load finds a
// byte and one store publishes a child. A direct node has 256 child offsets.

// ref is the offset of a node or leaf in the arena, with the shape in the low
// bits, which are free because offsets are multiples of 8. Zero is nothing.
type ref = uint32

const (
	shapeMask   ref = 7
	shapeLeaf   ref = 0
	shapeSmall  ref = 1 // one bucket; shapes 2, 3 and 4 have 2, 4 and 8
	shapeLarge  ref = 4
	shapeDirect ref = 5
)

// header begins every node.
type header struct {
	depth   uint32        // index in the key of the byte that the node branches on
	witness uint32        // offset of some leaf below, for the bytes before depth
	tail    uint64        // the last bytes before depth: see keyTail
	end     atomic.Uint32 // leaf of the key that ends at depth, 0 if there is none
	_       uint32
}

const bucketSlots = 7

// bucket holds the children for key bytes with the same low bits, in the order
// in which they were added.
type bucket struct {
	keys  atomic.Uint64 // low byte: count; above it the key bytes, first one lowest
	child [bucketSlots + 1]atomic.Uint32
}

type direct struct {
	header
	child [256]atomic.Uint32
}

const (
	headerBytes = uint32(unsafe.Sizeof(header{}))
	bucketBytes = uint32(unsafe.Sizeof(bucket{}))
	directBytes = uint32(unsafe.Sizeof(direct{}))
)

// The conversions below are sound because refs come only from the table's own
// slots: each points to an object that was written completely before its ref
// was published, of the type that its shape says, aligned as the type needs,
// and inside the arena, which outlives every reader.

func headerAt(mem unsafe.Pointer, r ref) *header {
	return (*header)(unsafe.Add(mem, r&^shapeMask))
}

func bucketAt(mem unsafe.Pointer, r ref, index uint32) *bucket {
	return (*bucket)(unsafe.Add(mem, r&^shapeMask+headerBytes+index*bucketBytes))
}

func directAt(mem unsafe.Pointer, r ref) *direct {
	return (*direct)(unsafe.Add(mem, r&^shapeMask))
}

// setPlain stores to a word that no reader can reach yet, sparing the barrier
// of an atomic store. It is sound because the store that publishes the word
// follows.
func setPlain(word *atomic.Uint32, value uint32) { *(*uint32)(unsafe.Pointer(word)) = value }

func setPlain64(word *atomic.Uint64, value uint64) { *(*uint64)(unsafe.Pointer(word)) = value }

// bucketMask returns the mask that picks the bucket from a key byte.
func bucketMask(shape ref) uint32 { return 1<<(shape-1) - 1 }

// nodeBytes returns the size of a node.
func nodeBytes(shape ref) uint32 {
	if shape == shapeDirect {
		return directBytes
	}
	return headerBytes + bucketBytes<<(shape-1)
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// bucketFind returns the slot of b in the keys of a bucket, and whether it is
// there.
func bucketFind(keys uint64, b byte) (slot uint, found bool) {
	// Zero bytes of x are matches; the lowest set bit is exact, false
	// positives lie above it. Bytes from the count on may match too.
	x := keys>>8 ^ lowBits*uint64(b)
	slot = uint(bits.TrailingZeros64((x-lowBits)&^x&highBits)) >> 3
	return slot, slot < uint(keys&0xff)
}

// childSlot returns the place of the child for byte b, nil if a bucketed node
// has none; a direct node has a place for each.
func childSlot(mem unsafe.Pointer, r ref, b byte) *atomic.Uint32 {
	shape := r & shapeMask
	if shape == shapeDirect {
		return &directAt(mem, r).child[b]
	}
	bk := bucketAt(mem, r, uint32(b)&bucketMask(shape))
	slot, found := bucketFind(bk.keys.Load(), b)
	if !found {
		return nil
	}
	return &bk.child[slot&bucketSlots]
}

// byteSet is a set of key bytes.
type byteSet [4]uint64

func (s *byteSet) add(b byte) { s[b>>6&3] |= 1 << (b & 63) }

// next returns the smallest member from `from` on, -1 if there is none.
func (s *byteSet) next(from int) int {
	if from > 255 {
		return -1
	}
	i := uint(from) >> 6
	word := s[i&3] >> (uint(from) & 63) << (uint(from) & 63)
	for word == 0 {
		if i++; i > 3 {
			return -1
		}
		word = s[i&3]
	}
	return int(i<<6) + bits.TrailingZeros64(word)
}

// previous returns the largest member below `before`, -1 if there is none.
func (s *byteSet) previous(before int) int {
	if before <= 0 {
		return -1
	}
	i := uint(before-1) >> 6
	shift := 63 - uint(before-1)&63
	word := s[i&3] << shift >> shift
	for word == 0 {
		if i == 0 {
			return -1
		}
		i--
		word = s[i&3]
	}
	return int(i<<6) + 63 - bits.LeadingZeros64(word)
}

// bucketedBytes collects the key bytes of a bucketed node.
func bucketedBytes(mem unsafe.Pointer, r ref, set *byteSet) {
	for i := range bucketMask(r&shapeMask) + 1 {
		keys := bucketAt(mem, r, i).keys.Load()
		for range keys & 0xff {
			keys >>= 8
			set.add(byte(keys))
		}
	}
}

// directNext returns the smallest byte from `from` on that has a child, -1 if
// there is none.
func directNext(mem unsafe.Pointer, r ref, from int) int {
	n := directAt(mem, r)
	for ; from < len(n.child); from++ {
		if n.child[from].Load() != 0 {
			return from
		}
	}
	return -1
}

// directPrevious returns the largest byte below `before` that has a child, -1
// if there is none.
func directPrevious(mem unsafe.Pointer, r ref, before int) int {
	n := directAt(mem, r)
	for before--; before >= 0; before-- {
		if n.child[before].Load() != 0 {
			return before
		}
	}
	return -1
}

// keyTail returns the last eight bytes of key before depth as a big-endian
// number; where there are fewer the upper bytes are zero.
func keyTail(key []byte, depth int) uint64 {
	if depth >= 8 {
		return binary.BigEndian.Uint64(key[depth-8:])
	}
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key) >> (64 - 8*uint(depth))
	}
	var tail uint64
	for _, b := range key[:depth] {
		tail = tail<<8 | uint64(b)
	}
	return tail
}

// tailMatches reports whether key, of at least the node's depth, agrees with
// everything below the node in the last bytes before it, at most eight, from
// `from` on. Where more than eight bytes lie between, a mismatch may go
// unnoticed.
func tailMatches(h *header, key []byte, from, depth int) bool {
	mask := uint64(1)<<(8*uint(depth-from)) - 1
	return (keyTail(key, depth)^h.tail)&mask == 0
}
