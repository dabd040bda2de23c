package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/vfs"
)

// A archived segment is a log segment that the database needs no more and keeps
// for those who read its changes. It is the segment as it was written, cut
// behind its last group, with a footer that says what it holds; the layout is
// in docs/format/log-archive.md. No replay looks at it: the name is another one.

const (
	archivedSuffix = ".archive"
	footerMagic    = "LTNGHIST"
	footerVersion  = 1
	footerBytes    = 64
	minFooterStart = segmentHeaderBytes
)

// ArchivedFileName returns the name of segment n as an archived segment.
func ArchivedFileName(n base.FileNum) string { return base.FileName(n, archivedSuffix) }

// ParseArchivedFileName returns the number in a name that ArchivedFileName made.
func ParseArchivedFileName(name string) (base.FileNum, bool) {
	return base.ParseFileName(name, archivedSuffix)
}

// Extent says what a segment holds: the positions of its groups and the
// sequence numbers of the records in them.
type Extent struct {
	Start, End  Position
	First, Last base.SeqNum
}

// Empty reports whether there is no record.
func (e *Extent) Empty() bool { return e.Last < e.First }

// footer is the end of an archived segment.
type footer struct {
	number base.FileNum
	salt   uint32
	extent Extent
	at     time.Time // when the segment was archived
}

func (t *footer) encode() []byte {
	b := make([]byte, footerBytes)
	copy(b, footerMagic)
	binary.LittleEndian.PutUint32(b[8:], footerVersion)
	binary.LittleEndian.PutUint32(b[12:], t.salt)
	binary.LittleEndian.PutUint64(b[16:], uint64(t.number))
	binary.LittleEndian.PutUint64(b[24:], uint64(t.extent.Start))
	binary.LittleEndian.PutUint64(b[32:], uint64(t.extent.First))
	binary.LittleEndian.PutUint64(b[40:], uint64(t.extent.Last))
	binary.LittleEndian.PutUint64(b[48:], uint64(t.at.UnixNano()))
	binary.LittleEndian.PutUint32(b[60:], checksum.CRC(0, b[:60]))
	return b
}

// decodeFooter reads the footer of file n, which begins at an offset.
func decodeFooter(n base.FileNum, b []byte, offset int64) (footer, error) {
	var t footer
	if len(b) < footerBytes || string(b[:8]) != footerMagic ||
		checksum.CRC(0, b[:60]) != binary.LittleEndian.Uint32(b[60:]) {
		return t, errors.New("footer is missing")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != footerVersion {
		return t, &base.FormatError{File: ArchivedFileName(n), Version: v, Known: footerVersion}
	}
	start := Position(binary.LittleEndian.Uint64(b[24:]))
	t = footer{
		salt:   binary.LittleEndian.Uint32(b[12:]),
		number: base.FileNum(binary.LittleEndian.Uint64(b[16:])),
		extent: Extent{
			Start: start, End: start + Position(offset-segmentHeaderBytes),
			First: base.SeqNum(binary.LittleEndian.Uint64(b[32:])),
			Last:  base.SeqNum(binary.LittleEndian.Uint64(b[40:])),
		},
		at: time.Unix(0, int64(binary.LittleEndian.Uint64(b[48:]))),
	}
	if t.number != n || t.extent.Empty() || t.extent.Last > base.SeqNumMax {
		return t, errors.New("footer is of another place")
	}
	return t, nil
}

// Archive turns log segment n, which no manifest names any more, into a
// archived segment and returns its size. A crash or an error leaves it as one or
// the other, and it can be called again then: so the directory is not synced.
//
// A file that has further names is not written to. What is archived is a copy of
// it, and a crash may leave both, of which the log segment counts.
func Archive(cfg Config, n base.FileNum, e Extent, at time.Time) (sizeBytes int64, err error) {
	linked, err := isLinked(cfg, n)
	switch {
	case err != nil:
	case linked:
		sizeBytes, err = archiveCopy(cfg, n, e, at)
	default:
		sizeBytes, err = archiveInPlace(cfg, n, e, at)
	}
	if err != nil {
		return 0, fmt.Errorf("archive %s: %w", FileName(n), err)
	}
	return sizeBytes, nil
}

func archiveInPlace(cfg Config, n base.FileNum, e Extent, at time.Time) (sizeBytes int64, err error) {
	name := filepath.Join(cfg.Dir, FileName(n))
	if sizeBytes, err = addFooter(cfg, name, n, e, at); err != nil {
		return 0, err
	}
	return sizeBytes, cfg.FS.Rename(name, filepath.Join(cfg.Dir, ArchivedFileName(n)))
}

func archiveCopy(cfg Config, n base.FileNum, e Extent, at time.Time) (sizeBytes int64, err error) {
	from, to := filepath.Join(cfg.Dir, FileName(n)), filepath.Join(cfg.Dir, ArchivedFileName(n))
	err = copyFile(cfg.FS, from, to, segmentHeaderBytes+int64(e.End-e.Start))
	if err == nil {
		sizeBytes, err = addFooter(cfg, to, n, e, at)
	}
	if err == nil {
		err = cfg.FS.SyncDir(cfg.Dir) // the copy is there before the other goes
	}
	if err != nil {
		_ = cfg.FS.Remove(to)
		return 0, err
	}
	return sizeBytes, cfg.FS.Remove(from)
}

// copyFile copies the first sizeBytes of a file.
func copyFile(fsys vfs.FS, from, to string, sizeBytes int64) error {
	in, err := fsys.Open(from)
	if err != nil {
		return err
	}
	out, err := fsys.Create(to)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	_, err = io.Copy(io.NewOffsetWriter(out, 0), io.NewSectionReader(in, 0, sizeBytes))
	return errors.Join(err, out.Close(), in.Close())
}

// addFooter puts the footer behind the last group of segment n, where the file
// mostly has space already, and cuts the rest off.
func addFooter(cfg Config, name string, n base.FileNum, e Extent, at time.Time) (size int64, err error) {
	f, err := cfg.FS.OpenReadWrite(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var header [preparedHeaderBytes]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return 0, err
	}
	_, s, err := decodePrepared(FileName(n), header[:])
	if err != nil {
		return 0, err
	}
	t := footer{number: n, salt: s.Salt, extent: e, at: at}
	offset := segmentHeaderBytes + int64(e.End-e.Start)
	if _, err := f.WriteAt(t.encode(), offset); err != nil {
		return 0, err
	}
	size = offset + footerBytes
	if err := f.Truncate(size); err != nil {
		return 0, err
	}
	return size, f.Sync()
}

// Archived is what the footer of an archived segment says.
type Archived struct {
	Extent    Extent
	At        time.Time // when it was archived; zero where that is lost
	SizeBytes int64
	// Damage is what is wrong with the footer, if anything is. The extent is
	// that of the first groups then, and more may have followed once.
	Damage error
}

// ReadArchived returns what archived segment n holds. Where the footer is not
// intact it looks at the groups. It returns a *base.CorruptionError where they
// tell nothing either.
func ReadArchived(cfg Config, n base.FileNum) (Archived, error) {
	name := ArchivedFileName(n)
	var in reader
	if err := in.open(cfg, name, n); err != nil {
		return Archived{}, err
	}
	t, err := in.footer(n)
	size := in.size
	if closeErr := in.f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		return Archived{Extent: t.extent, At: t.at, SizeBytes: size}, nil
	}
	if _, newer := errors.AsType[*base.FormatError](err); newer {
		return Archived{}, err
	}
	e, ok, surveyErr := survey(cfg, name, n, Position(1<<63))
	if surveyErr != nil {
		return Archived{}, surveyErr
	}
	damage := &base.CorruptionError{File: name, Offset: -1, Kind: "archived segment", Err: err}
	if !ok || e.Empty() {
		return Archived{}, damage
	}
	return Archived{Extent: e, SizeBytes: size, Damage: damage}, nil
}

// footer reads the end of the file.
func (r *reader) footer(n base.FileNum) (footer, error) {
	offset := r.size - footerBytes
	if offset < minFooterStart {
		return footer{}, errors.New("file is too short for a footer")
	}
	b, err := r.read(offset, footerBytes)
	if err != nil {
		return footer{}, err
	}
	return decodeFooter(n, b, offset)
}

// Survey reads log segment n up to a position and returns what it holds. ok is
// false where the file was never begun as segment n of this database.
func Survey(cfg Config, n base.FileNum, limit Position) (e Extent, ok bool, err error) {
	return survey(cfg, FileName(n), n, limit)
}

func survey(cfg Config, name string, n base.FileNum, limit Position) (
	e Extent, ok bool, err error,
) {
	c, err := openCursor(cfg, name, n)
	if err != nil {
		if errors.Is(err, base.ErrCorrupted) {
			err = nil
		}
		return e, false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	e = Extent{Start: c.in.start, End: c.in.start, First: 1}
	for limit > c.in.start {
		g, ok, err := c.Next(limit)
		if err != nil {
			return e, false, err
		}
		if !ok {
			break
		}
		if e.Empty() {
			e.First = g.First
		}
		e.Last = g.Last
		e.End = c.in.position(c.offset)
	}
	return e, true, nil
}

// SyncSegment makes what another opener wrote to log segment n durable.
func SyncSegment(cfg Config, n base.FileNum) error {
	f, err := cfg.FS.OpenReadWrite(filepath.Join(cfg.Dir, FileName(n)))
	if err != nil {
		return fmt.Errorf("open %s: %w", FileName(n), err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", FileName(n), err)
	}
	return nil
}
