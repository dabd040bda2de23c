package badger_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/compat/badger"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

func second[T any](_ T, err error) error { return err }

func open(t *testing.T) *badger.DB {
	t.Helper()
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true).WithLightning(&lightning.Options{MemoryBudget: 8 << 20}))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// put writes keys whose values are their names.
func put(t *testing.T, db *badger.DB, keys ...string) {
	t.Helper()
	must(t, db.Update(func(txn *badger.Txn) error {
		for _, key := range keys {
			must(t, txn.Set([]byte(key), []byte(key)))
		}
		return nil
	}))
}

func valueOf(t *testing.T, db *badger.DB, key string) string {
	t.Helper()
	var value []byte
	err := db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(key))
		if err == nil {
			value, err = item.ValueCopy(nil)
		}
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return "none"
	}
	must(t, err)
	return string(value)
}

func TestItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true))
		must(t, err)
		at := uint64(time.Now().Add(10 * time.Second).Unix())
		must(t, db.Update(func(txn *badger.Txn) error {
			must(t, txn.SetEntry(badger.NewEntry([]byte("key"), []byte("value")).WithMeta(7).WithTTL(10*time.Second)))
			must(t, txn.SetEntry(&badger.Entry{Key: []byte("gone"), ExpiresAt: 1}))
			must(t, txn.Set([]byte("empty"), nil))
			wantErr(t, second(txn.Get([]byte("gone"))), badger.ErrKeyNotFound)
			return nil
		}))
		must(t, db.View(func(txn *badger.Txn) error {
			item, err := txn.Get([]byte("key"))
			must(t, err)
			if item.UserMeta() != 7 || item.ExpiresAt() != at || item.ValueSize() != 5 || item.KeySize() != 3 ||
				item.EstimatedSize() != 8 || item.IsDeletedOrExpired() || item.String() != `key="key"` ||
				string(item.KeyCopy([]byte("xyz"))) != "key" {
				t.Errorf("%v: %d, %d, %d", item, item.UserMeta(), item.ExpiresAt(), item.ValueSize())
			}
			failure := errors.New("no")
			wantErr(t, item.Value(func(value []byte) error {
				if string(value) != "value" {
					t.Errorf("%q", value)
				}
				return failure
			}), failure)
			must(t, item.Value(nil))
			item, err = txn.Get([]byte("empty"))
			must(t, err)
			if value, err := item.ValueCopy([]byte("old")); err != nil || value == nil || len(value) != 0 || item.ExpiresAt() != 0 {
				t.Errorf("%q, %v", value, err)
			}
			time.Sleep(11 * time.Second)
			item, err = txn.Get([]byte("key")) // the transaction is older
			must(t, err)
			if !item.IsDeletedOrExpired() {
				t.Error("it has not expired")
			}
			return nil
		}))
		if v := valueOf(t, db, "key"); v != "none" {
			t.Errorf("after its time it is %q", v)
		}
		must(t, db.Close())
	})
}

func TestErrorsAreThoseOfBadger(t *testing.T) {
	db := open(t)
	key := []byte("key")
	must(t, db.View(func(txn *badger.Txn) error {
		wantErr(t, txn.Set(key, nil), badger.ErrReadOnlyTxn)
		wantErr(t, txn.Delete(key), badger.ErrReadOnlyTxn)
		wantErr(t, second(txn.Get(nil)), badger.ErrEmptyKey)
		wantErr(t, second(txn.Get(key)), badger.ErrKeyNotFound)
		return nil
	}))
	txn := db.NewTransaction(true)
	wantErr(t, txn.Set(nil, nil), badger.ErrEmptyKey)
	wantErr(t, txn.Delete(nil), badger.ErrEmptyKey)
	must(t, txn.Delete(key))
	txn.Discard()
	txn.Discard()
	wantErr(t, txn.Set(key, nil), badger.ErrDiscardedTxn)
	wantErr(t, second(txn.Get(key)), badger.ErrDiscardedTxn)
	wantErr(t, txn.Commit(), badger.ErrDiscardedTxn)
	it := txn.NewIterator(badger.DefaultIteratorOptions)
	it.Rewind()
	if it.Valid() || it.Item() != nil {
		t.Error("an iterator of a discarded transaction stands somewhere")
	}
	wantErr(t, it.Err(), badger.ErrDiscardedTxn)
	it.Close()
	wantErr(t, db.RunValueLogGC(0.5), badger.ErrNoRewrite)
	wantErr(t, db.RunValueLogGC(2), badger.ErrInvalidRequest)
	wantErr(t, second(db.GetSequence(nil, 1)), badger.ErrEmptyKey)
	wantErr(t, second(db.GetSequence(key, 0)), badger.ErrZeroBandwidth)
	wantErr(t, db.Subscribe(t.Context(), nil, nil), badger.ErrInvalidRequest)
}

func TestClosed(t *testing.T) {
	fs := memfs.New()
	options := badger.DefaultOptions("db").WithSyncWrites(true).WithKeyspace("mine").WithLightning(&lightning.Options{FS: fs})
	db, err := badger.Open(options)
	must(t, err)
	put(t, db, "a")
	must(t, db.Sync())
	must(t, db.Flatten(1))
	if lsm, vlog := db.Size(); lsm == 0 || vlog != 0 {
		t.Errorf("%d, %d", lsm, vlog)
	}
	must(t, db.Close())
	must(t, db.Close())
	nothing := func(*badger.Txn) error { return errors.New("it was called") }
	for _, err := range []error{
		db.View(nothing), db.Update(nothing), db.Sync(), db.DropAll(), db.NewWriteBatch().Set([]byte("a"), nil),
		db.RunValueLogGC(0.5), db.Flatten(1), second(db.GetSequence([]byte("a"), 1)), db.NewTransaction(true).Commit(),
		db.GetMergeOperator([]byte("a"), func(a, b []byte) []byte { return a }).Add(nil),
		db.Subscribe(t.Context(), func(*badger.KV) error { return nil }, nil),
	} {
		wantErr(t, err, badger.ErrDBClosed)
	}
	if !db.IsClosed() {
		t.Error("it is not closed")
	}

	db, err = badger.Open(options.WithReadOnly(true))
	must(t, err)
	if v := valueOf(t, db, "a"); v != "a" || !db.Opts().ReadOnly {
		t.Errorf("%q", v)
	}
	wantErr(t, db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("a"), nil) }), badger.ErrReadOnlyTxn)
	wantErr(t, db.DropPrefix([]byte("a")), lightning.ErrReadOnly)
	must(t, db.Close())
	db, err = badger.Open(options.WithReadOnly(true).WithKeyspace("never written"))
	must(t, err)
	if v := valueOf(t, db, "a"); v != "none" {
		t.Errorf("%q", v)
	}
	must(t, db.Close())
}

// Of two transactions that read what the other one writes, one fails, and its function is not run
// again.
func TestConflicts(t *testing.T) {
	db := open(t)
	put(t, db, "a", "b")
	first, other := db.NewTransaction(true), db.NewTransaction(true)
	defer other.Discard()
	must(t, second(first.Get([]byte("a"))))
	must(t, first.Set([]byte("b"), nil))
	must(t, second(other.Get([]byte("b"))))
	must(t, other.Set([]byte("a"), nil))
	done := make(chan error)
	first.CommitWith(func(err error) { done <- err })
	must(t, <-done)
	wantErr(t, other.Commit(), badger.ErrConflict)
	wantErr(t, other.Commit(), badger.ErrDiscardedTxn)
}

func TestIteratorsGoBothWays(t *testing.T) {
	db := open(t)
	put(t, db, "a", "b1", "b2", "b3", "c")
	must(t, db.Update(func(txn *badger.Txn) error {
		must(t, txn.Set([]byte("b4"), []byte("b4")))
		must(t, txn.Delete([]byte("b1")))
		for _, c := range []struct {
			reverse      bool
			prefix, seek string
			want         string
		}{
			{false, "", "", "a b2 b3 b4 c"},
			{true, "", "", "c b4 b3 b2 a"},
			{false, "b", "", "b2 b3 b4"},
			{true, "b", "", "b4 b3 b2"},
			{false, "", "b21", "b3 b4 c"},
			{true, "", "b21", "b2 a"},
			{true, "", "b3", "b3 b2 a"},
			{true, "b", "b\xff", "b4 b3 b2"},
			{false, "b", "c", ""},
			{false, "x", "", ""},
		} {
			for _, values := range []bool{true, false} {
				it := txn.NewIterator(badger.IteratorOptions{Reverse: c.reverse, Prefix: []byte(c.prefix), PrefetchValues: values})
				var seen []string
				for it.Seek([]byte(c.seek)); it.Valid(); it.Next() {
					value, err := it.Item().ValueCopy(nil)
					must(t, err)
					if string(value) != string(it.Item().Key()) || !it.ValidForPrefix([]byte(c.prefix)) {
						t.Errorf("%q = %q", it.Item().Key(), value)
					}
					seen = append(seen, string(value))
				}
				must(t, it.Err())
				it.Close()
				if got := strings.Join(seen, " "); got != c.want {
					t.Errorf("%+v: %s", c, got)
				}
			}
		}
		return nil
	}))
}

func TestWriteBatches(t *testing.T) {
	db := open(t)
	wb := db.NewWriteBatch()
	defer wb.Cancel()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 3000 {
				if err := wb.Set(fmt.Appendf(nil, "%d-%04d", g, i), make([]byte, 1000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, wb.SetEntry(badger.NewEntry([]byte("0-0000"), []byte("later")).WithTTL(time.Hour)))
	must(t, wb.Delete([]byte("0-0001")))
	wantErr(t, wb.Set(nil, nil), badger.ErrEmptyKey)
	must(t, wb.Flush())
	must(t, wb.Error())
	wantErr(t, wb.Set([]byte("late"), nil), badger.ErrInvalidRequest)
	if v := valueOf(t, db, "0-0000"); v != "later" {
		t.Errorf("%q", v)
	}
	count := 0
	must(t, db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			count++
		}
		return it.Err()
	}))
	if count != 4*3000-1 {
		t.Errorf("%d keys", count)
	}
	must(t, db.DropPrefix([]byte("0-"), []byte("1-")))
	if valueOf(t, db, "1-0000") != "none" || valueOf(t, db, "2-0000") == "none" {
		t.Error("other keys were dropped than those with the prefix")
	}
	must(t, db.DropAll())
	if valueOf(t, db, "2-0000") != "none" {
		t.Error("not all were dropped")
	}
}

// Numbers are given out once, whoever asks, and those that are given back come again.
func TestSequences(t *testing.T) {
	db := open(t)
	var mu sync.Mutex
	var seen []uint64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := db.GetSequence([]byte("seq"), 10)
			for range 25 {
				var n uint64
				if err == nil {
					n, err = s.Next()
				}
				mu.Lock()
				seen = append(seen, n)
				mu.Unlock()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 100 {
		t.Errorf("numbers were given out twice: %d", seen)
	}
	s, err := db.GetSequence([]byte("other"), 100)
	must(t, err)
	for want := range uint64(3) {
		if n, err := s.Next(); err != nil || n != want {
			t.Errorf("%d, %v", n, err)
		}
	}
	must(t, s.Release())
	if n, err := s.Next(); err != nil || n != 3 {
		t.Errorf("after Release %d, %v", n, err)
	}
}

func TestMergeOperators(t *testing.T) {
	db := open(t)
	add := func(existing, added []byte) []byte {
		sum := binary.BigEndian.Uint64(existing) + binary.BigEndian.Uint64(added)
		return binary.BigEndian.AppendUint64(nil, sum)
	}
	op := db.GetMergeOperator([]byte("counter"), add)
	wantErr(t, second(op.Get()), badger.ErrKeyNotFound)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				if err := op.Add(binary.BigEndian.AppendUint64(nil, 2)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if v, err := op.Get(); err != nil || binary.BigEndian.Uint64(v) != 200 {
		t.Errorf("%x, %v", v, err)
	}
	op.Stop()
	wantErr(t, op.Add(nil), badger.ErrInvalidRequest)
}

// A subscriber hears what was made of keys with his prefix, in order.
func TestSubscribe(t *testing.T) {
	db := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	heard, began := make(chan badger.KV, 100), make(chan struct{}, 1)
	ended := make(chan error)
	go func() {
		ended <- db.Subscribe(ctx, func(kv *badger.KV) error {
			if string(kv.Key) == "a/begin" {
				select {
				case began <- struct{}{}:
				default:
				}
				return nil
			}
			heard <- *kv
			return nil
		}, []byte("a/"))
	}()
	for hears := false; !hears; { // from when on it hears is not known
		put(t, db, "a/begin")
		select {
		case <-began:
			hears = true
		default:
		}
	}
	put(t, db, "a/1", "b/1")
	must(t, db.Update(func(txn *badger.Txn) error {
		must(t, txn.SetEntry(badger.NewEntry([]byte("a/2"), []byte("v")).WithMeta(3)))
		return txn.Delete([]byte("a/1"))
	}))
	must(t, db.DropPrefix([]byte("a")))
	var got []string
	for range 4 {
		kv := <-heard
		got = append(got, fmt.Sprintf("%s=%s/%d %v %v", kv.Key, kv.Value, kv.UserMeta, kv.Deleted, kv.Range))
	}
	if want := []string{"a/1=a/1/0 false false", "a/2=v/3 false false", "a/1=/0 true false", "a=/0 true true"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	cancel()
	wantErr(t, <-ended, context.Canceled)
}

// Over a database that can be written, a read-only DB writes nothing.
func TestReadOnlyOverWritable(t *testing.T) {
	inner, err := lightning.Open("db", &lightning.Options{FS: memfs.New()})
	must(t, err)
	db, err := badger.New(inner, badger.DefaultOptions(""))
	must(t, err)
	put(t, db, "a")
	reader, err := badger.New(inner, badger.DefaultOptions("").WithReadOnly(true))
	must(t, err)
	wantErr(t, reader.Update(func(txn *badger.Txn) error { return txn.Delete([]byte("a")) }), badger.ErrReadOnlyTxn)
	if v := valueOf(t, reader, "a"); v != "a" {
		t.Errorf("%q", v)
	}
	must(t, inner.Close())
}

// Items of an iterator have the values that there were when it was made, whatever its transaction
// has written since.
func TestItemsAreOfTheirIterator(t *testing.T) {
	db := open(t)
	put(t, db, "a", "b")
	must(t, db.Update(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			key := it.Item().KeyCopy(nil)
			must(t, txn.Delete(key))
			value, err := it.Item().ValueCopy(nil)
			if err != nil || string(value) != string(key) {
				t.Errorf("%q = %q, %v", key, value, err)
			}
		}
		return it.Err()
	}))
}

// A number that could not be stored is not given out.
func TestSequenceThatFails(t *testing.T) {
	disk := memfs.New()
	fs := faultfs.New(disk)
	db, err := badger.Open(badger.DefaultOptions("db").WithSyncWrites(true).WithLightning(&lightning.Options{FS: fs}))
	must(t, err)
	s, err := db.GetSequence([]byte("seq"), 1)
	must(t, err)
	must(t, second(s.Next()))
	fs.Add(faultfs.Rule{Kinds: vfs.OpAnySync, Sticky: true, Err: errors.New("no")})
	for range 3 {
		if n, err := s.Next(); err == nil {
			t.Errorf("%d was given out", n)
		}
	}
	_ = db.Close() // which fails
}
