package badger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning"
)

// Sequence gives out numbers, each once, also after a crash; those between may be missing then. It
// takes a number of them from the database at a time.
type Sequence struct {
	db        *DB
	key       []byte
	bandwidth uint64

	turn         chan struct{} // has who is in, also while numbers are taken from the database
	next, leased uint64
}

// GetSequence returns the sequence that is kept under a key, beginning with 0. It takes bandwidth
// numbers at a time, those that are left are lost without Release.
func (db *DB) GetSequence(key []byte, bandwidth uint64) (*Sequence, error) {
	if err := db.writable(); err != nil {
		return nil, err
	}
	switch {
	case len(key) == 0:
		return nil, ErrEmptyKey
	case bandwidth == 0:
		return nil, ErrZeroBandwidth
	}
	s := &Sequence{db: db, key: key, bandwidth: bandwidth, turn: make(chan struct{}, 1)}
	return s, s.lease()
}

// Next returns the next number.
func (s *Sequence) Next() (uint64, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.next >= s.leased {
		if err := s.lease(); err != nil {
			return 0, err
		}
	}
	s.next++
	return s.next - 1, nil
}

// Release gives the numbers back that were not given out, unless somebody has taken later ones.
func (s *Sequence) Release() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	err := s.update(func(stored uint64) uint64 {
		if stored == s.leased {
			return s.next
		}
		return stored
	})
	if err == nil {
		s.leased = s.next
	}
	return err
}

// lease takes numbers from the database. Its caller has the turn, or is alone.
func (s *Sequence) lease() error {
	var first uint64
	err := s.update(func(stored uint64) uint64 {
		first = stored
		return stored + s.bandwidth
	})
	if err == nil { // or others may get them
		s.next, s.leased = first, first+s.bandwidth
	}
	return err
}

// update changes the number that is stored. Conflicts with others are tried again.
func (s *Sequence) update(change func(stored uint64) uint64) error {
	return s.db.inner.Update(func(tx *lightning.Tx) error {
		rows, stored := tx.In(s.db.space), uint64(0)
		row, err := rows.Get(s.key)
		switch {
		case errors.Is(err, lightning.ErrNotFound):
		case err != nil:
			return err
		case len(row) != 9:
			return fmt.Errorf("sequence %q: %w", s.key, errRow)
		default:
			stored = binary.BigEndian.Uint64(row[1:])
		}
		return rows.Put(s.key, binary.BigEndian.AppendUint64([]byte{0}, change(stored)))
	})
}
