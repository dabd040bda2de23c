package wal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// This file reads the log of a database that is in use, of which it is known where it ends,
// and writes it anew elsewhere. Files of the log are never shared: they are used again, and
// get footers, so that what another database is to have is a copy. A copy has the groups at
// the positions that they had, so that what the manifest says of the log is true of it; each
// group is read and its checksum looked at on the way.

// span is what counts of a segment: the groups from one position to another.
type span struct {
	Segment
	start, end Position
}

// Copy writes the groups between two positions, both of which are borders of groups, into
// segments of the same numbers elsewhere, which must not be there. It returns what they were
// prepared as, with the sizes that they have; all of it is durable then, and ends with a
// seal. Segments are in the order of writing and need not have been begun. The log must have
// been flushed as far as end; what lies between from and end and is not intact is returned
// as a *base.CorruptionError.
func Copy(cfg Config, segments []Segment, from, end Position, to Config) (copied []Segment, err error) {
	spans, err := spansOf(cfg, segments, from, end)
	if err != nil || len(spans) == 0 {
		return nil, err
	}
	var log *Log
	defer func() {
		if log != nil {
			err = errors.Join(err, log.Close())
		}
	}()
	for _, s := range spans {
		prepared, err := Prepare(to, s.Num, segmentHeaderBytes)
		if err != nil {
			return nil, err
		}
		if log == nil {
			log, err = NewLog(to, prepared, s.start, 0)
		} else {
			err = log.Rotate(prepared)
		}
		if err != nil {
			return nil, err
		}
		if err := log.fillWith(cfg, s, end); err != nil {
			return nil, err
		}
		prepared.SizeBytes = segmentHeaderBytes + int64(s.end-s.start)
		copied = append(copied, prepared)
	}
	if log.Appended() == end { // else the seal that Close leaves was there
		copied[len(copied)-1].SizeBytes += int64(groupBytes(0))
	}
	return copied, nil
}

// fillWith appends what a segment of another log holds, but for a seal at the very end, which
// is for Close to leave.
func (l *Log) fillWith(cfg Config, s span, end Position) error {
	if at := l.Appended(); at != s.start {
		return notIntact(FileName(s.Num), -1, 0, fmt.Errorf("segment starts at %d, and the one before it ends at %d", s.start, at))
	}
	if err := l.current.reserve(s.end + Position(groupBytes(0))); err != nil {
		return err
	}
	return walk(cfg, s, func(h groupHeader, payload []byte) error {
		if !h.seal {
			_, err := l.append(groupHeader{length: h.length, first: h.first, count: h.count}, [][]byte{payload})
			return err
		}
		if h.position+Position(h.sizeBytes()) == end {
			return nil
		}
		// An opener has found it there and gone on behind it.
		err := l.Sync()
		if err == nil {
			_, err = l.append(groupHeader{seal: true}, nil)
		}
		return err
	})
}

// spansOf returns what counts of each segment, if anything does. Where one begins that is
// newer, an older one ends: what lies behind that was cut off by a recovery.
func spansOf(cfg Config, segments []Segment, from, end Position) (spans []span, err error) {
	ordered := slices.SortedFunc(slices.Values(segments), func(a, b Segment) int { return cmp.Compare(b.Num, a.Num) })
	for _, s := range ordered {
		c, begun, err := openNamed(cfg, s)
		if err != nil {
			return nil, err
		}
		if !begun {
			continue
		}
		start := c.in.start
		if err := c.Close(); err != nil {
			return nil, err
		}
		if begin := max(start, from); begin < end {
			spans = append(spans, span{s, begin, end})
		}
		end = min(end, start)
	}
	slices.Reverse(spans)
	return spans, nil
}

// openNamed opens a segment that the manifest names at its first group. begun is false
// where it was never begun.
func openNamed(cfg Config, s Segment) (c *Cursor, begun bool, err error) {
	c = &Cursor{offset: segmentHeaderBytes}
	if err := c.in.open(cfg, FileName(s.Num), s.Num); err != nil {
		return nil, false, err
	}
	c.in.salt = s.Salt
	h, begun, err := c.in.begun(s)
	if begun {
		c.in.start = h.start
	} else if err == nil {
		begun, err = c.in.findStart(segmentHeaderBytes)
	}
	if err != nil || !begun {
		return nil, false, errors.Join(err, c.in.f.Close())
	}
	c.fileBytes, c.in.window = c.in.size, c.in.window[:0]
	return c, true, nil
}

// walk calls fn with the groups of a span, which must all be intact. The payload is valid
// during the call.
func walk(cfg Config, s span, fn func(h groupHeader, payload []byte) error) (err error) {
	c, begun, err := openNamed(cfg, s.Segment)
	if err != nil {
		return err
	}
	if !begun {
		return &base.CorruptionError{
			File: FileName(s.Num), Offset: 0, Length: segmentHeaderBytes, Kind: "wal segment header", Err: errNoHeader,
		}
	}
	return c.walk(s.start, s.end, fn)
}

// walk is walk for an open segment, which it closes.
func (c *Cursor) walk(start, end Position, fn func(h groupHeader, payload []byte) error) (err error) {
	defer func() { err = errors.Join(err, c.Close()) }()
	c.offset += int64(start - min(start, c.in.start))
	if err := c.setLimit(end); err != nil {
		return err
	}
	for c.in.position(c.offset) < end {
		h, payload, ok, err := c.in.group(c.offset)
		if err != nil {
			return err
		}
		if !ok {
			return notIntact(c.in.name, c.offset, int64(end-c.in.position(c.offset)),
				fmt.Errorf("not what was written: the log goes on to %d", end))
		}
		if err := fn(h, payload); err != nil {
			return err
		}
		c.offset += int64(h.sizeBytes())
	}
	return nil
}

func notIntact(name string, offset, length int64, err error) error {
	return &base.CorruptionError{File: name, Offset: offset, Length: length, Kind: "wal group", Err: err}
}

// Verify reads the groups that one of some segments has between two positions, as Copy does,
// and returns the first that is not intact.
func Verify(cfg Config, segments []Segment, num base.FileNum, from, end Position) error {
	// Newer ones tell where it ends; older ones may have gone.
	notOlder := slices.DeleteFunc(slices.Clone(segments), func(s Segment) bool { return s.Num < num })
	spans, err := spansOf(cfg, notOlder, from, end)
	if err != nil {
		return err
	}
	for _, s := range spans {
		if s.Num == num {
			return walk(cfg, s, func(groupHeader, []byte) error { return nil })
		}
	}
	return nil
}

// VerifyArchived reads archived segment n, and returns what is wrong with its headers and its
// footer, and the first group that is not intact.
func VerifyArchived(cfg Config, n base.FileNum) error {
	found, err := ReadArchived(cfg, n)
	if err != nil {
		return err
	}
	c, err := OpenArchived(cfg, n)
	if err != nil {
		return errors.Join(found.Damage, err)
	}
	headers := c.headers(cfg, n)
	err = c.walk(c.in.start, found.Extent.End, func(groupHeader, []byte) error { return nil })
	return errors.Join(headers, found.Damage, err)
}

// headers says what is wrong with the headers, which a reader can do without. A crash may have
// kept the second one from the disk.
func (c *Cursor) headers(cfg Config, n base.FileNum) error {
	b := make([]byte, segmentHeaderBytes)
	if err := c.in.fill(b, 0); err != nil {
		return err
	}
	id, s, err := decodePrepared(c.in.name, b[:preparedHeaderBytes])
	if err == nil && (id != cfg.DBID || s.Num != n) {
		err = errors.New("segment of another place")
	}
	if err != nil {
		return c.damaged(0, err)
	}
	second := b[preparedHeaderBytes:]
	if _, ok := decodeBegin(second); !ok && !bytes.Equal(second, make([]byte, beginHeaderBytes)) {
		return c.damaged(preparedHeaderBytes, errNoHeader)
	}
	return nil
}
