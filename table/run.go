package table

import (
	"errors"
	"fmt"
	"iter"

	"github.com/lightningdb/lightning"
)

// Queries are run here: each verb makes a plan and goes along its best path, in the
// transaction of the query or in one of its own.

// reading calls fn with the query as it is to be run.
func (q Query[R]) reading(fn func(q *Query[R], v *view) error) error {
	return q.within(fn, (*lightning.DB).View)
}

// writing is reading in a transaction that may change rows.
func (q Query[R]) writing(fn func(q *Query[R], v *view) error) error {
	return q.within(fn, (*lightning.DB).Update)
}

func (q Query[R]) within(
	fn func(q *Query[R], v *view) error,
	transact func(db *lightning.DB, fn func(tx *lightning.Tx) error) error,
) error {
	run := func(tx *lightning.Tx) error {
		prepared, v, err := q.prepared(tx)
		if err != nil {
			return err
		}
		return fn(prepared, v)
	}
	if q.alone && q.core != nil {
		return transact(q.core.db, run)
	}
	return run(q.tx)
}

// All returns the rows. An error ends them and comes as the last pair. They can
// be ranged over more than once.
//
// The transaction may be used meanwhile. Rows that it changes during the loop
// are given as they are when the loop comes to them, if they still meet the
// conditions; rows that it adds are not given.
func (q Query[R]) All() iter.Seq2[R, error] {
	return func(yield func(rec R, err error) bool) {
		err := q.reading(func(q *Query[R], v *view) error {
			return q.run(q.plan(v), func(_ []byte, rec R) error {
				if !yield(rec, nil) {
					return errStopped
				}
				return nil
			})
		})
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

// Exists reports whether there is a row.
func (q Query[R]) Exists() (bool, error) {
	n, err := q.Limit(1).Count()
	return n > 0, err
}

// Count returns how many rows there are. Rows are not read where an index, or the
// primary key, decides all conditions by itself.
func (q Query[R]) Count() (int, error) {
	count := 0
	q.bare = true
	err := q.reading(func(q *Query[R], v *view) error {
		count = 0
		return q.run(q.plan(v), func([]byte, R) error {
			count++
			return nil
		})
	})
	if err != nil && err != errStopped {
		return 0, fmt.Errorf("query: %w", err)
	}
	return count, nil
}

// Delete removes the rows, and returns how many. If it fails it has removed none.
//
// A transaction holds what it has read and written until it ends: to remove millions
// of rows call it with a limit, in one transaction after the other, until it returns 0.
func (q Query[R]) Delete() (int, error) {
	return q.change(func(q *Query[R], v *view, primary []byte) error {
		_, err := q.core.remove(q.tx, v, primary)
		return err
	})
}

// Update lets fn change each of the rows, and returns how many. Where fn or a change
// fails, as that of Rows.Update does, nothing is changed. A row that a change moves
// along the index through which the query goes is not met again.
func (q Query[R]) Update(fn func(rec *R) error) (int, error) {
	if fn == nil && q.err == nil {
		q.err = fmt.Errorf("update: %w", errNilFunction)
	}
	return q.change(func(q *Query[R], v *view, primary []byte) error {
		return q.core.update(q.tx, v, primary, fn)
	})
}

// change does something to all rows, or to none.
func (q Query[R]) change(do func(q *Query[R], v *view, primary []byte) error) (count int, err error) {
	q.changes = true
	err = q.writing(func(q *Query[R], _ *view) error {
		count = 0
		v, err := q.core.writable(q.tx)
		if err != nil {
			return err
		}
		before := q.tx.Savepoint()
		err = q.run(q.plan(v), func(primary []byte, _ R) error {
			count++
			return do(q, v, primary)
		})
		if err == nil || err == errStopped {
			return q.tx.Release(before)
		}
		return errors.Join(err, q.tx.RollbackTo(before))
	})
	if err != nil {
		return 0, fmt.Errorf("query: %w", err)
	}
	return count, nil
}

// run takes the best path. Where it would sort too much, one that does not sort
// may do.
func (q *Query[R]) run(p *planned[R], give func(primary []byte, rec R) error) error {
	err := q.walk(&p.paths[0], give)
	if err == errTooManyToMeet {
		p.paths = p.paths[1:]
		err = q.walk(&p.paths[0], give)
	}
	if !errors.Is(err, ErrQueryMemory) || p.paths[0].ordered {
		return err
	}
	for i := range p.paths {
		if p.paths[i].ordered && p.paths[i].unusable == "" && !p.paths[i].repeats {
			return q.walk(&p.paths[i], give)
		}
	}
	return err
}

// errStopped says that the caller wants no more rows.
var errStopped = errors.New("stopped")

// walk gives the rows of a path. The primary key is lent.
func (q *Query[R]) walk(p *path[R], give func(primary []byte, rec R) error) error {
	w := &walk[R]{query: q, rows: q.tx.In(q.core.rows), give: give, repeats: p.repeats}
	if p.index != nil && len(p.keys) > 1 && (q.changes || !q.alone) {
		w.repeats = true // a row may be moved from one range of keys to another meanwhile
	}
	if !p.ordered {
		w.sorter = &sorter[R]{reverse: q.reverse}
		if q.limit > 0 {
			w.sorter.limit = q.limit + q.offset
		}
	}
	if err := w.along(p); err != nil || w.sorter == nil {
		return err
	}
	return w.sorter.drain(w.pass)
}
