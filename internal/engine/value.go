package engine

import (
	"context"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/store"
)

// Value is one value that goes to a blob table as it is read, and is never in memory as a whole.
// As txn.Records it is the record that refers to it.
type Value struct {
	store.Value

	table *store.Table // that has it, until the commit is known to have worked or failed
	rec   base.Record
}

// write writes the blob table.
func (v *Value) write(ctx context.Context, db *DB) error {
	v.Spare = db.writer.HasSpace
	table, ref, err := v.Value.Write(ctx, db.store)
	if err != nil {
		return err
	}
	v.table = table
	v.rec = base.Record{Key: v.Key, Trailer: base.MakeTrailer(0, base.KindBlob), Value: base.AppendBlobRef(nil, ref)}
	return nil
}

// First implements txn.Records.
func (v *Value) First() *base.Record { return &v.rec }

// Next implements txn.Records.
func (v *Value) Next() *base.Record { return nil }

// Err implements txn.Records.
func (v *Value) Err() error { return nil }
