package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openEngine(t, memfs.New())
		m := managerOf(db, inMemory)
		tx := func(o Options) *Tx {
			tx, err := m.Begin(o)
			must(t, err)
			return tx
		}
		answer := make(chan error, 1)
		lock := func(tx *Tx, lo, hi string) { answer <- tx.Lock(nil, key(lo), key(hi)) }
		a, b := tx(Options{}), tx(Options{LockTimeout: time.Second})
		must(t, a.Lock(nil, key("k"), key("l")))
		start := time.Now()
		wantErr(t, b.Lock(nil, key("a"), key("z")), txn.ErrLockTimeout)
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("waited %v", waited)
		}
		// Two that wait for each other.
		must(t, b.Lock(nil, key("x"), key("y")))
		go lock(a, "x", "y")
		synctest.Wait()
		wantErr(t, b.Lock(nil, key("k"), key("l")), txn.ErrDeadlock)
		b.Rollback()
		must(t, <-answer)
		// Its context, its end and the manager's end the waiting.
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("the cause")
		c := tx(Options{Context: ctx})
		go lock(c, "x", "y")
		synctest.Wait()
		cancel(cause)
		wantErr(t, <-answer, cause)
		c.Rollback()
		d, e := tx(Options{}), tx(Options{})
		go lock(d, "k", "l")
		synctest.Wait()
		must(t, a.Commit(commit.Async))
		must(t, <-answer)
		go lock(e, "k", "l")
		synctest.Wait()
		m.Close()
		wantErr(t, <-answer, base.ErrClosed)
		wantErr(t, e.Lock(nil, key("a"), key("b")), base.ErrClosed)
		d.Rollback()
		e.Rollback()
		must(t, db.Close())
	})
}

// Who has got a lock sees the newest state, unless what it has read has changed.
func TestLockMovesTheView(t *testing.T) {
	for _, first := range []bool{false, true} {
		db, m := open(t, inMemory)
		set(t, db, "k", "1")
		v := begin(t, m, Options{FirstCommitterWins: first})
		set(t, db, "k", "2")
		must(t, v.Lock(nil, key("k"), key("l")))
		if got := v.get("k"); got != "2" {
			t.Errorf("sees %q", got)
		}
		set(t, db, "elsewhere", "")
		must(t, v.Lock(nil, key("m"), key("n")))
		set(t, db, "n", "3")
		err := v.Lock(nil, key("n"), key("o"))
		if first {
			wantErr(t, err, txn.ErrConflict) // its moment stays
			continue
		}
		must(t, err)
		if got := v.get("n"); got != "3" {
			t.Errorf("sees %q", got)
		}
		set(t, db, "k", "4")
		wantErr(t, v.Lock(nil, key("o"), key("p")), txn.ErrConflict)
	}
	// An open iterator keeps the moment: its reads are not all known.
	db, m := open(t, inMemory)
	set(t, db, "a", "1")
	v := begin(t, m, Options{})
	it, err := v.Iterator(nil, all())
	must(t, err)
	defer it.Close()
	set(t, db, "b", "2")
	must(t, v.Lock(nil, key("c"), key("d")))
	if got := v.get("b"); got != "-" {
		t.Errorf("beside the iterator it sees %q", got)
	}
	wantErr(t, v.Lock(nil, key("b"), key("c")), txn.ErrConflict)
}
