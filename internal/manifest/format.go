package manifest

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
)

// The layouts of CURRENT, of the header of a manifest file and of a record.
// docs/format/manifest.md describes them byte for byte.

const (
	// CurrentName is the file that names the manifest in force.
	CurrentName = "CURRENT"

	currentTempName = "CURRENT.tmp"
	fileSuffix      = ".manifest"
	formatVersion   = 1

	currentMagic = "LTNGCURR"
	fileMagic    = "LTNGMANI"

	headerBytes       = 64 // of CURRENT and of the file header alike
	recordHeaderBytes = 24
	checksumBytes     = 4 // of a record, at its begin

	// maxFileBytes bounds what Load reads into memory.
	maxFileBytes = 1 << 30
)

// FileName returns the name of a manifest file. Manifests are numbered on
// their own, apart from the other files.
func FileName(n base.FileNum) string { return base.FileName(n, fileSuffix) }

// ParseFileName returns the number in a name that FileName made.
func ParseFileName(name string) (base.FileNum, bool) { return base.ParseFileName(name, fileSuffix) }

// pointer is the content of CURRENT.
type pointer struct {
	id     base.DBID
	num    base.FileNum // of the manifest in force
	salt   uint64       // in its header
	synced uint64       // so many of its bytes were durable before CURRENT named it
}

// fileHeader is the start of a manifest file.
type fileHeader struct {
	id   base.DBID
	num  base.FileNum
	salt uint64 // random, so that what an older file left behind never fits
}

var (
	errSize     = errors.New("wrong size")
	errMagic    = errors.New("wrong magic number")
	errChecksum = errors.New("checksum mismatch")
	errReserved = errors.New("reserved bytes are not zero")
)

func (p pointer) encode() []byte {
	b := frame(currentMagic, p.id, p.num, p.salt)
	binary.LittleEndian.PutUint64(b[48:], p.synced)
	return seal(b)
}

func (h fileHeader) encode() []byte { return seal(frame(fileMagic, h.id, h.num, h.salt)) }

func frame(magic string, id base.DBID, num base.FileNum, salt uint64) []byte {
	b := make([]byte, headerBytes)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	copy(b[16:], id[:])
	binary.LittleEndian.PutUint64(b[32:], uint64(num))
	binary.LittleEndian.PutUint64(b[40:], salt)
	return b
}

func seal(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[60:], checksum.CRC(0, b[:60]))
	return b
}

// unframe checks what CURRENT and the file header have in common. The magic
// number, the version and the checksum keep their places in every format, so
// that a newer format is told apart from damage.
func unframe(name, magic string, b []byte) error {
	switch {
	case len(b) < headerBytes:
		return errSize
	case string(b[:8]) != magic:
		return errMagic
	case checksum.CRC(0, b[:60]) != binary.LittleEndian.Uint32(b[60:]):
		return errChecksum
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return &base.FormatError{File: name, Version: v, Known: formatVersion}
	}
	if binary.LittleEndian.Uint32(b[12:]) != 0 || binary.LittleEndian.Uint32(b[56:]) != 0 {
		return errReserved
	}
	return nil
}

func decodePointer(b []byte) (pointer, error) {
	var p pointer
	if err := unframe(CurrentName, currentMagic, b); err != nil {
		return p, err
	}
	if len(b) != headerBytes {
		return p, errSize
	}
	copy(p.id[:], b[16:])
	p.num = base.FileNum(binary.LittleEndian.Uint64(b[32:]))
	p.salt = binary.LittleEndian.Uint64(b[40:])
	p.synced = binary.LittleEndian.Uint64(b[48:])
	if p.num == 0 || p.num > maxFileNum {
		return p, fmt.Errorf("manifest number %d is out of range", uint64(p.num))
	}
	if p.synced < headerBytes+recordHeaderBytes {
		return p, fmt.Errorf("%d durable bytes are too few for a manifest", p.synced)
	}
	return p, nil
}

func decodeFileHeader(name string, b []byte) (fileHeader, error) {
	var h fileHeader
	if err := unframe(name, fileMagic, b); err != nil {
		return h, err
	}
	if binary.LittleEndian.Uint64(b[48:]) != 0 {
		return h, errReserved
	}
	copy(h.id[:], b[16:])
	h.num = base.FileNum(binary.LittleEndian.Uint64(b[32:]))
	h.salt = binary.LittleEndian.Uint64(b[40:])
	return h, nil
}

// chain is the running hash over all payloads of a file, beginning with its
// salt. It makes a record valid in its own place only.
type chain uint64

func (c chain) next(payload []byte) chain { return chain(xxh3.HashSeed(payload, uint64(c))) }

// appendRecord appends a record with its padding. synced is the number of
// bytes of the file that were durable when the record was written.
func appendRecord(dst []byte, salt uint64, after chain, synced uint64, payload []byte) []byte {
	start := len(dst)
	dst = append(appendRecordHeader(dst, len(payload), after, synced), payload...)
	for (len(dst)-start)%8 != 0 {
		dst = append(dst, 0)
	}
	binary.LittleEndian.PutUint32(dst[start:], recordChecksum(salt, dst[start+4:]))
	return dst
}

// appendRecordHeader appends what is before the payload, with zeroes for the checksum.
func appendRecordHeader(dst []byte, payloadBytes int, after chain, synced uint64) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(payloadBytes))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(after))
	return binary.LittleEndian.AppendUint64(dst, synced)
}

// recordSeed is what the checksum of a record begins with.
func recordSeed(salt uint64) uint32 { return uint32(salt) ^ uint32(salt>>32) }

func recordChecksum(salt uint64, b []byte) uint32 { return checksum.CRC(recordSeed(salt), b) }

// record is a decoded record; payload is a part of the bytes it came from.
type record struct {
	payload   []byte
	after     chain
	synced    uint64
	sizeBytes int
}

// decodeRecord reads the record at the start of b, which holds the rest of the
// file. It does not judge the chain.
func decodeRecord(b []byte, salt uint64) (record, bool) {
	if len(b) < recordHeaderBytes {
		return record{}, false
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if uint64(length) > uint64(len(b)-recordHeaderBytes) {
		return record{}, false
	}
	size := (recordHeaderBytes + int(length) + 7) &^ 7
	if size > len(b) || recordChecksum(salt, b[4:size]) != binary.LittleEndian.Uint32(b) {
		return record{}, false
	}
	return record{
		payload:   b[recordHeaderBytes : recordHeaderBytes+int(length)],
		after:     chain(binary.LittleEndian.Uint64(b[8:])),
		synced:    binary.LittleEndian.Uint64(b[16:]),
		sizeBytes: size,
	}, true
}
