package txn

import (
	"bytes"
	"math/bits"
	"math/rand/v2"

	"github.com/lightningdb/lightning/internal/base"
)

// list is a skip list (Pugh, 1990) whose nodes hold the versions of one key,
// newest first. A nil list is empty.
//
// Invariants: the steps of a node's versions descend; a node whose versions
// were all rolled back stays, and counts for nothing; next links only ever lead
// to greater keys, so a cursor may stand on a node while others are added.
type list struct {
	head      [maxHeight]*node
	height    int
	log       []*version // everything in it, by step
	firstLog  [8]*version
	memory    []byte // where keys and values are copied to; full pieces are kept by who uses them
	heldBytes int    // about what all of it takes
}

const (
	maxHeight = 16
	// Pieces of memory begin small, for transactions of a few keys, and double.
	memoryPieceMin  = 512
	memoryPieceSize = 4 << 10
	// versionBytes is about what a version takes besides its key and value.
	versionBytes = 160
)

// node comes with the memory for its first version and for the links that most nodes have,
// so that it is one allocation.
type node struct {
	key    []byte
	newest *version
	next   []*node
	first  version
	links  [2]*node
}

// version is what was written to a key at a step.
type version struct {
	step   Step
	node   *node // nil if it came from a file
	kind   base.Kind
	value  []byte       // or the operand of a merge
	expiry base.Instant // 0: never
	older  *version
}

// add adds a version that is newer than all others. Key and value are copied.
func (l *list) add(key []byte, kind base.Kind, value []byte, step Step) *version {
	n := l.nodeFor(key)
	v := &n.first
	if v.node != nil {
		v = new(version)
	}
	*v = version{step: step, node: n, kind: kind, value: l.copy(value), older: n.newest}
	n.newest = v
	l.log = append(l.log, v)
	l.heldBytes += versionBytes
	return v
}

// rollBack removes all versions from a step on.
func (l *list) rollBack(to Step) {
	if l == nil {
		return
	}
	for len(l.log) > 0 && l.log[len(l.log)-1].step >= to {
		v := l.log[len(l.log)-1]
		v.node.newest = v.older
		l.log = l.log[:len(l.log)-1]
	}
}

func (l *list) versions() []*version {
	if l == nil {
		return nil
	}
	return l.log
}

// copy returns bytes that stay.
func (l *list) copy(b []byte) []byte {
	l.heldBytes += len(b)
	if len(b) > memoryPieceSize/4 {
		return bytes.Clone(b)
	}
	if cap(l.memory)-len(l.memory) < len(b) {
		l.memory = nextPiece(l.memory, len(b))
	}
	at := len(l.memory)
	l.memory = append(l.memory, b...)
	return l.memory[at:len(l.memory):len(l.memory)]
}

// nextPiece returns empty memory for at least so many bytes, after a full piece.
func nextPiece(full []byte, need int) []byte {
	size := min(max(2*cap(full), memoryPieceMin), memoryPieceSize)
	return make([]byte, 0, max(size, need))
}

// links returns the links that lead from a node to the next ones; nil is the
// head.
func (l *list) links(n *node) []*node {
	if n == nil {
		return l.head[:]
	}
	return n.next
}

// nodeFor returns the node of a key, made if there is none.
func (l *list) nodeFor(key []byte) *node {
	var before [maxHeight]*node
	var at *node
	for level := l.height - 1; level >= 0; level-- {
		for next := l.links(at)[level]; next != nil && bytes.Compare(next.key, key) < 0; next = l.links(at)[level] {
			at = next
		}
		before[level] = at
	}
	if n := l.links(at)[0]; n != nil && bytes.Equal(n.key, key) {
		return n
	}
	height := min(1+bits.TrailingZeros32(rand.Uint32()|1<<(2*maxHeight-2))/2, maxHeight)
	n := &node{key: l.copy(key)}
	if n.next = n.links[:]; height > len(n.next) {
		n.next = make([]*node, height)
	}
	n.next = n.next[:height]
	l.height = max(l.height, height)
	for level := range n.next {
		links := l.links(before[level])
		n.next[level], links[level] = links[level], n
	}
	return n
}

// find returns the node of a key; nil if there is none.
func (l *list) find(key []byte) *node {
	if n := l.seekGE(key); n != nil && bytes.Equal(n.key, key) {
		return n
	}
	return nil
}

// seekGE returns the first node whose key is at least key.
func (l *list) seekGE(key []byte) *node {
	if l == nil {
		return nil
	}
	return l.links(l.before(key))[0]
}

// first returns the first node; nil if there is none.
func (l *list) first() *node {
	if l == nil {
		return nil
	}
	return l.head[0]
}

// before returns the last node whose key is less than key; nil if there is
// none.
func (l *list) before(key []byte) *node {
	if l == nil {
		return nil
	}
	var at *node
	for level := l.height - 1; level >= 0; level-- {
		for next := l.links(at)[level]; next != nil && bytes.Compare(next.key, key) < 0; next = l.links(at)[level] {
			at = next
		}
	}
	return at
}

// listRecords yields the versions of a list as records. It is Records.
type listRecords struct {
	list    *list
	version *version
	rec     base.Record
	stored  []byte
}

func (r *listRecords) First() *base.Record { return r.land(r.list.first()) }

func (r *listRecords) Next() *base.Record {
	if older := r.version.older; older != nil {
		return r.show(older)
	}
	return r.land(r.version.node.next[0])
}

func (r *listRecords) Err() error { return nil }

// land lands on the newest version of a node, or of the next one that has any.
func (r *listRecords) land(n *node) *base.Record {
	for n != nil && n.newest == nil {
		n = n.next[0]
	}
	if n == nil {
		return nil
	}
	return r.show(n.newest)
}

func (r *listRecords) show(v *version) *base.Record {
	r.version = v
	r.rec = base.Record{Key: v.node.key, Trailer: base.MakeTrailer(v.step.seq(), v.kind), Value: v.stored(&r.stored)}
	return &r.rec
}

// stored returns the value as records have it. It may use some memory.
func (v *version) stored(memory *[]byte) []byte {
	switch v.kind {
	case base.KindSetExpiring:
		*memory = base.AppendExpiry((*memory)[:0], v.expiry)
	case base.KindMerge:
		*memory = base.AppendReach((*memory)[:0], 0, 0) // it stands for itself
	default:
		return v.value
	}
	*memory = append(*memory, v.value...)
	return *memory
}
