package memtable

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
)

// heads says what the head of a piece is: the eight bytes of the key at which it begins
// that follow what all such keys have in common. Who looks for the place of a key compares
// most pieces by their heads, and need not look at the keys, which lie elsewhere. Where a
// key has less in common with the others, heads mean something else from then on, and the
// pieces made before are compared by their keys. Only speed depends on it: where a way has
// ended, the keys of both neighbours are looked at. It belongs to the writer.
type heads struct {
	known  bool
	common []byte // in memory of its own
	since  uint32 // pieces that lie before this place in the arena have other heads
}

// of returns the head of a key for pieces that are made from now on.
func (h *heads) of(key []byte, arena *offheap.Arena) uint64 {
	if !bytes.HasPrefix(key, h.common) || !h.known {
		h.learn(key, arena)
	}
	return base.Head(key[len(h.common):])
}

func (h *heads) learn(key []byte, arena *offheap.Arena) {
	if !h.known {
		h.known, h.common = true, bytes.Clone(key)
		return
	}
	h.common, h.since = h.common[:base.CommonPrefix(h.common, key)], uint32(arena.Used())
}
