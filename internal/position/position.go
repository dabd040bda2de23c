// Package position has places in the order of a query's rows, and the cursors that hold
// them outside of the program.
package position

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/keyenc"
)

// Position is a place in the order of a query: that of one row.
type Position struct {
	Elements [][]byte // the value of each attribute of the order
	Primary  []byte
	Key      []byte // all of them, one after the other: it sorts as the rows do
}

// ComesBefore reports whether the place of a row is after the position, in an order or
// its reverse.
func (p *Position) ComesBefore(place []byte, reverse bool) bool {
	if reverse {
		return bytes.Compare(place, p.Key) < 0
	}
	return bytes.Compare(place, p.Key) > 0
}

// Join makes Key of the other fields, and returns p.
func (p *Position) Join() *Position {
	for _, element := range p.Elements {
		p.Key = append(p.Key, element...)
	}
	p.Key = append(p.Key, p.Primary...)
	return p
}

// A cursor is base64 for URLs, without padding, of: a version; the checksum of what the
// rows are sorted by, which tells cursors of other queries; the values of the order and
// the primary key, encoded; and a checksum of all that, which tells what was cut off or
// mistyped. docs/format/table.md shows one.
const (
	cursorVersion  = 1
	CursorMaxBytes = 256 << 10
)

// Cursor returns the position as text, with the checksum of what the rows are sorted by.
func (p *Position) Cursor(orderSum uint32) string {
	data := binary.BigEndian.AppendUint32([]byte{cursorVersion}, orderSum)
	data = append(data, p.Key...)
	data = binary.BigEndian.AppendUint32(data, checksum.CRC(0, data))
	return base64.RawURLEncoding.EncodeToString(data)
}

// Decode returns the position of a cursor of an order of so many attributes.
func Decode(cursor string, orderSum uint32, attributes int) (*Position, error) {
	if len(cursor) > CursorMaxBytes {
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
func decodePosition(key []byte, attributes int) (*Position, error) {
	elems, err := keyenc.Decode(key)
	if err != nil {
		return nil, err
	}
	if len(elems) != attributes+1 {
		return nil, fmt.Errorf("it has %d values, not %d", len(elems), attributes+1)
	}
	p := &Position{}
	for i, elem := range elems {
		element, err := keyenc.Append(nil, elem)
		if err != nil {
			return nil, err
		}
		if i < attributes {
			p.Elements = append(p.Elements, element)
		} else {
			p.Primary = element
		}
	}
	return p.Join(), nil
}
