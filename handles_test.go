package lightning_test

import (
	"errors"
	"io"
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// collectUntil collects garbage twice at most, and waits for what that has set free, until done
// is closed.
func collectUntil(t *testing.T, done <-chan struct{}) {
	t.Helper()
	for range 2 {
		runtime.GC()
		select {
		case <-done:
			return
		case <-time.After(5 * time.Second):
		}
	}
	t.Error("not found within two collections")
}

// What is forgotten is found within two collections, closed, counted and told with the stack of
// who made it; the database closes without complaint then.
func TestForgottenHandlesAreClosed(t *testing.T) {
	for _, c := range []struct {
		kind   string
		forget func(db *lightning.DB) error
	}{
		{"iterator", func(db *lightning.DB) error {
			it, err := db.Iterator(lightning.IterOptions{})
			if err == nil && !it.First() {
				err = errors.New("no row")
			}
			return err
		}},
		{"iterator", func(db *lightning.DB) error { // as it stands when it was made
			_, err := db.Iterator(lightning.IterOptions{})
			return err
		}},
		{"snapshot", func(db *lightning.DB) error { return second(db.Snapshot()) }},
		{"snapshot", func(db *lightning.DB) error { // of a reader of a value
			r, err := db.GetReader([]byte("key"))
			if err == nil {
				_, err = io.ReadAll(r)
			}
			return err
		}},
		{"transaction", func(db *lightning.DB) error {
			tx, err := db.Begin(lightning.TxOptions{})
			if err != nil {
				return err
			}
			if err := tx.Put([]byte("lost"), nil); err != nil {
				return err
			}
			return second(tx.GetForUpdate([]byte("key")))
		}},
		{"bulk loader", func(db *lightning.DB) error {
			l, err := db.BulkLoader()
			if err != nil {
				return err
			}
			return l.Put([]byte("lost"), nil)
		}},
	} {
		var mu sync.Mutex
		var told []lightning.HandleInfo
		found := make(chan struct{})
		o := small(memfs.New())
		o.Debug.TrackHandles = true
		o.EventListener = &lightning.EventListener{HandleForgotten: func(info lightning.HandleInfo) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, info)
			close(found)
		}}
		db, err := lightning.Open("db", o)
		must(t, err)
		must(t, db.Put([]byte("key"), []byte("value")))
		must(t, c.forget(db))
		collectUntil(t, found)
		mu.Lock()
		if len(told) != 1 || told[0].Kind != c.kind || told[0].Age < 0 {
			t.Errorf("%s: told %+v", c.kind, told)
		} else if c.kind != "bulk loader" && !strings.Contains(told[0].Stack, "TestForgottenHandlesAreClosed") {
			t.Errorf("%s: the stack is %s", c.kind, told[0].Stack)
		}
		mu.Unlock()
		m := db.Metrics().Handles
		if m.Forgotten.Total() != 1 || m.Iterators+m.Snapshots+m.Transactions != 0 {
			t.Errorf("%s: %+v", c.kind, m)
		}
		// A lock that the transaction had is free.
		must(t, db.UpdateWith(lightning.TxOptions{LockTimeout: time.Second}, func(tx *lightning.Tx) error {
			return second(tx.GetForUpdate([]byte("key")))
		}))
		must(t, db.Close())
	}
}

func second[T any](_ T, err error) error { return err }

// What is in use in another form is not forgotten: views and iterators of a transaction, views
// of a snapshot, and iterators of one that was closed.
func TestWhatIsUsedIsNotForgotten(t *testing.T) {
	db, err := lightning.Open("db", small(memfs.New()))
	must(t, err)
	k, err := db.Keyspace(t.Context(), "other", nil)
	must(t, err)
	must(t, db.Put([]byte("key"), []byte("value")))
	must(t, k.Put([]byte("key"), []byte("other")))
	snap, tx, it := func() (*lightning.Snapshot, *lightning.Tx, *lightning.Iterator) {
		s, err := db.Snapshot()
		must(t, err)
		tx, err := db.Begin(lightning.TxOptions{})
		must(t, err)
		ofTx, err := db.Begin(lightning.TxOptions{ReadOnly: true})
		must(t, err)
		it, err := ofTx.Iterator(lightning.IterOptions{})
		must(t, err)
		return s.In(k), tx.In(k), it
	}()
	for range 3 {
		runtime.GC()
	}
	if n := db.Metrics().Handles; n.Forgotten.Total() != 0 || n.Snapshots != 1 || n.Transactions != 2 || n.Iterators != 1 {
		t.Errorf("%+v", n)
	}
	for _, get := range []func([]byte) ([]byte, error){snap.Get, tx.Get} {
		if value, err := get([]byte("key")); err != nil || string(value) != "other" {
			t.Errorf("%q, %v", value, err)
		}
	}
	if !it.First() || string(it.Key()) != "key" {
		t.Error("the iterator has no row")
	}
	must(t, snap.Close())
	must(t, tx.Commit())
	must(t, it.Close())
	wantErr(t, db.Close(), lightning.ErrLeaked) // the transaction that only its iterator knew
}

// Handles that were closed in time are nothing to the collector, nor are those of a database
// that was closed.
func TestClosedHandlesAreNotForgotten(t *testing.T) {
	db, err := lightning.Open("db", small(memfs.New()))
	must(t, err)
	for range 100 {
		it, err := db.Iterator(lightning.IterOptions{})
		must(t, err)
		must(t, it.Close())
		s, err := db.Snapshot()
		must(t, err)
		must(t, s.Close())
		tx, err := db.Begin(lightning.TxOptions{})
		must(t, err)
		tx.Rollback()
	}
	runtime.GC()
	runtime.GC()
	if n := db.Metrics().Handles.Forgotten; n.Total() != 0 {
		t.Errorf("%+v", n)
	}
	must(t, second(db.Iterator(lightning.IterOptions{})))
	must(t, second(db.Snapshot()))
	must(t, second(db.Begin(lightning.TxOptions{})))
	_ = db.Close() // which says what was open, if nobody has found it by now
	runtime.GC()
	runtime.GC()
}

// Handles that are too old say so; what they kept goes; younger ones and those of others go on.
func TestHandlesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		o := small(memfs.New())
		o.HandleAge = 8 * time.Second
		o.EventListener = &lightning.EventListener{HandleExpired: func(info lightning.HandleInfo) {
			told = append(told, info.Kind)
		}}
		db, err := lightning.Open("db", o)
		must(t, err)
		key := []byte("key")
		must(t, db.Put(key, []byte("old")))
		it, err := db.Iterator(lightning.IterOptions{})
		must(t, err)
		idle, err := db.Iterator(lightning.IterOptions{})
		must(t, err)
		if !it.First() {
			t.Fatal("no row")
		}
		snap, err := db.Snapshot()
		must(t, err)
		tx, err := db.Begin(lightning.TxOptions{})
		must(t, err)
		must(t, second(tx.Get(key)))
		must(t, tx.Put([]byte("other"), nil))
		time.Sleep(5 * time.Second)
		young, err := db.Snapshot()
		must(t, err)
		must(t, db.Put(key, []byte("new")))
		old := db.Metrics()
		if n := old.Handles; n.OldestAge != 5*time.Second || n.OldestSeq >= old.VisibleSeq || n.Expired.Total() != 0 {
			t.Errorf("%+v at %d", n, old.VisibleSeq)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()

		if n := db.Metrics().Handles; n.Expired != (lightning.HandleCounts{Iterators: 2, Snapshots: 1, Transactions: 1}) || len(told) != 4 {
			t.Errorf("%+v, told %v", n, told)
		}
		if string(it.Key()) != "key" || string(it.Value()) != "old" { // the row on which it stands stays
			t.Errorf("%q = %q", it.Key(), it.Value())
		}
		if it.Next() || it.First() || idle.First() {
			t.Error("an iterator that has expired moves")
		}
		wantErr(t, it.Err(), lightning.ErrHandleExpired)
		wantErr(t, second(snap.Get(key)), lightning.ErrHandleExpired)
		wantErr(t, second(snap.Iterator(lightning.IterOptions{})), lightning.ErrHandleExpired)
		wantErr(t, second(tx.Get(key)), lightning.ErrHandleExpired)
		wantErr(t, tx.Commit(), lightning.ErrHandleExpired)
		if value, err := young.Get(key); err != nil || string(value) != "old" {
			t.Errorf("%q, %v", value, err)
		}
		must(t, young.Close())
		if n := db.Metrics(); n.Handles.OldestSeq != n.VisibleSeq {
			t.Errorf("%+v at %d", n.Handles, n.VisibleSeq)
		}
		wantErr(t, it.Close(), lightning.ErrHandleExpired)
		wantErr(t, idle.Close(), lightning.ErrHandleExpired)
		must(t, snap.Close())
		must(t, db.Close())
	})
}

// A loop over Scan that waits for too long ends with the error.
func TestScansExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small(memfs.New())
		o.HandleAge = time.Second
		db, err := lightning.Open("db", o)
		must(t, err)
		for _, key := range []string{"a", "b", "c"} {
			must(t, db.Put([]byte(key), nil))
			must(t, db.Flush(t.Context()))
		}
		err = db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
			for range rows {
				time.Sleep(2 * time.Second)
				must(t, db.Compact(t.Context(), nil, nil))
			}
			for range rows {
				t.Error("a row of a scan that has expired")
			}
			return nil
		})
		wantErr(t, err, lightning.ErrHandleExpired)
		must(t, db.Close())
	})
}
