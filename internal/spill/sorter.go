package spill

import (
	"bytes"
	"math"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/txn"
)

// Sorter brings records that come in any order into that of their keys, however many they
// are: it fills a buffer, and another one while the first is sorted and written to files, as a
// run of a spill. Of several records of a key the last one is left. It is used by one goroutine
// at a time, and must be dropped.
type Sorter struct {
	spill   *Spill
	buffer  *sortBuffer // nil: there is none yet
	seq     base.SeqNum // of the last record
	writing *sortBuffer // by a goroutine that has the spill meanwhile; nil: there is none
	done    chan error  // of that
	spare   *sortBuffer
}

// sorterFanIn is how many runs of a Sorter are merged into one before the end. Nobody looks a
// key up in them, so that it is many.
const sorterFanIn = 64

// NewSorter returns a Sorter without records.
func (a *Spills) NewSorter() *Sorter {
	s := &Sorter{spill: a.NewSpill(), done: make(chan error, 1)}
	s.spill.fanIn = sorterFanIn
	return s
}

// Add takes a record, which is copied.
func (s *Sorter) Add(kind base.Kind, key, value []byte) error {
	if s.buffer == nil || !s.buffer.fits(len(key), len(value)) {
		if err := s.turn(sortBufferBytes(len(key), len(value))); err != nil {
			return err
		}
	}
	s.seq++
	s.buffer.add(kind, key, value)
	return nil
}

// turn has what is in memory written by another goroutine, and takes an empty buffer of at
// least leastBytes.
func (s *Sorter) turn(leastBytes int) error {
	if s.buffer != nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	usual := s.spill.all.cfg.MemtableBytes / 2 // there are two
	if b := s.spare; b != nil {
		s.spare = nil
		if len(b.memory) >= leastBytes && len(b.memory) <= 2*usual {
			s.use(b)
			return nil
		}
		b.free()
	}
	b, err := newSortBuffer(s.spill.all.cfg.Memory, max(usual, leastBytes))
	if err == nil {
		s.use(b)
	}
	return err
}

func (s *Sorter) use(b *sortBuffer) {
	b.reset(s.seq + 1)
	s.buffer = b
}

// begin has the buffer written, when the one before is.
func (s *Sorter) begin() error {
	if err := s.wait(); err != nil {
		return err
	}
	b := s.buffer
	s.buffer, s.writing = nil, b
	go func() {
		b.sort()
		s.done <- s.spill.Add(b, nil, func(base.SeqNum) bool { return true })
	}()
	return nil
}

// wait waits until nothing is being written.
func (s *Sorter) wait() error {
	if s.writing == nil {
		return nil
	}
	err := <-s.done
	if s.spare != nil {
		s.spare.free()
	}
	s.spare, s.writing = s.writing, nil
	return err
}

// Adopt takes tables over that no manifest names, whose records have the sequence number zero
// and are older than all others. It is called once at most.
func (s *Sorter) Adopt(tables []*manifest.FileMeta) error {
	if len(tables) == 0 {
		return nil
	}
	r := newRun(s.spill.all.cfg.Store, tables, adoptedTier)
	err := s.wait()
	s.spill.runs = append(s.spill.runs, r) // the oldest
	return err
}

// adoptedTier is of a run that is merged with no other before the end.
const adoptedTier = math.MaxInt

// Records returns what there is, in order, each key once and with the sequence number zero.
// What is in memory goes to files first, unless it is all. The Sorter takes no more then; the
// records must be closed before it is dropped.
func (s *Sorter) Records() (*Sorted, error) {
	if err := s.wait(); err != nil {
		return nil, err
	}
	if s.buffer != nil && len(s.spill.runs) == 0 {
		s.buffer.sort()
		return &Sorted{walk: s.buffer}, nil
	}
	if s.buffer != nil {
		if err := s.begin(); err != nil {
			return nil, err
		}
		if err := s.wait(); err != nil {
			return nil, err
		}
	}
	s.free() // the merge has need of memory, too
	walk, err := s.spill.NewWalk()
	if err != nil {
		return nil, err
	}
	return &Sorted{walk: walk}, nil
}

// free gives up the buffers, while nothing is being written.
func (s *Sorter) free() {
	for _, b := range []**sortBuffer{&s.buffer, &s.spare} {
		if *b != nil {
			(*b).free()
			*b = nil
		}
	}
}

// Drop gives all up.
func (s *Sorter) Drop() {
	_ = s.wait() // whatever went wrong
	s.free()
	s.spill.Drop()
}

// Sorted is txn.Records of a Sorter.
type Sorted struct {
	walk walk
	rec  base.Record
	key  []byte // of the record before
}

// walk goes over sorted records once.
type walk interface {
	txn.Records
	Close() error
}

// Err implements txn.Records.
func (s *Sorted) Err() error { return s.walk.Err() }

// Close gives up the walk.
func (s *Sorted) Close() error { return s.walk.Close() }

// First lands on the first record. It is called once.
func (s *Sorted) First() *base.Record { return s.show(s.walk.First()) }

// Next lands on the next one.
func (s *Sorted) Next() *base.Record {
	s.key = append(s.key[:0], s.rec.Key...)
	rec := s.walk.Next()
	for rec != nil && bytes.Equal(rec.Key, s.key) { // older versions
		rec = s.walk.Next()
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
