package block

import (
	"encoding/binary"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
)

// This file makes and checks blocks of one record whose value is too large to be
// copied, or to be in memory as a whole: such a block is what AppendSingle makes, and
// then the value.

// AppendSingle appends to dst what a block with only this record has before the value.
// hash is base.Hash(key).
func AppendSingle(dst, key []byte, tr base.Trailer, valueBytes int, hash uint64) []byte {
	var b Builder
	b.Add(key, tr, nil, hash)
	l := b.plan(valueBytes)
	at := len(dst)
	dst = append(dst, make([]byte, l.records)...)
	out := dst[at:]
	b.putHeader(out, &l)
	// All of the key is in the prefix, so its head, offset and length are zeroes.
	out[l.prints] = b.pending[0].print
	binary.LittleEndian.PutUint64(out[l.slots+l.offsetWidth+l.lengthWidth:], uint64(valueBytes))
	return dst
}

// SingleHeadMaxBytes bounds what AppendSingle appends for keys of at most maxKeyBytes.
func SingleHeadMaxBytes(maxKeyBytes int) int {
	return headerBytes + int(alignUp(uintptr(maxKeyBytes))) + 8 + headBytes + maxOffsetWidth + sentinelBytes
}

var errNotSingle = errors.New("block is not one record")

// ParseSingle decodes the record of a block of blockBytes from its beginning, which is
// SingleHeadMaxBytes of it or all. It returns where the value begins. What it accepts
// AppendSingle has made, for the key that it returns.
func ParseSingle(head []byte, blockBytes int) (key []byte, tr base.Trailer, valueAt int, err error) {
	if len(head) < headerBytes {
		return nil, 0, 0, errNotSingle
	}
	prefixLen := int(binary.LittleEndian.Uint32(head[prefixLenAt:]))
	if prefixLen > len(head)-headerBytes {
		return nil, 0, 0, errNotSingle
	}
	key = head[headerBytes:][:prefixLen]
	tr = base.Trailer(binary.LittleEndian.Uint64(head[baseTrailerAt:]))
	valueAt = headerBytes + int(alignUp(uintptr(prefixLen))) + 8 + headBytes + int(head[offsetWidthAt]) + sentinelBytes
	if valueAt > min(len(head), blockBytes) || !tr.Kind().Valid() {
		return nil, 0, 0, errNotSingle
	}
	if made := AppendSingle(nil, key, tr, blockBytes-valueAt, base.Hash(key)); string(made) != string(head[:valueAt]) {
		return nil, 0, 0, errNotSingle
	}
	return key, tr, valueAt, nil
}
