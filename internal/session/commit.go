package session

import (
	"cmp"

	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
)

// This file ends transactions. A commit is validated by the engine, at its place
// in the order of all commits: what the transaction claims to be unchanged is its
// reads or, where the first committer wins, its writes. Small ones go through the
// log as a batch, those with writes in files past it.

// Commit makes the writes take effect, all or none, and ends the transaction. A
// *txn.ConflictError means that nothing was written. Writes that went to files are
// on stable storage in any case.
func (tx *Tx) Commit(d Durability) error {
	if err := enter(tx); err != nil {
		tx.Rollback()
		return err
	}
	defer tx.inUse.Leave()
	if err := tx.Usable(); err != nil {
		tx.end()
		return err
	}
	defer tx.end()
	if err := cmp.Or(tx.failure, tx.inUse.Err()); err != nil {
		return err
	}
	if tx.changes == nil {
		return nil // it is serialized where it has read
	}
	if err := tx.snap.Usable(); err != nil {
		return err
	}
	switch {
	case tx.own.spill != nil:
		return tx.commitFiles()
	case tx.own.writes.Len() == 0:
		return nil // so is this
	}
	b, err := tx.own.batch(tx.keyspaces)
	if err != nil {
		return err
	}
	return tx.manager.engine.commit(tx.options.Context, b, d, tx.claim())
}

// commitFiles commits a transaction whose writes are in files.
func (tx *Tx) commitFiles() error {
	if err := tx.own.toFiles(tx.manager.engine, nil); err != nil { // nobody goes back to savepoints
		return err
	}
	walk, err := tx.own.spill.NewWalk()
	if err != nil {
		return err
	}
	var written func(key []byte)
	if tx.options.FirstCommitterWins {
		written = tx.reads.AddPoint
	}
	err = tx.manager.engine.commitIngest(&engine.Ingest{
		Ctx:       tx.options.Context,
		Records:   tx.own.writes.Result(walk, written),
		Deletes:   tx.own.writes.Deletes(),
		SizeBytes: tx.own.spill.SizeBytes(),
		Keyspaces: tx.keyspaces,
		Reads:     tx.claim,
	})
	if closeErr := walk.Close(); err == nil && closeErr != nil {
		tx.manager.config.Logger.Warn("close spilled writes", "err", closeErr) // they are committed
	}
	return err
}

// claim returns what must not have changed; nil if all may have.
func (tx *Tx) claim() *view.ReadSet {
	if tx.options.FirstCommitterWins {
		tx.own.writes.Each(tx.reads.AddPoint, tx.reads.AddSpan)
	}
	for _, it := range tx.iterators {
		it.cursor.Flush()
	}
	if tx.reads.Empty() {
		return nil
	}
	tx.reads.Freeze()
	tx.claimed = view.ReadSet{Since: tx.snap.Seq(), Reads: &tx.reads, Of: tx.snap}
	return &tx.claimed
}

// Rollback ends the transaction and drops its writes. It does nothing to one that
// has ended, so that it can be deferred. While another goroutine is in the
// transaction that one ends it, as it leaves.
func (tx *Tx) Rollback() {
	if tx == nil {
		return
	}
	if !tx.inUse.TryEnter() {
		tx.inUse.WhenFree(tx.end)
		return
	}
	defer tx.inUse.Leave()
	tx.end()
}

// end ends the transaction, if nobody has yet. Its caller is in.
func (tx *Tx) end() {
	if tx.ended.Swap(true) {
		return
	}
	_ = tx.snap.Close() // open until now
	if tx.changes == nil {
		return
	}
	tx.own.drop()
	if tx.owner != nil {
		tx.manager.locks.Release(tx.owner)
	}
	tx.reads = txn.Reads{}
}
