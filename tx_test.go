package lightning_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func openTx(t testing.TB) *lightning.DB {
	return open(t, &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync})
}

func begin(t testing.TB, db *lightning.DB, o lightning.TxOptions) *lightning.Tx {
	t.Helper()
	tx, err := db.Begin(o)
	must(t, err)
	t.Cleanup(tx.Rollback)
	return tx
}

func TestTxSeesOneMomentAndItsOwnWrites(t *testing.T) {
	db := openTx(t)
	must(t, db.Put([]byte("a"), []byte("1")))
	tx := begin(t, db, lightning.TxOptions{})
	must(t, db.Put([]byte("a"), []byte("2")))
	must(t, db.Put([]byte("b"), []byte("2")))
	v := txView{tx: tx}
	if got := v.get("a") + v.get("b") + v.scan("a", "z", false, 9); got != "1-a=1" {
		t.Errorf("sees %q", got)
	}
	v.put("b", "own")
	v.put("empty", "")
	v.del("a")
	if got := v.get("a") + v.get("b") + v.scan("a", "z", true, 9); got != "-ownempty= b=own" {
		t.Errorf("sees %q", got)
	}
	if value, err := tx.Get([]byte("empty")); err != nil || value == nil {
		t.Errorf("an empty value is %v, %v", value, err)
	}
	if has, err := tx.Has([]byte("a")); has || err != nil {
		t.Errorf("has a deleted key: %v, %v", has, err)
	}
	if value, err := db.Get([]byte("b")); err != nil || string(value) != "2" {
		t.Errorf("others see %q before the commit", value)
	}
	wantErr(t, tx.Commit(), lightning.ErrConflict)
	if value, _ := db.Get([]byte("b")); string(value) != "2" {
		t.Errorf("a conflict wrote %q", value)
	}
}

func TestTxConflictNamesTheKey(t *testing.T) {
	db := openTx(t)
	tx := begin(t, db, lightning.TxOptions{})
	txView{tx: tx}.get("k")
	must(t, tx.Put([]byte("x"), nil))
	must(t, db.Put([]byte("k"), nil))
	var conflict *lightning.ConflictError
	if err := tx.Commit(); !errors.As(err, &conflict) || !strings.HasSuffix(string(conflict.Key), "k") || conflict.End != nil {
		t.Errorf("%v", err)
	}
	tx = begin(t, db, lightning.TxOptions{})
	txView{tx: tx}.scan("k", "m", false, 9)
	must(t, tx.Put([]byte("x"), nil))
	must(t, db.Put([]byte("l"), nil))
	if err := tx.Commit(); !errors.As(err, &conflict) || !strings.HasSuffix(string(conflict.End), "m") {
		t.Errorf("%v", err)
	}
	if m := db.Metrics().Transactions; m.Conflicts != 2 || m.Commits != 0 {
		t.Errorf("%+v", m)
	}
}

func TestTxEnds(t *testing.T) {
	db := openTx(t)
	for name, end := range map[string]func(*lightning.Tx) error{
		"commit":   (*lightning.Tx).Commit,
		"rollback": func(tx *lightning.Tx) error { tx.Rollback(); return nil },
	} {
		tx := begin(t, db, lightning.TxOptions{})
		it, err := tx.Iterator(lightning.IterOptions{})
		must(t, err)
		sp := tx.Savepoint()
		must(t, tx.Put([]byte("a"+name), nil))
		must(t, end(tx))
		_, getErr := tx.Get([]byte("a"))
		_, iterErr := tx.Iterator(lightning.IterOptions{})
		for _, err := range []error{
			getErr, iterErr, tx.Put([]byte("a"), nil), tx.Delete([]byte("a")),
			tx.DeleteRange(nil, nil), tx.RollbackTo(sp), tx.Commit(),
		} {
			wantErr(t, err, lightning.ErrTxEnded)
		}
		if it.First() || it.Next() || it.Valid() || it.Key() != nil {
			t.Errorf("%s: the iterator goes on", name)
		}
		wantErr(t, it.Err(), lightning.ErrTxEnded)
		wantErr(t, it.Close(), lightning.ErrTxEnded)
		wantErr(t, it.Close(), lightning.ErrHandleClosed)
		tx.Rollback()
	}
	if _, err := db.Get([]byte("acommit")); err != nil {
		t.Error(err)
	}
	_, err := db.Get([]byte("arollback"))
	wantErr(t, err, lightning.ErrNotFound)
	if h := db.Metrics().Handles; h.Snapshots != 0 || h.Iterators != 0 {
		t.Errorf("%+v", h)
	}
}

func TestTxMisuse(t *testing.T) {
	db := openTx(t)
	ro := begin(t, db, lightning.TxOptions{ReadOnly: true})
	wantErr(t, ro.Put([]byte("a"), nil), lightning.ErrReadOnly)
	wantErr(t, ro.Delete([]byte("a")), lightning.ErrReadOnly)
	wantErr(t, ro.DeleteRange(nil, nil), lightning.ErrReadOnly)
	must(t, ro.Commit())
	tx := begin(t, db, lightning.TxOptions{})
	_, err := tx.Get(make([]byte, lightning.MaxKeyBytes+1))
	wantErr(t, err, lightning.ErrKeyTooLarge)
	wantErr(t, tx.DeleteRange([]byte("b"), []byte("a")), lightning.ErrInvalidRange)
	if err := tx.CommitWith(9); err == nil {
		t.Error("committed with a durability that does not exist")
	}
	if err := begin(t, db, lightning.TxOptions{}).RollbackTo(tx.Savepoint()); err == nil {
		t.Error("took the savepoint of another transaction")
	}
	if _, err := db.Begin(lightning.TxOptions{Isolation: 9}); err == nil {
		t.Error("began with an isolation that does not exist")
	}
	other := openTx(t)
	k, err := other.Keyspace(context.Background(), "k", nil)
	must(t, err)
	wantErr(t, tx.In(k).Put([]byte("a"), nil), lightning.ErrForeignKeyspace)
}

func TestTxSavepoints(t *testing.T) {
	db := openTx(t)
	tx := begin(t, db, lightning.TxOptions{})
	v := txView{tx: tx}
	v.put("a", "1")
	first := tx.Savepoint()
	v.put("a", "2")
	v.put("b", "2")
	second := tx.Savepoint()
	v.delRange("a", "z")
	v.put("c", "3")
	must(t, tx.RollbackTo(second))
	if got := v.scan("a", "z", false, 9); got != "a=2 b=2" {
		t.Errorf("after the second: %s", got)
	}
	it, err := tx.Iterator(lightning.IterOptions{})
	must(t, err)
	must(t, tx.RollbackTo(first))
	v.put("d", "4") // the iterator must not take it for one of those before it
	if got := v.scan("a", "z", false, 9); got != "a=1 d=4" {
		t.Errorf("after the first: %s", got)
	}
	if it.SeekGE([]byte("d")) {
		t.Errorf("an iterator from before shows %q", it.Key())
	}
	wantErr(t, it.Close(), lightning.ErrRolledBack)
	must(t, tx.RollbackTo(first))
	must(t, tx.Commit())
	must(t, db.View(func(tx *lightning.Tx) error {
		if got := (txView{tx: tx}).scan("a", "z", false, 9); got != "a=1" {
			t.Errorf("committed %s", got)
		}
		return nil
	}))
}

// Several iterators of one transaction go on while it writes.
func TestTxIterators(t *testing.T) {
	db := openTx(t)
	for n := range 100 {
		must(t, db.Put(fmt.Appendf(nil, "%03d", 2*n), []byte("old")))
	}
	must(t, db.Update(func(tx *lightning.Tx) error {
		var open []*lightning.Iterator
		for range 3 {
			it, err := tx.Iterator(lightning.IterOptions{Lower: []byte("050")})
			must(t, err)
			open = append(open, it)
		}
		count := 0
		for _, it := range open {
			for it.Next() {
				count++
				// Another key between, which this iterator must not meet.
				must(t, tx.Put(append(it.Key(), '+'), []byte("new")))
				must(t, tx.Put(it.Key(), []byte("changed")))
				if string(it.Value()) != "old" {
					t.Fatalf("%s = %s", it.Key(), it.Value())
				}
			}
			must(t, it.Close())
		}
		if count != 3*75 {
			t.Errorf("%d rows", count)
		}
		return tx.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
			count = 0
			for range rows {
				count++
			}
			if count != 100+75 {
				t.Errorf("%d rows in the end", count)
			}
			return nil
		})
	}))
}

func TestTxAcrossKeyspaces(t *testing.T) {
	db := openTx(t)
	x, err := db.Keyspace(context.Background(), "x", nil)
	must(t, err)
	y, err := db.Keyspace(context.Background(), "y", nil)
	must(t, err)
	must(t, db.Update(func(tx *lightning.Tx) error {
		must(t, tx.Put([]byte("k"), []byte("default")))
		must(t, tx.In(x).Put([]byte("k"), []byte("x")))
		return tx.In(y).Put([]byte("k"), []byte("y"))
	}))
	for k, want := range map[*lightning.Keyspace]string{x: "x", y: "y"} {
		if value, err := k.Get([]byte("k")); err != nil || string(value) != want {
			t.Errorf("%q, %v", value, err)
		}
		must(t, db.View(func(tx *lightning.Tx) error {
			it, err := tx.In(k).Iterator(lightning.IterOptions{})
			must(t, err)
			if !it.Next() || string(it.Key()) != "k" || string(it.Value()) != want || it.Next() {
				t.Errorf("%s shows %q", want, it.Value())
			}
			return it.Close()
		}))
	}
	// A conflict in one keyspace keeps all of it from being written.
	tx := begin(t, db, lightning.TxOptions{})
	txView{tx: tx.In(x)}.get("k")
	must(t, tx.In(y).Put([]byte("k"), []byte("2")))
	must(t, x.Put([]byte("k"), []byte("2")))
	wantErr(t, tx.Commit(), lightning.ErrConflict)

	tx = begin(t, db, lightning.TxOptions{})
	txView{tx: tx.In(x)}.get("k")
	must(t, tx.Put([]byte("k"), []byte("3")))
	must(t, db.DropKeyspace(context.Background(), "x"))
	wantErr(t, tx.Commit(), lightning.ErrKeyspaceDropped)
}

func TestUpdateRetriesConflicts(t *testing.T) {
	db := openTx(t)
	runs := 0
	must(t, db.Update(func(tx *lightning.Tx) error {
		runs++
		txView{tx: tx}.get("k")
		if runs < 4 {
			must(t, db.Put([]byte("k"), nil))
		}
		return tx.Put([]byte("done"), nil)
	}))
	if runs != 4 {
		t.Errorf("ran %d times", runs)
	}
	mine := errors.New("mine")
	wantErr(t, db.Update(func(tx *lightning.Tx) error {
		must(t, tx.Put([]byte("never"), nil))
		return mine
	}), mine)
	runs = 0
	wantErr(t, db.Update(func(*lightning.Tx) error { runs++; return lightning.ErrConflict }), lightning.ErrConflict)
	if runs != 1 {
		t.Errorf("a conflict of the function's own was run %d times", runs)
	}
	func() {
		defer func() { _ = recover() }()
		_ = db.Update(func(tx *lightning.Tx) error {
			must(t, tx.Put([]byte("never"), nil))
			panic("out")
		})
	}()
	if has, _ := db.Has([]byte("never")); has {
		t.Error("a failed function has written")
	}
	if n := db.Metrics().Handles.Transactions; n != 0 {
		t.Errorf("%d transactions were left", n)
	}
}

func TestTxContext(t *testing.T) {
	db := openTx(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the cause")
	tx := begin(t, db, lightning.TxOptions{Context: ctx})
	must(t, tx.Put([]byte("k"), nil))
	it, err := tx.Iterator(lightning.IterOptions{})
	must(t, err)
	cancel(cause)
	_, err = tx.Get([]byte("k"))
	wantErr(t, err, cause)
	if it.Next() {
		t.Error("the iterator goes on")
	}
	wantErr(t, it.Close(), cause)
	wantErr(t, tx.Commit(), cause)
	if has, _ := db.Has([]byte("k")); has {
		t.Error("it was written")
	}
	_, err = db.Begin(lightning.TxOptions{Context: ctx})
	wantErr(t, err, cause)
	// A context that ends the retries.
	ctx, cancel = context.WithCancelCause(t.Context())
	runs := 0
	err = db.UpdateWith(lightning.TxOptions{Context: ctx}, func(tx *lightning.Tx) error {
		txView{tx: tx}.get("k")
		must(t, db.Put([]byte("k"), nil))
		if runs++; runs == 3 {
			defer cancel(cause)
		}
		return tx.Put([]byte("x"), nil)
	})
	wantErr(t, err, cause)
}

// Transfers between accounts, and everyone who looks sees the same sum.
func TestBank(t *testing.T) {
	for _, isolation := range []lightning.Isolation{lightning.StrictSerializable, lightning.SnapshotIsolation} {
		t.Run(isolation.String(), func(t *testing.T) {
			transfers := 600
			if testing.Short() {
				transfers = 100
			}
			bank(t, isolation, transfers)
		})
	}
}

func bank(t *testing.T, isolation lightning.Isolation, transfers int) {
	const accounts, start = 12, 1000
	db := open(t, small(memfs.New()))
	account := func(n int) []byte { return fmt.Appendf(nil, "account%02d", n) }
	for n := range accounts {
		must(t, db.Put(account(n), binary.BigEndian.AppendUint64(nil, start)))
	}
	sum := func(tx *lightning.Tx) (total uint64) {
		must(t, tx.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
			for _, value := range rows {
				total += binary.BigEndian.Uint64(value)
			}
			return nil
		}))
		return total
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 5))
			for i := range transfers {
				if i%10 == 0 {
					orPanic(db.View(func(tx *lightning.Tx) error {
						if total := sum(tx); total != accounts*start {
							t.Errorf("the sum is %d", total)
						}
						return nil
					}))
				}
				from, to, amount := r.IntN(accounts), r.IntN(accounts), uint64(r.IntN(50))
				orPanic(db.UpdateWith(lightning.TxOptions{Isolation: isolation}, func(tx *lightning.Tx) error {
					a, err := tx.Get(account(from))
					orPanic(err)
					if from == to || binary.BigEndian.Uint64(a) < amount {
						return nil
					}
					orPanic(tx.Put(account(from), binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(a)-amount)))
					b, err := tx.Get(account(to))
					orPanic(err)
					return tx.Put(account(to), binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(b)+amount))
				}))
			}
		})
	}
	wg.Wait()
	must(t, db.View(func(tx *lightning.Tx) error {
		if total := sum(tx); total != accounts*start {
			t.Errorf("in the end the sum is %d", total)
		}
		return nil
	}))
	if m := db.Metrics().Transactions; m.Commits == 0 {
		t.Errorf("%+v", m)
	}
}

func BenchmarkTxCommit(b *testing.B) {
	db := open(b, &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync})
	var keys [10][]byte
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key%05d", i*7919%100_000)
		must(b, db.Put(keys[i], keys[i]))
	}
	for _, behind := range []int{0, 1} {
		b.Run(fmt.Sprintf("commits-since-begin=%d", behind), func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				tx, err := db.Begin(lightning.TxOptions{})
				must(b, err)
				for _, k := range keys {
					buf, err = tx.AppendGet(buf[:0], k)
					must(b, err)
				}
				must(b, tx.Put(keys[0], keys[0]))
				for range behind {
					must(b, db.Put([]byte("elsewhere"), nil))
				}
				must(b, tx.Commit())
			}
		})
	}
}

func TestGetForUpdateMovesOnToTheNewest(t *testing.T) {
	db := openTx(t)
	must(t, db.Put([]byte("k"), []byte("1")))
	tx := begin(t, db, lightning.TxOptions{})
	must(t, db.Put([]byte("k"), []byte("2")))
	if v, err := tx.GetForUpdate([]byte("k")); err != nil || string(v) != "2" {
		t.Errorf("%q, %v", v, err)
	}
	txView{tx: tx}.get("other")
	must(t, db.Put([]byte("elsewhere"), nil))
	must(t, db.Put([]byte("l"), []byte("3")))
	if v, err := tx.GetForUpdate([]byte("l")); err != nil || string(v) != "3" {
		t.Errorf("nothing that was read has changed: %q, %v", v, err)
	}
	must(t, tx.Put([]byte("k"), []byte("4")))
	must(t, db.Put([]byte("other"), nil))
	_, err := tx.GetForUpdate([]byte("m"))
	wantErr(t, err, lightning.ErrConflict)
	tx.Rollback()

	// Under snapshot isolation the moment stays, so a newer value is a conflict.
	tx = begin(t, db, lightning.TxOptions{Isolation: lightning.SnapshotIsolation})
	txView{tx: tx}.get("other")
	must(t, db.Put([]byte("k"), []byte("5")))
	_, err = tx.GetForUpdate([]byte("k"))
	wantErr(t, err, lightning.ErrConflict)
	if v, err := tx.GetForUpdate([]byte("l")); err != nil || string(v) != "3" {
		t.Errorf("%q, %v", v, err)
	}
	wantErr(t, begin(t, db, lightning.TxOptions{ReadOnly: true}).LockRange(nil, nil), lightning.ErrReadOnly)
}

// Transactions that lock what they change never conflict.
func TestLocksInsteadOfConflicts(t *testing.T) {
	db := openTx(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				orPanic(db.Update(func(tx *lightning.Tx) error {
					if err := tx.LockRange([]byte("a"), []byte("c")); err != nil {
						return err
					}
					v := txView{tx: tx}
					a := strings.Count(v.get("a"), "x")
					v.put("a", strings.Repeat("x", a+1))
					v.put("b", fmt.Sprint(a+1))
					return nil
				}))
			}
		})
	}
	wg.Wait()
	if b, err := db.Get([]byte("b")); err != nil || string(b) != "400" {
		t.Errorf("%s, %v", b, err)
	}
	if m := db.Metrics().Transactions; m.Conflicts != 0 || m.Commits != 400 {
		t.Errorf("%+v", m)
	}
}

func TestLockErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync})
		must(t, err)
		a := begin(t, db, lightning.TxOptions{})
		b := begin(t, db, lightning.TxOptions{LockTimeout: time.Second})
		must(t, a.LockRange([]byte("k"), []byte("l")))
		start := time.Now()
		_, err = b.GetForUpdate([]byte("k1"))
		wantErr(t, err, lightning.ErrLockTimeout)
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("waited %v", waited)
		}
		must(t, b.LockRange([]byte("x"), []byte("y")))
		waits := make(chan error, 1)
		go func() { waits <- a.LockRange([]byte("x"), []byte("y")) }()
		synctest.Wait()
		wantErr(t, b.LockRange([]byte("k"), []byte("l")), lightning.ErrDeadlock)
		b.Rollback()
		must(t, <-waits)

		// A context, and closing the database, end the waiting.
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("the cause")
		c := begin(t, db, lightning.TxOptions{Context: ctx})
		go func() { waits <- c.LockRange([]byte("x"), []byte("y")) }()
		synctest.Wait()
		cancel(cause)
		wantErr(t, <-waits, cause)
		d := begin(t, db, lightning.TxOptions{})
		go func() { waits <- d.LockRange([]byte("k"), []byte("l")) }()
		synctest.Wait()
		wantErr(t, db.Close(), lightning.ErrLeaked)
		wantErr(t, <-waits, lightning.ErrClosed)
		for _, tx := range []*lightning.Tx{a, c, d} {
			tx.Rollback()
		}
	})
}

// What an iterator has seen counts also while it is open.
func TestOpenIteratorsCount(t *testing.T) {
	db := openTx(t)
	must(t, db.Put([]byte("b"), nil))
	for key, want := range map[string]error{"a": lightning.ErrConflict, "c": nil} {
		tx := begin(t, db, lightning.TxOptions{})
		it, err := tx.Iterator(lightning.IterOptions{})
		must(t, err)
		if !it.First() {
			t.Fatal(it.Err())
		}
		must(t, tx.Put([]byte("z"), nil))
		must(t, db.Put([]byte(key), nil))
		if err := tx.Commit(); !errors.Is(err, want) {
			t.Errorf("%s was written: %v", key, err)
		}
		_ = it.Close()
		must(t, db.Delete([]byte(key)))
	}
}

// A conflict is found wherever the other write has got to by then: the memtable,
// one that waits for its flush, a table, another level.
func TestConflictsAreFoundInTheWholeTree(t *testing.T) {
	filler := bytes.Repeat([]byte("f"), 1000)
	for name, look := range map[string]func(v txView){
		"key":   func(v txView) { v.get("k") },
		"range": func(v txView) { v.scan("j", "l", false, 9) },
	} {
		for other, write := range map[string]func(db *lightning.DB) error{
			"put":          func(db *lightning.DB) error { return db.Put([]byte("k"), []byte("2")) },
			"delete":       func(db *lightning.DB) error { return db.Delete([]byte("k")) },
			"range delete": func(db *lightning.DB) error { return db.DeleteRange([]byte("a"), []byte("k1")) },
			"nothing":      func(db *lightning.DB) error { return nil },
		} {
			for _, records := range []int{0, 70, 140, 500} {
				db := open(t, small(memfs.New()))
				must(t, db.Put([]byte("k"), []byte("1")))
				tx := begin(t, db, lightning.TxOptions{})
				look(txView{tx: tx})
				must(t, tx.Put([]byte("x"), nil))
				must(t, write(db))
				for n := range records {
					must(t, db.Put(fmt.Appendf(nil, "z%05d", n), filler))
				}
				if records == 500 {
					must(t, db.Compact(t.Context(), nil, nil))
				}
				want := lightning.ErrConflict
				if other == "nothing" {
					want = nil
				}
				if err := tx.Commit(); !errors.Is(err, want) {
					t.Errorf("%s, %s, %d records later: %v", name, other, records, err)
				}
				must(t, db.Close())
			}
		}
	}
}

func TestTxOptionsAreThoseOfBegin(t *testing.T) {
	db := openTx(t)
	want := lightning.TxOptions{Isolation: lightning.SnapshotIsolation, LockTimeout: time.Second}
	tx, err := db.Begin(want)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if got := tx.Options(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Range shows what Scan shows, and its error is that of the transaction.
func TestTxRange(t *testing.T) {
	db := openTx(t)
	for _, key := range []string{"a", "b", "c", "d"} {
		must(t, db.Put([]byte(key), []byte(key+key)))
	}
	var got []string
	must(t, db.Update(func(tx *lightning.Tx) error {
		must(t, tx.Put([]byte("bb"), []byte("own")))
		for key, value := range tx.Range([]byte("b"), []byte("d")) {
			got = append(got, string(key)+"="+string(value))
		}
		for range tx.Range(nil, nil) { // one that is left early is no error
			break
		}
		return nil
	}))
	if want := []string{"b=bb", "bb=own", "c=cc"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, run := range map[string]func(func(tx *lightning.Tx) error) error{"View": db.View, "Update": db.Update} {
		err := run(func(tx *lightning.Tx) error {
			for range tx.Range([]byte("d"), []byte("a")) {
				t.Errorf("%s: a row of a range that ends before it begins", name)
			}
			return nil
		})
		wantErr(t, err, lightning.ErrInvalidRange)
	}
}
