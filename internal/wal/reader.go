package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/vfs"
)

// windowBytes is how much of a segment is read at once.
const windowBytes = 256 << 10

// reader reads one segment through a window. It takes memory only for bytes
// that were read and, beyond the window, only for a group whose checksum was
// found right.
//
// group and scan report what they see; what it means is for replay to say.
type reader struct {
	name   string
	f      vfs.File
	size   int64
	number uint32
	salt   uint32
	start  Position // of the first group

	window []byte // the bytes [at, at+len)
	at     int64
	large  []byte // a group that is larger than the window
}

// open points r at another segment; its buffers are kept.
func (r *reader) open(cfg Config, name string, n base.FileNum) error {
	f, err := cfg.FS.Open(filepath.Join(cfg.Dir, name))
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	size, err := f.Size()
	if err != nil {
		return errors.Join(fmt.Errorf("size of %s: %w", name, err), f.Close())
	}
	*r = reader{
		name: name, f: f, size: size, number: uint32(n),
		window: r.window[:0], large: r.large,
	}
	return nil
}

// position is the position in the log of an offset in the file.
func (r *reader) position(offset int64) Position {
	return r.start + Position(offset-segmentHeaderBytes)
}

// read returns n bytes at an offset, fewer at the end of the file. They are
// valid until the next call; n is at most windowBytes.
func (r *reader) read(offset int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(0, r.size-offset)))
	if n == 0 {
		return nil, nil
	}
	if offset >= r.at && offset+int64(n) <= r.at+int64(len(r.window)) {
		return r.window[offset-r.at:][:n], nil
	}
	if want := min(windowBytes, r.size); int64(cap(r.window)) < want {
		r.window = make([]byte, want)
	}
	r.window = r.window[:min(windowBytes, r.size-offset)]
	r.at = offset
	if err := r.fill(r.window, offset); err != nil {
		r.window = r.window[:0]
		return nil, err
	}
	return r.window[:n], nil
}

func (r *reader) fill(b []byte, offset int64) error {
	n, err := r.f.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %s at %d: %w", r.name, offset, err)
}

// group reads the group at an offset. ok is false where there is no intact
// group of this segment that belongs right there. The payload is valid until
// the next call.
func (r *reader) group(offset int64) (h groupHeader, payload []byte, ok bool, err error) {
	b, err := r.read(offset, groupHeaderBytes)
	if err != nil || len(b) < groupHeaderBytes {
		return h, nil, false, err
	}
	want := binary.LittleEndian.Uint32(b)
	h, ok = decodeGroupHeader(b)
	if !ok || h.number != r.number || h.salt != r.salt || h.position != r.position(offset) ||
		int64(h.sizeBytes()) > r.size-offset {
		return h, nil, false, nil
	}
	size := int64(h.sizeBytes())
	if size <= windowBytes {
		b, err = r.read(offset, int(size))
		if err != nil || checksum.CRC(0, b[4:]) != want {
			return h, nil, false, err
		}
		return h, b[groupHeaderBytes:][:h.length], true, nil
	}
	got, err := r.checksum(offset+4, offset+size)
	if err != nil || got != want {
		return h, nil, false, err
	}
	if uint64(h.length) > math.MaxInt {
		return h, nil, false, fmt.Errorf("%s: a group of %d bytes is too large for this machine",
			r.name, h.length)
	}
	return r.largeGroup(h, want, offset)
}

// largeGroup reads a group beyond the window, whose checksum was right a moment
// ago. It is looked at once more: a segment that a cursor reads may be in use
// for something else by now.
func (r *reader) largeGroup(h groupHeader, want uint32, offset int64) (
	groupHeader, []byte, bool, error,
) {
	size := int64(h.sizeBytes()) - 4
	if int64(cap(r.large)) < size {
		r.large = make([]byte, size)
	}
	r.large = r.large[:size]
	err := r.fill(r.large, offset+4)
	if err != nil || checksum.CRC(0, r.large) != want {
		return h, nil, false, err
	}
	return h, r.large[groupHeaderBytes-4:][:h.length], true, nil
}

// checksum is that of the bytes [from, to) of the file.
func (r *reader) checksum(from, to int64) (uint32, error) {
	var crc uint32
	for from < to {
		b, err := r.read(from, int(min(windowBytes, to-from)))
		if err != nil {
			return 0, err
		}
		crc = checksum.CRC(crc, b)
		from += int64(len(b))
	}
	return crc, nil
}

// scan returns the offset of the first group at or behind an offset, and the
// end of the file where there is none.
func (r *reader) scan(offset int64) (int64, error) {
	for ; offset+groupHeaderBytes <= r.size; offset += alignBytes {
		next, err := r.scanHeaders(offset, func(b []byte, at int64) bool {
			return binary.LittleEndian.Uint32(b[12:]) == r.salt &&
				binary.LittleEndian.Uint64(b[16:]) == uint64(r.position(at))
		})
		if err != nil || next == r.size {
			return r.size, err
		}
		offset = next
		if _, _, ok, err := r.group(offset); ok || err != nil {
			return offset, err
		}
	}
	return r.size, nil
}

// begun reads where the segment starts, if that is in its header.
func (r *reader) begun(s Segment) (h beginHeader, ok bool, err error) {
	b, err := r.read(preparedHeaderBytes, beginHeaderBytes)
	if err != nil {
		return h, false, err
	}
	h, ok = decodeBegin(b)
	return h, ok && h.begins(s), nil
}

// findStart learns from the first group at or behind an offset where the segment
// starts, which has no header that says so; its salt is known.
func (r *reader) findStart(offset int64) (found bool, err error) {
	for ; offset+groupHeaderBytes <= r.size; offset += alignBytes {
		next, err := r.scanHeaders(offset, func(b []byte, at int64) bool {
			return binary.LittleEndian.Uint32(b[12:]) == r.salt &&
				binary.LittleEndian.Uint64(b[16:]) >= uint64(at-segmentHeaderBytes)
		})
		if err != nil || next == r.size {
			return false, err
		}
		offset = next
		b, err := r.read(offset, groupHeaderBytes)
		if err != nil {
			return false, err
		}
		h, _ := decodeGroupHeader(b)
		r.start = h.position - Position(offset-segmentHeaderBytes)
		if _, _, ok, err := r.group(offset); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// scanHeaders returns the first aligned offset at or behind the given one
// where what may be a group header of this segment number passes the test,
// and the end of the file where there is none.
func (r *reader) scanHeaders(offset int64, test func(b []byte, at int64) bool) (int64, error) {
	for offset+groupHeaderBytes <= r.size {
		b, err := r.read(offset, int(min(windowBytes, r.size-offset)))
		if err != nil {
			return 0, err
		}
		i := 0
		for ; i+groupHeaderBytes <= len(b); i += alignBytes {
			if binary.LittleEndian.Uint32(b[i+8:]) == r.number && test(b[i:], offset+int64(i)) {
				return offset + int64(i), nil
			}
		}
		offset += int64(i)
	}
	return r.size, nil
}
