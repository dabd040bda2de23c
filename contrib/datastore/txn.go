package datastore

import (
	"context"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/lightningdb/lightning"
)

// NewTransaction begins a transaction, strictly serializable, which must be ended with Commit or
// Discard. ctx ends it as well. Commit returns lightning.ErrConflict where another one has changed what
// it has read.
func (s *Store) NewTransaction(ctx context.Context, readOnly bool) (ds.Txn, error) {
	tx, err := s.db.Begin(lightning.TxOptions{ReadOnly: readOnly, Context: ctx})
	if err != nil {
		return nil, err
	}
	return &txn{tx}, nil
}

// txn is a transaction.
type txn struct{ tx *lightning.Tx }

func (t *txn) Get(ctx context.Context, key ds.Key) ([]byte, error) { return get(ctx, t.tx, key) }

func (t *txn) Has(ctx context.Context, key ds.Key) (bool, error) { return has(ctx, t.tx, key) }

func (t *txn) GetSize(ctx context.Context, key ds.Key) (int, error) {
	value, err := get(ctx, t.tx, key)
	if err != nil {
		return -1, err
	}
	return len(value), nil
}

func (t *txn) Query(ctx context.Context, q query.Query) (query.Results, error) {
	return run(ctx, t.tx, q)
}

func (t *txn) Put(ctx context.Context, key ds.Key, value []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return t.tx.Put(key.Bytes(), value)
}

func (t *txn) Delete(ctx context.Context, key ds.Key) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return t.tx.Delete(key.Bytes())
}

func (t *txn) Commit(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return t.tx.Commit()
}

func (t *txn) Discard(context.Context) { t.tx.Rollback() }
