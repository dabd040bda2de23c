// Package hotcache keeps copies of often read records, and of answers that a key is
// absent, in front of the tree, so that a get of a hot key touches two places in memory
// instead of the filter, index and block of a file.
//
// An index of buckets, each one cache line, says for the hash of a key where its record
// is (index.go); the records lie in rings, outside of the Go heap (ring.go). To ask
// costs the line of the bucket, and all buckets together are an eighth of the cache, so
// that in a small cache those who ask in vain, and the writer, stay near the processor.
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
// # Sizes
//
// The cache grows and shrinks by whole rings, and gets an index that fits. The index before
// stays for a while: who finds nothing in the new one looks there, and adds what he finds to
// the new one, with a ticket of that, as if the one before were the tree; the record stays
// where it is. The writer marks both. Indexes change while nobody writes, so that each
// write finds the same ones at its begin and at its end. One that is given up, and a ring,
// are freed when all readers that may have seen them have left; until then references to
// what is overwritten are taken out of it as well.
//
// # Thread-safety
//
// BeginWrite, EndWrite, BeginAll, EndAll and PutBack, this one in a stay of the epoch, are
// for the one writer at a time; Resize, WantsMore, Grow and DropBefore for one at a time;
// GetAt, Ticket, Fill and FillAbsent for any number of readers beside them, in a stay.
// SizeBytes is for who changes the size. All words are accessed atomically, payload included, so that a reader that copies while its record is
// overwritten sees values that were stored, finds the reference gone, and misses; this is
// sound on processors with weak ordering too.
package hotcache

import (
	"math/rand/v2"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/kernel"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/reuse"
)

const (
	// sizeMinBytes is the smallest cache.
	sizeMinBytes = 4 << 10
	// expectedBytes is how much of a record is asked for.
	expectedBytes = 192

	// A record for which another one has to go gets in once in so many times: a load
	// much larger than the cache costs little, and what is read often gets in soon.
	admitOneIn = 8
	// The tree, which has filters, is quick to say that a key is absent.
	admitAbsentOneIn = 64
)

// Answer is what the cache knows of a key.
type Answer uint8

// The answers.
const (
	Unknown Answer = iota
	Found
	Absent // the key has no value
)

// Config says how large a cache is, and what it works with.
type Config struct {
	SizeBytes int64         // 4 KiB at least; it may become some percent more
	MaxBytes  int64         // that Resize is ever asked for; 0: SizeBytes
	Epochs    *epoch.Domain // that readers stay in
	Memory    *offheap.Accountant
	Uses      *reuse.Curve // is told of records that are asked for; nil: nobody is
}

// Cache is a hot-record cache. See the package comment.
type Cache struct {
	cfg   Config
	below uint64 // hashes below it are sampled for Uses

	// An index moves on from one to the next. Who looks for all that refer to a place
	// loads them in this order.
	now, before, leaving atomic.Pointer[index] // before and leaving: nil for none

	rings  rings
	target int64 // how many rings there are to be: who changes the size has it
	floor  atomic.Uint64
}

// New returns an empty cache.
func New(cfg Config) (*Cache, error) {
	cfg.SizeBytes = max(cfg.SizeBytes, sizeMinBytes)
	cfg.MaxBytes = max(cfg.MaxBytes, cfg.SizeBytes)
	c := &Cache{cfg: cfg}
	c.rings.init(cfg.Memory, cfg.SizeBytes, cfg.MaxBytes)
	if cfg.Uses != nil {
		c.below = cfg.Uses.Below()
	}
	if err := c.Resize(cfg.SizeBytes, false, func(change func()) error { change(); return nil }); err != nil {
		c.Free()
		return nil, err
	}
	for c.rings.count.Load() < c.target {
		c.Grow()
	}
	c.rings.fresh.Store(c.target) // all are
	return c, nil
}

// SizeBytes returns the memory that the cache takes.
func (c *Cache) SizeBytes() int64 {
	n := c.rings.sizeBytes()
	for _, x := range c.indexes() {
		if x != nil {
			n += x.sizeBytes()
		}
	}
	return n
}

// indexes returns all that may refer to records, in the order in which they move on.
func (c *Cache) indexes() [3]*index {
	return [...]*index{c.now.Load(), c.before.Load(), c.leaving.Load()}
}

// Free gives the memory back. Nobody may use the cache afterwards.
func (c *Cache) Free() {
	for _, x := range c.indexes() {
		if x != nil {
			x.arena.Free()
		}
	}
	c.rings.free()
}

// GetAt appends the newest value of key to dst if the cache holds it, for who reads as of a
// sequence number.
func (c *Cache) GetAt(dst, key []byte, hash uint64, seq base.SeqNum) ([]byte, Answer) {
	start := len(dst)
	dst, answer, _ := c.ask(c.now.Load(), dst, key, hash, seq)
	if answer == Unknown && c.before.Load() != nil {
		dst, answer = c.askBefore(dst, key, hash, seq)
	}
	if answer != Unknown && hash < c.below {
		tell(c.cfg.Uses, key, dst[start:], hash, answer, true)
	}
	return dst, answer
}

// tell tells a curve of a sampled key that was asked for. The cache does not grow for
// what is absent, which the tree is quick to say, nor for what it cannot hold.
func tell(uses *reuse.Curve, key, value []byte, hash uint64, answer Answer, answered bool) {
	words := recordWords(len(key), len(value))
	if answer == Absent || words > recordMaxWords {
		uses.Pass(hash)
		return
	}
	uses.Use(hash, int(withIndex(int64(words)*8)), answered)
}

// ask is GetAt by an index. It returns the entry by which the answer was found.
func (c *Cache) ask(x *index, dst, key []byte, hash uint64, seq base.SeqNum) ([]byte, Answer, entry) {
	b := x.bucket(hash)
	for i := firstEntry; i < bucketWords; i++ {
		e := entry(b[i].Load())
		if !e.isOf(hash) {
			continue
		}
		r := c.rings.record(e.place())
		if r == nil {
			continue
		}
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
			return dst[:start], Unknown, 0
		}
		if !e.isUsed() {
			b[i].CompareAndSwap(uint64(e), uint64(e)|entryUsed)
		}
		return dst, answer, e
	}
	return dst, Unknown, 0
}

// askBefore is GetAt by the index before. What it finds is added to the present one.
func (c *Cache) askBefore(dst, key []byte, hash uint64, seq base.SeqNum) ([]byte, Answer) {
	x := c.now.Load()
	// Before the question, so that what is found is the newest then; and before it is known
	// that there still is an index before, so that all writes until then are marked there.
	t := x.ticket(hash, c.floor.Load())
	invariant.Yield()
	before := c.before.Load()
	if before == nil {
		return dst, Unknown
	}
	dst, answer, e := c.ask(before, dst, key, hash, seq)
	if answer == Unknown || !t.valid {
		return dst, answer
	}
	r := c.rings.of(e.place())
	if r == nil || !r.busy.CompareAndSwap(false, true) {
		return dst, answer
	}
	defer r.busy.Store(false)
	// Nobody makes room in the ring now, so a record that is referred to stays.
	if before.refers(hash, e) {
		x.bucket(hash).publish(t.state, e)
	}
	return dst, answer
}

// Carry adds to the present index what the index before has of a key as of a number, so that it
// needs no second copy. It reports whether one of them has it now. buf is memory to use.
func (c *Cache) Carry(buf, key []byte, hash uint64, seq base.SeqNum) (_ []byte, has bool) {
	if c.holds(c.now.Load().bucket(hash), hash) {
		return buf, true
	}
	found, answer := c.askBefore(buf[:0], key, hash, seq)
	return found, answer != Unknown
}

// Ticket is the right to fill a bucket as long as no write has begun.
type Ticket struct {
	in           *index
	state, floor uint64
	valid        bool
}

// Ticket returns a ticket for the bucket of a hash. It must be taken before the
// moment to read at is chosen, and used in the same stay.
func (c *Cache) Ticket(hash uint64) Ticket { return c.now.Load().ticket(hash, c.floor.Load()) }

// ticket returns a ticket under a floor that was loaded before.
func (x *index) ticket(hash, floor uint64) Ticket {
	state := x.bucket(hash).state()
	return Ticket{x, state, floor, state&stateFlags == 0 && floor&1 == 0}
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
	if hash < c.below {
		tell(c.cfg.Uses, key, value, hash, answer, false)
	}
	words := recordWords(len(key), len(value))
	if !t.valid || words > c.rings.recordMaxWords() {
		return
	}
	r, b := c.rings.forHash(hash), t.in.bucket(hash)
	if r == nil || b.state() != t.state || c.holds(b, hash) {
		return
	}
	if !r.isFull.Load() || admits(answer) {
		c.put(r, t, key, value, hash, seq, answer, 0)
	}
}

// put puts a record into a ring, and an entry for it, of which it says whether it counts as
// used, into the bucket of the ticket; unless somebody else has the ring.
func (c *Cache) put(r *ring, t Ticket, key, value []byte, hash uint64, seq base.SeqNum, answer Answer, used entry) {
	if !r.busy.CompareAndSwap(false, true) {
		return
	}
	defer r.busy.Store(false)
	words := recordWords(len(key), len(value))
	at := c.takePlace(r, words)
	rec := record(r.words[at:])
	rec.store(r.nextStamp(), t.floor, hash, seq, key, value, answer)
	if !t.in.bucket(hash).publish(t.state, newEntry(hash, r.place+at)|used) {
		rec.setGap(words)
	}
}

// BytesOf is about what so many records, of keys and values of rawBytes together, take of a
// cache.
func BytesOf(records, rawBytes int64) int64 {
	return withIndex(records*(recordHeaderWords+1)*8 + rawBytes)
}

// withIndex is what records take with their share of the index.
func withIndex(bytes int64) int64 {
	return bytes * (ringBytesPerBucket + bucketWords*8) / ringBytesPerBucket
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
		if e := entry(b[i].Load()); e.isOf(hash) {
			if r := c.rings.record(e.place()); r != nil && r.floor() == c.floor.Load() {
				return true
			}
		}
	}
	return false
}

// BeginWrite marks the bucket of a key, before a write to it can become visible, and
// takes out what it holds of the key. It reports whether that was in use; and whether the
// bucket was marked already, by an earlier write of the same group.
func (c *Cache) BeginWrite(hash uint64) (used, again bool) {
	if hash < c.below {
		c.cfg.Uses.Write(hash)
	}
	e, again := c.now.Load().beginWrite(hash)
	used = e.isUsed()
	if x := c.before.Load(); x != nil {
		e, _ := x.beginWrite(hash)
		used = used || e.isUsed()
	}
	return used, again
}

// PutBack puts a record that a write has taken out into the cache again, with the value that
// was written, which is visible as of a sequence number. It is for the writer, after EndWrite
// and before the next BeginWrite, in a stay of the epoch. The record goes to the hand of its
// ring, where memory is written in order: to look for its old place would be a wait for
// memory in each write.
func (c *Cache) PutBack(key, value []byte, hash uint64, seq base.SeqNum) {
	t := c.Ticket(hash)
	r, words := c.rings.forHash(hash), recordWords(len(key), len(value))
	if t.valid && r != nil && words <= c.rings.recordMaxWords() {
		c.put(r, t, key, value, hash, seq, Found, entryUsed)
	}
}

// EndWrite unmarks the bucket, once the write is visible or will never be.
func (c *Cache) EndWrite(hash uint64) {
	c.now.Load().bucket(hash).unmark()
	if x := c.before.Load(); x != nil {
		x.bucket(hash).unmark()
	}
}

// Expect asks the processor for the bucket of a key. The writer may call it, and anybody in
// a stay.
func (c *Cache) Expect(hash uint64) { c.now.Load().expect(hash) }

// Seems reports whether there seems to be a record of a key, and asks the processor for it.
func (c *Cache) Seems(hash uint64) bool {
	e := c.now.Load().find(hash)
	if x := c.before.Load(); x != nil && e == 0 {
		e = x.find(hash)
	}
	if e == 0 {
		return false
	}
	r := c.rings.record(e.place())
	if r != nil {
		kernel.Prefetch(unsafe.Pointer(unsafe.SliceData(r)), expectedBytes)
	}
	return r != nil
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
