package table

import (
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
)

// A row and all of its index entries are written until the same instant. A transaction
// lives at one moment, so it sees all of them or none: a row that has expired is in no
// query and no count, and no longer has its values in unique indexes. Nothing is written
// when a row expires.
//
// Invariant: where a row has an entry in an index, both expire at the same instant. So a
// row whose instant changes is written with all its entries, those that stay as they are
// included. A transaction that has read a row which expires before it commits is in
// conflict, so nobody gives new life to a row whose unique values have been taken.

// Expiry says when the rows of a table expire. It is not stored: it holds for what is
// written from then on. What is said first of the following holds for a row:
// PutWithTTL; At, where it returns a time; Keep; TTL.
type Expiry[R any] struct {
	// TTL is how long a row lives after it was written; 0: for ever.
	TTL time.Duration
	// At returns when a row expires, the zero time if it does not say. It must depend on
	// the record only. A row whose time has passed is gone as soon as it is written.
	At func(rec R) time.Time
	// Keep lets a row that is changed, or put in the place of another one, expire when
	// the one before it did. Without it every write begins the TTL anew.
	Keep bool
}

// check says what cannot be.
func (e *Expiry[R]) check() string {
	if e != nil && e.TTL < 0 {
		return fmt.Sprintf("TTL is %v, and cannot be negative; 0 is for ever", e.TTL)
	}
	return ""
}

// lifetime is how long something is to live: until an instant, or for a time that
// begins when it is written. The zero lifetime has no end.
type lifetime struct {
	until time.Time
	ttl   time.Duration // 0: until counts
}

// lifetimeOf returns how long a row is to live, by what the schema says. old is what it
// takes the place of, or nil.
func (c *core[R]) lifetimeOf(rec R, old *stored[R]) lifetime {
	e := c.expiry
	if e == nil {
		return lifetime{}
	}
	if e.At != nil {
		if at := e.At(rec); !at.IsZero() {
			return lifetime{until: at}
		}
	}
	if e.Keep && old != nil {
		return lifetime{until: old.life.until}
	}
	return lifetime{ttl: e.TTL}
}

// put writes a key, and returns until when.
func (l lifetime) put(tx *lightning.Tx, key, value []byte) (time.Time, error) {
	if l.ttl == 0 {
		return l.until, tx.PutUntil(key, value, l.until)
	}
	if err := tx.PutWithTTL(key, value, l.ttl); err != nil {
		return time.Time{}, err
	}
	return tx.ExpiresAt(key)
}

// load reads a row that is to be changed: the record, and when it expires. It fails with
// lightning.ErrNotFound if there is none.
func (c *core[R]) load(tx *lightning.Tx, v *view, primary []byte) (*stored[R], error) {
	tx = tx.In(c.rows)
	rec, err := c.get(tx, primary)
	if err != nil {
		return nil, err
	}
	s := &stored[R]{rec: rec, primary: primary}
	if v.expires {
		s.life.until, err = tx.ExpiresAt(primary)
	}
	return s, err
}

// loadIfThere is load, with nil for a row that does not exist.
func (c *core[R]) loadIfThere(tx *lightning.Tx, v *view, primary []byte) (*stored[R], error) {
	s, err := c.load(tx, v, primary)
	if errors.Is(err, lightning.ErrNotFound) {
		return nil, nil
	}
	return s, err
}

// expiring is writable for verbs that say how long a row lives.
func (r Rows[R, K]) expiring() (*view, error) {
	v, err := r.writable()
	if err == nil && !v.expires {
		err = fmt.Errorf("table %s: %w", r.table.name, ErrNoExpiry)
	}
	return v, err
}

// PutWithTTL is Put for a row that lives for ttl from now on, whatever Schema.Expiry says;
// with lightning.Forever it does not expire. Where the schema declares no Expiry it fails
// with ErrNoExpiry.
func (r Rows[R, K]) PutWithTTL(rec R, ttl time.Duration) error {
	v, err := r.expiring()
	if err != nil {
		return err
	}
	life, err := lifetimeFor(ttl)
	if err != nil {
		return fmt.Errorf("table %s: %w", r.table.name, err)
	}
	n, err := r.table.encode(rec)
	if err != nil {
		return err
	}
	old, err := r.table.loadIfThere(r.tx, v, n.primary)
	if err != nil {
		return err
	}
	n.life = life
	return r.table.change(r.tx, v, n.primary, old, n)
}

// lifetimeFor returns the lifetime that a caller asks for.
func lifetimeFor(ttl time.Duration) (lifetime, error) {
	switch {
	case ttl == lightning.Forever:
		return lifetime{}, nil
	case ttl <= 0:
		return lifetime{}, fmt.Errorf("%w: %v is not positive", lightning.ErrTTL, ttl)
	}
	return lifetime{ttl: ttl}, nil
}

// Touch lets the row with a primary key live for ttl from now on, longer or shorter than
// it would have; with lightning.Forever it does not expire. It fails with
// lightning.ErrNotFound if there is none, and otherwise as PutWithTTL does, and costs as much.
func (r Rows[R, K]) Touch(key K, ttl time.Duration) error {
	v, err := r.expiring()
	if err != nil {
		return err
	}
	primary, err := r.table.primary(key)
	if err != nil {
		return err
	}
	old, err := r.table.load(r.tx, v, primary)
	if err != nil {
		return err
	}
	n, err := r.table.encode(old.rec)
	if err != nil {
		return err
	}
	if n.life, err = lifetimeFor(ttl); err != nil {
		return fmt.Errorf("table %s: %w", r.table.name, err)
	}
	return r.table.change(r.tx, v, primary, old, n)
}

// ExpiresAt returns when the row with a primary key expires, the zero time if never; or
// lightning.ErrNotFound.
func (r Rows[R, K]) ExpiresAt(key K) (time.Time, error) {
	if _, err := r.look(); err != nil {
		return time.Time{}, err
	}
	primary, err := r.table.primary(key)
	if err != nil {
		return time.Time{}, err
	}
	return r.tx.In(r.table.rows).ExpiresAt(primary)
}
