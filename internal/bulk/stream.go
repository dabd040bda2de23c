package bulk

import (
	"context"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
)

// chunk is some records after each other, each its key and then its value.
type chunk struct {
	buf     []byte
	records []extent
}

// extent is a record in a chunk.
type extent struct {
	kind                 base.Kind
	keyBytes, valueBytes int
}

// chunkBytes is from where on a chunk is full. The checks want what is rare to happen often.
func chunkBytes() int {
	if invariant.Enabled {
		return 1 << 10
	}
	return 256 << 10
}

func (c *chunk) add(kind base.Kind, prefix, key, value []byte) {
	c.buf = append(append(append(c.buf, prefix...), key...), value...)
	c.records = append(c.records, extent{kind, len(prefix) + len(key), len(value)})
}

func (c *chunk) isFull() bool { return len(c.buf) >= chunkBytes() }

// reset empties the chunk. One that was for a large value does not keep its memory.
func (c *chunk) reset() {
	c.buf, c.records = c.buf[:0], c.records[:0]
	if cap(c.buf) > 2*chunkBytes() {
		c.buf = nil
	}
}

// cursor stands at a record of a chunk.
type cursor struct {
	chunk *chunk
	index int // of the next record
	at    int // where that begins
	rec   base.Record
}

// next shows the next record, nil at the end of the chunk.
func (c *cursor) next() *base.Record {
	if c.chunk == nil || c.index == len(c.chunk.records) {
		return nil
	}
	e := c.chunk.records[c.index]
	key := c.at + e.keyBytes
	end := key + e.valueBytes
	c.rec = base.Record{
		Key: c.chunk.buf[c.at:key:key], Trailer: base.MakeTrailer(0, e.kind), Value: c.chunk.buf[key:end:end],
	}
	c.index, c.at = c.index+1, end
	return &c.rec
}

// stream is txn.Records of chunks that come from another goroutine.
type stream struct {
	ctx  context.Context // ends the wait for a chunk
	full chan *chunk     // closed behind the last one
	free chan *chunk     // that were read
	cursor
	err error
}

func newStream(ctx context.Context) *stream {
	return &stream{ctx: ctx, full: make(chan *chunk, 1), free: make(chan *chunk, chunksMax)}
}

// chunksMax is how many chunks there are: one is filled, one waits, one is read.
const chunksMax = 3

// First implements txn.Records.
func (s *stream) First() *base.Record { return s.Next() }

// Next implements txn.Records.
func (s *stream) Next() *base.Record {
	for s.err == nil {
		if rec := s.cursor.next(); rec != nil {
			return rec
		}
		if s.chunk != nil {
			s.chunk.reset()
			s.free <- s.chunk // there is room for all
			s.cursor = cursor{}
		}
		select {
		case c, ok := <-s.full:
			if !ok {
				return nil
			}
			s.chunk = c
		case <-s.ctx.Done():
			s.err = context.Cause(s.ctx)
		}
	}
	return nil
}

// Err implements txn.Records.
func (s *stream) Err() error { return s.err }
