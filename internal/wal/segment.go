package wal

import (
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

// Prepare makes segment n: its header and zeroes up to sizeBytes, durable together
// with its name. Writing over zeroes that are on the disk changes no metadata,
// which makes each later sync about twice as fast as on a growing or merely
// allocated file. On failure what was made is removed.
func Prepare(cfg Config, n base.FileNum, sizeBytes int64) (Segment, error) {
	path := filepath.Join(cfg.Dir, FileName(n))
	f, err := cfg.FS.Create(path)
	if err != nil {
		return Segment{}, fmt.Errorf("prepare %s: %w", FileName(n), err)
	}
	s := newSegment(n, sizeBytes)
	err = fillAndClose(f, 0, cfg.DBID, s)
	if err == nil {
		err = cfg.FS.SyncDir(cfg.Dir)
	}
	if err != nil {
		_ = cfg.FS.Remove(path)
		return Segment{}, fmt.Errorf("prepare %s: %w", FileName(n), err)
	}
	return s, nil
}

// Recycle turns segment from, which nobody needs any more, into the prepared
// segment to, by a new header. Its old content stays on the disk until it is
// written over; no reader takes it for groups of the new segment, whose salt is
// another one. A file that has further names, as those that a backup made of hard
// links has, is not written over: it loses its name here, and the segment is a new
// file. On failure it is removed, under whichever name it has then: the caller
// takes a new one, which may need the space.
func Recycle(cfg Config, from, to base.FileNum, sizeBytes int64) (Segment, error) {
	if from >= to {
		return Segment{}, fmt.Errorf("recycle %s: its new number %s is not higher", FileName(from), to)
	}
	linked, err := isLinked(cfg, from)
	if linked {
		err = cfg.FS.Remove(filepath.Join(cfg.Dir, FileName(from)))
		if err == nil {
			return Prepare(cfg, to, sizeBytes)
		}
	}
	s := newSegment(to, sizeBytes)
	if err == nil {
		err = rename(cfg, from, s)
	}
	if err != nil {
		_ = cfg.FS.Remove(filepath.Join(cfg.Dir, FileName(from)))
		_ = cfg.FS.Remove(filepath.Join(cfg.Dir, FileName(to)))
		return Segment{}, fmt.Errorf("recycle %s as %s: %w", FileName(from), FileName(to), err)
	}
	return s, nil
}

// isLinked reports whether segment n has names besides its own, which means that
// its content belongs to others too.
func isLinked(cfg Config, n base.FileNum) (bool, error) {
	info, err := cfg.FS.Stat(filepath.Join(cfg.Dir, FileName(n)))
	return err == nil && vfs.LinkCount(info) > 1, err
}

// rename gives a file its new header and then its new name, under which nobody
// ever finds the old header.
func rename(cfg Config, from base.FileNum, s Segment) error {
	if err := renew(cfg, from, s); err != nil {
		return err
	}
	err := cfg.FS.Rename(filepath.Join(cfg.Dir, FileName(from)), filepath.Join(cfg.Dir, FileName(s.Num)))
	if err != nil {
		return err
	}
	return cfg.FS.SyncDir(cfg.Dir)
}

// renew gives a file the header and the size of a prepared segment: a huge group
// may have made it larger, and the size asked for may have changed.
func renew(cfg Config, n base.FileNum, s Segment) error {
	f, err := cfg.FS.OpenReadWrite(filepath.Join(cfg.Dir, FileName(n)))
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err == nil && size > s.SizeBytes {
		size, err = s.SizeBytes, f.Truncate(s.SizeBytes)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return fillAndClose(f, size, cfg.DBID, s)
}

// fillAndClose writes zeroes from an offset up to the size of the segment and then
// its header, syncs and closes f.
func fillAndClose(f vfs.File, from int64, id base.DBID, s Segment) error {
	var err error
	if from < s.SizeBytes {
		err = f.Preallocate(s.SizeBytes)
	}
	for at := from; at < s.SizeBytes && err == nil; at += zeroChunkBytes {
		_, err = f.WriteAt(zeroes[:min(zeroChunkBytes, s.SizeBytes-at)], at)
	}
	if err == nil {
		_, err = f.WriteAt(encodePrepared(id, s), 0)
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

// openSegment opens a prepared segment, to be begun at position start.
func openSegment(cfg Config, s Segment, start Position) (*segment, error) {
	name := FileName(s.Num)
	f, err := cfg.FS.OpenReadWrite(filepath.Join(cfg.Dir, name))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("size of %s: %w", name, err), f.Close())
	}
	return &segment{f: f, num: s.Num, salt: s.Salt, start: start, sizeBytes: size}, nil
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

// begin writes the second header, which goes to the disk with the first group.
func (s *segment) begin(durable Position) error {
	h := beginHeader{number: uint32(s.num), salt: s.salt, start: s.start, durable: durable}
	if _, err := s.f.WriteAt(h.encode(), preparedHeaderBytes); err != nil {
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
