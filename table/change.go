package table

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// What the verbs of a table come to: rows are read and decoded, encoded, and changed
// together with their index entries. All of it happens in one transaction, and needs
// no lock but that.

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
	rec, err := c.decodeVersion(data)
	if err != nil {
		err = fmt.Errorf("table %s: decode row %s: %w", c.name, keyenc.Format(primary), err)
	}
	return rec, err
}

// put writes a row; replace says that there may be one with its primary key.
func (c *core[R]) put(tx *lightning.Tx, v *view, rec R, replace bool) error {
	n, err := c.encode(rec)
	if err != nil {
		return err
	}
	if replace && (len(c.indexes) > 0 || v.expires) {
		old, err := c.loadIfThere(tx, v, n.primary)
		if err != nil {
			return err
		}
		n.life = c.lifetimeOf(n.rec, old)
		return c.change(tx, v, n.primary, old, n)
	}
	exists, err := tx.In(c.rows).Has(n.primary)
	if err != nil {
		return err
	}
	if exists && !replace {
		return &DuplicateError{Table: c.name, Values: n.primary, Existing: n.primary, New: n.primary}
	}
	n.life = c.lifetimeOf(n.rec, nil)
	if exists {
		return c.change(tx, v, n.primary, n, n) // no index asks what it was
	}
	return c.change(tx, v, n.primary, nil, n)
}

// stored is a row that is there, or is to be written: the record as it will be read.
type stored[R any] struct {
	rec           R
	primary, data []byte // data only of one that is to be written
	life          lifetime
}

// encode returns what is written for a record. All that is derived from it is
// derived from what its bytes are decoded as, so that a codec that loses something
// cannot make the indexes differ from the rows. The primary key it must not lose.
func (c *core[R]) encode(rec R) (*stored[R], error) {
	data, err := c.codec.Append(nil, rec)
	if err != nil {
		return nil, fmt.Errorf("table %s: encode row: %w", c.name, err)
	}
	n := &stored[R]{data: c.versions.frame(data)}
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

// edit is what a change of a row does to an index. Entries that are kept are written
// again if the row expires at another instant than it did.
type edit struct{ removed, added, kept []entry }

// change turns a row into another one; nil stands for none. It writes all of it
// or nothing.
func (c *core[R]) change(tx *lightning.Tx, v *view, primary []byte, old, new *stored[R]) error {
	edits := make([]edit, len(c.indexes))
	for i, x := range c.indexes {
		var err error
		if edits[i], err = x.edit(tx, v.ready[i], primary, old, new); err != nil {
			return c.describe(err, primary)
		}
	}
	before := tx.Savepoint()
	if err := c.apply(tx, v, old, new, primary, edits); err != nil {
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

func (c *core[R]) apply(tx *lightning.Tx, v *view, old, new *stored[R], primary []byte, edits []edit) error {
	rows := tx.In(c.rows)
	var until time.Time
	if new != nil {
		var err error
		if until, err = new.life.put(rows, primary, new.data); err != nil {
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
		written := edits[i].added
		if v.expires && old != nil && !until.Equal(old.life.until) {
			written = append(written, edits[i].kept...)
		}
		for _, e := range written {
			if err := entries.PutUntil(e.key, e.value, until); err != nil {
				return fmt.Errorf("index %s: %w", x.name, err)
			}
		}
	}
	return nil
}

// edit returns what to do when a row is changed, after having looked for
// duplicates.
func (x *index[R]) edit(
	tx *lightning.Tx, ready bool, primary []byte, old, new *stored[R],
) (edit, error) {
	var was, is []entry
	var err error
	if old != nil {
		if was, err = x.entries(old.rec, primary); err != nil {
			return edit{}, err
		}
	}
	if new != nil {
		if is, err = x.entries(new.rec, primary); err != nil {
			return edit{}, err
		}
	}
	change := difference(was, is)
	if !x.unique {
		return change, nil
	}
	tx = tx.In(x.keyspace)
	for _, e := range change.added {
		if _, err := x.vacant(tx, e, primary); err != nil {
			return edit{}, err
		}
	}
	if ready {
		return change, nil
	}
	// An entry that the builder has not come to may be another row's.
	if change.removed, err = x.own(tx, change.removed); err != nil {
		return edit{}, err
	}
	change.kept, err = x.own(tx, change.kept)
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
