package iterate

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// mask answers which range tombstone of several lists hides a key. It
// remembers the range around the last key that has one answer, so that rows in
// a row cost a key comparison or two however many lists there are.
type mask struct {
	cursors []rangedel.Cursor
	seq     base.SeqNum
	// While known, newest and by are the answer for the keys in [lo, hi), a
	// nil end being unbounded.
	known  bool
	lo, hi []byte
	newest base.SeqNum
	by     *rangedel.Fragment // has the tombstone at newest; nil if that is 0
}

func (s *mask) init(lists []*rangedel.List, seq base.SeqNum) {
	clear(s.cursors)
	*s = mask{cursors: s.cursors[:0], seq: seq}
	for _, l := range lists {
		if !l.Empty() {
			s.cursors = append(s.cursors, rangedel.Cursor{})
			s.cursors[len(s.cursors)-1].Init(l)
		}
	}
}

// empty reports whether nothing hides anything.
func (s *mask) empty() bool { return len(s.cursors) == 0 }

// covering returns the sequence number of the newest visible tombstone over
// key, 0 if there is none.
func (s *mask) covering(key []byte) base.SeqNum {
	if !s.known || s.hi != nil && bytes.Compare(key, s.hi) >= 0 || bytes.Compare(key, s.lo) < 0 {
		s.look(key)
	}
	return s.newest
}

func (s *mask) look(key []byte) {
	s.known, s.lo, s.hi, s.newest, s.by = true, nil, nil, 0, nil
	for i := range s.cursors {
		c := &s.cursors[i]
		if newest, by := c.Covering(key, s.seq); newest > s.newest {
			s.newest, s.by = newest, by
		}
		lo, hi := c.Bounds()
		if bytes.Compare(lo, s.lo) > 0 {
			s.lo = lo
		}
		if hi != nil && (s.hi == nil || bytes.Compare(hi, s.hi) < 0) {
			s.hi = hi
		}
	}
}
