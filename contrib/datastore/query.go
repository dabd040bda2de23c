package datastore

import (
	"bytes"
	"context"
	"path"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/lightningdb/lightning"
)

// Query returns the entries that a query asks for. The results show one moment, and must be closed.
func (s *Store) Query(ctx context.Context, q query.Query) (query.Results, error) {
	return run(ctx, s.db, q)
}

// walker makes iterators.
type walker interface {
	Iterator(o lightning.IterOptions) (*lightning.Iterator, error)
}

// run runs a query. The order of the keys, in both directions, is that of the walk; others are
// sorted in memory, from what the filters let through.
func run(ctx context.Context, from walker, q query.Query) (query.Results, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	reverse, walked := orderOfWalk(q.Orders)
	valueless := q.KeysOnly && !q.ReturnsSizes && len(q.Filters) == 0
	it, err := from.Iterator(lightning.IterOptions{Prefix: prefixOf(q.Prefix), KeysOnly: valueless})
	if err != nil {
		return nil, err
	}
	w := &walk{ctx: ctx, it: it, query: q, reverse: reverse}
	results := query.ResultsFromIterator(q, query.Iterator{Next: w.next, Close: w.close})
	rest := query.Query{Filters: q.Filters, Offset: q.Offset, Limit: q.Limit}
	if !walked {
		rest.Orders = q.Orders
	}
	return query.ResultsReplaceQuery(query.NaiveQueryApply(rest, results), q), nil
}

// orderOfWalk reports whether a walk has the order of a query, and in which direction. Keys are
// unique, so that what stands behind an order of keys says nothing.
func orderOfWalk(orders []query.Order) (reverse, walked bool) {
	if len(orders) == 0 {
		return false, true
	}
	switch orders[0].(type) {
	case query.OrderByKey, *query.OrderByKey:
		return false, true
	case query.OrderByKeyDescending, *query.OrderByKeyDescending:
		return true, true
	}
	return false, false
}

// prefixOf returns what the keys below a key begin with.
func prefixOf(prefix string) []byte {
	cleaned := path.Clean("/" + prefix)
	if cleaned == "/" {
		return nil
	}
	return []byte(cleaned + "/")
}

// walk yields the rows of a query, before its filters.
type walk struct {
	ctx     context.Context
	it      *lightning.Iterator // nil: it has ended
	query   query.Query
	reverse bool
	begun   bool
}

func (w *walk) next() (query.Result, bool) {
	if w.it == nil {
		return query.Result{}, false
	}
	if w.ctx.Err() != nil {
		err := context.Cause(w.ctx)
		_ = w.close() // it was read alone
		return query.Result{Error: err}, true
	}
	if !w.move() {
		if err := w.close(); err != nil {
			return query.Result{Error: err}, true
		}
		return query.Result{}, false
	}
	value := w.it.Value()
	e := query.Entry{Key: ds.RawKey(string(w.it.Key())).String(), Size: len(value)}
	if value == nil {
		e.Size = -1
	}
	if !w.query.KeysOnly {
		e.Value = bytes.Clone(value)
	}
	if w.query.ReturnExpirations {
		e.Expiration = w.it.ExpiresAt()
	}
	return query.Result{Entry: e}, true
}

// move moves to the next row.
func (w *walk) move() bool {
	first := !w.begun
	w.begun = true
	switch {
	case first && w.reverse:
		return w.it.Last()
	case w.reverse:
		return w.it.Prev()
	}
	return w.it.Next()
}

// close ends the walk, and says what was wrong. It may come again.
func (w *walk) close() error {
	if w.it == nil {
		return nil
	}
	err := w.it.Close()
	w.it = nil
	return err
}
