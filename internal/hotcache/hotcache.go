// Package hotcache keeps copies of often read records, and of answers that a key is
// absent, in front of the tree, so that a get of a hot key touches two places in memory
// instead of the filter, index and block of a file.
//
// An index of buckets, each one cache line, says for the hash of a key where its record
// is (index.go); the records lie in rings, outside of the Go heap (ring.go). To ask
// costs the line of the bucket, and all buckets together are an eighth of the cache, so
// that those who ask in vain, and the writer, stay in the processor's cache.
//
// # The protocol
//
// The one writer of the database marks the bucket of a key (BeginWrite) before the write
// can become visible, takes the key's record out of it, and unmarks it (EndWrite) once
// the write is visible, which counts up. A reader that misses takes a ticket, the state of
// an unmarked bucket, before it chooses the moment that it reads at; it may put what it
// read into the bucket (Fill) only if the state is still the same, that is, if no write
// to any key of the bucket has begun since. So what is filled is the newest value. A fill
// is visible as such in the bucket's state: a reader takes no answer from there
// meanwhile, and a fill that a write has overtaken takes its record back before it ends.
// Nobody ever waits.
//
// A reader copies a record and looks then whether the bucket still refers to it: who
// needs its memory, and the writer, take the reference away first.
//
// Writes that name no single key (range deletes, large batches) move the floor instead,
// odd while they are under way: a record is valid only under the floor that its ticket
// saw.
//
// Only reads of the newest state fill the cache. A record says as of which sequence number
// it was read: as it is the newest one of its key, all who read as of that number or a
// later one see it.
//
// # Thread-safety
//
// BeginWrite, EndWrite, BeginAll and EndAll are for the one writer at a time; Get,
// Ticket, Fill and FillAbsent for any number of readers beside it. All words are accessed
// atomically, payload included, so that a reader that copies while its record is
// overwritten sees values that were stored, finds the reference gone, and misses; this is
// sound on processors with weak ordering too.
package hotcache

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/kernel"
	"github.com/lightningdb/lightning/internal/offheap"
)

const (
	// sizeMinBytes is the smallest cache.
	sizeMinBytes = 4 << 10
	// bytesPerBucket is how much of the cache there is for each bucket, which is an
	// eighth of it: three records of common size.
	bytesPerBucket = 512

	// expectedBytes is how much of a record is asked for.
	expectedBytes = 192

	// A record for which another one has to go gets in once in so many times: a load
	// much larger than the cache costs little, and what is read often gets in soon.
	admitOneIn = 8
	// The tree, which has filters, is quick to say that a key is absent.
	admitAbsentOneIn = 64
)

// Cache is a hot-record cache. See the package comment.
type Cache struct {
	arena   *offheap.Arena
	buckets []bucket
	mask    uint64
	words   []atomic.Uint64 // the memory of all rings
	rings   []ring
	floor   atomic.Uint64
	size    int64
}

// Answer is what the cache knows of a key.
type Answer uint8

// The answers.
const (
	Unknown Answer = iota
	Found
	Absent // the key has no value
)

// New returns an empty cache of about sizeBytes, 4 KiB at least.
func New(acct *offheap.Accountant, sizeBytes int64) (*Cache, error) {
	sizeBytes = max(sizeBytes, sizeMinBytes)
	buckets := 1 << (bits.Len64(uint64(sizeBytes)/bytesPerBucket) - 1)
	words := int(sizeBytes)/8 - buckets*bucketWords
	arena, err := offheap.NewArena(acct, offheap.OwnerHotCache, int(sizeBytes)+2*bucketWords*8)
	if err != nil {
		return nil, fmt.Errorf("allocate hot-record cache: %w", err)
	}
	c := &Cache{
		arena: arena, mask: uint64(buckets - 1), size: int64(buckets*bucketWords+words) * 8,
		buckets: offheap.Slice[bucket](arena, buckets), words: offheap.Slice[atomic.Uint64](arena, words),
	}
	if c.buckets == nil || c.words == nil {
		arena.Free()
		return nil, fmt.Errorf("allocate hot-record cache: %d bytes do not fit", sizeBytes)
	}
	c.makeRings()
	return c, nil
}

// SizeBytes returns the memory that the cache takes.
func (c *Cache) SizeBytes() int64 { return c.size }

// RecordMaxBytes is the most that a key, padded to a multiple of eight, and its value may
// have together.
func (c *Cache) RecordMaxBytes() int { return c.rings[0].recordMaxWords()*8 - recordHeaderWords*8 }

// Free gives the memory back. Nobody may use the cache afterwards.
func (c *Cache) Free() { c.arena.Free() }

// Get appends the newest value of key to dst if the cache holds it.
func (c *Cache) Get(dst, key []byte, hash uint64) ([]byte, Answer) {
	return c.GetAt(dst, key, hash, base.SeqNumMax)
}

// GetAt is Get as of a sequence number.
func (c *Cache) GetAt(dst, key []byte, hash uint64, seq base.SeqNum) ([]byte, Answer) {
	b := c.bucket(hash)
	for i := firstEntry; i < bucketWords; i++ {
		e := entry(b[i].Load())
		if !e.isOf(hash) {
			continue
		}
		r := record(c.words[e.place():])
		stamp, start := r.stamp(), len(dst)
		if r.floor() != c.floor.Load() || r.seq() > seq {
			continue
		}
		dst, answer := r.appendValue(dst, key)
		if answer == Unknown {
			continue // another key, or overwritten
		}
		invariant.Yield()
		// In this order: who overtakes a fill takes the entry away before the flag.
		if b.state()&stateFilling != 0 || !b.refers(i, e) || r.stamp() != stamp {
			return dst[:start], Unknown
		}
		if !e.isUsed() {
			b[i].CompareAndSwap(uint64(e), uint64(e)|entryUsed)
		}
		return dst, answer
	}
	return dst, Unknown
}

// Ticket is the right to fill a bucket as long as no write has begun.
type Ticket struct {
	state, floor uint64
	valid        bool
}

// Ticket returns a ticket for the bucket of a hash. It must be taken before the
// moment to read at is chosen.
func (c *Cache) Ticket(hash uint64) Ticket {
	floor := c.floor.Load()
	state := c.bucket(hash).state()
	return Ticket{state, floor, state&stateFlags == 0 && floor&1 == 0}
}

// Fill puts a record that was read with the ticket, as of a sequence number, into its
// bucket, if the record is small enough, the ticket still holds and admission says so.
func (c *Cache) Fill(t Ticket, key, value []byte, hash uint64, seq base.SeqNum) {
	c.fill(t, key, value, hash, seq, Found)
}

// FillAbsent is Fill for a key without a value.
func (c *Cache) FillAbsent(t Ticket, key []byte, hash uint64, seq base.SeqNum) {
	c.fill(t, key, nil, hash, seq, Absent)
}

func (c *Cache) fill(t Ticket, key, value []byte, hash uint64, seq base.SeqNum, answer Answer) {
	r := &c.rings[hash>>ringShift%uint64(len(c.rings))]
	words := recordWords(len(key), len(value))
	b := c.bucket(hash)
	if !t.valid || words > r.recordMaxWords() || b.state() != t.state || c.holds(b, hash) {
		return
	}
	if r.isFull.Load() && !admits(answer) || !r.busy.CompareAndSwap(false, true) {
		return
	}
	defer r.busy.Store(false)
	place := c.takePlace(r, words)
	rec := record(c.words[place:])
	rec.store(r.nextStamp(), t.floor, hash, seq, key, value, answer)
	if !b.publish(t.state, newEntry(hash, place)) {
		rec.setGap(words)
	}
}

// admits decides whether a record gets in for which another one has to go.
func admits(answer Answer) bool {
	if answer == Absent {
		return rand.Uint32()%admitAbsentOneIn == 0
	}
	return rand.Uint32()%admitOneIn == 0
}

// holds reports whether a bucket has a record of a key of this hash, or of one that looks
// like it, which is valid.
func (c *Cache) holds(b *bucket, hash uint64) bool {
	for i := firstEntry; i < bucketWords; i++ {
		if e := entry(b[i].Load()); e.isOf(hash) && record(c.words[e.place():]).floor() == c.floor.Load() {
			return true
		}
	}
	return false
}

// BeginWrite marks the bucket of a key, before a write to it can become visible, and
// takes out what it holds of the key.
func (c *Cache) BeginWrite(hash uint64) {
	b := c.bucket(hash)
	b.mark()
	for i := firstEntry; i < bucketWords; i++ {
		if entry(b[i].Load()).isOf(hash) {
			b.remove(i, func(e entry) bool { return e.isOf(hash) })
		}
	}
}

// EndWrite unmarks the bucket, once the write is visible or will never be.
func (c *Cache) EndWrite(hash uint64) { c.bucket(hash).unmark() }

// Expect asks the processor for the bucket of a key. Anybody may call it.
func (c *Cache) Expect(hash uint64) { kernel.Prefetch(unsafe.Pointer(c.bucket(hash)), bucketWords*8) }

// Seems reports whether there seems to be a record of a key, and asks the processor for it.
func (c *Cache) Seems(hash uint64) bool {
	b := c.bucket(hash)
	for i := firstEntry; i < bucketWords; i++ {
		if e := entry(b[i].Load()); e.isOf(hash) {
			kernel.Prefetch(unsafe.Pointer(&c.words[e.place()]), expectedBytes)
			return true
		}
	}
	return false
}

// BeginAll makes every record invalid, before a write that names no single key
// can become visible, and lets none in until EndAll.
func (c *Cache) BeginAll() { c.floor.Or(1) }

// EndAll ends what BeginAll began; without one before it does nothing.
func (c *Cache) EndAll() {
	if c.floor.Load()&1 != 0 {
		c.floor.Add(1)
	}
}

// Forget makes every record invalid that was read before the call. Anybody may call
// it at any time.
func (c *Cache) Forget() { c.floor.Add(2) }

// bucket returns the bucket of a hash. Its low bits pick it.
func (c *Cache) bucket(hash uint64) *bucket { return &c.buckets[hash&c.mask] }

// Sound: offheap hands out zeroed words; a bucket is as large as a line.
var _ [bucketWords * 8]byte = [unsafe.Sizeof(bucket{})]byte{}
