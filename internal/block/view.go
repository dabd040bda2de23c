// Package block is the layout of data and index blocks: sorted records with
// fixed-size slots, so that a reader searches arrays instead of decoding its
// way through the records. docs/format/block.md has the byte table.
//
// view.go reads a block in place; parse.go checks one; iter.go walks one;
// builder.go makes one.
//
// A block is immutable. Views and the results that alias it are valid as long
// as its bytes are; any number of goroutines may read it. Builder and Iter are
// for one goroutine at a time.
package block

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/kernel"
)

// Offsets of the header fields. The common prefix follows the header.
const (
	countAt        = 0  // u32: records
	trailerWidthAt = 4  // u8: bytes of a trailer delta, 0..8
	offsetWidthAt  = 5  // u8: bytes of the offset in a slot, 1..4
	lengthWidthAt  = 6  // u8: bytes of the length delta in a slot, 0..3
	reservedAt     = 7  // u8: zero
	baseTrailerAt  = 8  // u64: smallest trailer
	prefixLenAt    = 16 // u32: length of the common prefix
	baseLengthAt   = 20 // u32: smallest length of a suffix
	headerBytes    = 24

	headBytes     = 8
	sentinelBytes = 8

	maxTrailerWidth = 8
	maxOffsetWidth  = 4
	maxLengthWidth  = 3
)

// Fingerprint is the byte of a key's hash that the block stores.
func Fingerprint(hash uint64) byte { return byte(hash >> 56) }

// View reads a block in place. It is a value of four words; copies are
// independent. The zero View is an empty block.
//
// All loads go through unsafe arithmetic on base, without bounds checks. That
// is sound because Parse has proved, for these bytes, that every slot below
// the count leads to places inside the block, and because each array is
// followed by at least as many bytes as the widest load over-reads (see
// docs/format/block.md, "Reading without bounds checks").
type View struct {
	base      unsafe.Pointer
	shape     uint64 // the first eight bytes of the header: count and widths
	prefixLen int
	heads     uintptr // distance of the heads from base
}

// Trusted is Parse without its checks, for bytes that Parse accepted before
// and that have not changed since.
func Trusted(data []byte) View {
	if invariant.Enabled {
		if _, err := Parse(data); err != nil {
			invariant.Check(false, "untrustworthy block: %v", err)
		}
	}
	return newView(unsafe.Pointer(unsafe.SliceData(data)))
}

// newView reads the header. The caller vouches for headerBytes at p.
func newView(p unsafe.Pointer) View {
	shape := kernel.Load64(p, countAt)
	prefixLen := int(binary.LittleEndian.Uint32((*[4]byte)(unsafe.Add(p, prefixLenAt))[:]))
	heads := headerBytes + alignUp(uintptr(prefixLen)) + alignUp(uintptr(uint32(shape)))
	return View{base: p, shape: shape, prefixLen: prefixLen, heads: heads}
}

// alignUp rounds up to a multiple of eight.
func alignUp(n uintptr) uintptr { return (n + 7) &^ 7 }

// lowMask covers the low width bytes, width being at most 8.
func lowMask(width uintptr) uint64 { return 1<<(8*width&127) - 1 }

// Len returns the number of records; slots go from 0 to Len()-1.
func (v View) Len() int { return int(uint32(v.shape)) }

func (v View) trailerWidth() uintptr { return uintptr(v.shape >> (8 * trailerWidthAt) & 15) }
func (v View) offsetWidth() uintptr  { return uintptr(v.shape >> (8 * offsetWidthAt) & 7) }
func (v View) lengthWidth() uintptr  { return uintptr(v.shape >> (8 * lengthWidthAt) & 3) }
func (v View) slotWidth() uintptr    { return v.offsetWidth() + v.lengthWidth() }

// Distances from base of the arrays and of the records.
func (v View) trailers() uintptr { return v.heads + uintptr(v.Len())*headBytes }
func (v View) slots() uintptr    { return v.heads + uintptr(v.Len())*(headBytes+v.trailerWidth()) }
func (v View) records() uintptr {
	return v.slots() + uintptr(v.Len())*v.slotWidth() + sentinelBytes
}

// printsOf returns the fingerprints.
func printsOf(v View) []byte {
	return bytesAt(v.base, headerBytes+alignUp(uintptr(v.prefixLen)), v.Len())
}

// baseLen is the smallest length of a suffix.
func (v View) baseLen() int {
	return int(binary.LittleEndian.Uint32((*[4]byte)(unsafe.Add(v.base, baseLengthAt))[:]))
}

// checkSlot is free in a release build.
func (v View) checkSlot(slot int) {
	if invariant.Enabled && uint(slot) >= uint(v.Len()) {
		invariant.Check(false, "slot %d of %d", slot, v.Len())
	}
}

// head returns the first eight bytes of the suffix in slot as a number.
func (v View) head(slot int) uint64 {
	return kernel.Load64(v.base, v.heads+uintptr(slot)*headBytes)
}

// slotWord returns the offset and length of slot, packed, with bytes of the
// next slots above them.
func (v View) slotWord(slot int) uint64 {
	return kernel.Load64(v.base, v.slots()+uintptr(slot)*v.slotWidth())
}

// offset returns the distance of a record from the first one.
func (v View) offset(word uint64) uintptr { return uintptr(word & lowMask(v.offsetWidth())) }

// suffixLen returns the length of the key beyond the common prefix.
func (v View) suffixLen(word uint64) int {
	return v.baseLen() + int(word>>(8*v.offsetWidth())&lowMask(v.lengthWidth()))
}

// rest returns the bytes of the key in slot that neither the prefix nor the
// head holds.
func (v View) rest(slot int) []byte {
	word := v.slotWord(slot)
	return bytesAt(v.base, v.records()+v.offset(word), max(v.suffixLen(word)-headBytes, 0))
}

// bytesAt returns the n bytes at a distance from p.
func bytesAt(p unsafe.Pointer, offset uintptr, n int) []byte {
	if n == 0 {
		return []byte{} // there may be no byte behind the end to point to
	}
	return unsafe.Slice((*byte)(unsafe.Add(p, offset)), n)
}

func (v View) prefix() []byte { return bytesAt(v.base, headerBytes, v.prefixLen) }

// Trailer returns the sequence number and kind of the record in slot.
func (v View) Trailer(slot int) base.Trailer {
	v.checkSlot(slot)
	width := v.trailerWidth()
	delta := kernel.Load64(v.base, v.trailers()+uintptr(slot)*width) & lowMask(width)
	return base.Trailer(kernel.Load64(v.base, baseTrailerAt) + delta)
}

// Value returns the value of the record in slot. It aliases the block.
func (v View) Value(slot int) []byte {
	v.checkSlot(slot)
	word, next := v.slotWord(slot), v.slotWord(slot+1)
	low := v.offset(word) + uintptr(max(v.suffixLen(word)-headBytes, 0))
	return bytesAt(v.base, v.records()+low, int(v.offset(next)-low))
}

// AppendKey appends the key of the record in slot to dst.
func (v View) AppendKey(dst []byte, slot int) []byte {
	v.checkSlot(slot)
	dst = append(dst, v.prefix()...)
	var head [headBytes]byte
	binary.BigEndian.PutUint64(head[:], v.head(slot))
	dst = append(dst, head[:min(v.suffixLen(v.slotWord(slot)), headBytes)]...)
	return append(dst, v.rest(slot)...)
}

// Find looks for the newest version of key that has a sequence number of at
// most seq; fingerprint is Fingerprint of the key's hash. more says that it
// was not found but that the block ends among the versions of key, so that the
// next block may hold it.
func (v View) Find(
	key []byte, fingerprint byte, seq base.SeqNum,
) (slot int, found bool, more bool) {
	if !v.hasPrefix(key) {
		return 0, false, false
	}
	suffix := key[v.prefixLen:]
	head := headOf(suffix)
	prints := printsOf(v)
	for slot := 0; ; slot++ {
		i := bytes.IndexByte(prints[slot:], fingerprint)
		if i < 0 {
			return 0, false, false
		}
		slot += i
		if v.head(slot) == head && v.equalRest(slot, suffix) {
			return v.visible(slot, seq)
		}
	}
}

// hasPrefix reports whether key starts with the common prefix of a block.
func (v View) hasPrefix(key []byte) bool {
	if v.prefixLen <= 8 && len(key) >= 8 && v.Len() > 0 {
		// Behind the header there are at least eight bytes in any block that
		// is not empty.
		diff := binary.LittleEndian.Uint64(key) ^ kernel.Load64(v.base, headerBytes)
		return diff<<(64-8*uint(v.prefixLen)) == 0
	}
	return bytes.HasPrefix(key, v.prefix())
}

// headOf is base.Head, inlined for the usual length.
func headOf(suffix []byte) uint64 {
	if len(suffix) >= headBytes {
		return binary.BigEndian.Uint64(suffix)
	}
	return base.Head(suffix)
}

// equalRest reports whether the key in slot, whose head is known to be equal,
// is the prefix followed by suffix.
func (v View) equalRest(slot int, suffix []byte) bool {
	word := v.slotWord(slot)
	length := v.suffixLen(word)
	if length != len(suffix) {
		return false
	}
	rest := uint(length - headBytes)
	if rest-1 < headBytes { // 1..8: compare the words that end where the keys end
		end := v.records() + v.offset(word) + uintptr(rest)
		stored := kernel.Load64(v.base, end-8)
		given := binary.LittleEndian.Uint64(suffix[len(suffix)-8:])
		return (stored^given)>>(64-8*rest) == 0
	}
	return length <= headBytes || bytes.Equal(v.rest(slot), suffix[headBytes:])
}

// visible goes from the newest version of a key, in slot, to the newest one
// that seq sees.
func (v View) visible(slot int, seq base.SeqNum) (int, bool, bool) {
	for {
		if v.Trailer(slot).Seq() <= seq {
			return slot, true, false
		}
		slot++
		if slot == v.Len() {
			return 0, false, true
		}
		if v.compareNeighbours(slot-1) != 0 {
			return 0, false, false
		}
	}
}

// compareNeighbours compares the keys in slot and slot+1.
func (v View) compareNeighbours(slot int) int {
	a, b := v.head(slot), v.head(slot+1)
	if a != b {
		return int(less(b, a)) - int(less(a, b))
	}
	aLen, bLen := v.suffixLen(v.slotWord(slot)), v.suffixLen(v.slotWord(slot+1))
	if min(aLen, bLen) < headBytes {
		return aLen - bLen // see compareSuffix
	}
	return bytes.Compare(v.rest(slot), v.rest(slot+1))
}

// less is 1 if a < b, else 0.
func less(a, b uint64) uint64 {
	_, borrow := bits.Sub64(a, b, 0)
	return borrow
}

// compareSuffix compares the suffix in slot with the given one, heads being
// equal. A suffix shorter than a head is padded with zeroes there; of two with
// equal heads it then is a prefix of the other one, so the lengths decide.
func (v View) compareSuffix(slot int, suffix []byte) int {
	length := v.suffixLen(v.slotWord(slot))
	if min(length, len(suffix)) < headBytes {
		return length - len(suffix)
	}
	return bytes.Compare(v.rest(slot), suffix[headBytes:])
}

// SeekGE returns the first slot whose key is >= key, Len() if there is none.
func (v View) SeekGE(key []byte) int {
	if !v.hasPrefix(key) {
		if bytes.Compare(key, v.prefix()) < 0 {
			return 0
		}
		return v.Len()
	}
	suffix := key[v.prefixLen:]
	head := headOf(suffix)
	slot := kernel.LowerBound(unsafe.Add(v.base, v.heads), v.Len(), head)
	if slot < v.Len() && v.head(slot) == head && v.compareSuffix(slot, suffix) < 0 {
		return v.seekTies(slot+1, head, suffix)
	}
	return slot
}

// SeekLE returns the last slot whose key is <= key, -1 if there is none. No two records
// of the block have the same key.
func (v View) SeekLE(key []byte) int {
	slot := v.SeekGE(key)
	if slot < v.Len() && v.hasPrefix(key) {
		suffix := key[v.prefixLen:]
		if v.head(slot) == headOf(suffix) && v.equalRest(slot, suffix) {
			return slot
		}
	}
	return slot - 1
}

// seekTies finds the first slot >= low whose suffix is >= suffix, where many
// may have the same head.
func (v View) seekTies(low int, head uint64, suffix []byte) int {
	high := v.Len()
	for low < high {
		middle := int(uint(low+high) >> 1)
		if v.head(middle) == head && v.compareSuffix(middle, suffix) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}
