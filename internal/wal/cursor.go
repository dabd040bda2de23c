package wal

import (
	"errors"
	"math"

	"github.com/lightningdb/lightning/internal/base"
)

// Cursor reads the groups of one segment, in order, up to a limit that may
// move while the log is written. Below the limit everything must be durable:
// there a group is intact, or damaged. It is used by one goroutine at a time.
type Cursor struct {
	in        reader
	offset    int64 // of the next group
	fileBytes int64 // size of the file when it was last looked at
}

// Group is a group of the log: the records with the numbers First to Last.
type Group struct {
	First, Last base.SeqNum
	Payload     []byte // valid until the next call of the cursor
	Offset      int64  // in the file
}

// OpenCursor opens log segment n at its first group.
func OpenCursor(cfg Config, n base.FileNum) (*Cursor, error) {
	return openCursor(cfg, FileName(n), n)
}

// OpenArchived opens archived segment n at its first group.
func OpenArchived(cfg Config, n base.FileNum) (*Cursor, error) {
	return openCursor(cfg, ArchivedFileName(n), n)
}

func openCursor(cfg Config, name string, n base.FileNum) (*Cursor, error) {
	c := &Cursor{offset: segmentHeaderBytes}
	if err := c.in.open(cfg, name, n); err != nil {
		return nil, err
	}
	if err := c.identify(cfg, n); err != nil {
		return nil, errors.Join(err, c.in.f.Close())
	}
	// The window may hold what lies behind the limit and is yet to change.
	c.fileBytes, c.in.window = c.in.size, c.in.window[:0]
	return c, nil
}

// identify learns salt and start from the headers, or, where one is damaged, from
// the footer, or the start from the first group. It reads no more than that:
// behind the last group the file may be cut at any time, see Archive.
func (c *Cursor) identify(cfg Config, n base.FileNum) error {
	size := c.in.size
	c.in.size = min(size, segmentHeaderBytes)
	b, err := c.in.read(0, segmentHeaderBytes)
	if err != nil {
		return err
	}
	id, s, err := decodePrepared(c.in.name, b)
	if _, newer := errors.AsType[*base.FormatError](err); newer {
		return err
	}
	if err == nil && (id != cfg.DBID || s.Num != n) {
		err = errors.New("segment of another place")
	}
	offset := int64(0)
	if err == nil {
		offset = preparedHeaderBytes
		if h, ok := decodeBegin(b[min(preparedHeaderBytes, len(b)):]); ok && h.begins(s) {
			c.in.salt, c.in.start = s.Salt, h.start
			c.in.size = size
			return nil
		}
		err = errNoHeader
	}
	c.in.size = size
	if !errors.Is(err, errNoHeader) {
		return c.damaged(offset, err)
	}
	if t, footerErr := c.in.footer(n); footerErr == nil {
		c.in.salt, c.in.start = t.salt, t.extent.Start
		return nil
	}
	if offset > 0 {
		found, err := c.firstGroup(s.Salt)
		if found || err != nil {
			return err
		}
	}
	return c.damaged(offset, err)
}

// firstGroup learns the start from a group that is right behind the headers.
func (c *Cursor) firstGroup(salt uint32) (found bool, err error) {
	size := c.in.size
	defer func() { c.in.size = size }()
	c.in.size = min(size, segmentHeaderBytes+groupHeaderBytes)
	b, err := c.in.read(segmentHeaderBytes, groupHeaderBytes)
	if err != nil || len(b) < groupHeaderBytes {
		return false, err
	}
	h, _ := decodeGroupHeader(b)
	c.in.size = min(size, segmentHeaderBytes+int64(h.sizeBytes()))
	c.in.salt, c.in.start = salt, h.position
	_, _, found, err = c.in.group(segmentHeaderBytes)
	return found, err
}

func (c *Cursor) damaged(offset int64, err error) error {
	return &base.CorruptionError{
		File: c.in.name, Offset: offset, Length: preparedHeaderBytes, Kind: "wal segment header", Err: err,
	}
}

// Name returns the name that the file was opened under.
func (c *Cursor) Name() string { return c.in.name }

// Offset returns where the next group must be.
func (c *Cursor) Offset() int64 { return c.offset }

// Position returns the position of the log where the next group must be.
func (c *Cursor) Position() Position { return c.in.position(c.offset) }

// AtEnd reports whether there is nothing more before the limit of the last call
// of Next.
func (c *Cursor) AtEnd() bool { return c.offset >= c.in.size }

// Next returns the next group that ends at or before limit. ok is false where
// there is no intact one.
func (c *Cursor) Next(limit Position) (g Group, ok bool, err error) {
	if err := c.setLimit(limit); err != nil {
		return g, false, err
	}
	for {
		h, payload, ok, err := c.in.group(c.offset)
		if err != nil || !ok {
			return g, false, err
		}
		at := c.offset
		c.offset += int64(h.sizeBytes())
		if !h.seal {
			return Group{h.first, h.first + base.SeqNum(h.count), payload, at}, true, nil
		}
	}
}

// Skip moves to the next intact group behind a damaged one, before limit, and
// returns its first sequence number. A damaged group may look like the end: ok
// is false where no group follows.
func (c *Cursor) Skip(limit Position) (first base.SeqNum, ok bool, err error) {
	if err := c.setLimit(limit); err != nil {
		return 0, false, err
	}
	next, err := c.in.scan(c.offset + alignBytes)
	if err != nil || next >= c.in.size {
		return 0, false, err
	}
	h, _, ok, err := c.in.group(next)
	if err != nil || !ok || h.seal {
		return 0, false, err
	}
	c.offset = next
	return h.first, true, nil
}

// setLimit makes the reader take the file to end at a position of the log. What
// is in its window was below an earlier limit, and stays true.
func (c *Cursor) setLimit(limit Position) (err error) {
	past := limit - min(limit, c.in.start)
	end := segmentHeaderBytes + int64(min(past, math.MaxInt64-segmentHeaderBytes))
	if end > c.fileBytes {
		c.fileBytes, err = c.in.f.Size()
	}
	c.in.size = min(end, c.fileBytes)
	return err
}

// Close closes the file.
func (c *Cursor) Close() error { return c.in.f.Close() }
