package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
)

// zeroChunkBytes is what one write of a preparation covers.
const zeroChunkBytes = 1 << 20

// zeroes is never written to, so that it takes no memory of its own.
var zeroes [zeroChunkBytes]byte

// Config says where the log is and how much memory it may use.
type Config struct {
	FS   vfs.FS
	Dir  string
	DBID base.DBID
	// BufferBytes is the size of the buffer between Append and the operating
	// system, rounded up to a power of two; 1 MiB where it is zero.
	BufferBytes int
}

// Prepare makes segment n: sizeBytes of zeroes, durable together with its
// name. Writing over zeroes that are on the disk changes no metadata, which
// makes each later sync about twice as fast as on a growing or merely
// allocated file. On failure what was made is removed.
func Prepare(cfg Config, n base.FileNum, sizeBytes int64) error {
	path := filepath.Join(cfg.Dir, FileName(n))
	f, err := cfg.FS.Create(path)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", FileName(n), err)
	}
	err = fillAndClose(f, 0, sizeBytes)
	if err == nil {
		err = cfg.FS.SyncDir(cfg.Dir)
	}
	if err != nil {
		_ = cfg.FS.Remove(path)
		return fmt.Errorf("prepare %s: %w", FileName(n), err)
	}
	return nil
}

// Recycle turns segment from, which nobody needs any more, into the prepared
// segment to. Its old content stays on the disk until it is written over; no
// reader takes it for groups of the new segment. On failure it is removed, under
// whichever name it has then: the caller takes a new one, which may need the
// space.
func Recycle(cfg Config, from, to base.FileNum, sizeBytes int64) error {
	if from >= to {
		return fmt.Errorf("recycle %s: its new number %s is not higher", FileName(from), to)
	}
	err := resize(cfg, from, sizeBytes)
	if err == nil {
		err = cfg.FS.Rename(filepath.Join(cfg.Dir, FileName(from)), filepath.Join(cfg.Dir, FileName(to)))
	}
	if err == nil {
		err = cfg.FS.SyncDir(cfg.Dir)
	}
	if err != nil {
		_ = cfg.FS.Remove(filepath.Join(cfg.Dir, FileName(from)))
		_ = cfg.FS.Remove(filepath.Join(cfg.Dir, FileName(to)))
		return fmt.Errorf("recycle %s as %s: %w", FileName(from), FileName(to), err)
	}
	return nil
}

// resize gives a segment the size of a prepared one: a huge group may have
// made it larger, and the size asked for may have changed.
func resize(cfg Config, n base.FileNum, sizeBytes int64) error {
	f, err := cfg.FS.OpenReadWrite(filepath.Join(cfg.Dir, FileName(n)))
	if err != nil {
		return err
	}
	size, err := f.Size()
	switch {
	case err != nil:
	case size > sizeBytes:
		if err = f.Truncate(sizeBytes); err == nil {
			err = f.Sync()
		}
	case size < sizeBytes:
		return fillAndClose(f, size, sizeBytes)
	}
	return errors.Join(err, f.Close())
}

// fillAndClose writes zeroes to [from, to), syncs and closes f.
func fillAndClose(f vfs.File, from, to int64) error {
	err := f.Preallocate(to)
	for at := from; at < to && err == nil; at += zeroChunkBytes {
		_, err = f.WriteAt(zeroes[:min(zeroChunkBytes, to-at)], at)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// segment is a segment being written.
type segment struct {
	f     vfs.File
	num   base.FileNum
	salt  uint32
	start Position
	// sizeBytes of the file are allocated. Of the one who appends.
	sizeBytes int64
}

// openSegment opens the prepared segment n, to be begun at position start.
func openSegment(cfg Config, n base.FileNum, start Position) (*segment, error) {
	f, err := cfg.FS.OpenReadWrite(filepath.Join(cfg.Dir, FileName(n)))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", FileName(n), err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("size of %s: %w", FileName(n), err), f.Close())
	}
	var salt [4]byte
	_, _ = rand.Read(salt[:]) // never fails
	return &segment{
		f: f, num: n, salt: binary.LittleEndian.Uint32(salt[:]), start: start, sizeBytes: size,
	}, nil
}

// reserve makes the file large enough for groups up to end, and by a quarter
// larger than that where there is space.
func (s *segment) reserve(end Position) error {
	need := segmentHeaderBytes + int64(end-s.start)
	if need <= s.sizeBytes {
		return nil
	}
	size := need + need/4
	err := s.f.Preallocate(size)
	if errors.Is(err, vfs.ErrNoSpace) {
		size = need
		err = s.f.Preallocate(size)
	}
	if err != nil {
		return fmt.Errorf("extend %s: %w", FileName(s.num), err)
	}
	s.sizeBytes = size
	return nil
}

// begin writes the header.
func (s *segment) begin(id base.DBID, durable Position) error {
	h := segmentHeader{id: id, num: s.num, salt: s.salt, start: s.start, durable: durable}
	if _, err := s.f.WriteAt(h.encode(), 0); err != nil {
		return fmt.Errorf("begin %s: %w", FileName(s.num), err)
	}
	return nil
}

// write puts b at a position of the log.
func (s *segment) write(b []byte, at Position) error {
	if _, err := s.f.WriteAt(b, segmentHeaderBytes+int64(at-s.start)); err != nil {
		return fmt.Errorf("write %s: %w", FileName(s.num), err)
	}
	return nil
}

func (s *segment) sync() error {
	if err := s.f.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", FileName(s.num), err)
	}
	return nil
}

func (s *segment) close() error {
	if err := s.f.Close(); err != nil {
		return fmt.Errorf("close %s: %w", FileName(s.num), err)
	}
	return nil
}
