package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// gate is where a call is held, so that another one meets it.
type gate struct {
	armed          atomic.Bool
	reached, leave chan struct{}
}

func newGate() *gate { return &gate{reached: make(chan struct{}), leave: make(chan struct{})} }

// pass waits at the gate, if it is armed, for the end of whileIn.
func (g *gate) pass() {
	if g.armed.CompareAndSwap(true, false) {
		close(g.reached)
		<-g.leave
	}
}

// whileIn runs fn while call, which comes to the gate, is held there.
func (g *gate) whileIn(call, fn func()) {
	g.armed.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	<-g.reached
	fn()
	close(g.leave)
	<-done
}

// gatedSpace returns a keyspace in which key "m" has an operand, and whose operator
// waits at the gate.
func gatedSpace(t *testing.T, g *gate) (*lightning.DB, *lightning.Keyspace) {
	db := open(t, &lightning.Options{
		FS: memfs.New(), Durability: lightning.DurabilityAsync,
		MergeOperators: []lightning.MergeOperator{{
			Name: "gated",
			Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
				g.pass()
				return append(append(dst, value...), operands[len(operands)-1]...), nil
			},
		}},
	})
	k, err := db.Keyspace(context.Background(), "gated", &lightning.KeyspaceOptions{Merge: "gated"})
	must(t, err)
	must(t, k.Put([]byte("a"), []byte("1")))
	must(t, k.Merge([]byte("m"), []byte("2")))
	must(t, k.Put([]byte("z"), []byte("3")))
	return db, k
}

// While one goroutine is in a transaction every call of another one is refused, and
// then the commit is. It used to lose writes, and to crash.
func TestTxRefusesASecondGoroutine(t *testing.T) {
	g := newGate()
	db, k := gatedSpace(t, g)
	tx := begin(t, db, lightning.TxOptions{}).In(k)
	must(t, tx.Put([]byte("b"), []byte("x")))
	place := tx.Savepoint()
	it, err := tx.Iterator(lightning.IterOptions{})
	must(t, err)
	if !it.First() {
		t.Fatal(it.Err())
	}
	key := []byte("k")
	g.whileIn(func() {
		if v, err := tx.Get([]byte("m")); err != nil || string(v) != "2" {
			t.Errorf("the one who was first: %q, %v", v, err)
		}
	}, func() {
		answers := map[string]error{
			"Put": tx.Put(key, nil), "Merge": tx.Merge(key, nil), "Delete": tx.Delete(key),
			"DeleteRange": tx.DeleteRange(nil, nil), "LockRange": tx.LockRange(nil, nil), "Err": tx.Err(),
			"RollbackTo": tx.RollbackTo(place), "Release": tx.Release(place), "Iterator.Err": it.Err(),
			"Scan": tx.Scan(lightning.ScanOptions{}, func(iter.Seq2[[]byte, []byte]) error { return nil }),
		}
		_, answers["Get"] = tx.Get(key)
		_, answers["GetForUpdate"] = tx.GetForUpdate(key)
		_, answers["Iterator"] = tx.Iterator(lightning.IterOptions{})
		wantAll(t, answers, lightning.ErrConcurrentUse)
		for range tx.Range(nil, nil) {
			t.Error("Range gives a row")
		}
		moves := it.First() || it.Last() || it.Next() || it.Prev() || it.SeekGE(key) || it.SeekLT(key) || it.Valid()
		if moves || it.Key() != nil || it.Value() != nil || !it.ExpiresAt().IsZero() {
			t.Error("the iterator shows something")
		}
		wantErr(t, tx.RollbackTo(tx.Savepoint()), lightning.ErrConcurrentUse)
	})
	wantErr(t, it.Err(), lightning.ErrConcurrentUse)
	wantErr(t, it.Close(), lightning.ErrConcurrentUse)
	wantErr(t, tx.Commit(), lightning.ErrConcurrentUse)
	wantErr(t, tx.Err(), lightning.ErrConcurrentUse)
	if _, err := k.Get([]byte("b")); err != lightning.ErrNotFound {
		t.Errorf("something was written: %v", err)
	}
	must(t, db.Close())
}

// A transaction that is ended while another goroutine is in it ends as that one
// leaves, and leaves nothing behind.
func TestTxEndsWhenTheOtherOneLeaves(t *testing.T) {
	ends := map[string]func(tx *lightning.Tx) error{
		"Rollback": func(tx *lightning.Tx) error { tx.Rollback(); return lightning.ErrConcurrentUse },
		"Commit":   (*lightning.Tx).Commit,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			db, k := gatedSpace(t, g)
			tx, err := db.Begin(lightning.TxOptions{})
			must(t, err)
			it, err := tx.In(k).Iterator(lightning.IterOptions{})
			must(t, err)
			g.whileIn(func() {
				if _, err := tx.In(k).Get([]byte("m")); err != nil {
					t.Error(err)
				}
			}, func() {
				wantErr(t, end(tx), lightning.ErrConcurrentUse)
				wantErr(t, it.Close(), lightning.ErrConcurrentUse)
			})
			wantErr(t, tx.Put([]byte("k"), nil), lightning.ErrTxEnded)
			must(t, db.Close()) // nothing is open
		})
	}
}

// Update ends its transaction also where its function has left a goroutine in it.
func TestUpdateLeavesAGoroutineBehind(t *testing.T) {
	g := newGate()
	db, k := gatedSpace(t, g)
	over := make(chan struct{})
	err := db.Update(func(tx *lightning.Tx) error {
		must(t, tx.Put([]byte("k"), []byte("v")))
		g.armed.Store(true)
		go func() {
			defer close(over)
			if _, err := tx.In(k).Get([]byte("m")); err != nil {
				t.Error(err)
			}
		}()
		<-g.reached
		return nil
	})
	wantErr(t, err, lightning.ErrConcurrentUse)
	close(g.leave)
	<-over
	if _, err := db.Get([]byte("k")); err != lightning.ErrNotFound {
		t.Errorf("it was committed: %v", err)
	}
	must(t, db.Close())
}

// An iterator that one goroutine closes while another one moves it gave its memory
// to the next iterator. It is closed when the move is over, and says why.
func TestIteratorRefusesASecondGoroutine(t *testing.T) {
	g := newGate()
	db, k := gatedSpace(t, g)
	it, err := k.Iterator(lightning.IterOptions{})
	must(t, err)
	if !it.First() {
		t.Fatal(it.Err())
	}
	g.whileIn(func() {
		if !it.Next() {
			t.Error("the one who was first does not move")
		}
	}, func() {
		wantErr(t, it.Err(), lightning.ErrConcurrentUse)
		key := []byte("k")
		moves := it.First() || it.Last() || it.Next() || it.Prev() || it.SeekGE(key) || it.SeekLT(key) || it.Valid()
		if moves || it.Key() != nil || it.Value() != nil || !it.ExpiresAt().IsZero() {
			t.Error("the iterator shows something")
		}
		wantErr(t, it.Close(), lightning.ErrConcurrentUse)
	})
	if it.Next() || it.Valid() || it.Key() != nil {
		t.Error("it is closed, and goes on")
	}
	wantErr(t, it.Err(), lightning.ErrConcurrentUse)
	must(t, db.Close()) // nothing is open
}

// The rows of a Scan belong to one loop at a time.
func TestScanRefusesASecondLoop(t *testing.T) {
	g := newGate()
	db, k := gatedSpace(t, g)
	tx := begin(t, db, lightning.TxOptions{}).In(k)
	scans := map[string]func(o lightning.ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error{
		"DB": k.Scan, "Tx": tx.Scan,
	}
	for name, scan := range scans {
		t.Run(name, func(t *testing.T) {
			var seen []string
			err := scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
				for key := range rows {
					seen = append(seen, string(key))
					for range rows {
						t.Error("a loop within the loop sees a row")
					}
				}
				return nil
			})
			wantErr(t, err, lightning.ErrConcurrentUse)
			if fmt.Sprint(seen) != "[a m z]" {
				t.Errorf("the loop saw %v", seen)
			}
			must(t, scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
				n := 0
				for range 2 { // one after the other is no misuse
					for range rows {
						n++
					}
				}
				if n != 6 {
					t.Errorf("%d rows", n)
				}
				return nil
			}))
		})
	}
	var kept iter.Seq2[[]byte, []byte]
	keep := func(rows iter.Seq2[[]byte, []byte]) error { kept = rows; return nil }
	must(t, tx.Scan(lightning.ScanOptions{}, keep))
	for range kept {
		t.Error("rows that were kept come")
	}
	wantErr(t, tx.Err(), lightning.ErrHandleClosed)
	wantErr(t, tx.Commit(), lightning.ErrHandleClosed)
	must(t, k.Scan(lightning.ScanOptions{}, keep))
	for range kept {
		t.Error("rows that were kept come")
	}
	wantErr(t, db.Close(), lightning.ErrHandleClosed)
}

// A Scan whose function leaves a loop behind, in another goroutine, ends with an
// error, and its rows are closed with the loop.
func TestScanLeavesALoopBehind(t *testing.T) {
	db, k := gatedSpace(t, newGate())
	reached, leave, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	err := k.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		go func() {
			defer close(over)
			for key, value := range rows {
				if string(key) == "a" {
					close(reached)
					<-leave
					if string(value) != "1" {
						t.Errorf("the row has become %q", value)
					}
				}
			}
		}()
		<-reached
		return nil
	})
	wantErr(t, err, lightning.ErrConcurrentUse)
	close(leave)
	<-over
	must(t, db.Close())
}

// A batch that is being committed is nobody else's.
func TestBatchRefusesASecondGoroutine(t *testing.T) {
	g := newGate()
	_, k := gatedSpace(t, g)
	b := k.NewBatch()
	must(t, b.Merge([]byte("a"), []byte("1"))) // it is applied in the memtable
	key := []byte("k")
	g.whileIn(func() { must(t, b.Commit()) }, func() {
		answers := map[string]error{
			"Put": b.Put(key, nil), "Delete": b.Delete(key),
			"DeleteRange": b.DeleteRange(nil, nil), "Commit": b.Commit(),
		}
		wantAll(t, answers, lightning.ErrConcurrentUse)
		b.Reset()
		for range b.All() {
			t.Error("All gives an operation")
		}
		if b.Len() != 0 || b.SizeBytes() != 0 {
			t.Errorf("%d writes, %d bytes", b.Len(), b.SizeBytes())
		}
	})
	if b.Len() != 1 {
		t.Errorf("%d writes", b.Len())
	}
	wantErr(t, b.Commit(), lightning.ErrConcurrentUse)
	b.Reset()
	must(t, b.Put(key, []byte("2")))
	must(t, b.Commit())
	if v, err := k.Get(key); err != nil || string(v) != "2" {
		t.Errorf("%q, %v", v, err)
	}
}

// Several goroutines use one transaction, its iterators and a batch as they like:
// each call is done or refused, and nothing worse happens.
func TestConcurrentUseDamagesNothing(t *testing.T) {
	db := openTx(t)
	fill(t, db, 2000)
	must(t, db.Flush(t.Context()))
	for round := range 10 {
		tx := begin(t, db, lightning.TxOptions{})
		shared, err := tx.Iterator(lightning.IterOptions{})
		must(t, err)
		plain, err := db.Iterator(lightning.IterOptions{})
		must(t, err)
		b := db.NewBatch()
		var met atomic.Int64
		together(4, func(g int) {
			for i := range 300 {
				key := fmt.Appendf(nil, "new%d-%d-%d", round, g, i)
				_, getErr := tx.Get(key)
				place := tx.Savepoint()
				for _, err := range []error{
					tx.Put(key, key), getErr, tx.DeleteRange([]byte("x"), []byte("y")), tx.RollbackTo(place),
				} {
					if errors.Is(err, lightning.ErrConcurrentUse) {
						met.Add(1)
					}
				}
				_ = b.Put(key, key)
				shared.Next()
				plain.Next()
				if i == 250 {
					_, _ = shared.Close(), plain.Close()
				}
			}
		})
		if err := tx.Commit(); err != nil {
			wantErr(t, err, lightning.ErrConcurrentUse)
		} else if met.Load() > 0 {
			t.Errorf("%d calls were refused, and the transaction is committed", met.Load())
		}
		if err := b.Commit(); err != nil {
			wantErr(t, err, lightning.ErrConcurrentUse)
		}
	}
	must(t, db.Close())
}

// together runs fn in some goroutines and waits for them.
func together(n int, fn func(g int)) {
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() { fn(g) })
	}
	wg.Wait()
}
