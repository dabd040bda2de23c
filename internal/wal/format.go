package wal

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
)

// The layouts of the segment header and of a group, which docs/format/wal.md
// describes byte for byte.

const (
	fileSuffix    = ".wal"
	segmentMagic  = "LTNGWLOG"
	formatVersion = 1

	segmentHeaderBytes = 64
	groupHeaderBytes   = 40
	alignBytes         = 8

	// flagSeal marks the empty group that a clean Close leaves at the end. It
	// sits in the byte above the 56 bits of the first sequence number.
	flagSeal = 1 << 56
)

// FileName returns the name of segment n.
func FileName(n base.FileNum) string { return base.FileName(n, fileSuffix) }

// ParseFileName returns the number in a name that FileName made.
func ParseFileName(name string) (base.FileNum, bool) { return base.ParseFileName(name, fileSuffix) }

// segmentHeader is the start of a segment that was begun.
type segmentHeader struct {
	id      base.DBID
	num     base.FileNum
	salt    uint32   // random for each time a file is begun
	start   Position // of the first group
	durable Position // what was durable when the segment was begun
}

func (h *segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderBytes)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	copy(b[16:], h.id[:])
	binary.LittleEndian.PutUint64(b[32:], uint64(h.num))
	binary.LittleEndian.PutUint32(b[40:], h.salt)
	binary.LittleEndian.PutUint64(b[48:], uint64(h.start))
	binary.LittleEndian.PutUint32(b[56:], behind(h.start, h.durable))
	binary.LittleEndian.PutUint32(b[60:], checksum.CRC(0, b[:60]))
	return b
}

// errNotBegun says that there is no segment header: the file was prepared or
// recycled, and never written to, or its header did not reach the disk.
var errNotBegun = errors.New("segment header is missing")

// decodeSegmentHeader returns errNotBegun for anything but an intact header.
func decodeSegmentHeader(name string, b []byte) (segmentHeader, error) {
	var h segmentHeader
	if len(b) < segmentHeaderBytes || string(b[:8]) != segmentMagic ||
		checksum.CRC(0, b[:60]) != binary.LittleEndian.Uint32(b[60:]) {
		return h, errNotBegun
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return h, &base.FormatError{File: name, Version: v, Known: formatVersion}
	}
	copy(h.id[:], b[16:])
	h.num = base.FileNum(binary.LittleEndian.Uint64(b[32:]))
	h.salt = binary.LittleEndian.Uint32(b[40:])
	h.start = Position(binary.LittleEndian.Uint64(b[48:]))
	h.durable = ahead(h.start, binary.LittleEndian.Uint32(b[56:]))
	if h.start%alignBytes != 0 || binary.LittleEndian.Uint32(b[12:]) != 0 ||
		binary.LittleEndian.Uint32(b[44:]) != 0 {
		return h, errors.New("segment header is malformed")
	}
	return h, nil
}

// groupHeader is the start of a group. number and salt say which incarnation
// of which segment it belongs to, and position where in the log: a group in
// any other place is not a group.
type groupHeader struct {
	length   uint32 // of the payload
	number   uint32 // low half of the file number
	salt     uint32
	position Position
	first    base.SeqNum
	count    uint32 // of sequence numbers after first
	durable  Position
	seal     bool
}

// encode writes everything but the checksum.
func (h *groupHeader) encode(b *[groupHeaderBytes]byte) {
	first := uint64(h.first)
	if h.seal {
		first |= flagSeal
	}
	binary.LittleEndian.PutUint32(b[4:], h.length)
	binary.LittleEndian.PutUint32(b[8:], h.number)
	binary.LittleEndian.PutUint32(b[12:], h.salt)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.position))
	binary.LittleEndian.PutUint64(b[24:], first)
	binary.LittleEndian.PutUint32(b[32:], h.count)
	binary.LittleEndian.PutUint32(b[36:], behind(h.position, h.durable))
}

// decodeGroupHeader reads a group header, of which it checks nothing but what
// every header has in common; b has groupHeaderBytes.
func decodeGroupHeader(b []byte) (h groupHeader, ok bool) {
	first := binary.LittleEndian.Uint64(b[24:])
	h = groupHeader{
		length:   binary.LittleEndian.Uint32(b[4:]),
		number:   binary.LittleEndian.Uint32(b[8:]),
		salt:     binary.LittleEndian.Uint32(b[12:]),
		position: Position(binary.LittleEndian.Uint64(b[16:])),
		first:    base.SeqNum(first &^ flagSeal),
		count:    binary.LittleEndian.Uint32(b[32:]),
		seal:     first&flagSeal != 0,
	}
	h.durable = ahead(h.position, binary.LittleEndian.Uint32(b[36:]))
	ok = h.first+base.SeqNum(h.count) <= base.SeqNumMax && h.position%alignBytes == 0 &&
		h.length <= base.MaxBatchBytes
	return h, ok
}

// sizeBytes is the size of the whole group.
func (h *groupHeader) sizeBytes() uint64 { return groupBytes(uint64(h.length)) }

func groupBytes(payloadBytes uint64) uint64 {
	return (groupHeaderBytes + payloadBytes + alignBytes - 1) &^ (alignBytes - 1)
}

// behind encodes how far durable is behind at. What is too far is given as
// less durable than it is, which is always sound.
func behind(at, durable Position) uint32 {
	if durable == 0 {
		return math.MaxUint32
	}
	return uint32(min(uint64(at-durable)/alignBytes, math.MaxUint32))
}

func ahead(at Position, behind uint32) Position {
	if behind == math.MaxUint32 {
		return 0
	}
	return at - min(at, Position(behind)*alignBytes)
}
