// Package filter tells which keys are certainly not in a table: a Bloom filter
// whose probes for one key all fall into one cache line.
//
// # Layout
//
//	blocks    n times 64 bytes, n >= 1
//	trailer   16 bytes, little-endian:
//	          u8  format (1)
//	          u8  probes per key, 1..7
//	          u16 zero
//	          u32 n
//	          u64 number of keys added
//
// A key is known by its base.Hash h. Its block is the high word of the 128-bit
// product h*n. The low word of h*0x9e3779b97f4a7c15 is read as groups of nine
// bits, lowest first, one group for each probe: the high six bits of a group
// choose a byte of the block and the low three the bit in it. The multiplier
// is odd, so the product loses nothing of h, and for keys that share a block,
// which agree only in the top bits of h, it still differs in all groups.
//
// # Why so
//
// Seven probes of nine bits are what one 64-bit product yields, and the best
// number up to 13 bits per key; beyond, more of them would gain little
// (0.10 % against 0.08 % at 16 bits). Blocks without sectors come closest to a
// plain Bloom filter: the only loss is that some blocks get more keys than
// others. Bytes rather than words are addressed because it costs the same and
// is the same on every machine. All probes of a key are combined without
// branches; half of the first probes of absent keys hit, which no branch
// predictor can foresee.
//
// Builder is for one goroutine. A finished filter is immutable bytes, which
// any number of goroutines may probe.
package filter

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/lightningdb/lightning/internal/kernel"
)

const (
	blockBytes   = 64
	trailerBytes = 16
	format1      = 1

	probeBits = 9 // log2 of the bits of a block
	probesMax = 7
	mixer     = 0x9e3779b97f4a7c15

	bitsPerKeyMax = 64
	blocksMax     = 1 << 24 // 1 GiB; beyond, the filter gets denser instead
)

// Builder collects the hashes of the keys of a table. The zero value is
// ready.
type Builder struct {
	chunks [][]uint64 // all but the last full: one long list would be copied as it grows
	count  int
	last   uint64 // the hash that was added last
}

const chunkHashes = 8 << 10

// Add adds a key. Adding the same key again right away, as happens with the
// versions of a key, has no effect.
func (b *Builder) Add(hash uint64) {
	if b.last == hash && b.count > 0 {
		return
	}
	at := b.count / chunkHashes
	if at == len(b.chunks) {
		b.chunks = append(b.chunks, nil)
	}
	b.chunks[at] = append(b.chunks[at], hash)
	b.count++
	b.last = hash
}

// Len returns the number of keys added.
func (b *Builder) Len() int { return b.count }

// Reset forgets the keys and keeps the memory.
func (b *Builder) Reset() {
	for i := range b.chunks {
		b.chunks[i] = b.chunks[i][:0]
	}
	b.count = 0
}

// Finish returns the filter over the keys added, in fresh memory. Fewer than
// one bit per key counts as one, more than 64 as 64. About 1 % of absent keys
// pass at 10 bits, 0.4 % at 12.
func (b *Builder) Finish(bitsPerKey int) []byte {
	bitsPerKey = min(max(bitsPerKey, 1), bitsPerKeyMax)
	totalBits := uint64(b.count) * uint64(bitsPerKey)
	blocks := min(max((totalBits+blockBytes*8-1)/(blockBytes*8), 1), blocksMax)
	probes := probesFor(bitsPerKey)
	f := make([]byte, blocks*blockBytes+trailerBytes)
	for _, chunk := range b.chunks {
		for i, hash := range chunk {
			if i+ahead < len(chunk) {
				kernel.PrefetchBytes(block(f, blocks, chunk[i+ahead])[:])
			}
			line := block(f, blocks, hash)
			groups := hash * mixer
			for range probes {
				line[groups>>3%blockBytes] |= 1 << (groups % 8)
				groups >>= probeBits
			}
		}
	}
	t := f[len(f)-trailerBytes:]
	t[0] = format1
	t[1] = byte(probes)
	binary.LittleEndian.PutUint32(t[4:], uint32(blocks))
	binary.LittleEndian.PutUint64(t[8:], uint64(b.count))
	return f
}

// ahead is for how many keys more than the one at hand memory is asked for: the blocks of a
// large filter are far away, each by itself.
const ahead = 16

// probesFor returns the number of probes that lets the fewest absent keys
// pass, given that the load of blocks varies. It is a little below the
// ln 2 * bitsPerKey of a plain Bloom filter.
func probesFor(bitsPerKey int) int {
	switch {
	case bitsPerKey <= 2:
		return bitsPerKey
	case bitsPerKey <= 5:
		return 3
	case bitsPerKey <= 7:
		return 4
	case bitsPerKey <= 8:
		return 5
	case bitsPerKey <= 10:
		return 6
	}
	return probesMax
}

// block returns the block of f that hash falls into. f holds at least blocks
// blocks.
func block(f []byte, blocks, hash uint64) *[blockBytes]byte {
	index, _ := bits.Mul64(hash, blocks)
	return (*[blockBytes]byte)(f[index*blockBytes:])
}

// MayContain reports whether the key with the given hash can be in the table
// that filter f was built for; false is certain. Bytes that are not a filter
// contain everything, since only true is always safe.
func MayContain(f []byte, hash uint64) bool {
	size := len(f) - trailerBytes
	if size < blockBytes || size%blockBytes != 0 {
		return true
	}
	probes := f[size+1]
	if f[size] != format1 || probes > probesMax {
		return true
	}
	line := block(f, uint64(size/blockBytes), hash)
	groups := hash * mixer
	all := byte(1)
	for range probes {
		all &= line[groups>>3%blockBytes] >> (groups % 8)
		groups >>= probeBits
	}
	return all != 0
}

// Expect asks the processor for the line that MayContain looks at.
func Expect(f []byte, hash uint64) {
	if size := len(f) - trailerBytes; size >= blockBytes {
		kernel.PrefetchBytes(block(f, uint64(size/blockBytes), hash)[:])
	}
}

// Check verifies the structure of f. A filter that passed is probed as it was
// built; one that did not is still safe to probe.
func Check(f []byte) error {
	size := len(f) - trailerBytes
	if size < blockBytes || size%blockBytes != 0 {
		return fmt.Errorf("filter of %d bytes is not whole blocks and a trailer", len(f))
	}
	t := f[size:]
	if t[0] != format1 {
		return fmt.Errorf("filter has unknown format %d", t[0])
	}
	if t[1] < 1 || t[1] > probesMax {
		return fmt.Errorf("filter has %d probes per key", t[1])
	}
	if t[2] != 0 || t[3] != 0 {
		return fmt.Errorf("filter trailer has reserved bytes %x", t[2:4])
	}
	if n := binary.LittleEndian.Uint32(t[4:]); uint64(n) != uint64(size/blockBytes) {
		return fmt.Errorf("filter says %d blocks and has %d", n, size/blockBytes)
	}
	return nil
}
