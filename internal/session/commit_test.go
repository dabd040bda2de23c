package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// What counts as a conflict does not depend on where the writes are.
func TestConflicts(t *testing.T) {
	read := func(v testTx) { v.get("k") }
	for _, c := range []struct {
		name    string
		first   bool // the first committer wins
		use     func(v testTx)
		other   string // key that is written meanwhile
		refused bool
	}{
		{"a key that was read", false, read, "k", true},
		{"an absent key that was read", false, func(v testTx) { v.get("absent") }, "absent", true},
		{"another key", false, read, "l", false},
		{"a key that was only written", false, func(v testTx) { v.put("k", "") }, "k", false},
		{"a range that was walked", false, func(v testTx) { v.scan(false) }, "new", true},
		{"a range that was walked back", false, func(v testTx) { v.scan(true) }, "new", true},
		{"a key of its own", false, func(v testTx) { v.put("k", ""); v.get("k") }, "k", false},
		{"a read where the first committer wins", true, read, "k", false},
		{"a write where the first committer wins", true, func(v testTx) { v.put("k", "") }, "k", true},
		{"a deleted range where the first committer wins", true, func(v testTx) {
			must(v.t, v.DeleteRange(nil, key("a"), key("l")))
		}, "k", true},
	} {
		for _, spillBytes := range []int64{0, inMemory} {
			t.Run(fmt.Sprintf("%s/%d", c.name, spillBytes), func(t *testing.T) {
				db, m := open(t, spillBytes)
				set(t, db, "k", "old")
				v := begin(t, m, Options{FirstCommitterWins: c.first})
				c.use(v)
				v.put("mine", "new")
				set(t, db, c.other, "other")
				err := v.Commit(commit.Async)
				var conflict *txn.ConflictError
				if refused := errors.As(err, &conflict); refused != c.refused {
					t.Fatalf("commit: %v", err)
				}
				if c.refused && conflict.End == nil && !bytes.Equal(conflict.Key, key(c.other)) {
					t.Errorf("the conflict is at %q", conflict.Key)
				}
				want := "new"
				if c.refused {
					want = "-"
				}
				if got := begin(t, m, Options{ReadOnly: true}).get("mine"); got != want {
					t.Errorf("committed %q, want %q", got, want)
				}
			})
		}
	}
}

// What an iterator has seen so far counts also while it is open.
func TestOpenIteratorsCount(t *testing.T) {
	for other, refused := range map[string]bool{"a": true, "c": false} {
		db, m := open(t, inMemory)
		set(t, db, "b", "")
		v := begin(t, m, Options{})
		it, err := v.Iterator(nil, all())
		must(t, err)
		if !it.First() {
			t.Fatal(it.Err())
		}
		v.put("z", "")
		set(t, db, other, "")
		if err := v.Commit(commit.Async); errors.Is(err, txn.ErrConflict) != refused {
			t.Errorf("%s was written: %v", other, err)
		}
		must(t, it.Close())
	}
}

// Of a transaction that has ended nothing is left, and all of it says so.
func TestEnd(t *testing.T) {
	for _, spillBytes := range []int64{0, inMemory} {
		for name, end := range map[string]func(*Tx) error{
			"commit":   func(tx *Tx) error { return tx.Commit(commit.Async) },
			"rollback": func(tx *Tx) error { tx.Rollback(); return nil },
		} {
			db, m := open(t, spillBytes)
			v := begin(t, m, Options{})
			v.put("a", name)
			v.put("b", name)
			must(t, v.Lock(nil, key("a"), key("b")))
			it, err := v.Iterator(nil, all())
			must(t, err)
			if !it.First() {
				t.Fatal(it.Err())
			}
			s := v.Savepoint()
			must(t, end(v.Tx))
			_, getErr := v.AppendGet(nil, nil, key("a"))
			_, iterErr := v.Iterator(nil, all())
			for _, err := range []error{
				getErr, iterErr, v.Usable(), v.Writable(), v.Put(nil, key("a"), nil, 0), v.Delete(nil, key("a")),
				v.DeleteRange(nil, key("a"), key("b")), v.Merge(nil, key("a"), nil), v.RollbackTo(s), v.Release(s),
				v.Lock(nil, key("a"), key("b")), v.Commit(commit.Async),
			} {
				wantErr(t, err, ErrEnded)
			}
			for _, moved := range []bool{it.First(), it.Last(), it.Next(), it.Prev(), it.SeekGE(key("a")), it.SeekLT(key("b"))} {
				if moved {
					t.Errorf("%s: the iterator moves", name)
				}
			}
			if it.Valid() || it.Key() != nil || it.Value() != nil || it.Expiry() != 0 {
				t.Errorf("%s: the iterator shows %q", name, it.Key())
			}
			wantErr(t, it.Err(), ErrEnded)
			wantErr(t, it.Close(), ErrEnded)
			wantErr(t, it.Close(), base.ErrInvalidHandle)
			v.Rollback()
			if open := db.Metrics().Handles.Open; open != (view.HandleCounts{}) {
				t.Errorf("%s: %v are left", name, open)
			}
			if held, waiting := m.locks.Held(); held+waiting != 0 {
				t.Errorf("%s: %d locks are left", name, held)
			}
		}
	}
}

func TestReadOnly(t *testing.T) {
	db, m := open(t, inMemory)
	set(t, db, "a", "1")
	v := begin(t, m, Options{ReadOnly: true})
	for _, err := range []error{
		v.Put(nil, key("a"), nil, 0), v.Delete(nil, key("a")), v.DeleteRange(nil, key("a"), key("b")),
		v.Merge(nil, key("a"), nil), v.Lock(nil, key("a"), key("b")), v.Writable(),
	} {
		wantErr(t, err, base.ErrReadOnly)
	}
	set(t, db, "a", "2")
	if got := v.get("a"); got != "1" {
		t.Errorf("sees %q", got)
	}
	must(t, v.Commit(commit.Async))
	m.config.ReadOnly = true
	_, err := m.Begin(Options{})
	wantErr(t, err, base.ErrReadOnly)
	must(t, begin(t, m, Options{ReadOnly: true}).Commit(commit.Async))
}

func TestDroppedKeyspace(t *testing.T) {
	for _, spillBytes := range []int64{0, inMemory} {
		db, m := open(t, spillBytes)
		k, err := db.Keyspace(context.Background(), "k", keyspace.Settings{})
		must(t, err)
		prefix := keyspace.AppendPrefix(nil, k.ID)
		v := begin(t, m, Options{})
		if _, err := v.AppendGet(nil, k, append(prefix, 'x')); err != base.ErrNotFound {
			t.Fatal(err)
		}
		v.put("a", "1")
		v.put("b", "1")
		must(t, db.DropKeyspace(context.Background(), "k"))
		wantErr(t, v.Commit(commit.Async), keyspace.ErrDropped)
	}
}

// A failure that a loop could not return ends the transaction.
func TestNotedFailure(t *testing.T) {
	_, m := open(t, inMemory)
	mine := errors.New("mine")
	note := func(tx *Tx) error {
		tx.NoteFailure(nil)
		tx.NoteFailure(mine)
		tx.NoteFailure(errors.New("a later one"))
		return nil
	}
	wantErr(t, m.View(note), mine)
	wantErr(t, m.Update(Options{}, commit.Async, func(tx *Tx) error {
		return errors.Join(tx.Put(nil, key("a"), nil, 0), note(tx))
	}), mine)
	if got := begin(t, m, Options{}).get("a"); got != "-" {
		t.Errorf("wrote %q", got)
	}
}

func TestUpdate(t *testing.T) {
	db, m := open(t, inMemory)
	runs := 0
	must(t, m.Update(Options{}, commit.Async, func(tx *Tx) error {
		runs++
		testTx{t, tx}.get("k")
		if runs < 4 {
			set(t, db, "k", "other")
		}
		return tx.Put(nil, key("done"), nil, 0)
	}))
	if runs != 4 {
		t.Errorf("ran %d times", runs)
	}
	runs = 0
	wantErr(t, m.Update(Options{}, commit.Async, func(*Tx) error { runs++; return txn.ErrConflict }), txn.ErrConflict)
	if runs != 1 {
		t.Errorf("a conflict of the function's own was run %d times", runs)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the cause")
	err := m.Update(Options{Context: ctx}, commit.Async, func(tx *Tx) error {
		testTx{t, tx}.get("k")
		set(t, db, "k", "other")
		defer cancel(cause)
		return tx.Put(nil, key("never"), nil, 0)
	})
	wantErr(t, err, cause)
	_, err = m.Begin(Options{Context: ctx})
	wantErr(t, err, cause)
	func() {
		defer func() { _ = recover() }()
		_ = m.Update(Options{}, commit.Async, func(tx *Tx) error { panic("out") })
	}()
	if open := db.Metrics().Handles.Open; open != (view.HandleCounts{}) {
		t.Errorf("%v are left", open)
	}
}

// Counters that many count up, with locks and without: none is lost.
func TestCounters(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 30
	}
	for _, spillBytes := range []int64{0, inMemory} {
		_, m := open(t, spillBytes)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for range rounds {
					err := m.Update(Options{FirstCommitterWins: g%2 == 0}, commit.Async, func(tx *Tx) error {
						if g < 2 {
							if err := tx.Lock(nil, key("a"), key("c")); err != nil {
								return err
							}
						}
						return errors.Join(countUp(tx, key("a")), countUp(tx, key("b")))
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		v := begin(t, m, Options{})
		for _, user := range []string{"a", "b"} {
			if n := binary.BigEndian.Uint64([]byte(v.get(user))); n != uint64(4*rounds) {
				t.Errorf("counted %s up to %d", user, n)
			}
		}
	}
}

func countUp(tx *Tx, key []byte) error {
	value, err := tx.AppendGet(nil, nil, key)
	if err == base.ErrNotFound {
		value, err = make([]byte, 8), nil
	}
	if err != nil {
		return err
	}
	return tx.Put(nil, key, binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(value)+1), 0)
}

// A write that cannot go to a file is not done, and the transaction goes on when
// there is space again.
func TestNoSpaceForWrites(t *testing.T) {
	fs := faultfs.New(memfs.New())
	_, m := openOn(t, fs, 0)
	v := begin(t, m, Options{})
	v.put("a", "1")
	full := fs.Add(faultfs.Rule{
		Kinds: vfs.OpWrite | vfs.OpCreate, Name: "*.sst", Sticky: true, Err: vfs.ErrNoSpace, // not what the workers write
	})
	wantErr(t, v.Put(nil, key("a"), []byte("2"), 0), vfs.ErrNoSpace)
	full.Disarm()
	if got := v.get("a"); got != "1" {
		t.Errorf("sees %q", got)
	}
	v.put("b", "2")
	must(t, v.Commit(commit.Sync))
	if got := begin(t, m, Options{}).scan(false); got != "a=1 b=2" {
		t.Errorf("committed %q", got)
	}
}

// A value that has expired since it was read is a conflict.
func TestExpiredRead(t *testing.T) {
	db, m := open(t, inMemory)
	v := begin(t, m, Options{})
	must(t, v.Put(nil, key("k"), []byte("v"), db.Now()+base.Instant(time.Hour)))
	it, err := v.Iterator(nil, all())
	must(t, err)
	if !it.First() || it.Expiry() == 0 {
		t.Errorf("%q expires at %d", it.Key(), it.Expiry())
	}
	must(t, it.Close())
	must(t, v.Commit(commit.Async))
	v = begin(t, m, Options{})
	if got := v.get("k"); got != "v" {
		t.Errorf("sees %q", got)
	}
	if held, expiry := v.reads.FirstExpiry(); expiry == 0 || !bytes.Equal(held, key("k")) {
		t.Errorf("its reads hold until %d, because of %q", expiry, held)
	}
}

func BenchmarkCommit(b *testing.B) {
	db, m := open(b, inMemory)
	var keys [10][]byte
	for i := range keys {
		keys[i] = key(fmt.Sprintf("key%05d", i))
		set(b, db, string(keys[i][1:]), "value")
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		tx, err := m.Begin(Options{})
		must(b, err)
		for _, k := range keys {
			buf, err = tx.AppendGet(buf[:0], nil, k)
			must(b, err)
		}
		must(b, tx.Put(nil, keys[0], keys[0], 0))
		must(b, tx.Commit(commit.Async))
	}
}
