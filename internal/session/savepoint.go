package session

import (
	"errors"

	"github.com/lightningdb/lightning/internal/txn"
)

// ErrSavepoint says that a savepoint was given up: by Release of it or of an
// earlier one, or by going back to an earlier one.
var ErrSavepoint = errors.New("savepoint was given up")

// ErrRolledBack says that RollbackTo has taken back what an iterator shows.
var ErrRolledBack = errors.New("what the iterator shows was rolled back")

var errForeignSavepoint = errors.New("savepoint belongs to another transaction")

// Savepoint is a place in a transaction to come back to. It is a value; the zero
// Savepoint belongs to no transaction.
type Savepoint struct {
	tx *Tx
	place
	index int // in the savepoints of tx, if it is there
}

// place is a savepoint without its transaction. Two that were set at the same
// step have numbers of their own.
type place struct {
	step   txn.Step
	number int
}

// savepoints are those of a transaction that can be used, in the order in which
// they were set.
type savepoints struct {
	usable     []place
	lastNumber int
}

// steps returns where they are.
func (s *savepoints) steps() []txn.Step {
	steps := make([]txn.Step, len(s.usable))
	for i, p := range s.usable {
		steps[i] = p.step
	}
	return steps
}

// Savepoint returns the present place; the zero Savepoint while another goroutine
// is in the transaction.
func (tx *Tx) Savepoint() Savepoint {
	if enter(tx) != nil {
		return Savepoint{}
	}
	defer tx.inUse.Leave()
	s := &tx.savepoints
	s.lastNumber++
	p := place{step: tx.changes.written().Step(), number: s.lastNumber}
	s.usable = append(s.usable, p)
	return Savepoint{tx: tx, place: p, index: len(s.usable) - 1}
}

// RollbackTo takes back all that was written since the savepoint, which can be
// used again; those that were set later are given up. What was read since then
// counts as read. Open iterators that show any of it fail with ErrRolledBack.
func (tx *Tx) RollbackTo(s Savepoint) error {
	if err := enter(tx); err != nil {
		return err
	}
	defer tx.inUse.Leave()
	if err := tx.knows(s); err != nil {
		return err
	}
	tx.savepoints.usable = tx.savepoints.usable[:s.index+1]
	for _, it := range tx.iterators {
		if it.cursor.Shows(s.step) {
			it.err = ErrRolledBack
		}
	}
	if tx.changes != nil {
		tx.own.writes.RollBack(s.step)
	}
	return nil
}

// Release gives a savepoint up, with those that were set after it.
func (tx *Tx) Release(s Savepoint) error {
	if err := enter(tx); err != nil {
		return err
	}
	defer tx.inUse.Leave()
	if err := tx.knows(s); err != nil {
		return err
	}
	tx.savepoints.usable = tx.savepoints.usable[:s.index]
	return nil
}

// knows says why a savepoint cannot be used, if it cannot.
func (tx *Tx) knows(s Savepoint) error {
	if err := tx.Usable(); err != nil {
		return err
	}
	if s.tx != tx {
		return errForeignSavepoint
	}
	if usable := tx.savepoints.usable; s.index >= len(usable) || usable[s.index] != s.place {
		return ErrSavepoint
	}
	return nil
}
