package table

import (
	"time"

	"github.com/lightningdb/lightning"
)

// The verbs of a table without a transaction of the caller: each makes one for the
// call. Those that write run again after a conflict, as lightning.DB.Update does, and
// return when what they have written is as durable as the database makes it.

// read runs fn in a read-only transaction.
func (t *Table[R, K]) read(fn func(rows Rows[R, K]) error) error {
	if t.core == nil {
		return lightning.ErrClosed
	}
	return t.db.View(func(tx *lightning.Tx) error { return fn(t.In(tx)) })
}

// write runs fn in a transaction that is committed.
func (t *Table[R, K]) write(fn func(rows Rows[R, K]) error) error {
	if t.core == nil {
		return lightning.ErrClosed
	}
	return t.db.Update(func(tx *lightning.Tx) error { return fn(t.In(tx)) })
}

// Get is Rows.Get in a transaction of its own.
func (t *Table[R, K]) Get(key K) (rec R, err error) {
	err = t.read(func(rows Rows[R, K]) error {
		rec, err = rows.Get(key)
		return err
	})
	return rec, err
}

// Has is Rows.Has in a transaction of its own.
func (t *Table[R, K]) Has(key K) (has bool, err error) {
	err = t.read(func(rows Rows[R, K]) error {
		has, err = rows.Has(key)
		return err
	})
	return has, err
}

// Put is Rows.Put in a transaction of its own. Many rows are faster in one transaction.
func (t *Table[R, K]) Put(rec R) error {
	return t.write(func(rows Rows[R, K]) error { return rows.Put(rec) })
}

// PutWithTTL is Rows.PutWithTTL in a transaction of its own. After a conflict the time
// begins anew.
func (t *Table[R, K]) PutWithTTL(rec R, ttl time.Duration) error {
	return t.write(func(rows Rows[R, K]) error { return rows.PutWithTTL(rec, ttl) })
}

// Touch is Rows.Touch in a transaction of its own.
func (t *Table[R, K]) Touch(key K, ttl time.Duration) error {
	return t.write(func(rows Rows[R, K]) error { return rows.Touch(key, ttl) })
}

// ExpiresAt is Rows.ExpiresAt in a transaction of its own.
func (t *Table[R, K]) ExpiresAt(key K) (at time.Time, err error) {
	err = t.read(func(rows Rows[R, K]) error {
		at, err = rows.ExpiresAt(key)
		return err
	})
	return at, err
}

// Insert is Rows.Insert in a transaction of its own.
func (t *Table[R, K]) Insert(rec R) error {
	return t.write(func(rows Rows[R, K]) error { return rows.Insert(rec) })
}

// Update is Rows.Update in a transaction of its own. After a conflict fn is called
// again, with the row as it is then.
func (t *Table[R, K]) Update(key K, fn func(rec *R) error) error {
	return t.write(func(rows Rows[R, K]) error { return rows.Update(key, fn) })
}

// Delete is Rows.Delete in a transaction of its own.
func (t *Table[R, K]) Delete(key K) error {
	return t.write(func(rows Rows[R, K]) error { return rows.Delete(key) })
}

// Query returns the query for all rows. What it reads is of the moment at which it is
// run, each time: a loop over Query.All sees no changes that come after it has begun.
func (t *Table[R, K]) Query() Query[R] { return Query[R]{core: t.core, alone: true} }

// Check is Rows.Check in a transaction of its own.
func (t *Table[R, K]) Check() error { return t.read(Rows[R, K].Check) }
