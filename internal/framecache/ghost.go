package framecache

import "math/bits"

const (
	ghostWays       = 8
	ghostFrameBytes = 8 << 10 // of capacity for each entry: the usual block
	ghostMinBuckets = 1 << 7
	ghostMaxBuckets = 1 << 19
)

// ghost remembers fingerprints of blocks that were evicted from probation,
// about as many as the cache has frames. It is a table of small buckets, each
// of which forgets its oldest entry when a new one comes in. A fingerprint
// chooses its bucket by its low bits; mistaking one block for another only
// admits it to the main queue. It belongs to Cache.mu.
type ghost struct {
	buckets [][ghostWays]uint32 // a power of two; newest entry first, 0 = none
}

// fingerprint identifies a block of a table that is or was open. It is not 0.
func fingerprint(tableID uint64, slot uint32) uint32 {
	return uint32(blockHash(tableID, slot)>>32) | 1<<31
}

// blockHash is a hash of a block of a table.
func blockHash(tableID uint64, slot uint32) uint64 {
	h := (tableID*0x9e3779b97f4a7c15 + uint64(slot)) * 0xd6e8feb86659fd93
	return (h ^ h>>32) * 0xd6e8feb86659fd93
}

func (g *ghost) bucket(fp uint32) *[ghostWays]uint32 {
	return &g.buckets[fp&uint32(len(g.buckets)-1)]
}

// put remembers fp as the newest entry.
func (g *ghost) put(fp uint32) {
	b := g.bucket(fp)
	copy(b[1:], b[:])
	b[0] = fp
}

// take forgets fp and reports whether it was there.
func (g *ghost) take(fp uint32) bool {
	b := g.bucket(fp)
	for i := range b {
		if b[i] == fp {
			copy(b[i:], b[i+1:])
			b[ghostWays-1] = 0
			return true
		}
	}
	return false
}

// resize fits the size to the capacity of the cache. Capacities that change
// all the time by a little must not cost much, so that it shrinks only when it
// is far too large.
func (g *ghost) resize(capacityBytes int64) {
	want := max(capacityBytes/(ghostFrameBytes*ghostWays), 1)
	want = 1 << bits.Len64(uint64(want-1)) // rounded up to a power of two
	want = min(max(want, ghostMinBuckets), ghostMaxBuckets)
	have := int64(len(g.buckets))
	if want <= have && want*4 > have {
		return
	}
	old := g.buckets
	g.buckets = make([][ghostWays]uint32, want)
	for i := range old {
		for way := ghostWays - 1; way >= 0; way-- {
			if fp := old[i][way]; fp != 0 {
				g.put(fp)
			}
		}
	}
}
