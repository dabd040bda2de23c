package hotcache

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/offheap"
)

const (
	// ringBytesPerBucket is how much of the rings there is for each bucket, so that the
	// index is an eighth of the cache: three records of common size.
	ringBytesPerBucket = 448
	// A cache that may become large has rings of ringMaxBytes, which lie in huge pages;
	// others have rings of an eighth of their size, but not less than is taken from the
	// system at once, and a tiny one has one or a few.
	ringMaxBytes  = 4 << 20
	ringMinBytes  = 64 << 10
	largeMinBytes = 64 << 20
	tinyMaxBytes  = 128 << 10
)

// rings is the memory of records: pieces of one size, of which the first ones are there.
// A place is the number of a ring and that of a word in it. Adding and removing is for one
// at a time; all else for anybody in a stay of the epoch that what is removed is freed
// after.
type rings struct {
	memory    *offheap.Accountant
	count     atomic.Int64 // that are filled: the first ones
	fresh     atomic.Int64 // those from here on were added last
	all       []atomic.Pointer[ring]
	words     []atomic.Pointer[atomic.Uint64] // the first of each, beside what fills it
	ringBytes int64
	ringWords int // without the head
	shift     int // of a place, for the number of its ring
}

func (r *rings) init(memory *offheap.Accountant, sizeBytes, maxBytes int64) {
	switch {
	case sizeBytes < tinyMaxBytes:
		r.ringBytes = 1 << (bits.Len64(uint64(sizeBytes)) - 2)
	case maxBytes < largeMinBytes:
		r.ringBytes = min(max(int64(1)<<(bits.Len64(uint64(sizeBytes))-4), ringMinBytes), ringMaxBytes)
	default:
		r.ringBytes = ringMaxBytes
	}
	r.memory = memory
	r.ringWords = int(r.ringBytes/8) - ringHeadWords
	r.shift = bits.TrailingZeros64(uint64(r.ringBytes / 8))
	most := r.countFor(maxBytes)
	r.all, r.words = make([]atomic.Pointer[ring], most), make([]atomic.Pointer[atomic.Uint64], most)
}

// countFor is how many rings a cache of a size has.
func (r *rings) countFor(sizeBytes int64) int64 {
	return max(sizeBytes/(ringBytesPerBucket+bucketWords*8)*ringBytesPerBucket/r.ringBytes, 1)
}

func (r *rings) sizeBytes() (n int64) {
	for i := range r.all {
		if r.all[i].Load() != nil {
			n += r.ringBytes
		}
	}
	return n
}

// recordMaxWords is the longest record.
func (r *rings) recordMaxWords() int { return min(r.ringWords/recordsPerRing, recordMaxWords) }

// record returns the record at a place, nil if its ring is gone.
func (r *rings) record(place uint64) record {
	first := r.words[place>>r.shift].Load()
	if first == nil {
		return nil
	}
	// Sound: a ring has so many words.
	return record(unsafe.Slice(first, r.ringWords)[place&(1<<r.shift-1):])
}

// of returns the ring of a place, nil if it is gone.
func (r *rings) of(place uint64) *ring { return r.all[place>>r.shift].Load() }

// forHash returns the ring that a record with a hash goes to: one that was added last, where
// its own is full and that one is not. It may be nil for one who is late.
func (r *rings) forHash(hash uint64) *ring {
	count, fresh := uint64(r.count.Load()), uint64(r.fresh.Load())
	hash >>= ringShift
	own := r.all[hash%count].Load()
	if fresh >= count || own == nil || !own.isFull.Load() {
		return own
	}
	if other := r.all[fresh+hash%(count-fresh)].Load(); other != nil && !other.isFull.Load() {
		return other
	}
	return own
}

// areFull reports whether most of some rings are full.
func (r *rings) areFull(from, to int64) bool {
	full := int64(0)
	for i := from; i < to; i++ {
		if r.all[i].Load().isFull.Load() {
			full++
		}
	}
	return 2*full >= to-from
}

// add adds rings until there are so many.
func (r *rings) add(count int64) error {
	for i := r.count.Load(); i < count; i++ {
		added, err := newRing(r.memory, r.ringBytes, uint64(i)<<r.shift)
		if err != nil {
			return err
		}
		r.words[i].Store(&added.words[0])
		r.all[i].Store(added)
		r.count.Store(i + 1)
	}
	return nil
}

// remove frees a ring that nothing refers to, and nobody has.
func (r *rings) remove(i int64) {
	gone := r.all[i].Swap(nil)
	r.words[i].Store(nil)
	gone.arena.Free()
}

func (r *rings) free() {
	for i := range r.all {
		if r.all[i].Load() != nil {
			r.remove(int64(i))
		}
	}
}
