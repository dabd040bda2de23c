package memtable

import (
	"bytes"
	"math"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/offheap"
)

// alignBytes is what the offset of every object is a multiple of: enough for
// its words, and for the shape in the low bits of a ref.
const alignBytes = 8

// finger remembers where the last Add ended, so that the next one can start
// there if its key agrees with everything above. The place stays right because
// an Add changes the tree only at its own place.
type finger struct {
	slot *atomic.Uint32 // holds the node that the Add ended in
	from int            // bytes of the key that lead to slot
	leaf uint32         // of the last Add: begins with these bytes
}

// AddBound returns an upper bound of what adding a record takes from the
// arena: the record, and the one node that may have to be made for it. It also
// holds for AddRangeDelete with the two bounds as key and value.
func AddBound(keyBytes, valueBytes int) int {
	return keyBytes + valueBytes + int(versionBytes) + int(directBytes) + 2*alignBytes
}

// LoadBound returns an upper bound of the arena that an empty table needs for
// all of some records, of which only the number and the bytes of keys and
// values together are known. It is far below the sum of the AddBounds, because
// nodes grow seldom: with n leaves there are fewer than n nodes, and one that
// has outgrown its first bucket has eight children or more, so that there are
// at most n/7 of those, each of which leaves behind at most one copy of every
// larger shape.
func LoadBound(records, keyValueBytes int) int {
	// The last Add still has its AddBound available.
	return keyValueBytes + records*loadBytesPerRecord + int(directBytes) + emptyBytes
}

var loadBytesPerRecord = func() int {
	grown := 0
	for shape := shapeSmall + 1; shape <= shapeDirect; shape++ {
		grown += int(nodeBytes(shape))
	}
	return int(versionBytes) + 2*alignBytes + int(nodeBytes(shapeSmall)) + grown/7 + 1
}()

// emptyBytes is more than what an empty table takes.
const emptyBytes = 256

// Add puts in one version of key, KindSet with a value or KindDelete. keyHash is
// base.Hash of the key, tr is newer than all that were added before. The slices are
// copied.
func (t *Table) Add(key []byte, keyHash uint64, tr base.Trailer, value []byte) error {
	if !t.fits(len(key), len(value)) {
		return ErrFull
	}
	t.place(key, tr, value, base.RecordSum(keyHash, tr, value).Short())
	t.publishStats(t.Len() + 1)
	if tr.Kind() == base.KindDelete {
		t.deletes.Store(t.deletes.Load() + 1)
	}
	return nil
}

func (t *Table) publishStats(records int) {
	t.stats.Store(uint64(t.arena.Used())<<32 | uint64(records))
}

// fits reports whether the bound of a record is available, in a way that does
// not overflow where an int has 32 bits.
func (t *Table) fits(keyBytes, valueBytes int) bool {
	return valueBytes <= math.MaxInt32-AddBound(keyBytes, 0) &&
		AddBound(keyBytes, valueBytes) <= t.leftBytes()
}

// place finds the place of key in the tree and publishes the record there.
func (t *Table) place(key []byte, tr base.Trailer, value []byte, sum uint32) {
	slot, from := t.start(key)
	for {
		r := slot.Load()
		if r == 0 {
			slot.Store(t.newLeaf(key, tr, value, sum))
			return
		}
		if r&shapeMask == shapeLeaf {
			other := leafAt(t.mem, r).key()
			m := from + base.CommonPrefix(key[from:], other[from:])
			if m == len(key) && m == len(other) {
				t.addVersion(r, tr, value, sum)
				return
			}
			t.finger.slot, t.finger.from = slot, from
			slot.Store(t.split(r, other, m, key, t.newLeaf(key, tr, value, sum)))
			return
		}
		t.finger.slot, t.finger.from = slot, from
		h := headerAt(t.mem, r)
		if depth := int(h.depth); depth != from {
			if m := t.matchPath(h, key, from); m < depth {
				other := leafAt(t.mem, h.witness).key()
				slot.Store(t.split(r, other, m, key, t.newLeaf(key, tr, value, sum)))
				return
			}
			from = depth
		}
		if from >= len(key) {
			slot = &h.end
			continue
		}
		child := childSlot(t.mem, r, key[from])
		if child == nil {
			t.addChild(slot, r, key[from], t.newLeaf(key, tr, value, sum))
			return
		}
		slot = child
		from++
	}
}

// start returns where to begin the descent for key, and how many of its bytes
// are settled there.
func (t *Table) start(key []byte) (slot *atomic.Uint32, from int) {
	f := &t.finger
	if f.from == 0 {
		return f.slot, 0
	}
	if len(key) >= f.from && bytes.Equal(key[:f.from], leafAt(t.mem, f.leaf).key()[:f.from]) {
		return f.slot, f.from
	}
	return &t.root, 0
}

// matchPath returns up to which depth, the node's at most, key agrees with
// everything below the node, given that it does up to from. It is the length
// of key where that ends first.
func (t *Table) matchPath(h *header, key []byte, from int) int {
	depth := int(h.depth)
	if depth-from <= 8 && depth <= len(key) && tailMatches(h, key, from, depth) {
		return depth
	}
	return from + base.CommonPrefix(key[from:], leafAt(t.mem, h.witness).key()[from:depth])
}

// alloc takes memory that fits has found to be there.
func (t *Table) alloc(sizeBytes uint32) uint32 { return alloc(t.arena, sizeBytes) }

func alloc(arena *offheap.Arena, sizeBytes uint32) uint32 {
	offset, ok := arena.Alloc(sizeBytes, alignBytes)
	invariant.Check(ok, "arena has no %d bytes although the bound was available", sizeBytes)
	return offset
}

// newLeaf writes the leaf that the current Add will publish.
func (t *Table) newLeaf(key []byte, tr base.Trailer, value []byte, sum uint32) uint32 {
	t.finger.leaf = t.writeLeaf(key, tr, value, sum)
	return t.finger.leaf
}

// writeLeaf writes a leaf that nothing points to.
func (t *Table) writeLeaf(key []byte, tr base.Trailer, value []byte, sum uint32) uint32 {
	offset := t.alloc(leafKeyAt + uint32(len(key)) + uint32(len(value)))
	l := leafAt(t.mem, offset)
	l.keyBytes, l.trailer, l.valueSize, l.sum = uint32(len(key)), uint64(tr), uint32(len(value)), sum
	copy(l.key(), key)
	copy(l.value(), value)
	return offset
}

// addVersion puts a version on top of a leaf's chain and publishes it.
func (t *Table) addVersion(at uint32, tr base.Trailer, value []byte, sum uint32) {
	c := chain{t.mem, at}
	older := newestOf(t.mem, at)
	invariant.Check(tr > c.trailer(older), "version %v is not newer than %v", tr, c.trailer(older))
	// Never less than the struct, whose padding the first bytes of the value use.
	offset := t.alloc(max(versionValueAt+uint32(len(value)), versionBytes))
	v := versionAt(t.mem, offset)
	*v = version{
		older:     older,
		jump:      c.jumpFor(older),
		trailer:   uint64(tr),
		valueSize: uint32(len(value)),
		index:     c.index(older) + 1,
		sum:       sum,
	}
	copy(v.value(), value)
	leafAt(t.mem, at).newest.Store(offset)
	t.finger.leaf = at
}

// split returns a new node, not published yet, with two children: r, under
// which all keys begin like other, and the leaf of key, where the keys agree
// in m bytes.
func (t *Table) split(r ref, other []byte, m int, key []byte, leafOffset uint32) ref {
	n := t.alloc(nodeBytes(shapeSmall)) | shapeSmall
	h := headerAt(t.mem, n)
	h.depth, h.witness, h.tail = uint32(m), leafOffset, keyTail(key, m)
	if m == len(other) {
		setPlain(&h.end, r)
	} else {
		t.appendChild(n, other[m], r)
	}
	if m == len(key) {
		setPlain(&h.end, leafOffset)
	} else {
		t.appendChild(n, key[m], leafOffset)
	}
	return n
}

// appendChild adds a child to a node that is not published yet and has room.
func (t *Table) appendChild(n ref, b byte, child ref) {
	if n&shapeMask == shapeDirect {
		setPlain(&directAt(t.mem, n).child[b], child)
		return
	}
	bk := bucketAt(t.mem, n, uint32(b)&bucketMask(n&shapeMask))
	keys := bk.keys.Load()
	count := keys & 0xff
	setPlain(&bk.child[count&bucketSlots], child)
	setPlain64(&bk.keys, withKey(keys, b))
}

// withKey returns the keys of a bucket with b added.
func withKey(keys uint64, b byte) uint64 {
	return (keys | uint64(b)<<(8*(keys&0xff)+8)) + 1
}

// addChild publishes a new child for byte b in the bucketed node r, or in a
// larger copy of it that slot is made to point to.
func (t *Table) addChild(slot *atomic.Uint32, r ref, b byte, child ref) {
	bk := bucketAt(t.mem, r, uint32(b)&bucketMask(r&shapeMask))
	keys := bk.keys.Load()
	if count := keys & 0xff; count < bucketSlots {
		setPlain(&bk.child[count], child)
		bk.keys.Store(withKey(keys, b))
		return
	}
	n := t.grow(r, b)
	t.appendChild(n, b, child)
	slot.Store(n)
}

// grow returns a copy of the bucketed node r with room for byte b, not
// published yet.
func (t *Table) grow(r ref, b byte) ref {
	shape := t.roomyShape(r, b)
	n := t.alloc(nodeBytes(shape)) | shape
	from, to := headerAt(t.mem, r), headerAt(t.mem, n)
	to.depth, to.witness, to.tail = from.depth, from.witness, from.tail
	setPlain(&to.end, from.end.Load())
	for i := range bucketMask(r&shapeMask) + 1 {
		bk := bucketAt(t.mem, r, i)
		keys := bk.keys.Load()
		for slot := range keys & 0xff {
			keys >>= 8
			t.appendChild(n, byte(keys), bk.child[slot&bucketSlots].Load())
		}
	}
	return n
}

// roomyShape returns the smallest shape that holds the children of r and one
// more for byte b.
func (t *Table) roomyShape(r ref, b byte) ref {
	var set byteSet
	bucketedBytes(t.mem, r, &set)
	set.add(b)
	for shape := r&shapeMask + 1; shape <= shapeLarge; shape++ {
		var counts [1 << (shapeLarge - 1)]uint8
		fullest := uint8(0)
		for b := set.next(0); b >= 0; b = set.next(b + 1) {
			i := uint32(b) & bucketMask(shape)
			counts[i]++
			fullest = max(fullest, counts[i])
		}
		if fullest <= bucketSlots {
			return shape
		}
	}
	return shapeDirect
}
