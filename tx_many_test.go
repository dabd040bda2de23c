package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// gotten is what a get answers, as text.
func gotten(value []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q", value)
}

// A MultiGet of a transaction answers for each key what Get does, in the order of the keys,
// whatever the transaction has written, in memory or in files.
func TestTxMultiGet(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		db := open(t, small(memfs.New()))
		if seed%2 == 0 {
			lightning.SpillAt(db, 0)
		}
		k, err := db.Keyspace(context.Background(), "k", &lightning.KeyspaceOptions{Merge: lightning.MergeAppend})
		must(t, err)
		key := func() []byte { return fmt.Appendf(nil, "k%02d", rng.IntN(30)) }
		for range 40 {
			must(t, k.Put(key(), fmt.Append(nil, rng.IntN(100))))
		}
		must(t, db.Flush(context.Background()))
		must(t, k.Merge(key(), []byte("+")))
		tx, err := db.Begin(lightning.TxOptions{ReadOnly: seed%5 == 4})
		must(t, err)
		in := tx.In(k)
		for range 30 {
			if seed%5 == 4 {
				break
			}
			switch rng.IntN(4) {
			case 0:
				must(t, in.Put(key(), fmt.Append(nil, "own", rng.IntN(100))))
			case 1:
				must(t, in.Delete(key()))
			case 2:
				must(t, in.Merge(key(), []byte("!")))
			default:
				if lo, hi := key(), key(); rng.IntN(4) == 0 && bytes.Compare(lo, hi) < 0 {
					must(t, in.DeleteRange(lo, hi))
				}
			}
		}
		for range 10 {
			keys := make([][]byte, rng.IntN(20))
			for i := range keys {
				keys[i] = key()
			}
			var order [][]byte
			must(t, in.MultiGet(keys, func(i int, value []byte, err error) error {
				order = append(order, keys[i])
				if got, want := gotten(value, err), gotten(in.Get(keys[i])); got != want {
					t.Errorf("seed %d: %q is %s, Get says %s", seed, keys[i], got, want)
				}
				return nil
			}))
			if len(order) != len(keys) || !slices.IsSortedFunc(order, bytes.Compare) {
				t.Errorf("seed %d: asked for %q, got %q", seed, keys, order)
			}
		}
		must(t, tx.Commit())
		must(t, db.Close())
	}
}

// What MultiGet has shown must still hold when the transaction commits, and nothing else.
func TestTxMultiGetConflicts(t *testing.T) {
	stop := errors.New("stop")
	for _, c := range []struct {
		name, change string
		until        int // fn stops behind so many keys
		conflict     bool
	}{
		{"a key that was there", "a", 9, true},
		{"a key that was absent", "b", 9, true},
		{"a key that nobody asked for", "x", 9, false},
		{"a key that it wrote before", "own", 9, false},
		{"a key before the stop", "a", 1, true},
		{"a key behind the stop", "c", 2, false},
	} {
		db := open(t, small(memfs.New()))
		must(t, db.Put([]byte("a"), []byte("1")))
		must(t, db.Put([]byte("c"), []byte("1")))
		tx, err := db.Begin(lightning.TxOptions{})
		must(t, err)
		must(t, tx.Put([]byte("own"), []byte("mine")))
		seen := 0
		err = tx.MultiGet([][]byte{[]byte("own"), []byte("c"), []byte("b"), []byte("a")}, func(int, []byte, error) error {
			if seen++; seen == c.until {
				return stop
			}
			return nil
		})
		if c.until < 9 {
			wantErr(t, err, stop)
		} else {
			must(t, err)
		}
		must(t, db.Put([]byte(c.change), []byte("changed")))
		if err := tx.Commit(); errors.Is(err, lightning.ErrConflict) != c.conflict {
			t.Errorf("%s: commit returns %v", c.name, err)
		}
		must(t, db.Close())
	}
}

// The function may use the transaction: keys that are still to come show what it writes.
func TestTxMultiGetWhileWriting(t *testing.T) {
	db := open(t, small(memfs.New()))
	for _, key := range []string{"a", "b", "c"} {
		must(t, db.Put([]byte(key), []byte("old")))
	}
	keys := [][]byte{[]byte("a"), []byte("b"), []byte("c"), []byte("d")}
	tx, err := db.Begin(lightning.TxOptions{})
	must(t, err)
	must(t, tx.Put([]byte("d"), []byte("own")))
	var seen []string
	must(t, tx.MultiGet(keys, func(i int, value []byte, err error) error {
		if i == 0 {
			must(t, tx.Put([]byte("b"), []byte("new")))
			must(t, tx.Delete([]byte("c")))
			must(t, tx.Put([]byte("d"), []byte("newer")))
		}
		seen = append(seen, gotten(value, err))
		return nil
	}))
	if got, want := fmt.Sprint(seen), `["old" "new" not found "newer"]`; got != want {
		t.Errorf("shown are %s, want %s", got, want)
	}
	must(t, tx.Commit())

	tx, err = db.Begin(lightning.TxOptions{})
	must(t, err)
	wantErr(t, tx.MultiGet(keys, func(int, []byte, error) error { tx.Rollback(); return nil }), lightning.ErrTxEnded)
	wantErr(t, tx.MultiGet(keys, func(int, []byte, error) error { return nil }), lightning.ErrTxEnded)
	func() {
		tx, err = db.Begin(lightning.TxOptions{})
		must(t, err)
		defer func() { _ = recover() }()
		_ = tx.MultiGet(keys, func(int, []byte, error) error { panic("at the disco") })
	}()
	_, err = tx.Get(keys[0])
	must(t, err) // nobody is in it
	must(t, tx.Commit())
}

// When a key expires is of one moment, as its value is, and counts as read.
func TestTxExpiresAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", small(memfs.New()))
		must(t, err)
		defer func() { must(t, db.Close()) }()
		must(t, db.PutWithTTL([]byte("k"), []byte("v"), time.Hour))
		must(t, db.Put([]byte("kept"), []byte("v")))
		begin := func() *lightning.Tx {
			tx, err := db.Begin(lightning.TxOptions{})
			must(t, err)
			must(t, tx.Put([]byte("out"), nil))
			return tx
		}
		expect := func(of interface {
			ExpiresAt(key []byte) (time.Time, error)
		}, key string, after time.Duration) {
			t.Helper()
			at, err := of.ExpiresAt([]byte(key))
			must(t, err)
			if after == 0 && !at.IsZero() || after != 0 && !at.Equal(time.Now().Add(after)) {
				t.Errorf("%s expires at %v, want it after %v", key, at, after)
			}
		}
		snap, err := db.Snapshot()
		must(t, err)
		tx := begin()
		expect(tx, "k", time.Hour)
		expect(tx, "kept", 0)
		_, err = tx.ExpiresAt([]byte("none"))
		wantErr(t, err, lightning.ErrNotFound)
		must(t, tx.PutWithTTL([]byte("own"), nil, time.Minute))
		expect(tx, "own", time.Minute)
		must(t, tx.Delete([]byte("kept")))
		_, err = tx.ExpiresAt([]byte("kept"))
		wantErr(t, err, lightning.ErrNotFound)
		must(t, tx.Commit())

		tx = begin()
		expect(tx, "k", time.Hour)
		must(t, db.Touch([]byte("k"), 2*time.Hour))
		expect(tx, "k", time.Hour)
		expect(snap, "k", time.Hour)
		wantErr(t, tx.Commit(), lightning.ErrConflict)

		for _, read := range []func(tx *lightning.Tx) error{
			func(tx *lightning.Tx) error { _, err := tx.ExpiresAt([]byte("brief")); return err },
			func(tx *lightning.Tx) error {
				return tx.MultiGet([][]byte{[]byte("brief")}, func(_ int, _ []byte, err error) error { return err })
			},
		} {
			must(t, db.PutWithTTL([]byte("brief"), nil, time.Second))
			tx = begin()
			must(t, read(tx))
			time.Sleep(time.Second)
			wantErr(t, tx.Commit(), lightning.ErrConflict) // it has expired since
		}
		must(t, snap.Close())
	})
}

// What a transaction puts until one instant is there or gone together, whatever it holds
// of its own: also where the instant has passed, and in a keyspace whose keys would expire.
func TestTxPutUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", small(memfs.New()))
		must(t, err)
		defer func() { must(t, db.Close()) }()
		soon, err := db.Keyspace(t.Context(), "soon", &lightning.KeyspaceOptions{TTL: time.Minute})
		must(t, err)
		until := time.Now().Add(time.Hour)
		must(t, db.Update(func(tx *lightning.Tx) error {
			must(t, tx.PutUntil([]byte("a"), []byte("1"), until))
			must(t, tx.In(soon).PutUntil([]byte("b"), []byte("2"), until))
			must(t, tx.In(soon).PutUntil([]byte("for ever"), nil, time.Time{}))
			must(t, tx.PutUntil([]byte("passed"), nil, time.Now()))
			wantErr(t, tx.PutUntil([]byte("c"), nil, time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)), lightning.ErrTTL)
			at, err := tx.ExpiresAt([]byte("a"))
			if must(t, err); !at.Equal(until) {
				t.Errorf("expires at %v, not %v", at, until)
			}
			return nil
		}))
		there := func() (found string) {
			for _, has := range []func() (bool, error){
				func() (bool, error) { return db.Has([]byte("a")) },
				func() (bool, error) { return soon.Has([]byte("b")) },
				func() (bool, error) { return soon.Has([]byte("for ever")) },
				func() (bool, error) { return db.Has([]byte("passed")) },
			} {
				is, err := has()
				must(t, err)
				found += map[bool]string{true: "+", false: "-"}[is]
			}
			return found
		}
		time.Sleep(time.Hour - 1)
		if got := there(); got != "+++-" {
			t.Errorf("just before: %s", got)
		}
		time.Sleep(1)
		if got := there(); got != "--+-" {
			t.Errorf("then: %s", got)
		}
		tx, err := db.Begin(lightning.TxOptions{ReadOnly: true})
		must(t, err)
		wantErr(t, tx.PutUntil([]byte("a"), nil, until), lightning.ErrTxReadOnly)
		tx.Rollback()
		wantErr(t, tx.PutUntil([]byte("a"), nil, until), lightning.ErrTxEnded)
	})
}
