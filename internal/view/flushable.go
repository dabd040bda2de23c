package view

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/wal"
)

// Flushable is a part of the newest data that is not in a table yet: a memtable,
// or sorted batches. Those are one that would not fit in a memtable, or what recovery
// has found in the log. Exactly one of Table and sorted is set. It is shared by read states through
// refs; the last reference frees the arena.
//
// Its readers need no lock. Records are added to Table by the leader of the
// commits alone, and the fields about the log are his until it is full.
type Flushable struct {
	Table  *memtable.Table // nil where there are sorted batches
	sorted *sortedBatches
	refs   atomic.Int32

	capBytes int64 // of the table's arena

	// Lent says that users may have had memory of sorted batches, and have written to
	// it; that of a memtable always counts as lent. It is set before they can.
	Lent bool

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

// Restored returns what m was before it was overwritten, from the groups of the log
// that it was made of. An error says that they are not all of them.
func (m *Flushable) Restored(memory *offheap.Accountant, groups []wal.Group) (*Flushable, error) {
	sizeBytes := 0
	for i := range groups {
		sizeBytes += len(groups[i].Payload)
	}
	s, err := NewSorter(memory, 0, sizeBytes)
	if err != nil {
		return nil, err
	}
	for i := range groups {
		if _, err := s.Add(groups[i].First, groups[i].Payload); err != nil {
			return nil, err
		}
	}
	restored, err := s.Flushable()
	if err != nil {
		return nil, err
	}
	if has, was := restored.recordCount(), m.recordCount(); has != was {
		return nil, fmt.Errorf("the log has %d of the %d records of a memtable", has, was)
	}
	restored.LastSeq = m.LastSeq
	return restored, nil
}

// recordCount returns how many records were added, range deletes included.
func (m *Flushable) recordCount() int {
	if m.Table != nil {
		return m.Table.Len() + m.Table.RangeDeletes().Count()
	}
	count := len(m.sorted.entries)
	if m.sorted.deletes != nil {
		count += m.sorted.deletes.RangeDeletes().Count()
	}
	return count
}

// Get returns the newest version of key that seq sees, if it is here.
func (m *Flushable) Get(key []byte, seq base.SeqNum) (base.Trailer, []byte, bool) {
	if m.Table != nil {
		return m.Table.Get(key, seq)
	}
	return m.sorted.get(key, seq)
}

// deletes returns the range tombstones, nil if there are none.
func (m *Flushable) deletes() *memtable.RangeDeletes {
	t := m.Table
	if t == nil {
		t = m.sorted.deletes
	}
	if t == nil || t.RangeDeletes().Count() == 0 {
		return nil
	}
	return t.RangeDeletes()
}

// Covering returns the newest range tombstone here over key that seq sees, 0 if there
// is none.
func (m *Flushable) Covering(key []byte, seq base.SeqNum) base.SeqNum {
	if t := m.deletes(); t != nil {
		return t.Covering(key, seq)
	}
	return 0
}

// deletesWithin reports whether seq, which sees whole groups of commits, sees range
// tombstones in [lo, hi), where nil is no bound.
func (m *Flushable) deletesWithin(lo, hi []byte, seq base.SeqNum) bool {
	t := m.deletes()
	if t == nil {
		return false
	}
	p, _ := t.Around(lo, seq) // memory does not fail
	return p.Seq > 0 || p.Hi != nil && (hi == nil || bytes.Compare(p.Hi, hi) < 0)
}

// Around implements rangedel.Source.
func (m *Flushable) Around(key []byte, seq base.SeqNum) (rangedel.Piece, error) {
	if t := m.deletes(); t != nil {
		return t.Around(key, seq)
	}
	return rangedel.Piece{}, nil
}

// RangeDeletes returns what readers can see, those of some snapshots or newer ones, of
// the range tombstones in [lo, hi), where nil is no bound. What is here does not grow
// any more.
func (m *Flushable) RangeDeletes(snapshots []base.SeqNum, lo, hi []byte) rangedel.Iterator {
	t := m.deletes()
	if t == nil {
		return rangedel.Union()
	}
	var stripes []rangedel.Iterator
	since := base.SeqNum(0)
	for _, seq := range snapshots {
		if t.Newer(seq, since) {
			stripes = append(stripes, t.Iter(seq, since, lo, hi))
		}
		since = seq
	}
	return rangedel.Union(append(stripes, t.Iter(base.SeqNumMax, since, lo, hi))...)
}

// NewIter returns an iterator over the point records.
func (m *Flushable) NewIter() base.Iterator {
	if m.Table != nil {
		return m.Table.NewIter()
	}
	return &sortedIter{batches: m.sorted, pos: -1}
}

// Empty reports whether nothing is here. Called by the leader of the commits, whose
// the acts are.
func (m *Flushable) Empty() bool {
	return m.Table != nil && m.Table.Len()+m.Table.RangeDeletes().Count()+len(m.Acts) == 0
}

// HasDeletes reports whether there are deletes in a memtable.
func (m *Flushable) HasDeletes() bool {
	return m.Table.DeleteCount()+m.Table.RangeDeletes().Count() > 0
}

// hasRecords reports whether there are point records; for readers.
func (m *Flushable) hasRecords() bool { return m.Table == nil || m.Table.Len() > 0 }

// Fill returns how full a memtable is, from 0 to 1.
func (m *Flushable) Fill() float64 {
	return 1 - float64(m.Table.AvailableBytes())/float64(m.capBytes)
}

// ReservedBytes is what the part may take of the budget.
func (m *Flushable) ReservedBytes() int64 {
	if m.Table != nil {
		return m.capBytes
	}
	sizeBytes := m.sorted.sizeBytes()
	if m.sorted.deletes != nil {
		sizeBytes += int64(m.sorted.deletes.UsedBytes())
	}
	return sizeBytes
}

// committedBytes is what the part has of the system outside of Go's heap.
func (m *Flushable) committedBytes() int64 {
	if m.Table != nil {
		return int64(m.Table.CommittedBytes())
	}
	return m.sorted.committedBytes()
}

// HeapBytes is what the part takes of Go's heap, which nobody else accounts for.
func (m *Flushable) HeapBytes() int64 {
	if m.Table != nil || !m.sorted.large {
		return 0
	}
	return m.sorted.heapBytes()
}

// Borders returns keys that divide the records into so many spans of about the same
// number of records; fewer where there are too few. A memtable is not divided.
func (m *Flushable) Borders(spans int) [][]byte {
	if m.Table != nil {
		return nil
	}
	return m.sorted.borders(spans)
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
	return TableBytes(m.recordCount(), int64(len(m.sorted.buf)))
}

// Free drops the arena. Nobody may be reading.
func (m *Flushable) Free() {
	if m.Table != nil {
		m.Table.Free()
	} else {
		m.sorted.free()
	}
}
