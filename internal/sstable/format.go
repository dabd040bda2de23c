// Package sstable writes and reads sorted tables: immutable files that hold
// versions of keys in internal order, together with range deletes, a filter
// and a two-level index. The bytes are described in docs/format/sst.md.
//
// A Writer belongs to one goroutine. A Reader may be used by any number of
// goroutines; its Iters belong to one each.
package sstable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/internal/compress"
)

// This file holds the fixed pieces of the format: header, footer, the trailer
// of a block, and references to blocks. Encoding and decoding are pure
// functions; decoders accept any bytes.

// layout is what a format version decides about where things are in a file. The
// header says which version a file has; its 64 bytes, and the footer's, mean the same
// in every version.
type layout struct {
	version uint32
	// trailerBytes is the length of what stands behind the payload of a block.
	trailerBytes int
}

// newest is the layout of new files.
var newest = layout{version: 1, trailerBytes: 10}

// layoutOf returns the layout of a version that this program can read.
func layoutOf(version uint32) (l layout, known bool) {
	if version == newest.version {
		return newest, true
	}
	return layout{}, false
}

const (
	headerMagic = "LTNGsst\n"
	footerMagic = "\ntssGNTL"

	headerBytes = 64
	footerBytes = 96
	// alignBytes is what every block begins at a multiple of, so that a block
	// inside a large aligned read can be used where it lies.
	alignBytes = 8

	defaultBlockBytes = 8 << 10
	// smallBlockBytes is the default of tables that are to be small: a strong codec finds
	// more to save in more at once.
	smallBlockBytes = 16 << 10
	// indexBlockBytes is the size of index partitions.
	indexBlockBytes = 8 << 10

	// maxKeyBytes is the longest internal key.
	maxKeyBytes = base.MaxPrefixBytes + base.MaxKeyBytes

	// maxRawBytes bounds the raw length of any block: one record of the largest
	// key and value, and what the layout adds.
	maxRawBytes = base.MaxStoredBytes + base.MaxKeyBytes + 4<<10
	// minPartitionEntries is how many separators an index partition holds at least,
	// but for the last one, however long they are: the top index has one for each
	// partition.
	minPartitionEntries = 8
	// maxRawIndexBytes is the same for index partitions, which end at
	// indexBlockBytes but hold at least some separators.
	maxRawIndexBytes = indexBlockBytes + (minPartitionEntries+1)*maxKeyBytes
)

// blockKind says what a block holds. It takes part in the block's checksum.
// The values are part of the format.
type blockKind uint8

const (
	kindData        blockKind = 1
	kindIndex       blockKind = 2
	kindFilter      blockKind = 3
	kindRangeDelete blockKind = 4
	kindProperties  blockKind = 5
	kindTopIndex    blockKind = 6
	kindFooter      blockKind = 7
	kindHeader      blockKind = 8
	// kindDeleteIndex is the index of the range-delete blocks.
	kindDeleteIndex blockKind = 9
)

var kindNames = [...]string{
	kindData: "data block", kindIndex: "index block", kindFilter: "filter block", kindRangeDelete: "range-delete block",
	kindDeleteIndex: "range-delete index", kindProperties: "properties block", kindTopIndex: "top index block",
	kindHeader: "table header", kindFooter: "table footer",
}

// String names the kind as a CorruptionError shows it.
func (k blockKind) String() string {
	if k >= kindData && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("block kind %d", uint8(k))
}

// codecPacked is how the trailer of a data block says that it is what block.AppendPacked made.
const codecPacked compress.Codec = 3

var (
	errTruncated  = errors.New("file ends early")
	errChecksum   = errors.New("checksum mismatch")
	errMagic      = errors.New("magic bytes are wrong")
	errReserved   = errors.New("reserved bytes are not zero")
	errReference  = errors.New("malformed block reference")
	errOutOfPlace = errors.New("block reference does not follow its neighbour")
	errKind       = errors.New("block is of another kind")
	errCodec      = errors.New("unknown codec")
	errRawLength  = errors.New("raw length is not the recorded one")
	errEmpty      = errors.New("block is empty")
	errTooLong    = errors.New("block is too long")
)

// blockRef says where a block is: the offset of its payload, the payload's
// length on disk and the length it has raw.
type blockRef struct {
	offset    int64
	diskBytes uint32
	rawBytes  uint32
}

// compressed reports whether the payload is stored by a codec. A codec is kept
// only where it saves space, so the lengths tell.
func (b blockRef) compressed() bool { return b.diskBytes != b.rawBytes }

// storedBytes is the length of a block's payload and trailer.
func (l layout) storedBytes(b blockRef) int64 { return int64(b.diskBytes) + int64(l.trailerBytes) }

// end is where the block behind b begins.
func (l layout) end(b blockRef) int64 { return alignUp(b.offset + l.storedBytes(b)) }

// holds reports whether a block lies in [begin, end) of the file, is aligned, and
// has lengths that go together.
func (l layout) holds(b blockRef, begin, end int64) bool {
	return b.offset >= begin && b.offset%alignBytes == 0 && b.offset <= end &&
		l.storedBytes(b) <= end-b.offset && b.diskBytes <= b.rawBytes && b.rawBytes > 0
}

func alignUp(offset int64) int64 { return (offset + alignBytes - 1) &^ (alignBytes - 1) }

// appendTo appends the reference as it stands in index entries.
func (b blockRef) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(b.offset))
	dst = binary.AppendUvarint(dst, uint64(b.diskBytes))
	return binary.AppendUvarint(dst, uint64(b.rawBytes))
}

// takeRef reads what appendTo wrote and returns the rest of src.
func takeRef(src []byte) (b blockRef, rest []byte, ok bool) {
	var numbers [3]uint64
	for i := range numbers {
		number, n := binary.Uvarint(src)
		if n <= 0 {
			return blockRef{}, nil, false
		}
		numbers[i], src = number, src[n:]
	}
	if numbers[0] > math.MaxInt64/2 || numbers[1] > math.MaxUint32 || numbers[2] > math.MaxUint32 {
		return blockRef{}, nil, false
	}
	b.offset = int64(numbers[0])
	b.diskBytes, b.rawBytes = uint32(numbers[1]), uint32(numbers[2])
	return b, src, true
}

// appendTrailer appends what stands behind a payload: the trailer, and zeroes
// up to the next aligned offset. payload may be the end of dst.
func (l layout) appendTrailer(dst []byte, file base.FileNum, kind blockKind, codec compress.Codec,
	ref blockRef, payload ...[]byte) []byte {
	sum := checksum.Block(file, ref.offset, byte(kind), payload[0])
	for _, piece := range payload[1:] {
		sum = checksum.CRC(sum, piece)
	}
	start := len(dst)
	dst = append(dst, byte(codec))
	dst = binary.LittleEndian.AppendUint32(dst, ref.rawBytes)
	sum = checksum.CRC(sum, dst[start:])
	dst = append(dst, byte(kind))
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	for end := ref.offset + l.storedBytes(ref); end < l.end(ref); end++ {
		dst = append(dst, 0)
	}
	return dst
}

// checkStored verifies payload and trailer of a block as read from the file,
// and returns the payload's codec.
func (l layout) checkStored(stored []byte, file base.FileNum, kind blockKind, ref blockRef) (compress.Codec, error) {
	payloadEnd := len(stored) - l.trailerBytes
	covered := stored[:payloadEnd+trailerCovered]
	return l.checkTrailer(stored[payloadEnd:], checksum.Block(file, ref.offset, byte(kind), covered), kind, ref)
}

// trailerCovered is how much of its own trailer the checksum of a block covers.
const trailerCovered = 5

// checkTrailer verifies a trailer, given the checksum of the block. It returns the
// payload's codec.
func (l layout) checkTrailer(trailer []byte, sum uint32, kind blockKind, ref blockRef) (compress.Codec, error) {
	if binary.LittleEndian.Uint32(trailer[6:]) != sum {
		return 0, errChecksum
	}
	codec := compress.Codec(trailer[0])
	switch {
	case blockKind(trailer[5]) != kind:
		return 0, errKind
	case !codec.Valid() && (codec != codecPacked || kind != kindData):
		return 0, errCodec
	case binary.LittleEndian.Uint32(trailer[1:]) != ref.rawBytes:
		return 0, errRawLength
	case (codec == compress.None) == ref.compressed():
		return 0, errCodec
	}
	return codec, nil
}

// appendHeader appends the header of a file.
func appendHeader(dst []byte, db base.DBID, file base.FileNum) []byte {
	start := len(dst)
	dst = append(dst, headerMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, newest.version)
	dst = binary.LittleEndian.AppendUint32(dst, 0) // key-id: not encrypted
	dst = append(dst, db[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(file))
	dst = append(dst, make([]byte, 20)...) // salt and reserve: zero without encryption
	sum := checksum.Block(file, 0, byte(kindHeader), dst[start:])
	return binary.LittleEndian.AppendUint32(dst, sum)
}

// checkHeader verifies that h is the header of this file of this database, and
// returns the file's layout.
func checkHeader(h []byte, name string, db base.DBID, file base.FileNum) (layout, error) {
	damaged := func(err error) (layout, error) {
		return layout{}, &base.CorruptionError{
			File: name, Length: headerBytes, Kind: kindHeader.String(), Err: err,
		}
	}
	if string(h[:8]) != headerMagic {
		return damaged(errMagic)
	}
	found := base.FileNum(binary.LittleEndian.Uint64(h[32:]))
	sum := checksum.Block(found, 0, byte(kindHeader), h[:60])
	if binary.LittleEndian.Uint32(h[60:]) != sum {
		return damaged(errChecksum)
	}
	version, keyID := binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
	l, known := layoutOf(version)
	if !known || keyID != 0 {
		return layout{}, &base.FormatError{File: name, Version: version, Known: newest.version, KeyID: keyID}
	}
	if owner := base.DBID(h[16:32]); owner != db {
		return damaged(fmt.Errorf("file belongs to database %s, not to %s", owner, db))
	}
	if found != file {
		return damaged(fmt.Errorf("file is number %s, not %s", found, file))
	}
	for _, b := range h[40:60] {
		if b != 0 {
			return damaged(errReserved)
		}
	}
	return l, nil
}

// footer is the fixed end of a file. A section that does not exist has a zero
// reference.
type footer struct {
	filter, deleteIndex, properties, topIndex blockRef

	blockCount     uint32 // data blocks
	partitionCount uint32
	sizeBytes      int64 // of the whole file
}

// appendTo appends the footer, which lies at offset in the file.
func (f *footer) appendTo(dst []byte, file base.FileNum, offset int64) []byte {
	start := len(dst)
	for _, ref := range []blockRef{f.filter, f.deleteIndex, f.properties, f.topIndex} {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(ref.offset))
		dst = binary.LittleEndian.AppendUint32(dst, ref.diskBytes)
		dst = binary.LittleEndian.AppendUint32(dst, ref.rawBytes)
	}
	dst = binary.LittleEndian.AppendUint32(dst, f.blockCount)
	dst = binary.LittleEndian.AppendUint32(dst, f.partitionCount)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.sizeBytes))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	sum := checksum.Block(file, offset, byte(kindFooter), dst[start:])
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, footerMagic...)
}

// decodeFooter reads the footer b of a file of sizeBytes.
func (l layout) decodeFooter(b []byte, file base.FileNum, sizeBytes int64) (footer, error) {
	if string(b[88:]) != footerMagic {
		return footer{}, errMagic
	}
	sum := checksum.Block(file, sizeBytes-footerBytes, byte(kindFooter), b[:84])
	if binary.LittleEndian.Uint32(b[84:]) != sum {
		return footer{}, errChecksum
	}
	var f footer
	for i, ref := range []*blockRef{&f.filter, &f.deleteIndex, &f.properties, &f.topIndex} {
		at := b[16*i:]
		ref.offset = int64(binary.LittleEndian.Uint64(at))
		ref.diskBytes = binary.LittleEndian.Uint32(at[8:])
		ref.rawBytes = binary.LittleEndian.Uint32(at[12:])
	}
	f.blockCount = binary.LittleEndian.Uint32(b[64:])
	f.partitionCount = binary.LittleEndian.Uint32(b[68:])
	f.sizeBytes = int64(binary.LittleEndian.Uint64(b[72:]))
	if binary.LittleEndian.Uint32(b[80:]) != 0 {
		return footer{}, errReserved
	}
	return f, f.check(l, sizeBytes)
}

// check verifies that the sections follow each other up to the footer and that
// the counts fit the file.
func (f *footer) check(l layout, sizeBytes int64) error {
	if f.sizeBytes != sizeBytes {
		return fmt.Errorf("file was written with %d bytes and has %d", f.sizeBytes, sizeBytes)
	}
	end := sizeBytes - footerBytes
	next := int64(-1)
	for _, ref := range []blockRef{f.filter, f.deleteIndex, f.properties, f.topIndex} {
		if ref == (blockRef{}) {
			continue
		}
		if !l.holds(ref, headerBytes, end) || ref.compressed() || ref.rawBytes > maxRawBytes {
			return errReference
		}
		if next >= 0 && ref.offset != next {
			return errOutOfPlace
		}
		next = l.end(ref)
	}
	if next != end || f.properties == (blockRef{}) {
		return errOutOfPlace
	}
	hasTop := f.topIndex != (blockRef{})
	// Each block takes more than its trailer, which bounds the counts.
	most := uint64(sizeBytes / int64(l.trailerBytes))
	if hasTop != (f.blockCount > 0) || hasTop != (f.partitionCount > 0) ||
		uint64(f.blockCount)+uint64(f.partitionCount) > most || f.partitionCount > f.blockCount {
		return fmt.Errorf("%d data blocks and %d index blocks do not go together",
			f.blockCount, f.partitionCount)
	}
	return nil
}

// sectionsBegin is where the first block behind the range-delete blocks begins.
func (f *footer) sectionsBegin() int64 {
	switch {
	case f.filter != (blockRef{}):
		return f.filter.offset
	case f.deleteIndex != (blockRef{}):
		return f.deleteIndex.offset
	}
	return f.properties.offset
}
