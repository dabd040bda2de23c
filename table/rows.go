package table

import (
	"bytes"
	"fmt"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// Rows are the rows of a table in a transaction: Table.In makes them. Like the
// transaction they are used by one goroutine at a time. The verbs of Table of the same
// names make a transaction for one call.
type Rows[R, K any] struct {
	table *Table[R, K]
	tx    *lightning.Tx
}

// In returns the rows of the table as a transaction sees and changes them. Rows of any
// number of tables, and other keys, change together in one transaction.
//
// A transaction that changes rows must be strictly serializable, which it is by
// default.
func (t *Table[R, K]) In(tx *lightning.Tx) Rows[R, K] { return Rows[R, K]{t, tx} }

// look returns the definition, for verbs that read.
func (r Rows[R, K]) look() (*view, error) {
	if r.table == nil {
		return nil, lightning.ErrClosed
	}
	return r.table.look(r.tx)
}

// writable returns the definition, for verbs that change rows.
func (r Rows[R, K]) writable() (*view, error) {
	if r.table == nil {
		return nil, lightning.ErrClosed
	}
	return r.table.writable(r.tx)
}

// Get returns the row with a primary key, or lightning.ErrNotFound.
func (r Rows[R, K]) Get(key K) (R, error) {
	var none R
	if _, err := r.look(); err != nil {
		return none, err
	}
	primary, err := r.table.primary(key)
	if err != nil {
		return none, err
	}
	return r.table.get(r.tx.In(r.table.rows), primary)
}

// Has reports whether there is a row with a primary key. It does not decode it.
func (r Rows[R, K]) Has(key K) (bool, error) {
	if _, err := r.look(); err != nil {
		return false, err
	}
	primary, err := r.table.primary(key)
	if err != nil {
		return false, err
	}
	return r.tx.In(r.table.rows).Has(primary)
}

// Put writes a row, in the place of the one that has its primary key, if any.
//
// Where a unique index has another row under a key of this one it fails with a
// *DuplicateError. On any error the transaction has written what it had before.
func (r Rows[R, K]) Put(rec R) error {
	v, err := r.writable()
	if err != nil {
		return err
	}
	return r.table.put(r.tx, v, rec, true)
}

// Insert is Put for a row that must not exist: if there is one with its primary
// key it fails with a *DuplicateError.
func (r Rows[R, K]) Insert(rec R) error {
	v, err := r.writable()
	if err != nil {
		return err
	}
	return r.table.put(r.tx, v, rec, false)
}

// Update reads the row with a primary key, lets fn change it, and writes it. It
// fails with lightning.ErrNotFound if there is none, with the error that fn
// returns, with ErrKeyChanged if fn has changed the primary key, and as Put
// does.
func (r Rows[R, K]) Update(key K, fn func(rec *R) error) error {
	v, primary, err := r.place(key)
	if err != nil {
		return err
	}
	if fn == nil {
		return fmt.Errorf("table %s: %w", r.table.name, errNilFunction)
	}
	return r.table.update(r.tx, v, primary, fn)
}

// update lets fn change a row that is there.
func (c *core[R]) update(tx *lightning.Tx, v *view, primary []byte, fn func(rec *R) error) error {
	// It is read twice: what fn changes may share memory with what it was given.
	old, err := c.load(tx, v, primary)
	if err != nil {
		return err
	}
	rec, err := c.get(tx.In(c.rows), primary)
	if err != nil {
		return err
	}
	if err := fn(&rec); err != nil {
		return err
	}
	n, err := c.encode(rec)
	if err != nil {
		return err
	}
	if !bytes.Equal(n.primary, primary) {
		return fmt.Errorf("table %s: row %s: %w to %s", c.name, keyenc.Format(primary), ErrKeyChanged,
			keyenc.Format(n.primary))
	}
	n.life = c.lifetimeOf(n.rec, old)
	return c.change(tx, v, primary, old, n)
}

// Delete removes the row with a primary key. Deleting a row that does not exist
// is no error.
func (r Rows[R, K]) Delete(key K) error {
	v, primary, err := r.place(key)
	if err != nil {
		return err
	}
	_, err = r.table.remove(r.tx, v, primary)
	return err
}

// remove deletes a row, and reports whether there was one.
func (c *core[R]) remove(tx *lightning.Tx, v *view, primary []byte) (bool, error) {
	old, err := c.loadIfThere(tx, v, primary)
	if old == nil || err != nil {
		return false, err
	}
	return true, c.change(tx, v, primary, old, nil)
}

// place is where a row with a primary key is written.
func (r Rows[R, K]) place(key K) (v *view, primary []byte, err error) {
	if v, err = r.writable(); err != nil {
		return nil, nil, err
	}
	primary, err = r.table.primary(key)
	return v, primary, err
}

// Query returns the query for all rows.
func (r Rows[R, K]) Query() Query[R] {
	q := Query[R]{tx: r.tx}
	if r.table != nil {
		q.core = r.table.core
	}
	return q
}
