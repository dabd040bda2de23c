package lightning_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestUpdateEnds: an Update that can never succeed, because its function writes
// around the transaction what it has read through it, ends with an error that names
// the key. It ran for ever.
func TestUpdateEnds(t *testing.T) {
	db := open(t, small(memfs.New()))
	for _, o := range []lightning.TxOptions{{MaxTries: 7}, {MaxTime: time.Millisecond}} {
		tries := 0
		err := db.UpdateWith(o, func(tx *lightning.Tx) error {
			tries++
			_, err := tx.Get([]byte("k"))
			if err != nil && !errors.Is(err, lightning.ErrNotFound) {
				return err
			}
			return errors.Join(tx.Put([]byte("other"), nil), db.Put([]byte("k"), []byte{byte(tries)}))
		})
		var given *lightning.TooManyConflictsError
		var conflict *lightning.ConflictError
		if !errors.As(err, &given) || !errors.Is(err, lightning.ErrTooManyConflicts) || given.Tries != tries ||
			!errors.As(err, &conflict) || string(conflict.Key) != "\x00k" {
			t.Errorf("%+v: after %d tries: %v", o, tries, err)
		}
		if o.MaxTries > 0 && tries != o.MaxTries {
			t.Errorf("%d tries, not %d", tries, o.MaxTries)
		}
	}
}

// TestUpdateRetriesWhatLocksMeet: a conflict that a lock meets early is tried again
// like one of the commit, also where the function wraps it; one of another
// transaction, or an error of its own, is not.
func TestUpdateRetriesWhatLocksMeet(t *testing.T) {
	db := open(t, small(memfs.New()))
	must(t, db.Put([]byte("k"), []byte("0")))
	tries := 0
	must(t, db.Update(func(tx *lightning.Tx) error {
		tries++
		if _, err := tx.Get([]byte("k")); err != nil {
			return err
		}
		if tries < 3 {
			must(t, db.Put([]byte("k"), []byte{byte(tries)}))
		}
		if _, err := tx.GetForUpdate([]byte("k")); err != nil {
			return errors.Join(errors.New("wrapped"), err)
		}
		return tx.Put([]byte("k"), []byte("done"))
	}))
	if v, err := db.Get([]byte("k")); tries != 3 || string(v) != "done" || err != nil {
		t.Errorf("after %d tries: %q, %v", tries, v, err)
	}
	foreign := &lightning.ConflictError{Key: []byte("x")}
	tries = 0
	err := db.Update(func(*lightning.Tx) error { tries++; return foreign })
	if tries != 1 || !errors.Is(err, foreign) {
		t.Errorf("another's conflict: %d tries, %v", tries, err)
	}
}

// TestLockOfTheOuterTransaction: who waits for a lock that the transaction around him
// has does not wait for ever.
func TestLockOfTheOuterTransaction(t *testing.T) {
	db := open(t, small(memfs.New()))
	err := db.Update(func(outer *lightning.Tx) error {
		if _, err := outer.GetForUpdate([]byte("k")); !errors.Is(err, lightning.ErrNotFound) {
			return err
		}
		return db.UpdateWith(lightning.TxOptions{LockTimeout: time.Millisecond}, func(inner *lightning.Tx) error {
			_, err := inner.GetForUpdate([]byte("k"))
			return err
		})
	})
	wantErr(t, err, lightning.ErrLockTimeout)
}
