package lightning

import (
	"context"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/txn"
)

// GetForUpdate locks key until the transaction ends, and returns its value as
// Get does. Where many transactions change the same keys, waiting for the lock
// costs less than conflicts do. It waits for others that hold the lock, in the
// order in which they came; if that would never end it fails with ErrDeadlock.
//
// A lock keeps out only transactions that ask for it: a write without one can
// still make the commit fail with ErrConflict. What is read is the newest state:
// the transaction's view moves on to it if nothing that was read before has
// changed. If something has, it fails with ErrConflict here already.
func (tx *Tx) GetForUpdate(key []byte) ([]byte, error) {
	if err := tx.writable(key); err != nil {
		return nil, err
	}
	full := tx.space.key(nil, key)
	if err := tx.core.lock(full, base.Successor(nil, full)); err != nil {
		return nil, err
	}
	return tx.Get(key)
}

// LockRange locks all keys in [lo, hi), absent ones included; nil for a bound
// means that there is none. See GetForUpdate.
func (tx *Tx) LockRange(lo, hi []byte) error {
	first, end, empty, err := tx.writableSpan(lo, hi)
	if err != nil || empty {
		return err
	}
	return tx.core.lock(first, end)
}

// lock locks a span and moves the view on to the newest state.
func (c *txCore) lock(lo, hi []byte) error {
	if c.owner == nil {
		c.owner = &txn.Owner{}
	}
	ctx := c.options.Context
	if ctx == nil {
		ctx = context.Background()
	}
	if err := c.db.locks.Lock(ctx, c.owner, lo, hi, c.options.LockTimeout); err != nil {
		return err
	}
	return c.refresh(lo, hi)
}

// refresh makes the transaction see the newest state, if it has read nothing
// that has changed since its own; otherwise it says whether a span has changed.
func (c *txCore) refresh(lo, hi []byte) error {
	held := &c.reads
	if c.hasRead && (len(c.cursors) > 0 || c.options.Isolation == SnapshotIsolation) {
		// Its reads are not all known, or must not move.
		held = &txn.Reads{}
		held.AddSpan(lo, hi)
		return c.holds(held)
	}
	newer, err := c.db.engine.Snapshot()
	if err != nil {
		return err
	}
	if err := c.holds(held); err != nil {
		_ = newer.Close() // just opened
		return err
	}
	_ = c.snap.Close() // open until now
	c.snap = newer
	return nil
}

// holds says whether reads are still as the transaction has seen them.
func (c *txCore) holds(reads *txn.Reads) error {
	if reads.Empty() {
		return nil
	}
	reads.Freeze()
	return c.db.engine.Holds(&engine.Check{Since: c.snap.Seq(), Reads: reads})
}
