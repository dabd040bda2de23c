package table

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
)

// Table is a handle to a table of records of type R with primary keys of type
// K. It is safe for concurrent use and needs no closing. It comes from Open: the zero
// Table is as one of a database that was closed.
type Table[R, K any] struct {
	*core[R]
	key Attr[R, K]
}

// core is a table without the type of its primary key.
//
// Invariant: a row and its entries in all indexes of the definition are written
// by the same transaction, which has read the definition. An index that is
// being built lacks entries of rows that its builder has not come to.
type core[R any] struct {
	db            *lightning.DB
	name          string
	key           *attribute[R]
	attributes    map[string]*attribute[R] // those that queries may name
	codec         Codec[R]
	catalogue     *lightning.Keyspace
	definitionKey []byte
	rows          *lightning.Keyspace
	rowsID        uint64
	indexes       []*index[R]
	expiry        *Expiry[R]
	versions      versions
	seen          atomic.Pointer[view] // the one that was read last
	counts        counts
}

// view is a definition as a transaction sees it, with what it means for this
// handle.
type view struct {
	record   []byte
	ready    []bool // for each index of the handle: queries may use it
	expires  bool   // rows may expire
	readErr  error  // why rows cannot be read, if so
	writeErr error  // why rows cannot be changed, if so
}

// buffers holds memory for rows and definitions that are read.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// usable says why a transaction cannot work with the table; c is nil in the zero Table.
func (c *core[R]) usable(tx *lightning.Tx) error {
	if c == nil {
		return lightning.ErrClosed
	}
	if tx == nil {
		return fmt.Errorf("table %s: %w: a transaction is needed", c.name, lightning.ErrNilArgument)
	}
	return nil
}

// look reads the definition. Most often it is the one that was read last.
func (c *core[R]) look(tx *lightning.Tx) (*view, error) {
	if err := c.usable(tx); err != nil {
		return nil, err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	record, err := tx.In(c.catalogue).AppendGet((*buf)[:0], c.definitionKey)
	*buf = record
	if errors.Is(err, lightning.ErrNotFound) {
		return nil, fmt.Errorf("table %s: %w: the transaction is older than the table", c.name, ErrStale)
	}
	if err != nil {
		return nil, err
	}
	if v := c.seen.Load(); v != nil && bytes.Equal(v.record, record) {
		return v, v.readErr
	}
	def, err := catalogue.DecodeDefinition(record)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", c.name, err)
	}
	v := c.view(def)
	v.record = bytes.Clone(record)
	c.seen.Store(v)
	return v, v.readErr
}

// view says what a definition means for this handle. One that is older than an
// index of the handle does no harm: a transaction that has read it cannot
// commit changes.
func (c *core[R]) view(def *catalogue.Definition) *view {
	v := &view{ready: make([]bool, len(c.indexes)), expires: def.Expires}
	stale := func(what string) error { return fmt.Errorf("table %s: %w: %s", c.name, ErrStale, what) }
	if def.Moved != "" {
		v.readErr = stale("it is called " + def.Moved + " now")
		return v
	}
	if def.RowsID != c.rowsID {
		v.readErr = stale("it was dropped")
		return v
	}
	if def.Version > c.versions.now {
		v.readErr = stale(fmt.Sprintf("its schema is of version %d now, and this handle's of version %d",
			def.Version, c.versions.now))
		return v
	}
	for i, x := range c.indexes {
		stored := def.ByID(x.id)
		v.ready[i] = stored != nil && stored.Ready
		if stored == nil && x.id < def.NextID {
			v.writeErr = stale("index " + x.name + " was dropped")
		}
	}
	for _, stored := range def.Indexes {
		known := slices.ContainsFunc(c.indexes, func(x *index[R]) bool { return x.id == stored.Id })
		if !known {
			v.writeErr = stale("index " + stored.Name + " is new")
		}
	}
	return v
}

// writable is look for a transaction that is to change rows.
func (c *core[R]) writable(tx *lightning.Tx) (*view, error) {
	if err := c.usable(tx); err != nil {
		return nil, err
	}
	o := tx.Options()
	if o.ReadOnly {
		return nil, fmt.Errorf("table %s: %w", c.name, lightning.ErrTxReadOnly)
	}
	if o.Isolation != lightning.StrictSerializable {
		return nil, fmt.Errorf("table %s: %w", c.name, ErrIsolation)
	}
	v, err := c.look(tx)
	if err == nil {
		err = v.writeErr
	}
	return v, err
}

// primary returns the encoding of a primary key.
func (t *Table[R, K]) primary(key K) ([]byte, error) {
	primary, err := t.key.encode(nil, key)
	if err != nil {
		return nil, t.keyError(err)
	}
	return primary, nil
}
