package session

import (
	"context"
	"errors"

	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
)

// This file is about the locks that a transaction may take before it reads, where
// waiting costs less than conflicts do. They do not replace the validation: a
// write of one who has not asked for the lock is still a conflict.

// Lock locks the keys in [lo, hi), all of which are in keyspace k, until the
// transaction ends, and moves its view on to the newest state, if nothing that it
// has read has changed since its own. If something has, the error is a
// *txn.ConflictError; if waiting would never end, txn.ErrDeadlock.
func (tx *Tx) Lock(k *Keyspace, lo, hi []byte) error {
	if err := enter(tx); err != nil {
		return err
	}
	defer tx.inUse.Leave()
	if err := tx.Writable(); err != nil {
		return err
	}
	tx.use(k)
	if tx.owner == nil {
		tx.owner = &txn.Owner{}
	}
	ctx := tx.options.Context
	if ctx == nil {
		ctx = context.Background()
	}
	err := tx.manager.locks.Lock(ctx, tx.owner, lo, hi, tx.options.lockTimeout())
	if err == nil {
		err = tx.refresh(lo, hi)
	}
	if errors.Is(err, txn.ErrConflict) || errors.Is(err, txn.ErrDeadlock) {
		tx.lost = err // Update runs the function again
	}
	return err
}

// lostBy reports whether an error is, or tells of, the conflict or deadlock that a lock
// has met.
func (c *changes) lostBy(err error) bool {
	return c != nil && c.lost != nil && errors.Is(err, c.lost)
}

// refresh makes the transaction see the newest state, if it has read nothing
// that has changed since its own; otherwise it says whether a span has changed.
func (tx *Tx) refresh(lo, hi []byte) error {
	held := &tx.reads
	if tx.hasRead && (len(tx.iterators) > 0 || tx.options.FirstCommitterWins) {
		// Its reads are not all known, or must not move.
		held = &txn.Reads{}
		held.AddSpan(lo, hi)
		return tx.holds(held)
	}
	newer := new(view.Snapshot)
	if err := tx.manager.engine.open(newer); err != nil {
		return err
	}
	if err := tx.holds(held); err != nil {
		_ = newer.Close() // just opened
		return err
	}
	_ = tx.snap.Close() // open until now
	tx.snap = newer
	return nil
}

// holds says whether reads are still as the transaction has seen them.
func (tx *Tx) holds(reads *txn.Reads) error {
	if reads.Empty() {
		return nil
	}
	reads.Freeze()
	return tx.manager.engine.holds(&view.ReadSet{Since: tx.snap.Seq(), Reads: reads, Of: tx.snap})
}
