package catalogue

import (
	"cmp"
	"fmt"

	"github.com/lightningdb/lightning/keyenc"
)

// Definition is what a table was declared as. A table that was dropped leaves
// one with nothing but nextID.
type Definition struct {
	NextID  uint64 // for the next keyspace; more than all below
	RowsID  uint64 // keyspace of the rows; 0: there is no table
	Key     Column
	Codec   string
	Indexes []Index
	// Expires says that rows may expire. It stays once it is set.
	Expires bool
	// Version is that of the schema by which rows are written; no row is of one before
	// Oldest. Both are 0 until a program declares a version.
	Version, Oldest uint64
	// Home is the name under which the keyspaces are, "" for that of the table. Moved is
	// the name that a table has now which had this one; it leaves nothing else.
	Home, Moved string
}

// Index is what an index was declared as.
type Index struct {
	Id      uint64
	Name    string
	Unique  bool
	Ready   bool // has an entry for every row; else it is being built
	Columns []Column
}

// Column is what is kept of an attribute.
type Column struct {
	Name, Kind string
	Many       bool
}

// Index returns the index of a name, or nil.
func (d *Definition) Index(name string) *Index {
	for i := range d.Indexes {
		if d.Indexes[i].Name == name {
			return &d.Indexes[i]
		}
	}
	return nil
}

// ByID returns the index of a number, or nil.
func (d *Definition) ByID(id uint64) *Index {
	for i := range d.Indexes {
		if d.Indexes[i].Id == id {
			return &d.Indexes[i]
		}
	}
	return nil
}

// Keyspace returns the name of the keyspace with a number of the table that has a name.
func (d *Definition) Keyspace(name string, id uint64) string {
	return KeyspaceName(cmp.Or(d.Home, name), id)
}

// Encode returns the record.
func (d *Definition) Encode() []byte {
	indexes := keyenc.Tuple{}
	for _, x := range d.Indexes {
		columns := keyenc.Tuple{}
		for _, c := range x.Columns {
			columns = append(columns, c.Tuple())
		}
		indexes = append(indexes, keyenc.Tuple{x.Id, x.Name, x.Unique, x.Ready, columns})
	}
	elems := []any{d.NextID, d.RowsID, d.Key.Tuple(), d.Codec, indexes}
	if d.hasMore() {
		elems = append(elems, keyenc.Tuple{d.Expires, d.Version, d.Oldest, d.Home, d.Moved})
	}
	return seal(elems...)
}

// hasMore says that a record has what most tables do without.
func (d *Definition) hasMore() bool {
	return d.Expires || d.Version > 0 || d.Home != "" || d.Moved != ""
}

func (d *Definition) readMore(r *reader) {
	d.Expires, d.Version, d.Oldest = r.boolean(), r.number(), r.number()
	d.Home, d.Moved = r.text(), r.text()
	if r.end(); !d.hasMore() || d.Oldest > d.Version {
		r.fail()
	}
}

// Tuple is the column as part of a record.
func (c Column) Tuple() keyenc.Tuple { return keyenc.Tuple{c.Name, c.Kind, c.Many} }

// DecodeDefinition reads a record that Encode has made.
func DecodeDefinition(record []byte) (*Definition, error) {
	r, err := unseal(record)
	if err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	d := &Definition{NextID: r.number(), RowsID: r.number(), Key: readColumn(r.tuple()), Codec: r.text()}
	for list := r.tuple(); list.more(); {
		one := list.tuple()
		x := Index{Id: one.number(), Name: one.text(), Unique: one.boolean(), Ready: one.boolean()}
		for columns := one.tuple(); columns.more(); {
			x.Columns = append(x.Columns, readColumn(columns.tuple()))
		}
		one.end()
		if x.Id == 0 || x.Id >= d.NextID {
			r.fail()
		}
		d.Indexes = append(d.Indexes, x)
	}
	if r.more() {
		d.readMore(r.tuple())
	}
	r.end()
	if d.RowsID >= d.NextID {
		r.fail()
	}
	if r.failed() {
		return nil, fmt.Errorf("definition: %w", ErrRecord)
	}
	return d, nil
}

func readColumn(r *reader) Column {
	c := Column{Name: r.text(), Kind: r.text(), Many: r.boolean()}
	r.end()
	return c
}

// Describe shows what cannot change about an index.
func (x *Index) Describe() string {
	text := "on"
	if x.Unique {
		text = "unique on"
	}
	for i, c := range x.Columns {
		if i > 0 {
			text += ","
		}
		text += " " + c.String()
	}
	return text
}

// String shows the column to people.
func (c Column) String() string {
	if c.Many {
		return c.Name + " (many of " + c.Kind + ")"
	}
	return c.Name + " (" + c.Kind + ")"
}
