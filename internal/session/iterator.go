package session

import (
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
)

// Iterator walks the rows of a range as a transaction sees them at the moment in
// which it is made: later writes of the transaction do not change what it shows.
// If any of it is rolled back, it fails with ErrRolledBack. What it examines counts as
// read. It is positioned with internal keys, and Key leaves the prefix out.
//
// Whoever moves or closes it, or asks for its error, enters Tx.InUse. Moves fail once
// the transaction has ended, or cannot be used for another reason, and Err says so. It
// must be closed in any case: it holds files and memory.
type Iterator struct {
	tx     *Tx
	rows   *view.Iterator
	cursor *txn.Cursor // nil once closed; over the rows
	prefix int         // bytes of each key that Key leaves out
	err    error

	// key and value are what a transaction that may write shows. What it has written
	// is what it commits, and what it has examined is what its commit checks: neither
	// may be where users can write to.
	key, value []byte
}

// Iterator returns an iterator over a part of keyspace k.
func (tx *Tx) Iterator(k *Keyspace, b Bounds) (*Iterator, error) {
	if err := enter(tx); err != nil {
		return nil, err
	}
	defer tx.inUse.Leave()
	if err := tx.Usable(); err != nil {
		return nil, err
	}
	tx.use(k)
	b.Word = &tx.inUse
	rows, err := tx.manager.engine.rows(tx.snap, b)
	if err != nil {
		return nil, err
	}
	c, err := txn.NewCursor(txn.Scope{
		Rows: rows, Lower: b.Lower, Upper: b.Upper, Reads: tx.tracked(),
		Expires: tx.snap.Expires(), Operators: tx.manager.engine, KeysOnly: b.KeysOnly,
	}, tx.changes.written())
	if err != nil {
		_ = rows.Close() // just opened
		return nil, err
	}
	tx.hasRead = true
	it := &Iterator{tx: tx, rows: rows, cursor: c, prefix: b.PrefixBytes, key: []byte{}, value: []byte{}}
	tx.iterators = append(tx.iterators, it)
	return it, nil
}

// Opened returns when, and where, the iterator was opened.
func (it *Iterator) Opened() view.Opened { return it.rows.Opened() }

// usable reports whether the iterator can be moved, and notes why not.
func (it *Iterator) usable() bool {
	if it.cursor == nil {
		it.err = base.ErrInvalidHandle
		return false
	}
	if err := it.tx.Usable(); err != nil {
		it.err = err
		return false
	}
	return it.err == nil // or it was rolled back
}

// First moves to the first row; it returns false when there is none or on an
// error.
func (it *Iterator) First() bool { return it.usable() && it.cursor.First() }

// Last moves to the last row.
func (it *Iterator) Last() bool { return it.usable() && it.cursor.Last() }

// SeekGE moves to the first row whose internal key is at least key.
func (it *Iterator) SeekGE(key []byte) bool { return it.usable() && it.cursor.SeekGE(key) }

// SeekLT moves to the last row whose internal key is less than key.
func (it *Iterator) SeekLT(key []byte) bool { return it.usable() && it.cursor.SeekLT(key) }

// Next moves to the next row.
func (it *Iterator) Next() bool { return it.usable() && it.cursor.Next() }

// Prev moves to the previous row.
func (it *Iterator) Prev() bool { return it.usable() && it.cursor.Prev() }

// Valid reports whether the iterator stands on a row. It, Key, Value and Expiry may
// be called by one who has not entered Tx.InUse, if he throws away what they
// return when somebody was in meanwhile: they look at each thing once.
func (it *Iterator) Valid() bool { return it.onRow() != nil }

// onRow returns the cursor if it stands on a row that may be shown, or else nil.
func (it *Iterator) onRow() *txn.Cursor {
	c := it.cursor
	if c == nil || it.err != nil || !c.Valid() {
		return nil
	}
	return c
}

// Key returns the row's key without the prefix, valid until the next move; nil
// when the iterator stands on no row.
func (it *Iterator) Key() []byte {
	c := it.onRow()
	if c == nil {
		return nil
	}
	key := base.CutPrefix(c.Key(), it.prefix)
	if it.tx.options.ReadOnly {
		return key
	}
	it.key = append(it.key[:0], key...)
	return it.key
}

// Value returns the row's value. See Key.
func (it *Iterator) Value() []byte {
	c := it.onRow()
	switch {
	case c == nil:
		return nil
	case !c.ShowsOwn():
		return c.Value()
	}
	it.value = append(it.value[:0], c.Value()...)
	return it.value
}

// Expiry returns when the row expires, 0 if never.
func (it *Iterator) Expiry() base.Instant {
	if c := it.onRow(); c != nil {
		return c.Expiry()
	}
	return 0
}

// Err returns what stopped the iterator, nil if it merely reached an end.
func (it *Iterator) Err() error {
	switch {
	case it.err != nil:
		return it.err
	case it.cursor == nil:
		return base.ErrInvalidHandle
	}
	return it.cursor.Err()
}

// Close releases what the iterator holds. It returns the iterator's error; a
// second call returns base.ErrInvalidHandle.
func (it *Iterator) Close() error {
	if it.cursor == nil {
		return base.ErrInvalidHandle
	}
	err := it.Err()
	c := it.cursor
	it.cursor = nil
	it.tx.iterators = slices.DeleteFunc(it.tx.iterators, func(o *Iterator) bool { return o == it })
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}
