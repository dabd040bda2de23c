package lightning

import (
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/txn"
)

// makeRoom moves what a transaction has written to files, if it takes too much
// memory. It comes before a write, which is not done if it fails: the transaction
// is as it was, and may go on, or try again when there is space on the disk.
func (c *txCore) makeRoom() error {
	if int64(c.writes.SizeBytes()) < c.db.spillBytes {
		return nil
	}
	return c.spillWrites()
}

func (c *txCore) spillWrites() error {
	if c.spill == nil {
		c.spill = c.db.engine.NewSpill()
	}
	pins := make([]txn.Step, len(c.savepoints))
	for i, s := range c.savepoints {
		pins[i] = s.step
	}
	return c.writes.Spill(c.spill, pins)
}

// commitSpilled commits a transaction whose writes are in files.
func (c *txCore) commitSpilled() error {
	c.savepoints = nil // nobody goes back to them
	if err := c.spillWrites(); err != nil {
		return err
	}
	walk, err := c.spill.NewWalk()
	if err != nil {
		return err
	}
	var written func(key []byte)
	if c.options.Isolation == SnapshotIsolation {
		written = c.reads.AddPoint
	}
	err = c.db.engine.CommitUnlogged(&engine.Unlogged{
		Records:   c.writes.Result(walk, written),
		Deletes:   c.writes.Deletes(),
		SizeBytes: c.spill.SizeBytes(),
		Keyspaces: c.touched,
		Check:     c.claim,
	})
	if closeErr := walk.Close(); err == nil && closeErr != nil {
		c.db.opts.Logger.Warn("close spilled writes", "err", closeErr) // they are committed
	}
	return err
}
