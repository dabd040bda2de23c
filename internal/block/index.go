package block

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
)

// This file makes the index over the blocks of a table. An entry stands for one block: its key,
// the separator, is >= every key of that block and, unless a key's versions go on in the next
// block, smaller than the next block's first key.
//
// The versions of one key may span blocks, and then separators are equal to that key and to each
// other. So an entry also has a trailer, and entries are in internal order: where the separator
// goes on in the next block, or did begin in the one before, the trailer is that of the block's
// last record; it is SettledTrailer everywhere else. The first entry that is not before
// (key, seq) in internal order thus names the one block that can hold the newest version of key
// at or below seq.

// SettledTrailer is that of separators which do not share their key.
const SettledTrailer = base.Trailer(base.KindSet)

// Partition is a finished part of an index.
type Partition struct {
	Payload    []byte // a block
	Separator  []byte // of its last entry
	Trailer    base.Trailer
	FirstBlock uint32 // ordinal of the block of its first entry
}

// IndexBuilder collects the entries of blocks and cuts them into partitions. Its fields are set
// before the first call. It is used by one goroutine at a time.
type IndexBuilder struct {
	LimitBytes   int // of a partition
	LeastEntries int // of a partition that is not the last one, however large it becomes
	TrailerBytes int // that a partition takes besides

	current    Builder
	room       Room
	firstBlock uint32
	blockCount uint32 // entries added so far
	finished   []Partition
	doneBytes  int64 // of the finished ones

	separator, previous []byte // of the last entry and of the one before it
	trailer             base.Trailer
}

// Add notes a block: the value of its entry and its last record. next is the first key of the
// block that follows, nil at the end of the table. Nothing is kept.
func (b *IndexBuilder) Add(value, lastKey []byte, lastTrailer base.Trailer, next []byte) {
	shared := b.blockCount > 0 && bytes.Equal(b.separator, lastKey) // with the block before
	previousTrailer := b.trailer
	b.previous, b.separator = b.separator, b.previous
	b.trailer = SettledTrailer
	if shared || next != nil && bytes.Equal(lastKey, next) {
		b.trailer = lastTrailer
	}
	if next == nil || b.trailer != SettledTrailer {
		b.separator = append(b.separator[:0], lastKey...)
	} else {
		b.separator = base.AppendSeparator(b.separator[:0], lastKey, next)
	}
	common := base.CommonPrefix(b.previous, b.separator)
	full := b.current.Len() > 0 && !b.room.Take(&b.current, common, len(b.separator), len(value))
	if full && b.current.Len() >= b.LeastEntries {
		b.cut(b.previous, previousTrailer)
	}
	if b.current.Len() == 0 {
		b.room.Begin(b.LimitBytes-b.TrailerBytes, len(b.separator), len(value))
		b.firstBlock = b.blockCount
	}
	b.current.Add(b.separator, b.trailer, value, 0)
	b.blockCount++
}

// cut ends the current partition, whose last entry is given.
func (b *IndexBuilder) cut(lastKey []byte, lastTrailer base.Trailer) {
	p := Partition{
		Payload:    bytes.Clone(b.current.Finish()),
		Separator:  bytes.Clone(lastKey),
		Trailer:    lastTrailer,
		FirstBlock: b.firstBlock,
	}
	b.finished = append(b.finished, p)
	b.doneBytes += int64(len(p.Payload) + b.TrailerBytes)
	b.current.Reset()
}

// Len returns the number of entries added so far.
func (b *IndexBuilder) Len() int { return int(b.blockCount) }

// SizeBytes returns about what all partitions take so far.
func (b *IndexBuilder) SizeBytes() int64 {
	if b.current.Len() == 0 {
		return b.doneBytes
	}
	return b.doneBytes + int64(b.room.Taken())
}

// Finish returns all partitions.
func (b *IndexBuilder) Finish() []Partition {
	if b.current.Len() > 0 {
		b.cut(b.separator, b.trailer)
	}
	return b.finished
}
