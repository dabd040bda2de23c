package table

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/keyenc"
)

// Paging goes by position, not by number: a page begins after the last row of the one
// before, wherever that row was, and whether or not it is still there. So a page costs
// what its rows cost, and no row is shown twice or left out because others came or went.

// position is a place in the order of a query: that of one row.
type position struct {
	elements [][]byte // the value of each attribute of the order
	primary  []byte
	key      []byte // all of them, one after the other: it sorts as the rows do
}

// comesBefore reports whether the place of a row is after the position, in an order or
// its reverse.
func (p *position) comesBefore(place []byte, reverse bool) bool {
	if reverse {
		return bytes.Compare(place, p.key) < 0
	}
	return bytes.Compare(place, p.key) > 0
}

func (p *position) join() *position {
	for _, element := range p.elements {
		p.key = append(p.key, element...)
	}
	p.key = append(p.key, p.primary...)
	return p
}

// After leaves the rows that come after rec in the order of OrderBy, with Reverse if it
// is there; without OrderBy the order is that of the primary key. rec is most often the
// last row of the page before; it need not be in the table any more.
func (q Query[R]) After(rec R) Query[R] {
	q.after = func(q *Query[R]) (*position, error) { return q.positionOf(rec) }
	return q
}

// positionOf returns the place of a row.
func (q *Query[R]) positionOf(rec R) (*position, error) {
	p := &position{}
	for _, a := range q.order {
		element, err := a.one(nil, rec)
		if err != nil {
			return nil, fmt.Errorf("position at %s: %w", a.name, err)
		}
		p.elements = append(p.elements, element)
	}
	var err error
	if p.primary, err = q.core.key.one(nil, rec); err != nil {
		return nil, fmt.Errorf("position at the primary key: %w", err)
	}
	return p.join(), nil
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
	q.after = func(q *Query[R]) (*position, error) {
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
			page.Next = q.encodeCursor(last)
		}
		return err
	})
	if err != nil && err != errStopped {
		return nil, fmt.Errorf("query: %w", err)
	}
	return page, nil
}

// A cursor is base64 for URLs, without padding, of: a version; the checksum of what the
// rows are sorted by, which tells cursors of other queries; the values of the order and
// the primary key, encoded; and a checksum of all that, which tells what was cut off or
// mistyped. docs/format/table.md shows one.
const (
	cursorVersion  = 1
	cursorMaxBytes = 256 << 10
)

// orderSum is the checksum of the table and the order of its rows.
func (q *Query[R]) orderSum() uint32 {
	names := keyenc.Tuple{}
	for _, a := range q.order {
		names = append(names, define(a).Tuple())
	}
	words, _ := keyenc.Append(nil, q.core.name, q.reverse, names, define(q.core.key).Tuple())
	return checksum.CRC(0, words)
}

func (q *Query[R]) encodeCursor(p *position) string {
	data := binary.BigEndian.AppendUint32([]byte{cursorVersion}, q.orderSum())
	data = append(data, p.key...)
	data = binary.BigEndian.AppendUint32(data, checksum.CRC(0, data))
	return base64.RawURLEncoding.EncodeToString(data)
}

func (q *Query[R]) decodeCursor(cursor string) (*position, error) {
	p, err := decodeCursor(cursor, q.orderSum(), len(q.order))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCursor, err)
	}
	return p, nil
}

// decodeCursor returns the position of a cursor of an order of so many attributes.
func decodeCursor(cursor string, orderSum uint32, attributes int) (*position, error) {
	if len(cursor) > cursorMaxBytes {
		return nil, fmt.Errorf("it has %d bytes", len(cursor))
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return nil, err
	}
	const sumBytes = 4
	if len(data) < 1+2*sumBytes {
		return nil, fmt.Errorf("it has %d bytes", len(data))
	}
	data, sum := data[:len(data)-sumBytes], binary.BigEndian.Uint32(data[len(data)-sumBytes:])
	switch {
	case checksum.CRC(0, data) != sum:
		return nil, fmt.Errorf("its checksum is wrong")
	case data[0] != cursorVersion:
		return nil, fmt.Errorf("version %d is not known", data[0])
	case binary.BigEndian.Uint32(data[1:]) != orderSum:
		return nil, fmt.Errorf("it is of another table, or of another order")
	}
	return decodePosition(data[1+sumBytes:], attributes)
}

// decodePosition takes the key of a position apart.
func decodePosition(key []byte, attributes int) (*position, error) {
	elems, err := keyenc.Decode(key)
	if err != nil {
		return nil, err
	}
	if len(elems) != attributes+1 {
		return nil, fmt.Errorf("it has %d values, not %d", len(elems), attributes+1)
	}
	p := &position{}
	for i, elem := range elems {
		element, err := keyenc.Append(nil, elem)
		if err != nil {
			return nil, err
		}
		if i < attributes {
			p.elements = append(p.elements, element)
		} else {
			p.primary = element
		}
	}
	return p.join(), nil
}
