// Package catalogue has the records by which a database knows its tables, those of
// package table.
//
// The catalogue is a keyspace that all tables of a database share. It holds,
// for each table, its definition, its statistics and how far the building of
// its indexes is. docs/format/table.md describes the records byte for byte.
//
// Every transaction that changes rows reads the definition, so that it cannot
// commit beside a change of it. The others change often: they have records of
// their own, and their keys come before all definitions, where a transaction
// that has read very much and joined its reads to ranges seldom reaches.
//
// Values have no lock: what was published is not changed.
package catalogue

import (
	"fmt"

	"github.com/lightningdb/lightning/keyenc"
)

// Name is that of the keyspace.
const Name = "lightning.tables"

// The kinds of records, which are the first elements of their keys.
const (
	KindStatistics = 1 // (kind, table)
	KindProgress   = 2 // (kind, table, index)
	KindDefinition = 3 // (kind, table)
	KindSequence   = 4 // (kind, sequence)
)

// Key returns the key of a record. Names and numbers have encodings.
func Key(elems ...any) []byte {
	key, _ := keyenc.Append(nil, elems...)
	return key
}

// KeyspaceName returns the name of the keyspace of rows or of an index. Numbers
// are never used again, so that a transaction that is older than the present
// index of a name cannot take it for the one that it knows.
func KeyspaceName(table string, id uint64) string {
	return fmt.Sprintf("%s%d", KeyspacePrefix(table), id)
}

// KeyspacePrefix is how the names of all keyspaces of a table begin.
func KeyspacePrefix(table string) string { return "table/" + table + "/" }

// Progress is how far the building of an index is.
type Progress struct {
	Position []byte // the last row that has its entries; nil: none
	Until    []byte // the last row when the index was declared
	Rows     uint64 // done so far
}

// Encode returns the record.
func (p *Progress) Encode() []byte { return seal(p.Position, p.Until, p.Rows) }

// DecodeProgress reads a record that Encode has made.
func DecodeProgress(record []byte) (*Progress, error) {
	r, err := unseal(record)
	if err != nil {
		return nil, fmt.Errorf("progress of an index: %w", err)
	}
	p := &Progress{Position: r.bytes(), Until: r.bytes(), Rows: r.number()}
	r.end()
	if r.failed() {
		return nil, fmt.Errorf("progress of an index: %w", ErrRecord)
	}
	return p, nil
}

// EncodeSequence returns the record of a sequence of which all numbers less than next may
// have been given out.
func EncodeSequence(next uint64) []byte { return seal(next) }

// DecodeSequence reads a record that EncodeSequence has made.
func DecodeSequence(record []byte) (next uint64, err error) {
	r, err := unseal(record)
	if err != nil {
		return 0, fmt.Errorf("sequence: %w", err)
	}
	next = r.number()
	if r.end(); r.failed() {
		return 0, fmt.Errorf("sequence: %w", ErrRecord)
	}
	return next, nil
}
