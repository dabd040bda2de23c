package table

import (
	"encoding/binary"
	"fmt"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/keyenc"
)

// The catalogue is a keyspace that all tables of a database share. It holds,
// for each table, its definition, its statistics and how far the building of
// its indexes is. docs/format/table.md describes the records byte for byte.
//
// Every transaction that changes rows reads the definition, so that it cannot
// commit beside a change of it. The others change often: they have records of
// their own, and their keys come before all definitions, where a transaction
// that has read very much and joined its reads to ranges seldom reaches.
const catalogueName = "lightning.tables"

// The kinds of records, which are the first elements of their keys.
const (
	kindStatistics = 1 // (kind, table)
	kindProgress   = 2 // (kind, table, index)
	kindDefinition = 3 // (kind, table)
)

// catalogueKey returns the key of a record. Names and numbers have encodings.
func catalogueKey(elems ...any) []byte {
	key, _ := keyenc.Append(nil, elems...)
	return key
}

// keyspaceName returns the name of the keyspace of rows or of an index. Numbers
// are never used again, so that a transaction that is older than the present
// index of a name cannot take it for the one that it knows.
func keyspaceName(table string, id uint64) string {
	return fmt.Sprintf("%s%d", keyspacePrefix(table), id)
}

func keyspacePrefix(table string) string { return "table/" + table + "/" }

// definition is what a table was declared as. A table that was dropped leaves
// one with nothing but nextID.
type definition struct {
	nextID  uint64 // for the next keyspace; more than all below
	rowsID  uint64 // keyspace of the rows; 0: there is no table
	key     columnDefinition
	codec   string
	indexes []indexDefinition
}

type indexDefinition struct {
	id      uint64
	name    string
	unique  bool
	ready   bool // has an entry for every row; else it is being built
	columns []columnDefinition
}

type columnDefinition struct {
	name, kind string
	many       bool
}

func (d *definition) index(name string) *indexDefinition {
	for i := range d.indexes {
		if d.indexes[i].name == name {
			return &d.indexes[i]
		}
	}
	return nil
}

func (d *definition) byID(id uint64) *indexDefinition {
	for i := range d.indexes {
		if d.indexes[i].id == id {
			return &d.indexes[i]
		}
	}
	return nil
}

func (d *definition) encode() []byte {
	indexes := keyenc.Tuple{}
	for _, x := range d.indexes {
		columns := keyenc.Tuple{}
		for _, c := range x.columns {
			columns = append(columns, c.tuple())
		}
		indexes = append(indexes, keyenc.Tuple{x.id, x.name, x.unique, x.ready, columns})
	}
	return seal(d.nextID, d.rowsID, d.key.tuple(), d.codec, indexes)
}

func (c columnDefinition) tuple() keyenc.Tuple { return keyenc.Tuple{c.name, c.kind, c.many} }

func decodeDefinition(record []byte) (*definition, error) {
	r, err := unseal(record)
	if err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	d := &definition{nextID: r.number(), rowsID: r.number(), key: readColumn(r.tuple()), codec: r.text()}
	for list := r.tuple(); list.more(); {
		one := list.tuple()
		x := indexDefinition{id: one.number(), name: one.text(), unique: one.boolean(), ready: one.boolean()}
		for columns := one.tuple(); columns.more(); {
			x.columns = append(x.columns, readColumn(columns.tuple()))
		}
		one.end()
		if x.id == 0 || x.id >= d.nextID {
			r.fail()
		}
		d.indexes = append(d.indexes, x)
	}
	r.end()
	if d.rowsID >= d.nextID {
		r.fail()
	}
	if r.failed() {
		return nil, fmt.Errorf("definition: %w", errRecord)
	}
	return d, nil
}

func readColumn(r *reader) columnDefinition {
	c := columnDefinition{name: r.text(), kind: r.text(), many: r.boolean()}
	r.end()
	return c
}

// progress is how far the building of an index is.
type progress struct {
	position []byte // the last row that has its entries; nil: none
	until    []byte // the last row when the index was declared
	rows     uint64 // done so far
}

func (p *progress) encode() []byte { return seal(p.position, p.until, p.rows) }

func decodeProgress(record []byte) (*progress, error) {
	r, err := unseal(record)
	if err != nil {
		return nil, fmt.Errorf("progress of an index: %w", err)
	}
	p := &progress{position: r.bytes(), until: r.bytes(), rows: r.number()}
	r.end()
	if r.failed() {
		return nil, fmt.Errorf("progress of an index: %w", errRecord)
	}
	return p, nil
}

// A sealed record is a version, a tuple and a checksum of both.
const (
	recordVersion = 1
	sealBytes     = 4
)

// errRecord says that a record of the catalogue, or an index entry, is not what
// a writer makes.
var errRecord = fmt.Errorf("malformed record: %w", lightning.ErrCorrupted)

// seal encodes a record. Its elements are of types that have encodings.
func seal(elems ...any) []byte {
	record, _ := keyenc.Append([]byte{recordVersion}, elems...)
	return binary.BigEndian.AppendUint32(record, checksum.CRC(0, record))
}

func unseal(record []byte) (*reader, error) {
	if len(record) < 1+sealBytes {
		return nil, errRecord
	}
	body, sum := record[:len(record)-sealBytes], record[len(record)-sealBytes:]
	if checksum.CRC(0, body) != binary.BigEndian.Uint32(sum) {
		return nil, errRecord
	}
	if version := body[0]; version != recordVersion {
		return nil, fmt.Errorf("version %d is not known, %d is", version, recordVersion)
	}
	elems, err := keyenc.Decode(body[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return &reader{elems: elems, bad: new(bool)}, nil
}

// reader takes the elements of a record one after the other. What is not there,
// or of another type, makes it fail, for good.
type reader struct {
	elems keyenc.Tuple
	bad   *bool // shared with the readers of inner tuples
}

func (r *reader) failed() bool { return *r.bad }
func (r *reader) fail()        { *r.bad = true }

func (r *reader) more() bool { return len(r.elems) > 0 && !r.failed() }

func (r *reader) end() {
	if len(r.elems) > 0 {
		r.fail()
	}
}

func (r *reader) next() any {
	if !r.more() {
		r.fail()
		return nil
	}
	elem := r.elems[0]
	r.elems = r.elems[1:]
	return elem
}

// take returns the next element if it is of type T.
func take[T any](r *reader) T {
	elem, ok := r.next().(T)
	if !ok {
		r.fail()
	}
	return elem
}

// number reads a number that is not negative. All that is stored is small.
func (r *reader) number() uint64 {
	n := take[int64](r)
	if n < 0 {
		r.fail()
	}
	return uint64(n)
}

func (r *reader) text() string  { return take[string](r) }
func (r *reader) boolean() bool { return take[bool](r) }
func (r *reader) bytes() []byte { return take[[]byte](r) }
func (r *reader) tuple() *reader {
	return &reader{elems: take[keyenc.Tuple](r), bad: r.bad}
}
