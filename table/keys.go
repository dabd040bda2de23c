package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/catalogue"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/uuid"
	"github.com/lightningdb/lightning/keyenc"
)

// Primary keys that nobody has to think of. Neither kind is a counter that transactions
// read and write, which would put all of them in conflict.

var uuids uuid.Generator

// NewUUID returns a UUID of version 7: its first 48 bits are the time in milliseconds, so
// rows with such keys are in the order in which they were made, and each is greater than
// those that this process made before. It is for keys that several databases, or programs
// that have none, make.
func NewUUID() keyenc.UUID { return uuids.New() }

// Sequence gives out numbers that were never given out before, ascending from 1, to any
// number of goroutines. It takes them from the database a block at a time, outside of the
// caller's transactions, so those do not meet at it. A number of a transaction that was
// rolled back is not given out again, and what is left of a block when the process ends is
// left out: the numbers have gaps.
//
// It is safe for concurrent use and needs no closing. It comes from OpenSequence: the zero
// Sequence is as one of a database that was closed.
type Sequence struct {
	db      *lightning.DB
	records *lightning.Keyspace
	name    string
	key     []byte
	mu      ranked.Mutex[ranked.Sequence]
	next    uint64 // to be given out
	end     uint64 // of the block
}

// sequenceBlock is how many numbers one write takes.
const sequenceBlock = 256

// OpenSequence opens a sequence, and makes it if there is none. Its name is like that of a
// table, and has nothing to do with those: a table and a sequence can share one. Several
// handles to a sequence give out different numbers.
func OpenSequence(ctx context.Context, db *lightning.DB, name string) (*Sequence, error) {
	if !nameForm.MatchString(name) {
		return nil, &DefinitionError{Table: name, Part: "sequence", Reason: "name " + nameRule}
	}
	records, err := openCatalogue(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("sequence %s: %w", name, err)
	}
	return &Sequence{
		db: db, records: records, name: name, key: catalogue.Key(catalogue.KindSequence, name), next: 1, end: 1,
	}, nil
}

// Next returns a number. Once in 256 times it waits for a write, as durable as the
// database makes it.
func (s *Sequence) Next() (uint64, error) {
	if s.db == nil {
		return 0, lightning.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == s.end {
		if err := s.take(); err != nil {
			return 0, fmt.Errorf("sequence %s: %w", s.name, err)
		}
	}
	s.next++
	return s.next - 1, nil
}

// take takes the next block.
func (s *Sequence) take() error {
	var begin uint64
	err := s.db.Update(func(tx *lightning.Tx) error {
		tx = tx.In(s.records)
		begin = 1
		record, err := tx.Get(s.key)
		if err == nil {
			begin, err = catalogue.DecodeSequence(record)
		}
		if err != nil && !errors.Is(err, lightning.ErrNotFound) {
			return err
		}
		return tx.Put(s.key, catalogue.EncodeSequence(begin+sequenceBlock))
	})
	if err == nil {
		s.next, s.end = begin, begin+sequenceBlock
	}
	return err
}
