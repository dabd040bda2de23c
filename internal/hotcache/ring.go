package hotcache

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/kernel"
	"github.com/lightningdb/lightning/internal/offheap"
)

const (
	// The words of a record. The first one is its stamp, even, or of a gap
	// words<<1 | 1.
	wordStamp = 0
	wordFloor = 1 // that it was read under
	wordHash  = 2
	wordSeq   = 3 // the sequence number that it was read as of
	wordSizes = 4 // key bytes << 32 | value bytes, or absentBytes

	recordHeaderWords = 5
	absentBytes       = 1<<32 - 1

	// ringShift says which bits of a hash pick the ring: not those of bucket or tag.
	ringShift = 40
	// recordsPerRing is how many records a ring has room for at least.
	recordsPerRing = 8
	recordMaxWords = 512
	// ringHeadWords are the arena's own.
	ringHeadWords = 8
	// sparedMax bounds how many used records a fill passes by.
	sparedMax = 32
)

// ring is a piece of memory, full of records and gaps that follow one another. Its hand
// goes round: what lies there makes room, unless it was used since the hand came by
// last. Who has set busy has all of it to himself, but for reading records.
type ring struct {
	busy   atomic.Bool
	isFull atomic.Bool // the hand was everywhere
	arena  *offheap.Arena
	words  []atomic.Uint64
	place  uint64 // of its first word
	hand   uint64 // where the next record goes
	stamp  uint64
}

// newRing returns an empty ring of sizeBytes, whose first word has a place.
func newRing(acct *offheap.Accountant, sizeBytes int64, place uint64) (*ring, error) {
	arena, err := offheap.NewArena(acct, offheap.OwnerHotCache, int(sizeBytes))
	if err != nil {
		return nil, fmt.Errorf("allocate hot records: %w", err)
	}
	words := offheap.Slice[atomic.Uint64](arena, int(sizeBytes/8-ringHeadWords))
	if words == nil {
		arena.Free()
		return nil, fmt.Errorf("allocate hot records: no memory for %d bytes", sizeBytes)
	}
	r := &ring{arena: arena, words: words, place: place, stamp: rand.Uint64() &^ 1}
	record(words).setGap(len(words))
	return r, nil
}

// nextStamp returns one that no record had before, and which a value does not have but
// by an accident of 64 bits.
func (r *ring) nextStamp() uint64 {
	r.stamp += 2
	return r.stamp
}

// takePlace makes room for a record at the hand, and returns where in the ring it is.
// What is behind it is a gap, or another record.
func (c *Cache) takePlace(r *ring, words int) uint64 {
	need, free, spared := uint64(words), uint64(0), 0
	for free < need {
		if r.hand+free == uint64(len(r.words)) { // a record does not go on at the beginning
			r.leaveGap(free)
			r.hand, free = 0, 0
			r.isFull.Store(true)
		}
		rec := record(r.words[r.hand+free:])
		size := rec.words()
		if c.spare(r.place+r.hand+free, rec, spared < sparedMax) {
			spared++
			r.leaveGap(free)
			r.hand, free = r.hand+free+size, 0
			continue
		}
		free += size
	}
	at := r.hand
	r.hand += need
	r.leaveGap(free - need)
	if r.hand == uint64(len(r.words)) {
		r.hand = 0
		r.isFull.Store(true)
	}
	// The next one comes when the processor has forgotten these lines, and would wait for each.
	kernel.Prefetch(unsafe.Pointer(&r.words[r.hand]), expectedBytes)
	return at
}

// leaveGap makes the next free words at the hand a gap.
func (r *ring) leaveGap(free uint64) {
	if free > 0 {
		record(r.words[r.hand:]).setGap(int(free))
	}
}

// spare decides about the record at a place: one that was used may stay, and does not count
// as used any more. Of any other, nothing refers to it when spare returns. The caller has
// the ring to himself.
func (c *Cache) spare(place uint64, rec record, mayStay bool) (stays bool) {
	if rec.isGap() {
		return false
	}
	hash := rec.hash()
	mayStay = mayStay && rec.floor() == c.floor.Load()
	for _, x := range c.indexes() {
		if x != nil && x.bucket(hash).spare(place, mayStay) {
			stays = true
		}
	}
	return stays
}

// dropAll takes all references to the records of a ring away. The caller has it to himself.
func dropAll(c *Cache, r *ring) {
	for at := uint64(0); at < uint64(len(r.words)); {
		rec := record(r.words[at:])
		c.spare(r.place+at, rec, false)
		at += rec.words()
	}
}

// record is the memory from a record on. Readers may look at one that is being
// overwritten: what they find is checked against its bounds.
type record []atomic.Uint64

func recordWords(keyBytes, valueBytes int) int {
	return recordHeaderWords + (keyBytes+7)/8 + (valueBytes+7)/8
}

func (r record) stamp() uint64    { return r[wordStamp].Load() }
func (r record) floor() uint64    { return r[wordFloor].Load() }
func (r record) hash() uint64     { return r[wordHash].Load() }
func (r record) seq() base.SeqNum { return base.SeqNum(r[wordSeq].Load()) }
func (r record) isGap() bool      { return r[wordStamp].Load()&1 != 0 }

func (r record) setGap(words int) { r[wordStamp].Store(uint64(words)<<1 | 1) }

// words returns how long a record or gap is.
func (r record) words() uint64 {
	if stamp := r.stamp(); stamp&1 != 0 {
		return stamp >> 1
	}
	keyBytes, valueBytes, _ := r.sizes()
	return uint64(recordWords(keyBytes, valueBytes))
}

func (r record) sizes() (keyBytes, valueBytes int, answer Answer) {
	sizes := r[wordSizes].Load()
	if sizes&absentBytes == absentBytes {
		return int(sizes >> 32), 0, Absent
	}
	return int(sizes >> 32), int(sizes & absentBytes), Found
}

// store writes a record. The stamp comes first: from then on nobody takes what lies here
// for what was here before.
func (r record) store(stamp, floor, hash uint64, seq base.SeqNum, key, value []byte, answer Answer) {
	r[wordStamp].Store(stamp)
	r[wordFloor].Store(floor)
	r[wordHash].Store(hash)
	r[wordSeq].Store(uint64(seq))
	sizes := uint64(len(key))<<32 | uint64(len(value))
	if answer == Absent {
		sizes |= absentBytes
	}
	r[wordSizes].Store(sizes)
	r[recordHeaderWords:].storeBytes(key)
	r[recordHeaderWords+(len(key)+7)/8:].storeBytes(value)
}

// appendValue appends the value to dst if the record is that of key.
func (r record) appendValue(dst, key []byte) ([]byte, Answer) {
	keyBytes, valueBytes, answer := r.sizes()
	if keyBytes != len(key) || recordWords(keyBytes, valueBytes) > len(r) {
		return dst, Unknown
	}
	if !r[recordHeaderWords:].equal(key) {
		return dst, Unknown
	}
	return r[recordHeaderWords+(keyBytes+7)/8:].appendBytes(dst, valueBytes), answer
}

func (r record) equal(key []byte) bool {
	for ; len(key) >= 8; key = key[8:] {
		if r[0].Load() != binary.LittleEndian.Uint64(key) {
			return false
		}
		r = r[1:]
	}
	return len(key) == 0 || r[0].Load() == partWord(key)
}

// partWord returns fewer than eight bytes as a word.
func partWord(b []byte) (word uint64) {
	for i, x := range b {
		word |= uint64(x) << (8 * i)
	}
	return word
}

func (r record) appendBytes(dst []byte, n int) []byte {
	start := len(dst)
	dst = slices.Grow(dst, n)[:start+n]
	out := dst[start:]
	for ; len(out) >= 8; out = out[8:] {
		binary.LittleEndian.PutUint64(out, r[0].Load())
		r = r[1:]
	}
	if len(out) > 0 {
		word := r[0].Load()
		for i := range out {
			out[i] = byte(word)
			word >>= 8
		}
	}
	return dst
}

func (r record) storeBytes(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		r[0].Store(binary.LittleEndian.Uint64(b))
		r = r[1:]
	}
	if len(b) > 0 {
		r[0].Store(partWord(b))
	}
}
