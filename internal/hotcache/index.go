package hotcache

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/kernel"
	"github.com/lightningdb/lightning/internal/offheap"
)

const (
	bucketWords = 8
	// The words of a bucket: its state, and entries.
	wordState  = 0
	firstEntry = 1

	// The state: counter<<2 | filling<<1 | writing.
	stateWriting = 1
	stateFilling = 2
	stateFlags   = stateWriting | stateFilling
	stateCount   = 4
)

// index is all buckets. Its number of buckets never changes: a cache of another size gets
// another index.
type index struct {
	arena   *offheap.Arena
	buckets []bucket
}

func newIndex(acct *offheap.Accountant, buckets int) (*index, error) {
	sizeBytes := offheap.SliceBytes[bucket](buckets) + bucketWords*8 // the begin of an arena is its own
	arena, err := offheap.NewArena(acct, offheap.OwnerHotCache, sizeBytes)
	if err != nil {
		return nil, fmt.Errorf("allocate index of hot records: %w", err)
	}
	x := &index{arena, offheap.Slice[bucket](arena, buckets)}
	if x.buckets == nil {
		arena.Free()
		return nil, fmt.Errorf("allocate index of hot records: no memory for %d bytes", sizeBytes)
	}
	return x, nil
}

func (x *index) sizeBytes() int64 { return int64(len(x.buckets)) * bucketWords * 8 }

// bucket returns the bucket of a hash. Its low half picks it.
func (x *index) bucket(hash uint64) *bucket {
	return &x.buckets[uint64(uint32(hash))*uint64(len(x.buckets))>>32]
}

// expect asks the processor for the bucket of a hash.
func (x *index) expect(hash uint64) {
	kernel.Prefetch(unsafe.Pointer(x.bucket(hash)), bucketWords*8)
}

// find returns the first entry of a hash, 0 if there is none.
func (x *index) find(hash uint64) entry {
	b := x.bucket(hash)
	for i := firstEntry; i < bucketWords; i++ {
		if e := entry(b[i].Load()); e.isOf(hash) {
			return e
		}
	}
	return 0
}

// refers reports whether an entry of a hash is there.
func (x *index) refers(hash uint64, e entry) bool {
	b := x.bucket(hash)
	for i := firstEntry; i < bucketWords; i++ {
		if b.refers(i, e) {
			return true
		}
	}
	return false
}

// beginWrite marks the bucket of a key and takes out what it holds of the key. It returns
// the last such entry, and whether the bucket was marked.
func (x *index) beginWrite(hash uint64) (had entry, again bool) {
	b := x.bucket(hash)
	again = b.mark()
	for i := firstEntry; i < bucketWords; i++ {
		if e := entry(b[i].Load()); e.isOf(hash) {
			had = e
			b.remove(i, func(e entry) bool { return e.isOf(hash) })
		}
	}
	return had, again
}

// Sound: offheap hands out zeroed words; a bucket is as large as a line.
var _ [bucketWords * 8]byte = [unsafe.Sizeof(bucket{})]byte{}

// bucket is a line of the index: a state, and references to the records of keys whose
// hashes agree in the high bits of their low half. Only who has set the filling flag adds entries; anybody
// may take one away.
type bucket [bucketWords]atomic.Uint64

func (b *bucket) state() uint64 { return b[wordState].Load() }

// mark says that a write is under way. Only the writer, who alone calls it, changes that
// flag, so nothing has to be tried again. A fill that is under way goes on and will find
// the state changed. It reports whether one was under way already.
func (b *bucket) mark() (again bool) {
	if again = b.state()&stateWriting != 0; !again {
		b[wordState].Add(stateWriting)
	}
	return again
}

// unmark says that no write is under way any more, and counts the state up.
func (b *bucket) unmark() {
	if b.state()&stateWriting != 0 {
		b[wordState].Add(stateCount - stateWriting)
	}
}

// publish adds an entry if the state is still that of the ticket. It reports whether the
// entry stays.
func (b *bucket) publish(ticket uint64, e entry) bool {
	if !b.beginFill(ticket) {
		return false
	}
	i := b.roomFor(e)
	b[i].Store(uint64(e))
	return b.endFill(ticket, i, e)
}

func (b *bucket) beginFill(ticket uint64) bool {
	return b[wordState].CompareAndSwap(ticket, ticket|stateFilling)
}

// endFill ends a fill of word i, and takes the entry back where a write has begun
// meanwhile.
func (b *bucket) endFill(ticket uint64, i int, e entry) bool {
	if b[wordState].CompareAndSwap(ticket|stateFilling, ticket) {
		return true
	}
	b.remove(i, e.same)
	for {
		state := b.state() // the counter has moved on
		if b[wordState].CompareAndSwap(state, state&^stateFilling) {
			return false
		}
	}
}

// roomFor returns where an entry can go: to an older one of its kind, which is not valid
// any more, to an empty place, or to an entry that was not used since it was last spared.
// If all were used, none counts as used from now on.
func (b *bucket) roomFor(e entry) int {
	room, unused := 0, 0
	for i := firstEntry; i < bucketWords; i++ {
		switch now := entry(b[i].Load()); {
		case now.tag() == e.tag() && now != 0:
			return i
		case now == 0:
			room = i
		case !now.isUsed():
			unused = i
		}
	}
	if room != 0 {
		return room
	}
	if unused != 0 {
		return unused
	}
	for i := firstEntry; i < bucketWords; i++ {
		now := b[i].Load()
		b[i].CompareAndSwap(now, now&^entryUsed)
	}
	return firstEntry + int(e.place()%(bucketWords-firstEntry))
}

// refers reports whether word i is still an entry, used or not.
func (b *bucket) refers(i int, e entry) bool { return entry(b[i].Load()).same(e) }

// spare reports whether the entry that refers to a place, if there is one, was used; it does
// not count as used any more. One that was not, or is not to stay in any case, is gone.
func (b *bucket) spare(place uint64, mayStay bool) bool {
	for i := firstEntry; i < bucketWords; i++ {
		for {
			now := b[i].Load()
			e := entry(now)
			if e == 0 || e.place() != place {
				break
			}
			if mayStay && e.isUsed() {
				b[i].CompareAndSwap(now, now&^entryUsed)
				return true
			}
			if b[i].CompareAndSwap(now, 0) {
				return false
			}
		}
	}
	return false
}

// remove empties word i if it is such an entry.
func (b *bucket) remove(i int, such func(e entry) bool) {
	for {
		now := b[i].Load()
		if now == 0 || !such(entry(now)) || b[i].CompareAndSwap(now, 0) {
			return
		}
	}
}

// entry refers to a record: tag<<48 | used<<47 | place. The tag is the high bits of the
// hash, the place a word of the rings' memory, plus one; the empty entry is 0.
type entry uint64

const (
	tagShift  = 48
	entryUsed = 1 << 47
)

func newEntry(hash, place uint64) entry { return entry(hash>>tagShift<<tagShift | (place + 1)) }

func (e entry) tag() uint64        { return uint64(e >> tagShift) }
func (e entry) place() uint64      { return uint64(e)&(entryUsed-1) - 1 }
func (e entry) isUsed() bool       { return e&entryUsed != 0 }
func (e entry) same(o entry) bool  { return (e^o)&^entryUsed == 0 }
func (e entry) isOf(h uint64) bool { return e != 0 && e.tag() == h>>tagShift }
