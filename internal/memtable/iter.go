package memtable

import (
	"bytes"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/kernel"
)

// frame is an inner node on the way from the root to the current leaf.
type frame struct {
	node  ref
	at    int32   // the byte whose child is followed, atEnd for the end leaf
	asked int32   // the byte of the last child whose memory was asked for
	ahead int32   // how many children that is behind the one at at, at least
	known bool    // bytes is filled in
	bytes byteSet // of a bucketed node, collected at the first step in it
}

const (
	// childrenAhead is how many children of a node are asked for ahead of a walk.
	childrenAhead = 4
	// childBytes is how much of each: a leaf with a short key and value.
	childBytes = 128
)

// atEnd sorts the end leaf of a node before all its children.
const atEnd = -1

type position uint8

const (
	beforeFirst position = iota
	onRecord
	afterLast
)

// Iter walks all versions in a Table in internal order. It sees all records
// that were there at its last First, Last or Seek, because nothing is ever
// taken out of a node, not even of one that was replaced by a copy; of those
// that are added later it may see some.
//
// The path from the root is kept in a slice on the heap, which grows with the
// depth of the tree; once it has, no call allocates.
type Iter struct {
	mem      unsafe.Pointer
	table    *Table
	rec      base.Record
	leaf     uint32 // current leaf
	version  uint32 // current version of it
	position position
	path     []frame
	room     [8]frame // of path, enough for most trees
}

// NewIter returns an iterator that stands before the first record.
func (t *Table) NewIter() *Iter {
	it := new(Iter)
	it.Reset(t)
	return it
}

// Reset makes an iterator, new or closed, one over a table, that stands before the first
// record.
func (it *Iter) Reset(t *Table) {
	it.mem, it.table, it.position = t.mem, t, beforeFirst
	if it.path = it.path[:0]; it.path == nil {
		it.path = it.room[:0]
	}
}

// First moves to the first record.
func (it *Iter) First() *base.Record {
	it.path = it.path[:0]
	return it.descendFirst(it.table.root.Load())
}

// Last moves to the last record.
func (it *Iter) Last() *base.Record {
	it.path = it.path[:0]
	return it.descendLast(it.table.root.Load())
}

// Next moves to the next record.
func (it *Iter) Next() *base.Record {
	switch it.position {
	case beforeFirst:
		return it.First()
	case afterLast:
		return nil
	}
	if it.version != it.leaf {
		return it.showVersion(versionAt(it.mem, it.version).older)
	}
	return it.nextLeaf()
}

// Prev moves to the previous record.
func (it *Iter) Prev() *base.Record {
	switch it.position {
	case beforeFirst:
		return nil
	case afterLast:
		return it.Last()
	}
	if newest := newestOf(it.mem, it.leaf); it.version != newest {
		c := chain{it.mem, it.leaf}
		return it.showVersion(c.atIndex(newest, c.index(it.version)+1))
	}
	return it.previousLeaf()
}

// SeekGE moves to the first record whose key is at least key.
func (it *Iter) SeekGE(key []byte) *base.Record {
	r, order := it.seek(key)
	if order == subtreeBefore {
		return it.nextLeaf()
	}
	return it.descendFirst(r)
}

// SeekLT moves to the last record whose key is less than key.
func (it *Iter) SeekLT(key []byte) *base.Record {
	r, order := it.seek(key)
	if order == subtreeBefore && r != 0 {
		return it.descendLast(r)
	}
	return it.previousLeaf()
}

// Sum returns the checksum that the current record was added with: see
// base.RecordSum.
func (it *Iter) Sum() uint32 {
	_, _, sum := recordOf(it.mem, it.leaf, it.version)
	return sum
}

// Err returns nil: reading memory does not fail.
func (it *Iter) Err() error { return nil }

// Close lets go of the table.
func (it *Iter) Close() error {
	it.mem, it.table, it.rec, it.leaf, it.version, it.position = nil, nil, base.Record{}, 0, 0, beforeFirst
	return nil
}

// order says how the keys of a subtree compare with the one that is sought.
type order bool

const (
	subtreeBefore  order = false // all are less
	subtreeAtLeast order = true  // all are greater or equal
)

// seek follows key down from the root until it comes to a subtree, or a leaf,
// whose keys are all on one side of key, or to a place without a child, which
// is reported as r == 0 and subtreeBefore. The path leads there.
func (it *Iter) seek(key []byte) (r ref, o order) {
	it.path = it.path[:0]
	r = it.table.root.Load()
	from := 0
	for {
		if r == 0 {
			return 0, subtreeBefore
		}
		if r&shapeMask == shapeLeaf {
			other := leafAt(it.mem, r).key()
			return r, bytes.Compare(other[from:], key[from:]) >= 0
		}
		h := headerAt(it.mem, r)
		if depth := int(h.depth); depth != from {
			if m := it.table.matchPath(h, key, from); m < depth {
				return r, m == len(key) || leafAt(it.mem, h.witness).key()[m] > key[m]
			}
			from = depth
		}
		if from >= len(key) {
			return r, subtreeAtLeast
		}
		it.path = append(it.path, frame{node: r, at: int32(key[from])})
		slot := childSlot(it.mem, r, key[from])
		if slot == nil {
			return 0, subtreeBefore
		}
		r = slot.Load()
		from++
	}
}

// descendFirst lands on the newest version of the first leaf below r.
func (it *Iter) descendFirst(r ref) *base.Record {
	for r&shapeMask != shapeLeaf {
		f := it.push(r)
		r = headerAt(it.mem, r).end.Load()
		f.at = atEnd
		if r == 0 {
			r = it.stepForward(f)
		}
	}
	return it.landNewest(r)
}

// descendLast lands on the oldest version of the last leaf below r.
func (it *Iter) descendLast(r ref) *base.Record {
	for r&shapeMask != shapeLeaf {
		f := it.push(r)
		f.at = 256
		r = it.stepBackward(f)
	}
	return it.landOldest(r)
}

func (it *Iter) push(r ref) *frame {
	it.path = append(it.path, frame{node: r})
	return &it.path[len(it.path)-1]
}

// nextLeaf lands on the first leaf after everything at the end of the path.
func (it *Iter) nextLeaf() *base.Record {
	for len(it.path) > 0 {
		if r := it.stepForward(&it.path[len(it.path)-1]); r != 0 {
			return it.descendFirst(r)
		}
		it.path = it.path[:len(it.path)-1]
	}
	return it.landNewest(0)
}

// previousLeaf lands on the last leaf before everything at the end of the
// path.
func (it *Iter) previousLeaf() *base.Record {
	for len(it.path) > 0 {
		if r := it.stepBackward(&it.path[len(it.path)-1]); r != 0 {
			return it.descendLast(r)
		}
		it.path = it.path[:len(it.path)-1]
	}
	return it.landOldest(0)
}

// stepForward moves the frame to its next child and returns that, 0 if there
// is none.
func (it *Iter) stepForward(f *frame) ref {
	b := it.following(f, int(f.at))
	if b < 0 {
		return 0
	}
	f.at = int32(b)
	it.askAhead(f)
	return childSlot(it.mem, f.node, byte(b)).Load()
}

// following returns the smallest byte above b that has a child, -1 if there is none.
func (it *Iter) following(f *frame, b int) int {
	if f.node&shapeMask == shapeDirect {
		return directNext(it.mem, f.node, b+1)
	}
	return it.bytesOf(f).next(b + 1)
}

// askAhead asks the processor for the children behind the one that a walk forward has come
// to: they lie anywhere in the arena, and each would be waited for by itself.
func (it *Iter) askAhead(f *frame) {
	if f.ahead--; f.ahead < 0 {
		f.ahead, f.asked = 0, f.at
	}
	for f.ahead < childrenAhead {
		b := it.following(f, int(f.asked))
		if b < 0 {
			return
		}
		f.asked = int32(b)
		f.ahead++
		r := childSlot(it.mem, f.node, byte(b)).Load()
		kernel.Prefetch(unsafe.Add(it.mem, r&^shapeMask), childBytes)
	}
}

// stepBackward moves the frame to its previous child, or to its end leaf, and
// returns that, 0 if there is none.
func (it *Iter) stepBackward(f *frame) ref {
	if f.at == atEnd {
		return 0
	}
	var b int
	if f.node&shapeMask == shapeDirect {
		b = directPrevious(it.mem, f.node, int(f.at))
	} else {
		b = it.bytesOf(f).previous(int(f.at))
	}
	f.at = int32(b)
	if b < 0 {
		return headerAt(it.mem, f.node).end.Load()
	}
	return childSlot(it.mem, f.node, byte(b)).Load()
}

func (it *Iter) bytesOf(f *frame) *byteSet {
	if !f.known {
		bucketedBytes(it.mem, f.node, &f.bytes)
		f.known = true
	}
	return &f.bytes
}

func (it *Iter) landNewest(leafOffset uint32) *base.Record {
	if leafOffset == 0 {
		it.position = afterLast
		return nil
	}
	return it.showLeaf(leafOffset, newestOf(it.mem, leafOffset))
}

func (it *Iter) landOldest(leafOffset uint32) *base.Record {
	if leafOffset == 0 {
		it.position = beforeFirst
		return nil
	}
	return it.showLeaf(leafOffset, leafOffset)
}

// showLeaf makes a version of a leaf current.
func (it *Iter) showLeaf(leafOffset, versionOffset uint32) *base.Record {
	it.position = onRecord
	it.leaf = leafOffset
	it.rec.Key = leafAt(it.mem, leafOffset).key()
	return it.showVersion(versionOffset)
}

// showVersion makes another version of the current leaf current.
func (it *Iter) showVersion(offset uint32) *base.Record {
	it.version = offset
	if offset == it.leaf {
		l := leafAt(it.mem, offset)
		it.rec.Trailer, it.rec.Value = base.Trailer(l.trailer), l.value()
		return &it.rec
	}
	v := versionAt(it.mem, offset)
	it.rec.Trailer, it.rec.Value = base.Trailer(v.trailer), v.value()
	return &it.rec
}
