package view

import (
	"bytes"
	"fmt"
	"sort"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/wal"
)

// Flushable is a part of the newest data that is not in a table yet: a memtable,
// or one large batch that would not fit in a memtable and is kept as it is.
// Exactly one of Table and large is set. It is shared by read states through
// refs; the last reference frees the arena.
//
// Its readers need no lock. Records are added to Table by the leader of the
// commits alone, and the fields about the log are his until it is full.
type Flushable struct {
	Table *memtable.Table // nil in a large batch
	large *largeBatch
	refs  atomic.Int32

	capBytes int64 // of the table's arena

	// Acts are those on keyspaces that were committed beside the records, the oldest
	// first. Readers do not look at them; they are the leader's, and the flush's once
	// the part is full.
	Acts []keyspace.Act

	// FirstLog is the oldest log segment with a record of this part.
	FirstLog base.FileNum
	// FirstPosition is where in the log its records begin.
	FirstPosition wal.Position
	// LastSeq is the newest record's; set when the part stops growing.
	LastSeq base.SeqNum
}

// NewMemtable returns an empty part with a memtable of some size.
func NewMemtable(memory *offheap.Accountant, sizeBytes int) (*Flushable, error) {
	t, err := memtable.New(memory, sizeBytes)
	if err != nil {
		return nil, fmt.Errorf("allocate memtable: %w", err)
	}
	return &Flushable{Table: t, capBytes: int64(sizeBytes)}, nil
}

// NewLarge returns a part that is one group of encoded batches, whose first
// record has sequence number first and its last LastSeq. It takes over encoded.
func NewLarge(encoded []byte, first, last base.SeqNum) (*Flushable, error) {
	large, err := newLargeBatch(encoded, first)
	if err != nil {
		return nil, err
	}
	return &Flushable{large: large, Acts: large.acts, LastSeq: last}, nil
}

// Get returns the newest version of key that seq sees, if it is here.
func (m *Flushable) Get(key []byte, seq base.SeqNum) (base.Trailer, []byte, bool) {
	if m.Table != nil {
		return m.Table.Get(key, seq)
	}
	return m.large.get(key, seq)
}

// RangeDeletes returns the tombstones that are here.
func (m *Flushable) RangeDeletes() *rangedel.List {
	if m.Table != nil {
		return m.Table.RangeDeletes()
	}
	return m.large.rangeDeletes
}

// NewIter returns an iterator over the point records.
func (m *Flushable) NewIter() base.Iterator {
	if m.Table != nil {
		return m.Table.NewIter()
	}
	return &largeBatchIter{batch: m.large, pos: -1}
}

// Empty reports whether nothing is here. Called by the leader of the commits, whose
// the acts are.
func (m *Flushable) Empty() bool {
	return m.Table != nil && m.Table.Len()+m.Table.RangeDeleteCount()+len(m.Acts) == 0
}

// hasRecords reports whether there are point records; for readers.
func (m *Flushable) hasRecords() bool { return m.Table == nil || m.Table.Len() > 0 }

// IsLarge reports whether this is a large batch.
func (m *Flushable) IsLarge() bool { return m.large != nil }

// Fill returns how full a memtable is, from 0 to 1.
func (m *Flushable) Fill() float64 {
	return 1 - float64(m.Table.AvailableBytes())/float64(m.capBytes)
}

// ReservedBytes is what the part may take of the budget.
func (m *Flushable) ReservedBytes() int64 {
	if m.Table != nil {
		return m.capBytes
	}
	return int64(len(m.large.buf))
}

// tableOverheadBytes is what a table has beside key and value of a record, at most:
// lengths, trailer, hash, filter, and its share of index and block.
const tableOverheadBytes = 40

// TableBytes bounds what records, encoded in so many bytes, take as a table, about.
func TableBytes(records int, encodedBytes int64) int64 {
	return encodedBytes + tableOverheadBytes*int64(records)
}

// TableBytes bounds what the part takes as a table, about.
func (m *Flushable) TableBytes() int64 {
	if m.Table != nil {
		return int64(m.Table.UsedBytes())
	}
	return TableBytes(len(m.large.entries), int64(len(m.large.buf)))
}

// Free drops the arena. Nobody may be reading.
func (m *Flushable) Free() {
	if m.Table != nil {
		m.Table.Free()
	}
}

// largeBatch is a committed batch in sorted order, over its encoded bytes. It
// is immutable.
type largeBatch struct {
	buf          []byte
	entries      []largeEntry // internal order
	rangeDeletes *rangedel.List
	acts         []keyspace.Act
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
	r := batch.NewReader(buf)
	for seq := first; ; seq++ {
		ok, err := r.Next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if r.Kind == base.KindKeyspace {
			act, err := keyspace.DecodeAct(r.Key, r.Value)
			if err != nil {
				return nil, err
			}
			act.Seq = seq
			b.acts = append(b.acts, act)
			continue
		}
		if r.Kind == base.KindRangeDelete {
			tombstones = append(tombstones, rangedel.Tombstone{Lo: r.Key, Hi: r.Value, Seq: seq})
			continue
		}
		b.entries = append(b.entries, largeEntry{r.Key, r.Value, base.MakeTrailer(seq, r.Kind)})
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
