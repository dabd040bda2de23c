// Package checksum computes the checksums of the file formats: CRC32C
// (Castagnoli), plain and bound to the place where the bytes are stored.
//
// Everything here is a pure function; any number of goroutines may call it.
package checksum

import (
	"hash/crc32"

	"github.com/lightningdb/lightning/internal/base"
)

// castagnoli is never written after initialisation.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC continues a CRC32C over b: CRC(CRC(0, x), y) is the checksum of x
// followed by y.
func CRC(seed uint32, b []byte) uint32 { return crc32.Update(seed, castagnoli, b) }

// Block is the CRC32C over the little-endian file number (8 bytes), the
// little-endian offset (8 bytes), kind and data, in this order. Because the
// place takes part, a block that was written to, or is read from, the wrong
// file or offset fails its check even though its bytes are intact.
func Block(file base.FileNum, offset int64, kind byte, data []byte) uint32 {
	// The 17 bytes of the place go through the table by hand: handing a local
	// array to hash/crc32 would move it to the heap.
	crc := ^uint32(0)
	crc = updateWord(crc, uint64(file))
	crc = updateWord(crc, uint64(offset))
	crc = castagnoli[byte(crc)^kind] ^ crc>>8
	return CRC(^crc, data)
}

// updateWord feeds the eight little-endian bytes of w to the raw (inverted)
// state crc.
func updateWord(crc uint32, w uint64) uint32 {
	for range 8 {
		crc = castagnoli[byte(crc)^byte(w)] ^ crc>>8
		w >>= 8
	}
	return crc
}
