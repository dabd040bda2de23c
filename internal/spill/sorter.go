package spill

import (
	"bytes"
	"math"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/memtable"
)

// Sorter brings records that come in any order into that of their keys, however many they
// are: it fills a memtable, and spills that when it is full. Of several records of a key the
// last one is left. It is used by one goroutine at a time, and must be dropped.
type Sorter struct {
	spill  *Spill
	memory *memtable.Table // nil: nothing in memory
	seq    base.SeqNum     // of the last record
}

// NewSorter returns a Sorter without records.
func (a *Spills) NewSorter() *Sorter { return &Sorter{spill: a.NewSpill()} }

// Add takes a record, which is copied.
func (s *Sorter) Add(kind base.Kind, key, value []byte) error {
	if s.memory != nil && s.memory.AvailableBytes() < memtable.AddBound(len(key), len(value)) {
		if err := s.spillMemory(); err != nil {
			return err
		}
	}
	if s.memory == nil {
		cfg := &s.spill.all.cfg
		sizeBytes := max(cfg.MemtableBytes, memtable.LoadBound(1, len(key)+len(value)))
		var err error
		if s.memory, err = memtable.New(cfg.Memory, sizeBytes); err != nil {
			return err
		}
	}
	s.seq++
	return s.memory.Add(key, base.Hash(key), base.MakeTrailer(s.seq, kind), value)
}

// Adopt takes tables over that no manifest names, whose records have the sequence number zero
// and are older than all others. It is called once at most.
func (s *Sorter) Adopt(tables []*manifest.FileMeta) {
	if len(tables) == 0 {
		return
	}
	r := newRun(s.spill.all.cfg.Store, tables, adoptedTier)
	s.spill.runs = append(s.spill.runs, r) // the oldest
}

// adoptedTier is of a run that is merged with no other before the end.
const adoptedTier = math.MaxInt

// spillMemory moves what is in memory to files.
func (s *Sorter) spillMemory() error {
	all := func(base.SeqNum) bool { return true }
	if err := s.spill.Add(s.memory.NewIter(), nil, all); err != nil {
		return err
	}
	s.freeMemory()
	return nil
}

func (s *Sorter) freeMemory() {
	if s.memory != nil {
		s.memory.Free()
		s.memory = nil
	}
}

// Records returns what there is, in order, each key once and with the sequence number zero.
// It takes what is in memory to files first. The Sorter takes no more then; the records must
// be closed before it is dropped.
func (s *Sorter) Records() (*Sorted, error) {
	if s.memory != nil {
		if err := s.spillMemory(); err != nil {
			return nil, err
		}
	}
	walk, err := s.spill.NewWalk()
	if err != nil {
		return nil, err
	}
	return &Sorted{Iterator: walk}, nil
}

// Drop gives all up.
func (s *Sorter) Drop() {
	s.freeMemory()
	s.spill.Drop()
}

// Sorted is txn.Records of a Sorter.
type Sorted struct {
	base.Iterator
	rec base.Record
	key []byte // of the record before
}

// First lands on the first record. It is called once.
func (s *Sorted) First() *base.Record { return s.show(s.Iterator.First()) }

// Next lands on the next one.
func (s *Sorted) Next() *base.Record {
	s.key = append(s.key[:0], s.rec.Key...)
	rec := s.Iterator.Next()
	for rec != nil && bytes.Equal(rec.Key, s.key) { // older versions
		rec = s.Iterator.Next()
	}
	return s.show(rec)
}

func (s *Sorted) show(rec *base.Record) *base.Record {
	if rec == nil {
		return nil
	}
	s.rec = *rec
	s.rec.Trailer = base.MakeTrailer(0, rec.Trailer.Kind())
	return &s.rec
}
