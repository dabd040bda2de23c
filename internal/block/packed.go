package block

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
)

// This file is the packed form of a data block: what a strong codec is given instead of the
// block, because it finds more to save there. What follows from the rest is left out
// (fingerprints, offsets), a key is what it adds to the one before it, and lengths, keys and
// values each stand together. Unpack makes from it the very bytes that Finish makes.
// docs/format/block.md has the byte table.

var errPacked = errors.New("block: malformed packed form")

// AppendPacked appends the block's packed form, compressed by compress.Small, behind the length of
// that form as a uvarint, if that takes as much less than the block as compress.Append asks for;
// otherwise it returns dst as it is. rawBytes is how long Finish makes the block. The hashes that
// Add was given are those of the keys, and there is a record.
func (b *Builder) AppendPacked(dst []byte) (out []byte, rawBytes int, done bool) {
	packed, rawBytes := b.finishPacked()
	if len(packed) > rawBytes {
		return dst, rawBytes, false
	}
	out = binary.AppendUvarint(dst, uint64(len(packed)))
	if out, done = compress.Append(out, compress.Small, packed, rawBytes-(len(out)-len(dst))); !done {
		return out[:len(dst)], rawBytes, false
	}
	return out, rawBytes, true
}

// finishPacked encodes the block in its packed form. The result is valid until Reset, Add or
// Finish.
func (b *Builder) finishPacked() (packed []byte, rawBytes int) {
	l := b.plan(b.recordBytes())
	baseLength := b.minKeyLen - b.prefixLen
	out := binary.AppendUvarint(slices.Grow(b.out[:0], l.end), uint64(len(b.pending)))
	out = append(out, byte(l.trailerWidth), byte(l.offsetWidth)<<4|byte(l.lengthWidth))
	out = binary.AppendUvarint(out, uint64(b.minTrailer))
	out = binary.AppendUvarint(out, uint64(b.prefixLen))
	out = binary.AppendUvarint(out, uint64(baseLength))
	out = b.appendShared(out)
	if l.lengthWidth > 0 {
		for i := range b.pending {
			out = binary.AppendUvarint(out, uint64(int(b.pending[i].keyLen)-b.minKeyLen))
		}
	}
	for i := range b.pending {
		out = binary.AppendUvarint(out, uint64(b.pending[i].valueLen))
	}
	if l.trailerWidth > 0 {
		for i := range b.pending {
			out = binary.LittleEndian.AppendUint64(out, uint64(b.pending[i].trailer-b.minTrailer))
			out = out[:len(out)-8+l.trailerWidth]
		}
	}
	b.out = b.appendValues(b.appendKeys(out))
	return b.out, l.end
}

// appendShared appends how many bytes beyond the prefix of all each key but the first shares
// with the one before it.
func (b *Builder) appendShared(out []byte) []byte {
	in := b.bytes
	for i := 1; i < len(b.pending); i++ {
		last, p := &b.pending[i-1], &b.pending[i]
		next := in[last.keyLen+last.valueLen:]
		shared := base.CommonPrefix(in[b.prefixLen:last.keyLen], next[b.prefixLen:p.keyLen])
		out = binary.AppendUvarint(out, uint64(shared))
		in = next
	}
	return out
}

// appendKeys appends what each key adds to the one before it.
func (b *Builder) appendKeys(out []byte) []byte {
	in, last := b.bytes, []byte(nil)
	for i := range b.pending {
		p := &b.pending[i]
		key := in[:p.keyLen]
		out = append(out, key[base.CommonPrefix(last, key):]...)
		in, last = in[p.keyLen+p.valueLen:], key
	}
	return out
}

func (b *Builder) appendValues(out []byte) []byte {
	in := b.bytes
	for i := range b.pending {
		p := &b.pending[i]
		out = append(out, in[p.keyLen:p.keyLen+p.valueLen]...)
		in = in[p.keyLen+p.valueLen:]
	}
	return out
}

// unpacker walks a packed form. It checks what would lead it out of either slice; whether the
// records are in order is for Parse.
type unpacker struct {
	layout
	n, prefixLen         int
	baseLength, shortest uint64 // of the suffixes; of the keys
	baseTrailer          uint64

	shared, lengths, valueLengths, trailerDeltas []byte // each with all that follows
	keys, values                                 []byte

	key, packed []byte // room
}

// unpackers keep their room.
var unpackers = sync.Pool{New: func() any { return new(unpacker) }}

// Unpack makes the block in dst, which has the length that AppendPacked said, of what that
// appended. It never writes beyond dst, and allocates by the length of dst at most. What it makes
// is for Parse to check; after an error it is undefined.
func Unpack(dst, payload []byte) error {
	packedBytes, n := binary.Uvarint(payload)
	if n <= 0 || packedBytes > uint64(len(dst)) {
		return errPacked
	}
	u := unpackers.Get().(*unpacker)
	defer u.free()
	u.packed = slices.Grow(u.packed[:0], int(packedBytes))[:packedBytes]
	if err := compress.Decompress(u.packed, compress.Small, payload[n:]); err != nil {
		return err
	}
	return u.unpack(dst, u.packed)
}

// unpack makes the block of a packed form.
func (u *unpacker) unpack(dst, packed []byte) error {
	if !u.open(dst, packed) || !u.records(dst) {
		return errPacked
	}
	return nil
}

// keptPackedBytes is the most room for a packed form that is kept.
const keptPackedBytes = 64 << 10

// free gives an unpacker back.
func (u *unpacker) free() {
	if cap(u.packed) <= keptPackedBytes && cap(u.key) <= base.MaxKeyBytes {
		*u = unpacker{key: u.key[:0], packed: u.packed}
		unpackers.Put(u)
	}
}

// open reads what stands before the keys, and finds where all begins.
func (u *unpacker) open(dst, packed []byte) bool {
	in, ok := u.header(packed, uint64(len(dst)))
	if !ok {
		return false
	}
	u.shared = in
	if in, ok = skipUvarints(in, u.n-1); !ok {
		return false
	}
	u.lengths = in
	if u.lengthWidth > 0 {
		if in, ok = skipUvarints(in, u.n); !ok {
			return false
		}
	}
	u.valueLengths = in
	if in, ok = skipUvarints(in, u.n); !ok || len(in) < u.n*u.trailerWidth {
		return false
	}
	u.trailerDeltas, u.keys = in, in[u.n*u.trailerWidth:]
	keyBytes, ok := u.keyBytes()
	if !ok || keyBytes > len(u.keys) {
		return false
	}
	u.keys, u.values = u.keys[:keyBytes], u.keys[keyBytes:]
	return true
}

// header reads the fixed fields, and lays out a block of size bytes.
func (u *unpacker) header(in []byte, size uint64) (rest []byte, ok bool) {
	n, in := takeUvarint(in)
	if len(in) < 2 || n == 0 || n > size {
		return nil, false
	}
	trailer, offset, length := uint64(in[0]), uint64(in[1]>>4), uint64(in[1]&15)
	u.baseTrailer, in = takeUvarint(in[2:])
	prefixLen, in := takeUvarint(in)
	baseLength, in := takeUvarint(in)
	if in == nil || prefixLen > size || baseLength > size || trailer > maxTrailerWidth ||
		offset < 1 || offset > maxOffsetWidth || length > maxLengthWidth {
		return nil, false
	}
	prints := headerBytes + (prefixLen+7)&^7
	heads := prints + (n+7)&^7
	slots := heads + n*(headBytes+trailer)
	records := slots + n*(offset+length) + sentinelBytes
	if records > size || (size-records)&lowMask(uintptr(offset)) != size-records {
		return nil, false
	}
	u.layout = layout{
		trailerWidth: int(trailer), offsetWidth: int(offset), lengthWidth: int(length),
		prints: int(prints), heads: int(heads), trailers: int(heads + n*headBytes), slots: int(slots),
		records: int(records), end: int(size),
	}
	u.n, u.prefixLen = int(n), int(prefixLen)
	u.baseLength, u.shortest = baseLength, prefixLen+baseLength
	return in, true
}

// keyBytes adds up what the keys add to each other.
func (u *unpacker) keyBytes() (sum int, ok bool) {
	total, last := uint64(0), uint64(0)
	shared, lengths := u.shared, u.lengths
	for i := range u.n {
		length, same := u.shortest, uint64(0)
		if u.lengthWidth > 0 {
			var more uint64
			more, lengths = takeUvarint(lengths)
			length += more & lowMask(maxLengthWidth)
		}
		if i > 0 {
			same, shared = takeUvarint(shared)
			same += uint64(u.prefixLen)
			if same < uint64(u.prefixLen) || same > min(last, length) {
				return 0, false
			}
		}
		total += length - same
		last = length
	}
	return int(min(total, math.MaxInt32)), true
}

// records makes the block.
func (u *unpacker) records(dst []byte) bool {
	if len(u.keys) < u.prefixLen {
		return false
	}
	clear(dst[:u.heads])
	binary.LittleEndian.PutUint32(dst[countAt:], uint32(u.n))
	dst[trailerWidthAt], dst[offsetWidthAt], dst[lengthWidthAt] = byte(u.trailerWidth), byte(u.offsetWidth), byte(u.lengthWidth)
	binary.LittleEndian.PutUint64(dst[baseTrailerAt:], u.baseTrailer)
	binary.LittleEndian.PutUint32(dst[prefixLenAt:], uint32(u.prefixLen))
	binary.LittleEndian.PutUint32(dst[baseLengthAt:], uint32(u.baseLength))
	copy(dst[headerBytes:], u.keys[:u.prefixLen])
	copy(dst[u.trailers:u.slots], u.trailerDeltas)
	record := u.layout.records
	slot, slotWidth := u.slots, u.offsetWidth+u.lengthWidth
	for i := range u.n {
		more, ok := u.nextKey(i)
		if !ok {
			return false
		}
		var valueLen uint64
		valueLen, u.valueLengths = takeUvarint(u.valueLengths)
		suffix := u.key[u.prefixLen:]
		rest := suffix[min(len(suffix), headBytes):]
		if valueLen > uint64(len(u.values)) || len(rest)+int(valueLen) > len(dst)-record {
			return false
		}
		dst[u.prints+i] = Fingerprint(base.Hash(u.key))
		binary.LittleEndian.PutUint64(dst[u.heads+i*headBytes:], headOf(suffix))
		binary.LittleEndian.PutUint64(dst[slot:], uint64(record-u.layout.records)|more<<(8*uint(u.offsetWidth)))
		slot += slotWidth
		record += copy(dst[record:], rest)
		record += copy(dst[record:], u.values[:valueLen])
		u.values = u.values[valueLen:]
	}
	binary.LittleEndian.PutUint64(dst[slot:], uint64(record-u.layout.records))
	return record == len(dst) && len(u.values) == 0
}

// nextKey has record i's key, and returns how much longer it is than the shortest. keyBytes has
// seen that it is there.
func (u *unpacker) nextKey(i int) (more uint64, ok bool) {
	shared := uint64(0)
	if u.lengthWidth > 0 {
		more, u.lengths = takeUvarint(u.lengths)
	}
	if i > 0 {
		shared, u.shared = takeUvarint(u.shared)
		shared += uint64(u.prefixLen)
	}
	adds := u.shortest + more - shared
	if more != more&lowMask(uintptr(u.lengthWidth)) || adds > uint64(len(u.keys)) {
		return 0, false
	}
	u.key = append(u.key[:shared], u.keys[:adds]...)
	u.keys = u.keys[adds:]
	return more, true
}

// takeUvarint reads a number and returns the rest, nil if there is no number.
func takeUvarint(in []byte) (x uint64, rest []byte) {
	if len(in) > 0 && in[0] < 0x80 {
		return uint64(in[0]), in[1:]
	}
	x, n := binary.Uvarint(in)
	if n <= 0 {
		return 0, nil
	}
	return x, in[n:]
}

// skipUvarints steps over n numbers that takeUvarint can read.
func skipUvarints(in []byte, n int) (rest []byte, ok bool) {
	for ; n > 0; n-- {
		if _, in = takeUvarint(in); in == nil {
			return nil, false
		}
	}
	return in, true
}
