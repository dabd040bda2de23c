package iterate

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// mask answers which range tombstone of several sources hides a key. It
// remembers the range around the last key that has one answer, so that rows in
// a row cost a key comparison or two however many sources there are.
type mask struct {
	sources []rangedel.Source
	seq     base.SeqNum
	// While known, newest is the answer for the keys in [lo, hi). The bounds belong to
	// the sources, which are not asked meanwhile.
	known  bool
	lo, hi bound
	newest base.SeqNum
	by     rangedel.Piece // of the source with the tombstone at newest
	err    error          // of a source; then all is hidden
}

func (s *mask) init(sources []rangedel.Source, seq base.SeqNum) {
	*s = mask{sources: sources, seq: seq}
}

// empty reports whether nothing hides anything.
func (s *mask) empty() bool { return len(s.sources) == 0 }

// restart forgets an error.
func (s *mask) restart() { s.err = nil }

// covering returns the sequence number of the newest visible tombstone over
// key, 0 if there is none. After an error that is no reader's, so that all is hidden.
func (s *mask) covering(key []byte) base.SeqNum {
	if !s.known || s.hi.key != nil && s.hi.above(key) || s.lo.key != nil && !s.lo.above(key) {
		s.look(key)
	}
	return s.newest
}

// clear reports whether it is plain that nothing hides key: if in doubt it is not. That
// is a fast answer for most rows.
func (s *mask) clear(key []byte) bool {
	if s.empty() {
		return true
	}
	h := head(key)
	return s.known && s.newest == 0 && (s.hi.key == nil || h < s.hi.head) && (s.lo.key == nil || h > s.lo.head)
}

func (s *mask) look(key []byte) {
	s.known, s.newest, s.by = false, 0, rangedel.Piece{}
	var lo, hi []byte
	for _, source := range s.sources {
		p, err := source.Around(key, s.seq)
		if err != nil {
			s.err, s.newest = err, base.SeqNumMax+1
			return
		}
		if p.Seq > s.newest {
			s.newest, s.by = p.Seq, p
		}
		if bytes.Compare(p.Lo, lo) > 0 {
			lo = p.Lo
		}
		if p.Hi != nil && (hi == nil || bytes.Compare(p.Hi, hi) < 0) {
			hi = p.Hi
		}
	}
	s.known, s.lo, s.hi = true, makeBound(lo), makeBound(hi)
}

// passForward passes a record that a range tombstone hides, the count-th in a
// row, and now and then everything that the tombstone hides.
func (v *UserIter) passForward(rec *base.Record, count int) *base.Record {
	if v.mask.err != nil {
		return nil // which runOut explains
	}
	if count%hiddenRun == 0 {
		if !v.mayJump(forward, rec) {
			return nil
		}
		if rec, moved := v.merging.SkipForward(v.mask.by.Hi, v.mask.newest); moved {
			return rec
		}
	}
	return v.source.Next()
}

// passBackward is passForward in the other direction.
func (v *UserIter) passBackward(rec *base.Record, count int) *base.Record {
	if v.mask.err != nil {
		return nil // which runOut explains
	}
	if count%hiddenRun == 0 {
		if !v.mayJump(backward, rec) {
			return nil
		}
		if rec, moved := v.merging.SkipBackward(v.mask.by.Lo, v.mask.newest); moved {
			return rec
		}
	}
	return v.source.Prev()
}
