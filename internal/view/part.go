package view

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/store"
)

// This file reads values part by part. Those that are in pieces, being very large, are never in
// memory as a whole then.

// AppendPart appends what the value of key has from an offset on, as far as a piece goes, or all
// where it is in none: nothing if the offset is not within the value. It also returns the size of the
// whole value.
func (s *Snapshot) AppendPart(dst, key []byte, offset int64) (_ []byte, sizeBytes int64, err error) {
	g := s.reader.Epochs.Enter()
	defer g.Exit()
	state, err := s.state()
	if err != nil {
		return dst, 0, err
	}
	l := store.Lookup{Key: key, Hash: base.Hash(key), Seq: s.at.Seq, Part: &store.Part{Offset: offset}}
	part, sizeBytes, err := state.part(&l, s.at.Time)
	if err != nil {
		return dst, 0, err
	}
	return append(dst, part...), sizeBytes, nil
}

// part returns what a value has from l.Part.Offset on, at least as far as its piece goes, and the
// size of the whole. What is said of Get holds.
func (s *State) part(l *store.Lookup, at base.Instant) (part []byte, sizeBytes int64, err error) {
	tr, value, found, err := s.newestVersion(l, l.Seq)
	if err != nil {
		return nil, 0, err
	}
	p := l.Part
	if l.Part = nil; !p.InPieces || hidden(tr, l.Covering) { // what lies under operands is needed whole
		value, _, err = s.shown(l, tr, value, found, at)
		return value[min(p.Offset, int64(len(value))):], int64(len(value)), err
	}
	if p.Expiry > 0 && s.hasExpired(p.Expiry, at) {
		return nil, 0, base.ErrNotFound
	}
	return value, p.SizeBytes, nil
}
