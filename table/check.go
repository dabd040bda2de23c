package table

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// Check compares all rows with all indexes that are ready, and returns an error
// that matches lightning.ErrCorrupted for the first thing that is out of step:
// because stored bytes were damaged, because a column computes something else
// than it did, or because rows were written past the table. It reads everything.
func (r Rows[R, K]) Check() error {
	v, err := r.look()
	if err != nil {
		return err
	}
	t, tx := r.table.core, r.tx
	wanted := make([]int64, len(t.indexes))
	_, err = survey(tx.In(t.rows), func(it *lightning.Iterator) error {
		key, value := it.Key(), it.Value()
		rec, err := t.decode(key, value)
		if err != nil {
			return err
		}
		primary, err := t.key.one(nil, rec)
		if err != nil || !bytes.Equal(primary, key) {
			return errors.Join(err, fmt.Errorf("table %s: row %s has the primary key %s: %w", t.name,
				keyenc.Format(key), keyenc.Format(primary), lightning.ErrCorrupted))
		}
		for i, x := range t.indexes {
			if !v.ready[i] {
				continue
			}
			n, err := x.check(tx.In(x.keyspace), v, rec, primary, it.ExpiresAt())
			if err != nil {
				return t.describe(err, primary)
			}
			wanted[i] += int64(n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, x := range t.indexes {
		if !v.ready[i] {
			continue
		}
		found, err := x.survey(tx.In(x.keyspace))
		if err == nil && found.Entries != wanted[i] {
			err = fmt.Errorf("index %s has %d entries and should have %d: %w", x.name, found.Entries, wanted[i],
				lightning.ErrCorrupted)
		}
		if err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}

// check returns how many entries a row has, all of which must be there, and until when
// the row is.
func (x *index[R]) check(tx *lightning.Tx, v *view, rec R, primary []byte, until time.Time) (int, error) {
	entries, err := x.entries(rec, primary)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		value, err := tx.AppendGet(nil, e.key)
		if err != nil && !errors.Is(err, lightning.ErrNotFound) {
			return 0, err
		}
		if err != nil || !bytes.Equal(value, e.value) {
			return 0, fmt.Errorf("index %s lacks the entry %s: %w", x.name, keyenc.Format(e.key),
				lightning.ErrCorrupted)
		}
		if !v.expires {
			continue
		}
		if at, err := tx.ExpiresAt(e.key); err != nil || !at.Equal(until) {
			return 0, errors.Join(err, fmt.Errorf("index %s: entry %s expires at %v and its row at %v: %w", x.name,
				keyenc.Format(e.key), at, until, lightning.ErrCorrupted))
		}
	}
	return len(entries), nil
}
