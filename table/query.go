package table

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/lightningdb/lightning"
)

// Query describes rows of a table, as a transaction sees them. Its methods
// return a changed copy. All, First and Explain make a plan each time.
type Query[R any] struct {
	core    *core[R]
	tx      *lightning.Tx
	conds   []Cond[R]
	filters []func(rec R) bool
	order   []*attribute[R]
	reverse bool
	limit   int
	err     error
}

// MaxQueryBytes bounds the rows that a query holds at a time to sort them, or
// to give each of them once.
const MaxQueryBytes = 64 << 20

// Query returns the query for all rows.
func (t *Table[R, K]) Query(tx *lightning.Tx) Query[R] { return Query[R]{core: t.core, tx: tx} }

// Where leaves the rows that meet all of these conditions as well.
func (q Query[R]) Where(conds ...Cond[R]) Query[R] {
	for _, c := range conds {
		if c.attribute == nil && c.err == nil {
			c.err = errors.New("condition on the zero Attr")
		}
		if q.err == nil {
			q.err = c.err
		}
	}
	q.conds = append(slices.Clip(q.conds), conds...)
	return q
}

// Filter leaves the rows for which keep returns true. It is called for rows that
// meet all conditions, and makes no query cheaper.
func (q Query[R]) Filter(keep func(rec R) bool) Query[R] {
	if keep == nil && q.err == nil {
		q.err = fmt.Errorf("filter: %w", errNilFunction)
	}
	q.filters = append(slices.Clip(q.filters), keep)
	return q
}

// OrderBy sorts the rows by attributes made with One, then by the primary key.
// Without it they come in any order. If no index gives the order, they are
// collected and sorted, which fails with ErrQueryMemory for more than
// MaxQueryBytes; with a limit, only so many are held.
func (q Query[R]) OrderBy(columns ...Column[R]) Query[R] {
	q.order = slices.Clip(q.order)
	for _, column := range columns {
		a := columnOf(column)
		if q.err == nil && (a == nil || a.many != nil) {
			q.err = fmt.Errorf("order by %s: it has no single value", a.label())
		}
		q.order = append(q.order, a)
	}
	return q
}

// Reverse turns the order of OrderBy around, that of the primary key included.
func (q Query[R]) Reverse() Query[R] {
	q.reverse = !q.reverse
	return q
}

// Limit leaves the first n rows. If n is not positive there is no limit.
func (q Query[R]) Limit(n int) Query[R] {
	q.limit = max(0, n)
	return q
}

// All returns the rows. An error ends them and comes as the last pair. They can
// be ranged over more than once.
//
// The transaction may be used meanwhile. Rows that it changes during the loop
// are given as they are when the loop comes to them, if they still meet the
// conditions; rows that it adds are not given.
func (q Query[R]) All() iter.Seq2[R, error] {
	return func(yield func(rec R, err error) bool) {
		v, err := q.ready()
		if err == nil {
			err = q.run(q.plan(v), yield)
		}
		if err != nil && err != errStopped {
			var none R
			yield(none, fmt.Errorf("query: %w", err))
		}
	}
}

// First returns the first row, or lightning.ErrNotFound.
func (q Query[R]) First() (R, error) {
	for rec, err := range q.Limit(1).All() {
		return rec, err
	}
	var none R
	return none, lightning.ErrNotFound
}

// ready returns the definition to plan with, or why the query cannot be run.
func (q *Query[R]) ready() (*view, error) {
	if q.err != nil && q.core != nil {
		return nil, fmt.Errorf("table %s: %w", q.core.name, q.err)
	}
	return q.core.look(q.tx)
}

// run takes the best path. Where it would sort too much, one that does not sort
// may do.
func (q *Query[R]) run(p *planned[R], yield func(rec R, err error) bool) error {
	err := q.walk(&p.paths[0], yield)
	if !errors.Is(err, ErrQueryMemory) || p.paths[0].ordered {
		return err
	}
	for i := range p.paths {
		if p.paths[i].ordered && p.paths[i].unusable == "" && !p.paths[i].repeats {
			return q.walk(&p.paths[i], yield)
		}
	}
	return err
}

// errStopped says that the caller wants no more rows.
var errStopped = errors.New("stopped")

// walk gives the rows of a path.
func (q *Query[R]) walk(p *path[R], yield func(rec R, err error) bool) error {
	if p.keys.none() {
		return nil
	}
	w := &walk[R]{query: q, path: p, rows: q.tx.In(q.core.rows), yield: yield}
	if !p.ordered {
		w.sorter = &sorter[R]{order: q.order, reverse: q.reverse, limit: q.limit}
	}
	var err error
	if p.index == nil {
		err = w.throughRows()
	} else {
		err = w.throughIndex()
	}
	if err != nil || w.sorter == nil {
		return err
	}
	return w.sorter.drain(yield)
}
