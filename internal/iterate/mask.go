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
	source rangedel.Source
	far    []byte // memory for coveredTo
	err    error  // of a source; then all is hidden
}

// chainPieces is how many tombstones that lie side by side are taken for one at a time.
const chainPieces = 64

func (s *mask) init(sources []rangedel.Source, seq base.SeqNum) {
	*s = mask{sources: sources, seq: seq, far: s.far[:0]}
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
			s.newest, s.by, s.source = p.Seq, p, source
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

// coveredTo returns up to where everything older than newest is hidden from the key last
// asked for on, but not much further than upper, and how many tombstones of one source,
// side by side, say so. It is valid until the next call.
func (s *mask) coveredTo(upper *bound) (hi []byte, pieces int) {
	below, source := s.newest, s.source
	s.far = append(s.far[:0], s.by.Hi...)
	s.known = false // the source's bounds do not outlive the next question
	for pieces = 1; pieces < chainPieces && (upper.key == nil || !upper.above(s.far)); pieces++ {
		p, err := source.Around(s.far, s.seq)
		if err != nil || p.Seq < below {
			break // who comes there will see the error
		}
		s.far = append(s.far[:0], p.Hi...)
	}
	return s.far, pieces
}
