package table

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
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
	codec         Codec[R]
	catalogue     *lightning.Keyspace
	definitionKey []byte
	rows          *lightning.Keyspace
	rowsID        uint64
	indexes       []*index[R]
	seen          atomic.Pointer[view] // the one that was read last
	counts        counts
}

// view is a definition as a transaction sees it, with what it means for this
// handle.
type view struct {
	record   []byte
	ready    []bool // for each index of the handle: queries may use it
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
	def, err := decodeDefinition(record)
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
func (c *core[R]) view(def *definition) *view {
	v := &view{ready: make([]bool, len(c.indexes))}
	stale := func(what string) error { return fmt.Errorf("table %s: %w: %s", c.name, ErrStale, what) }
	if def.rowsID != c.rowsID {
		v.readErr = stale("it was dropped")
		return v
	}
	for i, x := range c.indexes {
		stored := def.byID(x.id)
		v.ready[i] = stored != nil && stored.ready
		if stored == nil && x.id < def.nextID {
			v.writeErr = stale("index " + x.name + " was dropped")
		}
	}
	for _, stored := range def.indexes {
		known := slices.ContainsFunc(c.indexes, func(x *index[R]) bool { return x.id == stored.id })
		if !known {
			v.writeErr = stale("index " + stored.name + " is new")
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

// Get returns the row with a primary key, or lightning.ErrNotFound.
func (t *Table[R, K]) Get(tx *lightning.Tx, key K) (R, error) {
	var none R
	if _, err := t.look(tx); err != nil {
		return none, err
	}
	primary, err := t.key.encode(nil, key)
	if err != nil {
		return none, t.keyError(err)
	}
	return t.get(tx.In(t.rows), primary)
}

func (c *core[R]) keyError(err error) error {
	return fmt.Errorf("table %s: primary key: %w", c.name, err)
}

// get reads a row. tx is the view of the rows.
func (c *core[R]) get(tx *lightning.Tx, primary []byte) (R, error) {
	var none R
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	data, err := tx.AppendGet((*buf)[:0], primary)
	*buf = data
	if err != nil {
		return none, err
	}
	return c.decode(primary, data)
}

func (c *core[R]) decode(primary, data []byte) (R, error) {
	rec, err := c.codec.Decode(data)
	if err != nil {
		err = fmt.Errorf("table %s: decode row %s: %w", c.name, keyenc.Format(primary), err)
	}
	return rec, err
}

// Put writes a row, in the place of the one that has its primary key, if any.
//
// Where a unique index has another row under a key of this one it fails with a
// *DuplicateError. On any error the transaction has written what it had before.
func (t *Table[R, K]) Put(tx *lightning.Tx, rec R) error { return t.put(tx, rec, true) }

// Insert is Put for a row that must not exist: if there is one with its primary
// key it fails with a *DuplicateError.
func (t *Table[R, K]) Insert(tx *lightning.Tx, rec R) error { return t.put(tx, rec, false) }

func (c *core[R]) put(tx *lightning.Tx, rec R, replace bool) error {
	v, err := c.writable(tx)
	if err != nil {
		return err
	}
	n, err := c.encode(rec)
	if err != nil {
		return err
	}
	if replace && len(c.indexes) > 0 {
		old, err := c.get(tx.In(c.rows), n.primary)
		if err == nil {
			return c.change(tx, v, n.primary, &old, n)
		}
		if !errors.Is(err, lightning.ErrNotFound) {
			return err
		}
		return c.change(tx, v, n.primary, nil, n)
	}
	exists, err := tx.In(c.rows).Has(n.primary)
	switch {
	case err != nil:
		return err
	case exists && !replace:
		return &DuplicateError{Table: c.name, Values: n.primary, Existing: n.primary, New: n.primary}
	case exists:
		return c.change(tx, v, n.primary, &n.rec, n) // no index asks what it was
	}
	return c.change(tx, v, n.primary, nil, n)
}

// stored is a row that is to be written: the record as it will be read.
type stored[R any] struct {
	rec           R
	primary, data []byte
}

// encode returns what is written for a record. All that is derived from it is
// derived from what its bytes are decoded as, so that a codec that loses something
// cannot make the indexes differ from the rows. The primary key it must not lose.
func (c *core[R]) encode(rec R) (*stored[R], error) {
	data, err := c.codec.Append(nil, rec)
	if err != nil {
		return nil, fmt.Errorf("table %s: encode row: %w", c.name, err)
	}
	n := &stored[R]{data: data}
	if n.rec, err = c.codec.Decode(data); err != nil {
		return nil, fmt.Errorf("table %s: decode row that was just encoded: %w", c.name, err)
	}
	given, err := c.key.one(nil, rec)
	if err != nil {
		return nil, c.keyError(err)
	}
	if n.primary, err = c.key.one(nil, n.rec); err != nil {
		return nil, c.keyError(err)
	}
	if !bytes.Equal(given, n.primary) {
		return nil, fmt.Errorf("table %s: row %s: %w, but makes it %s", c.name, keyenc.Format(given), ErrLostKey,
			keyenc.Format(n.primary))
	}
	return n, nil
}

// Update reads the row with a primary key, lets fn change it, and writes it. It
// fails with lightning.ErrNotFound if there is none, with the error that fn
// returns, with ErrKeyChanged if fn has changed the primary key, and as Put
// does.
func (t *Table[R, K]) Update(tx *lightning.Tx, key K, fn func(rec *R) error) error {
	v, primary, err := t.place(tx, key)
	if err != nil {
		return err
	}
	if fn == nil {
		return fmt.Errorf("table %s: %w", t.name, errNilFunction)
	}
	// It is read twice: what fn changes may share memory with what it was given.
	old, err := t.get(tx.In(t.rows), primary)
	if err != nil {
		return err
	}
	rec, err := t.get(tx.In(t.rows), primary)
	if err != nil {
		return err
	}
	if err := fn(&rec); err != nil {
		return err
	}
	n, err := t.core.encode(rec)
	if err != nil {
		return err
	}
	if !bytes.Equal(n.primary, primary) {
		return fmt.Errorf("table %s: row %s: %w to %s", t.name, keyenc.Format(primary), ErrKeyChanged,
			keyenc.Format(n.primary))
	}
	return t.change(tx, v, primary, &old, n)
}

// place is where a row with a primary key is written.
func (t *Table[R, K]) place(tx *lightning.Tx, key K) (v *view, primary []byte, err error) {
	if v, err = t.writable(tx); err != nil {
		return nil, nil, err
	}
	if primary, err = t.key.encode(nil, key); err != nil {
		return nil, nil, t.keyError(err)
	}
	return v, primary, nil
}

// Delete removes the row with a primary key. Deleting a row that does not exist
// is no error.
func (t *Table[R, K]) Delete(tx *lightning.Tx, key K) error {
	v, primary, err := t.place(tx, key)
	if err != nil {
		return err
	}
	old, err := t.get(tx.In(t.rows), primary)
	if errors.Is(err, lightning.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.change(tx, v, primary, &old, nil)
}

// edit is what a change of a row does to an index.
type edit struct{ removed, added []entry }

// change turns a row into another one; nil stands for none. It writes all of it
// or nothing.
func (c *core[R]) change(tx *lightning.Tx, v *view, primary []byte, old *R, new *stored[R]) error {
	edits := make([]edit, len(c.indexes))
	for i, x := range c.indexes {
		var err error
		if edits[i], err = x.edit(tx, v.ready[i], primary, old, new); err != nil {
			return c.describe(err, primary)
		}
	}
	before := tx.Savepoint()
	if err := c.apply(tx, primary, new, edits); err != nil {
		return errors.Join(c.describe(err, primary), tx.RollbackTo(before))
	}
	c.count(old != nil, new != nil, edits)
	return nil
}

// describe says of which row an error is, unless the error does.
func (c *core[R]) describe(err error, primary []byte) error {
	var duplicate *DuplicateError
	if errors.As(err, &duplicate) {
		duplicate.Table = c.name
		return duplicate
	}
	return fmt.Errorf("table %s: row %s: %w", c.name, keyenc.Format(primary), err)
}

func (c *core[R]) apply(tx *lightning.Tx, primary []byte, new *stored[R], edits []edit) error {
	rows := tx.In(c.rows)
	if new != nil {
		if err := rows.Put(primary, new.data); err != nil {
			return err
		}
	} else if err := rows.Delete(primary); err != nil {
		return err
	}
	for i, x := range c.indexes {
		entries := tx.In(x.keyspace)
		for _, e := range edits[i].removed {
			if err := entries.Delete(e.key); err != nil {
				return fmt.Errorf("index %s: %w", x.name, err)
			}
		}
		for _, e := range edits[i].added {
			if err := entries.Put(e.key, e.value); err != nil {
				return fmt.Errorf("index %s: %w", x.name, err)
			}
		}
	}
	return nil
}

// edit returns what to do when a row is changed, after having looked for
// duplicates.
func (x *index[R]) edit(
	tx *lightning.Tx, ready bool, primary []byte, old *R, new *stored[R],
) (edit, error) {
	var was, is []entry
	var err error
	if old != nil {
		if was, err = x.entries(*old, primary); err != nil {
			return edit{}, err
		}
	}
	if new != nil {
		if is, err = x.entries(new.rec, primary); err != nil {
			return edit{}, err
		}
	}
	var change edit
	change.removed, change.added = difference(was, is)
	if !x.unique {
		return change, nil
	}
	tx = tx.In(x.keyspace)
	for _, e := range change.added {
		if _, err := x.vacant(tx, e, primary); err != nil {
			return edit{}, err
		}
	}
	if !ready {
		// An entry that the builder has not come to may be another row's.
		change.removed, err = x.own(tx, change.removed)
	}
	return change, err
}

// vacant fails with a *DuplicateError if an entry of a unique index is another
// row's. It reports whether there is none at all.
func (x *index[R]) vacant(tx *lightning.Tx, e entry, primary []byte) (bool, error) {
	value, err := tx.AppendGet(nil, e.key)
	if errors.Is(err, lightning.ErrNotFound) {
		return true, nil
	}
	if err != nil || bytes.Equal(value, e.value) {
		return false, err
	}
	p, err := x.decode(nil, e.key, value)
	if err != nil {
		return false, err
	}
	return false, &DuplicateError{
		Index: x.name, Values: bytes.Clone(e.key), Existing: p.primary, New: bytes.Clone(primary),
	}
}

// own returns the entries that are in a unique index as they are here.
func (x *index[R]) own(tx *lightning.Tx, entries []entry) ([]entry, error) {
	var kept []entry
	for _, e := range entries {
		value, err := tx.AppendGet(nil, e.key)
		if err != nil && !errors.Is(err, lightning.ErrNotFound) {
			return nil, err
		}
		if err == nil && bytes.Equal(value, e.value) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}
