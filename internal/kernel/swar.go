// Package kernel holds the small search loops that the readers of blocks
// spend their time in: byte matching, eight at a time in one machine word, and
// lower bound over arrays of 64-bit numbers.
//
// prefetch.go asks the processor for memory ahead of its use. All else
// is a pure function over memory that the caller owns. The
// arrays are little-endian and need no alignment, as they lie in file images.
package kernel

import "math/bits"

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// Broadcast returns a word whose eight bytes are all b.
func Broadcast(b byte) uint64 { return uint64(b) * lowBits }

// MatchBytes compares the eight bytes of word with those of pattern. Bit 8i+7
// of the result is set exactly if byte i is equal; all other bits are zero.
func MatchBytes(word, pattern uint64) uint64 {
	diff := word ^ pattern
	// The sum carries into the high bit of each byte that is not zero in its
	// low seven bits, and never into the next byte.
	return ^((diff&^highBits + ^uint64(highBits)) | diff) & highBits
}

// FirstByte returns the index of the first byte that a result of MatchBytes
// marks. The mask must not be zero; mask &= mask-1 goes on to the next.
func FirstByte(mask uint64) int { return bits.TrailingZeros64(mask) >> 3 }
