package engine

import (
	"bytes"
	"sort"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/wal"
)

// memory is a part of the newest data that is not in a table yet: a memtable,
// or one large batch that would not fit in a memtable and is kept as it is.
// Exactly one of table and large is set. It is shared by read states through
// refs; the last reference frees the arena.
type memory struct {
	table *memtable.Table
	large *largeBatch
	refs  atomic.Int32

	capBytes int64 // of the table's arena

	// firstLog is the oldest log segment with a record of this memory.
	firstLog base.FileNum
	// firstPosition is where in the log its records begin.
	firstPosition wal.Position
	// lastSeq is the newest record's; set when the memory stops growing.
	lastSeq base.SeqNum
}

func (m *memory) get(key []byte, seq base.SeqNum) (base.Trailer, []byte, bool) {
	if m.table != nil {
		return m.table.Get(key, seq)
	}
	return m.large.get(key, seq)
}

func (m *memory) rangeDeletes() *rangedel.List {
	if m.table != nil {
		return m.table.RangeDeletes()
	}
	return m.large.rangeDeletes
}

func (m *memory) newIter() base.Iterator {
	if m.table != nil {
		return m.table.NewIter()
	}
	return &largeBatchIter{batch: m.large, pos: -1}
}

func (m *memory) empty() bool {
	return m.table != nil && m.table.Len()+m.table.RangeDeleteCount() == 0
}

// reservedBytes is what the memory may take of the budget.
func (m *memory) reservedBytes() int64 {
	if m.table != nil {
		return m.capBytes
	}
	return int64(len(m.large.buf))
}

// free drops the arena. Nobody may be reading.
func (m *memory) free() {
	if m.table != nil {
		m.table.Free()
	}
}

// largeBatch is a committed batch in sorted order, over its encoded bytes. It
// is immutable.
type largeBatch struct {
	buf          []byte
	entries      []largeEntry // internal order
	rangeDeletes *rangedel.List
}

type largeEntry struct {
	key, value []byte
	trailer    base.Trailer
}

// newLargeBatch sorts the records of an encoded batch whose first record has
// sequence number first. It takes over buf.
func newLargeBatch(buf []byte, first base.SeqNum) (*largeBatch, error) {
	b := &largeBatch{buf: buf}
	var tombstones []rangedel.Tombstone
	r := batchReader{rest: buf}
	for seq := first; ; seq++ {
		ok, err := r.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if r.kind == base.KindRangeDelete {
			tombstones = append(tombstones, rangedel.Tombstone{Lo: r.key, Hi: r.value, Seq: seq})
			continue
		}
		b.entries = append(b.entries, largeEntry{r.key, r.value, base.MakeTrailer(seq, r.kind)})
	}
	sort.Slice(b.entries, func(i, j int) bool {
		x, y := &b.entries[i], &b.entries[j]
		return base.Compare(x.key, x.trailer, y.key, y.trailer) < 0
	})
	b.rangeDeletes = rangedel.Build(tombstones)
	return b, nil
}

// seekGE returns the index of the first entry whose key is >= key.
func (b *largeBatch) seekGE(key []byte) int {
	return sort.Search(len(b.entries), func(i int) bool {
		return bytes.Compare(b.entries[i].key, key) >= 0
	})
}

func (b *largeBatch) get(key []byte, seq base.SeqNum) (base.Trailer, []byte, bool) {
	for i := b.seekGE(key); i < len(b.entries); i++ {
		e := &b.entries[i]
		if !bytes.Equal(e.key, key) {
			break
		}
		if e.trailer.Seq() <= seq {
			return e.trailer, e.value, true
		}
	}
	return 0, nil, false
}

// largeBatchIter walks a largeBatch; pos is -1 before the first entry and
// len(entries) past the last.
type largeBatchIter struct {
	batch *largeBatch
	pos   int
	rec   base.Record
}

func (it *largeBatchIter) at(pos int) *base.Record {
	it.pos = min(max(pos, -1), len(it.batch.entries))
	if it.pos < 0 || it.pos == len(it.batch.entries) {
		return nil
	}
	e := &it.batch.entries[it.pos]
	it.rec = base.Record{Key: e.key, Trailer: e.trailer, Value: e.value}
	return &it.rec
}

func (it *largeBatchIter) First() *base.Record { return it.at(0) }
func (it *largeBatchIter) Last() *base.Record  { return it.at(len(it.batch.entries) - 1) }
func (it *largeBatchIter) Next() *base.Record  { return it.at(it.pos + 1) }
func (it *largeBatchIter) Prev() *base.Record  { return it.at(it.pos - 1) }
func (it *largeBatchIter) Err() error          { return nil }
func (it *largeBatchIter) Close() error        { return nil }

func (it *largeBatchIter) SeekGE(key []byte) *base.Record { return it.at(it.batch.seekGE(key)) }

func (it *largeBatchIter) SeekLT(key []byte) *base.Record { return it.at(it.batch.seekGE(key) - 1) }
