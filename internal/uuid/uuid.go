// Package uuid makes UUIDs of version 7 (RFC 9562): the time comes first, so that they
// sort by when they were made, and many processes make them without asking each other.
package uuid

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/keyenc"
)

// Generator makes UUIDs, each greater than the one before, also when the clock stands
// still or is set back: the 12 bits after the milliseconds count, and run over into the
// milliseconds. The other 62 bits are random. It is safe for concurrent use and has no
// lock. The zero value follows the system's clock.
type Generator struct {
	Clock clock.Clock   // nil: the system's
	last  atomic.Uint64 // milliseconds and count of the newest one
}

const (
	countBits   = 12
	version     = 7 << 12
	variant     = 2 << 62
	variantMask = 3 << 62
)

// New returns the next one.
func (g *Generator) New() keyenc.UUID {
	now := clock.System
	if g.Clock != nil {
		now = g.Clock
	}
	moment := uint64(max(0, now.Now().UnixMilli())) << countBits
	var next uint64
	for {
		last := g.last.Load()
		if next = max(moment, last+1); g.last.CompareAndSwap(last, next) {
			break
		}
	}
	var id keyenc.UUID
	count := next & (1<<countBits - 1)
	binary.BigEndian.PutUint64(id[:], next>>countBits<<16|version|count)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&^variantMask|variant)
	return id
}
