package memtable

import (
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
)

// The records at the bottom of the tree. A leaf holds a key and the oldest
// version of it; the next versions are objects of their own, chained from the
// newest, to which the leaf points, to the oldest. Each version also has a
// jump to a much older one, spaced so that any version is found from the
// newest in a logarithmic number of steps (the jump pointers of a skew-binary
// list): by sequence number for a read of an old snapshot, by index for a walk
// from old to new, which thus needs no pointers in that direction.
//
// Everything is fixed before it is published, except for a leaf's pointer to
// the newest version.
//
// Keys and values are lent to users as they lie here, who must not write to them but
// can. So each version has a checksum of its record, by which the flush, and whoever
// makes a new record of an old one, knows that it is what was added.

// leaf is followed by the key and the value of the oldest version.
type leaf struct {
	newest    atomic.Uint32 // offset of the newest version, 0 while the leaf holds it
	keyBytes  uint32
	trailer   uint64
	valueSize uint32
	sum       uint32 // of the oldest version
}

// version is followed by the value, without padding: it begins at versionValueAt, not
// at the size of the struct.
type version struct {
	older     uint32 // offset of the next older version; of the leaf for the oldest
	jump      uint32 // offset of a version at least as old as older
	trailer   uint64
	valueSize uint32
	index     uint32 // how many versions are older
	sum       uint32
}

const (
	leafKeyAt      = uint32(unsafe.Sizeof(leaf{}))
	versionBytes   = uint32(unsafe.Sizeof(version{}))
	versionValueAt = uint32(unsafe.Offsetof(version{}.sum)) + 4
)

// Sound like the conversions to nodes: see there. The slices stay within the
// object, whose sizes never change.

func leafAt(mem unsafe.Pointer, offset uint32) *leaf {
	return (*leaf)(unsafe.Add(mem, offset))
}

func versionAt(mem unsafe.Pointer, offset uint32) *version {
	return (*version)(unsafe.Add(mem, offset))
}

func (l *leaf) key() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(l), leafKeyAt)), l.keyBytes)
}

func (l *leaf) value() []byte {
	at := unsafe.Add(unsafe.Pointer(l), leafKeyAt+l.keyBytes)
	return unsafe.Slice((*byte)(at), l.valueSize)
}

func (v *version) value() []byte {
	at := unsafe.Add(unsafe.Pointer(v), versionValueAt)
	return unsafe.Slice((*byte)(at), v.valueSize)
}

// newestOf returns the offset of the newest version of the leaf at offset.
func newestOf(mem unsafe.Pointer, offset uint32) uint32 {
	if newest := leafAt(mem, offset).newest.Load(); newest != 0 {
		return newest
	}
	return offset
}

// recordOf returns what a version of the leaf at leafOffset holds, its checksum last.
func recordOf(mem unsafe.Pointer, leafOffset, versionOffset uint32) (base.Trailer, []byte, uint32) {
	if versionOffset == leafOffset {
		l := leafAt(mem, leafOffset)
		return base.Trailer(l.trailer), l.value(), l.sum
	}
	v := versionAt(mem, versionOffset)
	return base.Trailer(v.trailer), v.value(), v.sum
}

// chain walks the versions of one leaf. The leaf itself is version 0; it is
// its own jump.
type chain struct {
	mem  unsafe.Pointer
	leaf uint32
}

func (c chain) trailer(offset uint32) base.Trailer {
	// A leaf and a version have the trailer at the same place.
	return base.Trailer(versionAt(c.mem, offset).trailer)
}

func (c chain) index(offset uint32) uint32 {
	if offset == c.leaf {
		return 0
	}
	return versionAt(c.mem, offset).index
}

func (c chain) jump(offset uint32) uint32 {
	if offset == c.leaf {
		return offset
	}
	return versionAt(c.mem, offset).jump
}

// jumpFor returns the jump of a version that is put on top of older.
func (c chain) jumpFor(older uint32) uint32 {
	first := c.jump(older)
	second := c.jump(first)
	if c.index(older)-c.index(first) == c.index(first)-c.index(second) {
		return second
	}
	return older
}

// atOrBefore returns the newest version whose sequence number is at most seq,
// starting from the version at offset; 0 if there is none.
func (c chain) atOrBefore(offset uint32, seq base.SeqNum) uint32 {
	for c.trailer(offset).Seq() > seq {
		if offset == c.leaf {
			return 0
		}
		if jump := c.jump(offset); c.trailer(jump).Seq() > seq {
			offset = jump
		} else {
			offset = versionAt(c.mem, offset).older
		}
	}
	return offset
}

// atIndex returns the version with the index, starting from a newer one.
func (c chain) atIndex(offset, index uint32) uint32 {
	for c.index(offset) > index {
		if jump := c.jump(offset); c.index(jump) >= index {
			offset = jump
		} else {
			offset = versionAt(c.mem, offset).older
		}
	}
	return offset
}
