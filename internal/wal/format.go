package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
)

// The layouts of the two headers of a segment and of a group, which
// docs/format/wal.md describes byte for byte.

const (
	fileSuffix    = ".wal"
	segmentMagic  = "LTNGWLOG"
	beginMagic    = "LTNGWBEG"
	formatVersion = 1

	preparedHeaderBytes = 64
	beginHeaderBytes    = 64
	segmentHeaderBytes  = preparedHeaderBytes + beginHeaderBytes
	groupHeaderBytes    = 40
	alignBytes          = 8

	// flagSeal marks the empty group that a clean Close leaves at the end. It
	// sits in the byte above the 56 bits of the first sequence number.
	flagSeal = 1 << 56
)

// FileName returns the name of segment n.
func FileName(n base.FileNum) string { return base.FileName(n, fileSuffix) }

// ParseFileName returns the number in a name that FileName made.
func ParseFileName(name string) (base.FileNum, bool) { return base.ParseFileName(name, fileSuffix) }

// Segment is the identity of a segment, which together with the id of the
// database is decided when the file is prepared, and the size that it had then:
// the manifest knows both before anything goes into it.
type Segment struct {
	Num base.FileNum
	// SizeBytes is what the file was known to have, durably. It may have more.
	SizeBytes int64
	Salt      uint32 // random for each time a file is prepared
}

// newSegment decides the identity of segment n.
func newSegment(n base.FileNum, sizeBytes int64) Segment {
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	return Segment{
		Num: n, SizeBytes: max(sizeBytes, segmentHeaderBytes), Salt: binary.LittleEndian.Uint32(salt[:]),
	}
}

// encodePrepared returns the header that a segment is prepared with, which is
// durable before the manifest names it and never written again.
func encodePrepared(id base.DBID, s Segment) []byte {
	b := make([]byte, preparedHeaderBytes)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	copy(b[16:], id[:])
	binary.LittleEndian.PutUint64(b[32:], uint64(s.Num))
	binary.LittleEndian.PutUint64(b[40:], uint64(s.SizeBytes))
	binary.LittleEndian.PutUint32(b[48:], s.Salt)
	binary.LittleEndian.PutUint32(b[60:], checksum.CRC(0, b[:60]))
	return b
}

// errNoHeader says that there is no intact header.
var errNoHeader = errors.New("segment header is missing or damaged")

// decodePrepared returns errNoHeader for anything but an intact header.
func decodePrepared(name string, b []byte) (id base.DBID, s Segment, err error) {
	if len(b) < preparedHeaderBytes || string(b[:8]) != segmentMagic ||
		checksum.CRC(0, b[:60]) != binary.LittleEndian.Uint32(b[60:]) {
		return id, s, errNoHeader
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return id, s, &base.FormatError{File: name, Version: v, Known: formatVersion}
	}
	copy(id[:], b[16:])
	s = Segment{
		Num:       base.FileNum(binary.LittleEndian.Uint64(b[32:])),
		SizeBytes: int64(binary.LittleEndian.Uint64(b[40:])),
		Salt:      binary.LittleEndian.Uint32(b[48:]),
	}
	if s.SizeBytes < segmentHeaderBytes || binary.LittleEndian.Uint32(b[12:]) != 0 ||
		binary.LittleEndian.Uint64(b[52:]) != 0 {
		return id, s, errors.New("segment header is malformed")
	}
	return id, s, nil
}

// beginHeader says where in the log a segment that was begun starts.
type beginHeader struct {
	number  uint32 // low half of the file number
	salt    uint32
	start   Position // of the first group
	durable Position // what was durable when the segment was begun
}

func (h *beginHeader) encode() []byte {
	b := make([]byte, beginHeaderBytes)
	copy(b, beginMagic)
	binary.LittleEndian.PutUint32(b[8:], h.number)
	binary.LittleEndian.PutUint32(b[12:], h.salt)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.start))
	binary.LittleEndian.PutUint32(b[24:], behind(h.start, h.durable))
	binary.LittleEndian.PutUint32(b[60:], checksum.CRC(0, b[:60]))
	return b
}

// decodeBegin returns false for anything but an intact header: the segment was
// never begun, or its header did not reach the disk, or rotted.
func decodeBegin(b []byte) (h beginHeader, ok bool) {
	if len(b) < beginHeaderBytes || string(b[:8]) != beginMagic ||
		checksum.CRC(0, b[:60]) != binary.LittleEndian.Uint32(b[60:]) {
		return h, false
	}
	h = beginHeader{
		number: binary.LittleEndian.Uint32(b[8:]),
		salt:   binary.LittleEndian.Uint32(b[12:]),
		start:  Position(binary.LittleEndian.Uint64(b[16:])),
	}
	h.durable = ahead(h.start, binary.LittleEndian.Uint32(b[24:]))
	for _, reserved := range b[28:60] {
		if reserved != 0 {
			return h, false
		}
	}
	return h, h.start%alignBytes == 0
}

// begins reports whether the header is that of a segment: what an older use of
// the file left has another number and another salt.
func (h *beginHeader) begins(s Segment) bool { return h.number == uint32(s.Num) && h.salt == s.Salt }

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
