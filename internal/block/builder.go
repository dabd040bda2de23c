package block

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
)

// Builder makes one block at a time. Records are buffered as they come, since
// the layout depends on all of them (the common prefix, the widths), and are
// encoded by Finish. The zero value is ready; after Reset the buffers are used
// again.
type Builder struct {
	pending []pending
	bytes   []byte // key and value of each pending record
	out     []byte

	prefixLen  int // of the first and the last key, and so of all
	minKeyLen  int
	maxKeyLen  int
	minTrailer base.Trailer
	maxTrailer base.Trailer
}

// pending describes a record in Builder.bytes; they lie behind each other.
type pending struct {
	trailer  base.Trailer
	keyLen   uint32
	valueLen uint32
	print    byte
}

// Add appends a record. They come in internal order: keys ascending, of equal
// keys the newest first. hash is base.Hash(key). Key and value are copied.
func (b *Builder) Add(key []byte, tr base.Trailer, value []byte, hash uint64) {
	if len(b.pending) == 0 {
		b.prefixLen, b.minKeyLen, b.maxKeyLen = len(key), len(key), len(key)
		b.minTrailer, b.maxTrailer = tr, tr
	} else {
		b.checkOrder(key, tr)
		b.prefixLen = base.CommonPrefix(b.bytes[:b.prefixLen], key)
		b.minKeyLen = min(b.minKeyLen, len(key))
		b.maxKeyLen = max(b.maxKeyLen, len(key))
		b.minTrailer = min(b.minTrailer, tr)
		b.maxTrailer = max(b.maxTrailer, tr)
	}
	b.bytes = append(append(b.bytes, key...), value...)
	b.pending = append(b.pending, pending{
		trailer:  tr,
		keyLen:   uint32(len(key)),
		valueLen: uint32(len(value)),
		print:    Fingerprint(hash),
	})
}

// checkOrder is free in a release build.
func (b *Builder) checkOrder(key []byte, tr base.Trailer) {
	if invariant.Enabled {
		last := b.pending[len(b.pending)-1]
		lastKey := b.bytes[len(b.bytes)-int(last.keyLen+last.valueLen):][:last.keyLen]
		if base.Compare(lastKey, last.trailer, key, tr) > 0 {
			invariant.Check(false, "block records out of order: %x %v, %x %v",
				lastKey, last.trailer, key, tr)
		}
	}
}

// Len returns the number of records added since the last Reset.
func (b *Builder) Len() int { return len(b.pending) }

// layout is what the header says, and where the arrays go.
type layout struct {
	trailerWidth, offsetWidth, lengthWidth int
	prints, heads, trailers, slots         int
	records, end                           int
}

// widthOf returns how many bytes x needs.
func widthOf(x uint64) int { return (bits.Len64(x) + 7) >> 3 }

// widths are how many bytes the deltas of trailers, the offsets and the deltas
// of lengths need.
func (b *Builder) widths(recordBytes int) (trailer, offset, length int) {
	return widthOf(uint64(b.maxTrailer - b.minTrailer)),
		max(1, widthOf(uint64(recordBytes))),
		widthOf(uint64(b.maxKeyLen - b.minKeyLen))
}

// plan lays the block out for recordBytes of key rests and values.
func (b *Builder) plan(recordBytes int) layout {
	n := len(b.pending)
	var l layout
	l.trailerWidth, l.offsetWidth, l.lengthWidth = b.widths(recordBytes)
	l.prints = headerBytes + int(alignUp(uintptr(b.prefixLen)))
	l.heads = l.prints + int(alignUp(uintptr(n)))
	l.trailers = l.heads + n*headBytes
	l.slots = l.trailers + n*l.trailerWidth
	l.records = l.slots + n*(l.offsetWidth+l.lengthWidth) + sentinelBytes
	l.end = l.records + recordBytes
	if invariant.Enabled && (l.offsetWidth > maxOffsetWidth || l.lengthWidth > maxLengthWidth) {
		invariant.Check(false, "block of %d record bytes, keys of %d..%d",
			recordBytes, b.minKeyLen, b.maxKeyLen)
	}
	return l
}

// SizeBytes returns what Finish would return the length of. It is exact where
// no key is shorter than the common prefix and a head, otherwise somewhat high.
func (b *Builder) SizeBytes() int {
	if len(b.pending) == 0 {
		return headerBytes + sentinelBytes
	}
	// Worked out without a layout: writers ask after each Add.
	n := len(b.pending)
	recordBytes := len(b.bytes) - n*min(b.minKeyLen, b.prefixLen+headBytes)
	trailer, offset, length := b.widths(recordBytes)
	return headerBytes + int(alignUp(uintptr(b.prefixLen))) + int(alignUp(uintptr(n))) +
		n*(headBytes+trailer+offset+length) + sentinelBytes + recordBytes
}

// Finish encodes the block. The result is valid until Reset or Add.
func (b *Builder) Finish() []byte {
	if len(b.pending) == 0 {
		b.prefixLen, b.minKeyLen, b.maxKeyLen = 0, 0, 0
		b.minTrailer, b.maxTrailer = 0, 0
	}
	l := b.plan(b.recordBytes())
	out := slices.Grow(b.out[:0], l.end)[:l.end]
	b.out = out
	clear(out[:l.heads]) // the paddings in there are zeroes
	b.putHeader(out, &l)
	b.encode(out, &l)
	return out
}

// recordBytes is what rests of keys and values take.
func (b *Builder) recordBytes() int {
	n := len(b.bytes)
	for i := range b.pending {
		n -= min(int(b.pending[i].keyLen), b.prefixLen+headBytes)
	}
	return n
}

// putHeader writes the header and the common prefix.
func (b *Builder) putHeader(out []byte, l *layout) {
	binary.LittleEndian.PutUint32(out[countAt:], uint32(len(b.pending)))
	out[trailerWidthAt] = byte(l.trailerWidth)
	out[offsetWidthAt] = byte(l.offsetWidth)
	out[lengthWidthAt] = byte(l.lengthWidth)
	binary.LittleEndian.PutUint64(out[baseTrailerAt:], uint64(b.minTrailer))
	binary.LittleEndian.PutUint32(out[prefixLenAt:], uint32(b.prefixLen))
	binary.LittleEndian.PutUint32(out[baseLengthAt:], uint32(b.minKeyLen-b.prefixLen))
	copy(out[headerBytes:], b.bytes[:b.prefixLen])
}

// encode writes the arrays and the records. Trailers and slots are stored
// eight bytes wide at their narrow pitch; what a store writes too much is
// overwritten by what comes behind it: the next entry, the slots behind the
// trailers, the sentinel behind the slots.
func (b *Builder) encode(out []byte, l *layout) {
	slotWidth := l.offsetWidth + l.lengthWidth
	lengthShift := uint(8 * l.offsetWidth)
	if l.trailerWidth > 0 {
		at := l.trailers
		for i := range b.pending {
			binary.LittleEndian.PutUint64(out[at:], uint64(b.pending[i].trailer-b.minTrailer))
			at += l.trailerWidth
		}
	}
	in := b.bytes
	slot, record := l.slots, l.records
	for i := range b.pending {
		p := &b.pending[i]
		suffix := in[b.prefixLen:p.keyLen]
		out[l.prints+i] = p.print
		binary.LittleEndian.PutUint64(out[l.heads+i*headBytes:], headOf(suffix))
		word := uint64(record-l.records) | uint64(int(p.keyLen)-b.minKeyLen)<<lengthShift
		binary.LittleEndian.PutUint64(out[slot:], word)
		slot += slotWidth
		size := int(p.keyLen + p.valueLen)
		record += copy(out[record:], in[b.prefixLen+min(len(suffix), headBytes):size])
		in = in[size:]
	}
	binary.LittleEndian.PutUint64(out[slot:], uint64(record-l.records))
}

// Free forgets everything, and hands the buffers over.
func (b *Builder) Free(put func(buffer []byte)) {
	put(b.bytes)
	put(b.out)
	*b = Builder{}
}

// Use gives a builder without records buffers to begin with.
func (b *Builder) Use(bytes, out []byte) { b.bytes, b.out = bytes[:0], out[:0] }

// keptBytes is the most that Reset keeps of a buffer, so that one huge value
// does not stay in memory.
const keptBytes = 8 << 20

// Reset forgets the records. Buffers of usual size are kept.
func (b *Builder) Reset() {
	b.pending = b.pending[:0]
	b.bytes = b.bytes[:0]
	if cap(b.bytes) > keptBytes || cap(b.out) > keptBytes {
		b.bytes, b.out = nil, nil
	}
}
