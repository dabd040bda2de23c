// Package hotcache keeps copies of small, often read records in front of the
// tree, so that a get of a hot key touches one or two places in memory instead
// of the filter, index and block of a file.
//
// The cache is an array of slots of 256 bytes outside the Go heap; the hash of
// a key picks its slot, and a slot holds one record. It begins with a word that
// says what may be done with it:
//
//	counter<<2 | filling<<1 | writing
//
// # The protocol
//
// The one writer of the database marks the slot of a key (BeginWrite) before
// the write can become visible, and unmarks it (EndWrite) once it is; both
// count up. A reader that misses takes a ticket, the word of an unmarked slot,
// before it chooses the moment that it reads at; it may put what it read into
// the slot (Fill) only if the word is still the same, that is, if no write to
// any key of the slot has begun since. So what is filled is the newest value,
// and a write that begins while a fill is under way makes it fail. A record is
// valid as long as the word is the one it was published with. Nobody ever
// waits: a slot that is marked is a miss.
//
// Writes that name no single key (range deletes, large batches) move the floor
// instead, odd while they are under way: a record is valid only under the floor
// that its ticket saw.
//
// Only reads of the newest state may use the cache; snapshots go to the tree.
//
// # Thread-safety
//
// BeginWrite, EndWrite, BeginAll and EndAll are for the one writer at a time;
// Get, Ticket and Fill for any number of readers beside it. All words are
// accessed atomically, payload included, so that a reader that copies while the
// slot changes sees values that were stored, finds the word changed, and
// misses; this is sound on processors with weak ordering too.
package hotcache

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/offheap"
)

const (
	slotWords = 32
	slotBytes = slotWords * 8

	// The words of a slot.
	wordState  = 0
	wordHash   = 1
	wordSizes  = 2 // key bytes << 32 | value bytes
	wordStamp  = 3 // the state that the record was published with
	wordFloor  = 4 // the floor that it was read under
	wordRecord = 5 // the key, padded to whole words, then the value

	stateWriting = 1
	stateFilling = 2
	stateFlags   = stateWriting | stateFilling
	stateCount   = 4

	// RecordMaxBytes is the most that the key, padded to a multiple of eight,
	// and the value may have together.
	RecordMaxBytes = (slotWords - wordRecord) * 8

	// A record that would take the place of another gets in once in so many
	// times: a load much larger than the cache costs little, and what is read
	// often gets in soon.
	admitOneIn = 8
)

// Cache is a hot-record cache. See the package comment.
type Cache struct {
	arena *offheap.Arena
	words []atomic.Uint64
	mask  uint64
	floor atomic.Uint64
}

// New returns an empty cache of at most sizeBytes, at least one slot.
func New(acct *offheap.Accountant, sizeBytes int64) (*Cache, error) {
	slots := uint64(1) << max(bits.Len64(uint64(max(sizeBytes, slotBytes))/slotBytes)-1, 0)
	need := int(slots) * slotBytes
	arena, err := offheap.NewArena(acct, offheap.OwnerHotCache, need+2*slotBytes)
	if err != nil {
		return nil, fmt.Errorf("allocate hot-record cache: %w", err)
	}
	offset, ok := arena.Alloc(uint32(need), 64)
	if !ok {
		arena.Free()
		return nil, fmt.Errorf("allocate hot-record cache: %d bytes do not fit", need)
	}
	// Sound: the arena is zeroed memory of at least that size, aligned, and
	// stays until Free.
	first := (*atomic.Uint64)(unsafe.Add(arena.Base(), offset))
	return &Cache{
		arena: arena,
		words: unsafe.Slice(first, int(slots)*slotWords),
		mask:  slots - 1,
	}, nil
}

// SizeBytes returns the memory that the cache takes.
func (c *Cache) SizeBytes() int64 { return int64(len(c.words)) * 8 }

// Free gives the memory back. Nobody may use the cache afterwards.
func (c *Cache) Free() { c.arena.Free() }

// slot returns the words of the slot for a hash. The low bits pick it, and all
// bits are compared.
func (c *Cache) slot(hash uint64) *[slotWords]atomic.Uint64 {
	at := (hash & c.mask) * slotWords
	return (*[slotWords]atomic.Uint64)(c.words[at : at+slotWords])
}

// Get appends the value of key to dst if the cache holds it.
func (c *Cache) Get(dst, key []byte, hash uint64) ([]byte, bool) {
	s := c.slot(hash)
	state := s[wordState].Load()
	if state&stateFlags != 0 || s[wordStamp].Load() != state || s[wordHash].Load() != hash ||
		s[wordFloor].Load() != c.floor.Load() {
		return dst, false
	}
	sizes := s[wordSizes].Load()
	keyBytes, valueBytes := int(sizes>>32), int(uint32(sizes))
	at := wordRecord + (keyBytes+7)/8
	if keyBytes != len(key) || at+(valueBytes+7)/8 > slotWords || !keyEqual(s, key) {
		return dst, false
	}
	start := len(dst)
	dst = appendWords(dst, s, at, valueBytes)
	if s[wordState].Load() != state {
		return dst[:start], false
	}
	return dst, true
}

func keyEqual(s *[slotWords]atomic.Uint64, key []byte) bool {
	at := wordRecord
	for ; len(key) >= 8; key = key[8:] {
		if s[at&(slotWords-1)].Load() != binary.LittleEndian.Uint64(key) {
			return false
		}
		at++
	}
	return len(key) == 0 || s[at&(slotWords-1)].Load() == partWord(key)
}

// partWord returns fewer than eight bytes as a word.
func partWord(b []byte) (word uint64) {
	for i, x := range b {
		word |= uint64(x) << (8 * i)
	}
	return word
}

func appendWords(dst []byte, s *[slotWords]atomic.Uint64, at, n int) []byte {
	for ; n >= 8; n -= 8 {
		dst = binary.LittleEndian.AppendUint64(dst, s[at&(slotWords-1)].Load())
		at++
	}
	if n > 0 {
		word := s[at&(slotWords-1)].Load()
		for ; n > 0; n-- {
			dst = append(dst, byte(word))
			word >>= 8
		}
	}
	return dst
}

// Ticket is the right to fill a slot as long as no write has begun.
type Ticket struct {
	state, floor uint64
	valid        bool
}

// Ticket returns a ticket for the slot of a hash. It must be taken before the
// moment to read at is chosen.
func (c *Cache) Ticket(hash uint64) Ticket {
	floor := c.floor.Load()
	state := c.slot(hash)[wordState].Load()
	return Ticket{state, floor, state&stateFlags == 0 && floor&1 == 0}
}

// Fill puts a record that was read with the ticket into its slot, if the record
// is small enough, the ticket still holds and admission says so.
func (c *Cache) Fill(t Ticket, key, value []byte, hash uint64) {
	if !t.valid || (len(key)+7)&^7+len(value) > RecordMaxBytes {
		return
	}
	s := c.slot(hash)
	if s[wordStamp].Load() == t.state && t.state != 0 && rand.Uint32()%admitOneIn != 0 {
		return // the slot holds another valid record
	}
	if !s[wordState].CompareAndSwap(t.state, t.state|stateFilling) {
		return
	}
	published := t.state + stateCount
	s[wordHash].Store(hash)
	s[wordSizes].Store(uint64(len(key))<<32 | uint64(len(value)))
	s[wordStamp].Store(published)
	s[wordFloor].Store(t.floor)
	at := storeWords(s, wordRecord, key)
	storeWords(s, at, value)
	if !s[wordState].CompareAndSwap(t.state|stateFilling, published) {
		giveUp(s)
	}
}

// giveUp ends a fill that a write has overtaken. The counter has moved on, so
// the stamp of what was stored is never the state again.
func giveUp(s *[slotWords]atomic.Uint64) {
	for {
		state := s[wordState].Load()
		if s[wordState].CompareAndSwap(state, state&^stateFilling) {
			return
		}
	}
}

// storeWords stores b from word at on and returns the word after it.
func storeWords(s *[slotWords]atomic.Uint64, at int, b []byte) int {
	for ; len(b) >= 8; b = b[8:] {
		s[at&(slotWords-1)].Store(binary.LittleEndian.Uint64(b))
		at++
	}
	if len(b) > 0 {
		s[at&(slotWords-1)].Store(partWord(b))
		at++
	}
	return at
}

// BeginWrite marks the slot of a key, before a write to it can become visible.
func (c *Cache) BeginWrite(hash uint64) { mark(c.slot(hash), stateWriting) }

// EndWrite unmarks the slot, once the write is visible or will never be.
func (c *Cache) EndWrite(hash uint64) { mark(c.slot(hash), 0) }

// mark counts the state up and sets whether a write is under way. A fill that
// is under way goes on and will find the counter changed.
func mark(s *[slotWords]atomic.Uint64, writing uint64) {
	for {
		state := s[wordState].Load()
		next := (state&^stateFlags + stateCount) | state&stateFilling | writing
		if s[wordState].CompareAndSwap(state, next) {
			return
		}
	}
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
