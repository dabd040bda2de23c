package lightning

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
)

// This file has values that are written and read as streams, so that one of a gigabyte needs no
// more memory than its pieces.

// putStream sets a value, of a key that was checked, to what r yields. One that is not long
// enough for pieces is put as any.
func putStream(ctx context.Context, s *space, key []byte, r io.Reader, expiry base.Instant) (int64, error) {
	switch {
	case ctx == nil:
		return 0, errNilContext
	case r == nil:
		return 0, errNilReader
	}
	internal := s.key(nil, key)
	pieceBytes, from := s.engine.Registry().PieceBytes(internal)
	if from == 0 || s.info != nil && s.info.Settings().Merge != "" { // an operator wants to see it whole
		from = MaxValueBytes + 1
	}
	counted := &countingReader{ctx: ctx, r: r}
	begin, err := io.ReadAll(io.LimitReader(counted, int64(from)))
	if err != nil {
		return counted.n, fmt.Errorf("read the value: %w", err)
	}
	if len(begin) < from || from > MaxValueBytes {
		if ctx.Err() != nil {
			return counted.n, context.Cause(ctx)
		}
		if err := s.checkValue(key, begin); err != nil {
			return counted.n, err
		}
		patient := s.with(ctx)
		return counted.n, patient.set(key, begin, expiry, s.durability)
	}
	value := &engine.Value{Value: store.Value{
		Key: internal, Expiry: expiry, Begin: begin, Rest: counted, PieceBytes: pieceBytes,
	}}
	if expiry > 0 {
		value.Head = base.AppendExpiry(nil, expiry)
	}
	in := engine.Ingest{Ctx: ctx, Value: value}
	if s.info != nil {
		in.Keyspaces = []*keyspace.Info{s.info}
	}
	err = s.engine.CommitIngest(&in)
	return counted.n, err
}

// countingReader is a reader of the user, until ctx ends. It counts what is read.
type countingReader struct {
	ctx   context.Context
	r     io.Reader
	n     int64
	empty int // reads in a row that brought nothing
}

// emptyMax is after how many reads that brought nothing a reader is given up.
const emptyMax = 100

var errReadCount = errors.New("reader returned an impossible count")

func (c *countingReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if n < 0 || n > len(p) {
		return 0, errReadCount
	}
	c.n += int64(n)
	if c.empty++; n > 0 || len(p) == 0 {
		c.empty = 0
	}
	if err == nil && c.empty >= emptyMax {
		err = io.ErrNoProgress
	}
	return n, err
}

// ValueReader reads one value as a stream: an io.Reader, io.Seeker and io.WriterTo. It shows the
// value as it was when the reader was made, whatever is written meanwhile, and must be closed:
// until then that value is kept on the disk. It has the memory of a piece of the value, 256 KiB by
// default, or of all of it where it is in none: see DB.PutReader. It is used by one goroutine at a
// time. The zero ValueReader is as one of a database that was closed.
type ValueReader struct {
	snap   *view.Snapshot
	own    bool // snap is closed with it
	key    []byte
	inUse  inuse.Word
	part   []byte // of the value, from partAt on
	partAt int64
	size   int64
	offset int64
	closed bool
}

var (
	_ io.ReadSeekCloser = (*ValueReader)(nil)
	_ io.WriterTo       = (*ValueReader)(nil)
)

// newValueReader returns a reader of a value of a snapshot, or of one of its own.
func newValueReader(s *space, snap *view.Snapshot, key []byte) (*ValueReader, error) {
	if err := s.check(key); err != nil {
		return nil, err
	}
	r := &ValueReader{snap: snap, own: snap == nil, key: s.key(nil, key)}
	if r.own {
		var err error
		if r.snap, err = s.engine.Reads().Snapshot(); err != nil {
			return nil, err
		}
	}
	if err := r.load(); err != nil {
		return nil, errors.Join(err, r.end())
	}
	return r, nil
}

// load brings the part at the offset in, which is none at the end.
func (r *ValueReader) load() error {
	part, size, err := r.snap.AppendPart(r.part[:0], r.key, r.offset)
	if err != nil {
		r.part = r.part[:0]
		return err
	}
	r.part, r.partAt, r.size = part, r.offset, size
	return nil
}

// Size returns the size of the value in bytes.
func (r *ValueReader) Size() int64 { return r.size }

// Read implements io.Reader. Damage to the file is a *CorruptionError, as for Get, when the
// reader comes to it; what was read before is right.
func (r *ValueReader) Read(p []byte) (int, error) {
	if err := r.enter(); err != nil {
		return 0, err
	}
	defer r.inUse.Leave()
	if len(p) == 0 {
		return 0, nil
	}
	part, err := r.next()
	n := copy(p, part)
	r.offset += int64(n)
	return n, err
}

// next returns what is at hand from the offset on, bringing it in where nothing is. At the end
// that is io.EOF.
func (r *ValueReader) next() ([]byte, error) {
	if r.offset >= r.size {
		return nil, io.EOF
	}
	if r.offset < r.partAt || r.offset >= r.partAt+int64(len(r.part)) {
		if err := r.load(); err != nil {
			return nil, err
		}
	}
	return r.part[r.offset-r.partAt:], nil
}

// WriteTo implements io.WriterTo: it writes what is left of the value.
func (r *ValueReader) WriteTo(w io.Writer) (n int64, err error) {
	if err := r.enter(); err != nil {
		return 0, err
	}
	defer r.inUse.Leave()
	for {
		part, err := r.next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		written, err := w.Write(part)
		n += int64(written)
		r.offset += int64(written)
		if err != nil {
			return n, err
		}
		if written < len(part) {
			return n, io.ErrShortWrite
		}
	}
}

// Seek implements io.Seeker. Behind the end there is nothing to read.
func (r *ValueReader) Seek(offset int64, whence int) (int64, error) {
	if err := r.enter(); err != nil {
		return 0, err
	}
	defer r.inUse.Leave()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("seek: whence is %d", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek: offset %d is before the value", offset)
	}
	r.offset = offset
	return offset, nil
}

// enter enters the reader, if it is open.
func (r *ValueReader) enter() error {
	if r.snap == nil {
		return ErrClosed
	}
	if err := r.inUse.Begin(); err != nil {
		return err
	}
	if r.closed {
		r.inUse.Leave()
		return ErrHandleClosed
	}
	return nil
}

// Close ends the reading. A second call returns ErrHandleClosed.
func (r *ValueReader) Close() error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.inUse.Leave()
	return r.end()
}

func (r *ValueReader) end() error {
	r.closed, r.part = true, nil
	if !r.own {
		return nil
	}
	return r.snap.Close()
}
