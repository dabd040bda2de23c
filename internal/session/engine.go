package session

import (
	"context"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/spill"
	"github.com/lightningdb/lightning/internal/view"
)

// This file is all that sessions know of the engine. The rest of the package is
// about the protocol, and would be the same over another one.

// What of the engine's is passed through, to and from those above.
type (
	// Keyspace is what a transaction notes that it has used.
	Keyspace = keyspace.Info
	// Durability is what a commit waits for.
	Durability = commit.Durability
	// Bounds are the internal bounds of an iterator, none of them nil, and the
	// length of the prefix that its Key leaves out.
	Bounds = view.IterOptions
)

// store is the engine as a manager sees it. It is a struct and not an interface
// so that the keys that it is asked for can stay on their caller's stack.
type store struct{ engine *engine.DB }

// open makes a new snapshot a view of the newest state, for a transaction.
func (s store) open(snap *view.Snapshot) error { return s.engine.Reads().OpenForTx(snap) }

// closed reports whether the engine was closed.
func (s store) closed() bool { return s.engine.Reads().Closed() }

// rows returns what a snapshot sees within some bounds.
func (s store) rows(snap *view.Snapshot, b Bounds) (*view.Iterator, error) {
	b.PrefixBytes = 0
	return snap.NewIterator(b)
}

// newSpill returns a place in files for writes. It must be dropped.
func (s store) newSpill() *spill.Spill { return s.engine.Spills().NewSpill() }

// holds returns a *txn.ConflictError if a check does not hold now.
func (s store) holds(c *view.ReadSet) error { return s.engine.Reads().Validate(c) }

// commit writes a batch if the check, which may be nil, holds then.
func (s store) commit(ctx context.Context, b *batch.Batch, d Durability, c *view.ReadSet) error {
	return s.engine.CommitTx(ctx, b, d, c)
}

// commitIngest makes spilled writes part of the tree, as commit does.
func (s store) commitIngest(in *engine.Ingest) error { return s.engine.CommitIngest(in) }

// MergeOperator returns the operator of the keyspace that a key belongs to.
func (s store) MergeOperator(key []byte) *merge.Operator {
	return s.engine.Registry().MergeOperator(key)
}

// batchSink writes what a transaction has written to a batch.
type batchSink struct{ *batch.Batch }

func (s batchSink) Put(key, value []byte) error { return s.Set(nil, key, value) }
func (s batchSink) PutExpiring(key, value []byte, expiry base.Instant) error {
	return s.SetExpiring(nil, key, value, expiry)
}
func (s batchSink) Merge(key, operand []byte) error { return s.Batch.Merge(nil, key, operand) }
func (s batchSink) Delete(key []byte) error         { return s.Batch.Delete(nil, key) }
