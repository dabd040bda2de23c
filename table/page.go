package table

import (
	"fmt"

	"github.com/lightningdb/lightning/internal/position"

	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/keyenc"
)

// Paging goes by position, not by number: a page begins after the last row of the one
// before, wherever that row was, and whether or not it is still there. So a page costs
// what its rows cost, and no row is shown twice or left out because others came or went.

// After leaves the rows that come after rec in the order of OrderBy, with Reverse if it
// is there; without OrderBy the order is that of the primary key. rec is most often the
// last row of the page before; it need not be in the table any more.
func (q Query[R]) After(rec R) Query[R] {
	q.after = func(q *Query[R]) (*position.Position, error) { return q.positionOf(rec) }
	return q
}

// positionOf returns the place of a row.
func (q *Query[R]) positionOf(rec R) (*position.Position, error) {
	p := &position.Position{}
	for _, a := range q.order {
		element, err := a.one(nil, rec)
		if err != nil {
			return nil, fmt.Errorf("position at %s: %w", a.name, err)
		}
		p.Elements = append(p.Elements, element)
	}
	var err error
	if p.Primary, err = q.core.key.one(nil, rec); err != nil {
		return nil, fmt.Errorf("position at the primary key: %w", err)
	}
	return p.Join(), nil
}

// Page is some rows of a query, and where the next ones are.
type Page[R any] struct {
	Rows []R
	// Next is the cursor of the next page, "" if this one is the last. It is text for
	// URLs that means nothing to others. It stays good when rows are changed, and when
	// the database is closed and opened again. It is not secret and not signed: it has
	// the values by which the rows are sorted.
	Next string
}

// Page returns so many rows after a cursor, which is "" for the first page and then
// Page.Next of the page before. The order is that of OrderBy, or of the primary key;
// it must be the same for all pages, the conditions need not. What is no cursor of this
// table and order is ErrCursor. A limit, an offset and After are not looked at.
func (q Query[R]) Page(cursor string, rows int) (*Page[R], error) {
	page := &Page[R]{}
	if rows <= 0 {
		return nil, fmt.Errorf("page of %d rows: %w", rows, errNoRows)
	}
	q.limit, q.offset = rows+1, 0 // one more tells whether there is a next page
	q.after = func(q *Query[R]) (*position.Position, error) {
		if cursor == "" {
			return nil, nil
		}
		return q.decodeCursor(cursor)
	}
	err := q.reading(func(q *Query[R], v *view) error {
		page.Rows, page.Next = nil, ""
		err := q.run(q.plan(v), func(_ []byte, rec R) error {
			page.Rows = append(page.Rows, rec)
			return nil
		})
		if (err != nil && err != errStopped) || len(page.Rows) <= rows {
			return err
		}
		page.Rows = page.Rows[:rows]
		last, err := q.positionOf(page.Rows[rows-1])
		if err == nil {
			page.Next = last.Cursor(q.orderSum())
		}
		return err
	})
	if err != nil && err != errStopped {
		return nil, fmt.Errorf("query: %w", err)
	}
	return page, nil
}

// orderSum is the checksum of the table and the order of its rows.
func (q *Query[R]) orderSum() uint32 {
	names := keyenc.Tuple{}
	for _, a := range q.order {
		names = append(names, define(a).Tuple())
	}
	words, _ := keyenc.Append(nil, q.core.name, q.reverse, names, define(q.core.key).Tuple())
	return checksum.CRC(0, words)
}

func (q *Query[R]) decodeCursor(cursor string) (*position.Position, error) {
	p, err := position.Decode(cursor, q.orderSum(), len(q.order))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCursor, err)
	}
	return p, nil
}
