package table

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/internal/position"

	"github.com/lightningdb/lightning"
)

// Query describes rows of a table, as a transaction sees them. Its methods
// return a changed copy. Those that run it make a plan each time.
type Query[R any] struct {
	core    *core[R]
	tx      *lightning.Tx
	alone   bool // each run is a transaction of its own
	changes bool // rows are changed on the way
	conds   []Cond[R]
	filters []func(rec R) bool
	order   []*attribute[R]
	reverse bool
	limit   int // 0: none
	offset  int
	from    *position.Position // rows come after it
	after   func(q *Query[R]) (*position.Position, error)
	bare    bool // only how many rows there are matters
	err     error
}

// MaxQueryBytes bounds the rows that a query holds at a time to sort them, or
// to give each of them once.
const MaxQueryBytes = 64 << 20

// Where leaves the rows that meet all of these conditions as well.
func (q Query[R]) Where(conds ...Cond[R]) Query[R] {
	q.conds = slices.Clip(q.conds)
	for i := range conds {
		if q.err == nil {
			q.err = conds[i].invalid()
		}
		if one := &conds[i]; one.attribute == nil && len(one.either) == 1 {
			q = q.Where(one.either[0]...)
			continue
		}
		q.conds = append(q.conds, conds[i])
	}
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

// Offset leaves out the first n rows of those that there would be. They are read all
// the same: a page at offset 100,000 costs as much as the 100,000 rows before it, and
// rows that are added or removed between two pages shift what the second one shows.
// Page and After have neither of these faults.
func (q Query[R]) Offset(n int) Query[R] {
	q.offset = max(0, n)
	return q
}

// errZeroAttr says that an Attr was not made with One or Many.
var errZeroAttr = errors.New("condition on the zero Attr")

// prepared returns the query as it is to be run, in a transaction, and the definition
// to plan with; or why it cannot be run.
func (q Query[R]) prepared(tx *lightning.Tx) (*Query[R], *view, error) {
	v, err := q.core.look(tx)
	if err != nil {
		return nil, nil, err
	}
	q.tx = tx
	if q.err == nil {
		q.err = q.checkAttributes()
	}
	if q.err == nil && q.after != nil {
		if len(q.order) == 0 {
			q.order = []*attribute[R]{q.core.key}
		}
		q.from, q.err = q.after(&q)
	}
	if q.err != nil {
		return nil, nil, fmt.Errorf("table %s: %w", q.core.name, q.err)
	}
	if q.bare && q.from == nil {
		q.order = nil
	}
	return &q, v, nil
}

// checkAttributes says which attribute of the query the table does not know.
func (q *Query[R]) checkAttributes() error {
	for i := range q.conds {
		if err := q.conds[i].checkAttributes(q.core); err != nil {
			return err
		}
	}
	for _, a := range q.order {
		if err := q.core.checkAttribute(a); err != nil {
			return fmt.Errorf("order by %s: %w", a.name, err)
		}
	}
	return nil
}

// checkAttribute says why an attribute is none of the table.
func (c *core[R]) checkAttribute(a *attribute[R]) error {
	switch known := c.attributes[a.name]; {
	case known == nil:
		return fmt.Errorf("%w: neither the primary key nor an index has it, nor is it one of Schema.Attributes",
			ErrUnknownAttribute)
	case known != a:
		return fmt.Errorf("%w: it was made twice, and the schema has the other one", ErrUnknownAttribute)
	}
	return nil
}
