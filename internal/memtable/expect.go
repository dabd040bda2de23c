package memtable

import (
	"unsafe"

	"github.com/lightningdb/lightning/internal/kernel"
)

// Adding a record to a large table waits for memory at each node on its way down, one
// after the other, and for that of the record itself. Who knows some keys that will be
// added has their ways walked side by side ahead of that, and asks for each next node
// while the others are looked at.

const (
	// ExpectMax is how many keys Expect looks at.
	ExpectMax = 16
	// freshBytes is how much of the memory that records will take next is asked for.
	freshBytes = 192
	// A single key is followed through so many nodes: those are near in any case.
	nearNodes = 2
	// expectedNodes bounds the ways of several keys. Few tables have more nodes above each
	// other.
	expectedNodes = 8
)

// way is how far down a key has been followed.
type way struct {
	at   ref
	from int // bytes of the key that lead there
}

// Expect asks the processor for what adding the keys, ExpectMax at most, is going to read
// and write. It is the writer's, and changes nothing.
func (t *Table) Expect(keys [][]byte) {
	kernel.Prefetch(unsafe.Add(t.mem, t.arena.Used()), freshBytes)
	if len(keys) == 0 {
		return
	}
	first := beginWay(t, keys[0])
	switch {
	case first.at == 0:
		return // in order, most likely
	case len(keys) == 1:
		for range nearNodes {
			first.follow(t.mem, keys[0])
		}
		return
	}
	var ways [ExpectMax]way
	keys = keys[:min(len(keys), ExpectMax)]
	for i, key := range keys {
		ways[i] = beginWay(t, key)
	}
	followAll(t, ways[:], keys)
}

// ExpectGets asks the processor for what Get is going to read for some keys, ExpectMax at
// most. Anybody may call it.
func ExpectGets(t *Table, keys [][]byte) {
	root := way{at: t.root.Load()}
	if root.at == 0 {
		return
	}
	var ways [ExpectMax]way
	keys = keys[:min(len(keys), ExpectMax)]
	for i := range keys {
		ways[i] = root
	}
	followAll(t, ways[:], keys)
}

// followAll follows the ways of keys side by side.
func followAll(t *Table, ways []way, keys [][]byte) {
	for range expectedNodes {
		open := false
		for i, key := range keys {
			open = ways[i].follow(t.mem, key) || open
		}
		if !open {
			return
		}
	}
}

// beginWay returns the root as what to look at first, or nothing where the last Add ended
// near the key.
func beginWay(t *Table, key []byte) way {
	if slot, from := t.start(key); from == 0 {
		return way{at: slot.Load()}
	}
	return way{}
}

// follow goes one node down, and asks for the next. It reports whether there is one. What
// a node's path leaves out is taken to agree: a wrong guess costs time only.
func (w *way) follow(mem unsafe.Pointer, key []byte) bool {
	if w.at&shapeMask == shapeLeaf {
		return false
	}
	w.from = max(w.from, int(headerAt(mem, w.at).depth))
	if w.from >= len(key) {
		w.at = 0
		return false
	}
	slot := childSlot(mem, w.at, key[w.from])
	if slot == nil {
		w.at = 0
		return false
	}
	w.at = slot.Load()
	w.from++
	w.prefetch(mem, key)
	return w.at&shapeMask != shapeLeaf
}

// prefetch asks for what is read first where a way has come to.
func (w *way) prefetch(mem unsafe.Pointer, key []byte) {
	if w.at == 0 {
		return
	}
	kernel.Prefetch(unsafe.Pointer(headerAt(mem, w.at)), int(headerBytes))
	if w.at&shapeMask == shapeLeaf || w.from >= len(key) {
		return
	}
	b := key[w.from]
	if w.at&shapeMask == shapeDirect {
		kernel.Prefetch(unsafe.Pointer(&directAt(mem, w.at).child[b]), 4)
		return
	}
	kernel.Prefetch(unsafe.Pointer(bucketAt(mem, w.at, uint32(b)&bucketMask(w.at&shapeMask))), int(bucketBytes))
}
