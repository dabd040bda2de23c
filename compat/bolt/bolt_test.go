package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/compat/bolt"
	"github.com/lightningdb/lightning/internal/leak"
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

// open opens a database in memory, which is closed at the end of the test.
func open(t *testing.T) *bolt.DB {
	t.Helper()
	db, err := bolt.Open("db", &bolt.Options{Lightning: &lightning.Options{FS: memfs.New(), MemoryBudget: 8 << 20}})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// fill makes a bucket with some keys, whose values are their names.
func fill(tx *bolt.Tx, bucket string, keys ...string) (*bolt.Bucket, error) {
	b, err := tx.CreateBucketIfNotExists([]byte(bucket))
	for _, key := range keys {
		if err == nil {
			err = b.Put([]byte(key), []byte(key))
		}
	}
	return b, err
}

func TestValuesComeBack(t *testing.T) {
	db := open(t)
	must(t, db.Update(func(tx *bolt.Tx) error {
		b, err := fill(tx, "b", "a", "c")
		must(t, err)
		must(t, b.Put([]byte("empty"), nil))
		if v := b.Get([]byte("empty")); v == nil || len(v) != 0 {
			t.Errorf("an empty value is %v", v)
		}
		return nil
	}))
	var kept []byte
	must(t, db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("b"))
		kept = b.Get([]byte("a"))
		if v := b.Get([]byte("none")); v != nil {
			t.Errorf("%q", v)
		}
		if tx.Bucket([]byte("none")) != nil {
			t.Error("a bucket that is not there")
		}
		return nil
	}))
	if string(kept) != "a" {
		t.Errorf("after the transaction it is %q", kept)
	}
}

func TestErrorsAreThoseOfBolt(t *testing.T) {
	db := open(t)
	must(t, db.Update(func(tx *bolt.Tx) error {
		b, err := fill(tx, "b", "key")
		must(t, err)
		_, err = b.CreateBucket([]byte("within"))
		must(t, err)
		long := make([]byte, bolt.MaxKeySize+1)
		for _, c := range []struct{ err, want error }{
			{b.Put(nil, nil), bolt.ErrKeyRequired},
			{b.Put(long, nil), bolt.ErrKeyTooLarge},
			{b.Put([]byte("within"), nil), bolt.ErrIncompatibleValue},
			{b.Delete([]byte("within")), bolt.ErrIncompatibleValue},
			{b.Delete([]byte("none")), nil},
			{b.Delete(long), nil},
			{b.DeleteBucket([]byte("none")), bolt.ErrBucketNotFound},
			{b.DeleteBucket([]byte("key")), bolt.ErrIncompatibleValue},
			{second(b.CreateBucket(nil)), bolt.ErrBucketNameRequired},
			{second(b.CreateBucket(long)), bolt.ErrKeyTooLarge},
			{second(b.CreateBucket([]byte("within"))), bolt.ErrBucketExists},
			{second(b.CreateBucket([]byte("key"))), bolt.ErrIncompatibleValue},
			{second(b.CreateBucketIfNotExists([]byte("key"))), bolt.ErrIncompatibleValue},
			{b.MoveBucket([]byte("none"), b), bolt.ErrBucketNotFound},
			{b.MoveBucket([]byte("within"), b), bolt.ErrSameBuckets},
			{tx.Commit(), nil},
			{tx.Rollback(), nil},
		} {
			if c.want == nil {
				continue // below
			}
			wantErr(t, c.err, c.want)
		}
		if tx.Commit() == nil || tx.Rollback() == nil {
			t.Error("the function of Update ends its transaction")
		}
		return nil
	}))
	tx, err := db.Begin(false)
	must(t, err)
	b := tx.Bucket([]byte("b"))
	for _, err := range []error{
		b.Put([]byte("a"), nil), b.Delete([]byte("a")), b.DeleteBucket([]byte("within")), b.SetSequence(1),
		second(b.NextSequence()), second(b.CreateBucket([]byte("c"))), b.Cursor().Delete(), tx.Commit(),
	} {
		wantErr(t, err, bolt.ErrTxNotWritable)
	}
	must(t, tx.Rollback())
	wantErr(t, tx.Rollback(), bolt.ErrTxClosed)
	wantErr(t, b.Put([]byte("a"), nil), bolt.ErrTxClosed)
	if k, _ := b.Cursor().First(); k != nil || b.Get([]byte("key")) != nil {
		t.Error("a transaction that has ended reads")
	}
}

func second[T any](_ T, err error) error { return err }

// A failed function takes back all that it did, buckets included.
func TestRollbackTakesBucketsBack(t *testing.T) {
	db := open(t)
	failure := errors.New("no")
	wantErr(t, db.Update(func(tx *bolt.Tx) error {
		_, err := fill(tx, "b", "a")
		must(t, err)
		tx.OnCommit(func() { t.Error("it has not committed") })
		return failure
	}), failure)
	must(t, db.View(func(tx *bolt.Tx) error {
		if tx.Bucket([]byte("b")) != nil {
			t.Error("the bucket is there")
		}
		return nil
	}))
}

func TestCursorsMoveAndDelete(t *testing.T) {
	db := open(t)
	must(t, db.Update(func(tx *bolt.Tx) error {
		b, err := fill(tx, "b", "a", "b", "d", "e")
		must(t, err)
		_, err = fill(tx, "a", "zz")
		must(t, err)
		_, err = fill(tx, "c", "0")
		must(t, err)
		_, err = b.CreateBucket([]byte("c"))
		must(t, err)
		c := b.Cursor()
		expect := func(what string, key, value []byte, want string) {
			t.Helper()
			if string(key) != want || want == "" && key != nil || (value == nil) != (want == "" || want == "c") {
				t.Errorf("%s: %q = %q, want %q", what, key, value, want)
			}
		}
		move := func(what string, move func() ([]byte, []byte), want string) {
			t.Helper()
			k, v := move()
			expect(what, k, v, want)
		}
		move("next of a new one", c.Next, "")
		move("first", c.First, "a")
		move("next", c.Next, "b")
		must(t, c.Delete())
		move("next after delete", c.Next, "c")
		wantErr(t, c.Delete(), bolt.ErrIncompatibleValue)
		move("back over what was deleted", c.Prev, "a")
		must(t, b.Put([]byte("b"), []byte("again")))
		move("to what was put meanwhile", c.Next, "b")
		move("last", c.Last, "e")
		move("end", c.Next, "")
		move("and still", c.Next, "")
		move("from there", c.Prev, "d")
		k, v := c.Seek([]byte("x"))
		expect("seek beyond", k, v, "")
		move("back", c.Prev, "e")
		k, v = c.Seek([]byte("cc"))
		expect("seek between", k, v, "d")
		move("first", c.First, "a")
		move("beginning", c.Prev, "")
		move("from there", c.Next, "b")
		return nil
	}))
}

// All rows of a bucket can be deleted in a loop over them, by cursor or by bucket.
func TestDeleteInLoops(t *testing.T) {
	db := open(t)
	for _, way := range []func(b *bolt.Bucket, c *bolt.Cursor, k []byte) error{
		func(b *bolt.Bucket, c *bolt.Cursor, k []byte) error { return c.Delete() },
		func(b *bolt.Bucket, c *bolt.Cursor, k []byte) error { return b.Delete(k) },
	} {
		must(t, db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("b"))
			must(t, err)
			for i := range 500 {
				must(t, b.Put(fmt.Appendf(nil, "%03d", i), nil))
			}
			c, count := b.Cursor(), 0
			for k, _ := c.First(); k != nil; k, _ = c.Next() {
				must(t, way(b, c, k))
				count++
			}
			if k, _ := c.First(); k != nil || count != 500 {
				t.Errorf("%d were deleted, %q is left", count, k)
			}
			return nil
		}))
	}
}

// Buckets within buckets are deleted with all in them, moved, counted and described.
func TestNestedBuckets(t *testing.T) {
	db := open(t)
	must(t, db.Update(func(tx *bolt.Tx) error {
		outer, err := fill(tx, "outer", "a", "b")
		must(t, err)
		inner, err := outer.CreateBucket([]byte("inner"))
		must(t, err)
		must(t, inner.Put([]byte("x"), []byte("1")))
		deep, err := inner.CreateBucket([]byte("deep"))
		must(t, err)
		must(t, deep.Put([]byte("y"), []byte("2")))
		for want := uint64(1); want <= 3; want++ {
			if n, err := inner.NextSequence(); err != nil || n != want {
				t.Errorf("%d, %v", n, err)
			}
		}
		if s := outer.Stats(); s.KeyN != 6 || s.BucketN != 3 {
			t.Errorf("%+v", s)
		}
		other, err := tx.CreateBucket([]byte("other"))
		must(t, err)
		must(t, tx.MoveBucket([]byte("inner"), outer, other))
		wantErr(t, other.MoveBucket([]byte("inner"), other), bolt.ErrSameBuckets)
		moved := other.Bucket([]byte("inner"))
		if outer.Bucket([]byte("inner")) != nil || moved.Sequence() != 3 ||
			string(moved.Bucket([]byte("deep")).Get([]byte("y"))) != "2" {
			t.Error("the bucket was not moved as it was")
		}
		want := bolt.BucketStructure{Name: "root", Children: []bolt.BucketStructure{
			{Name: "other", Children: []bolt.BucketStructure{
				{Name: "inner", KeyN: 1, Children: []bolt.BucketStructure{{Name: "deep", KeyN: 1}}},
			}},
			{Name: "outer", KeyN: 2},
		}}
		if is := tx.Inspect(); fmt.Sprint(is) != fmt.Sprint(want) {
			t.Errorf("%+v", is)
		}
		must(t, tx.DeleteBucket([]byte("other")))
		return nil
	}))
	// Nothing of it is left in the keyspace but the two keys, their bucket and the number.
	k, err := db.Lightning().Keyspace(t.Context(), bolt.DefaultKeyspace, nil)
	must(t, err)
	if n, err := k.Count(t.Context(), nil, nil); err != nil || n != 5 {
		t.Errorf("%d rows, %v", n, err)
	}
	must(t, db.Update(func(tx *bolt.Tx) error {
		again, err := tx.CreateBucket([]byte("other"))
		must(t, err)
		if again.Sequence() != 0 || again.Bucket([]byte("inner")) != nil {
			t.Error("a new bucket has what an old one had")
		}
		var names []string
		must(t, tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			names = append(names, string(name))
			return b.Put([]byte("seen"), nil)
		}))
		if !slices.Equal(names, []string{"other", "outer"}) {
			t.Errorf("%q", names)
		}
		return nil
	}))
}

// One transaction writes at a time, so that nobody meets a conflict; those that read see a moment.
func TestWritersTakeTurns(t *testing.T) {
	db := open(t)
	must(t, db.Update(func(tx *bolt.Tx) error { return second(fill(tx, "b")) }))
	reader, err := db.Begin(false)
	must(t, err)
	var wg sync.WaitGroup
	for _, run := range []func(func(*bolt.Tx) error) error{db.Update, db.Batch, db.Batch, db.Update} {
		wg.Go(func() {
			for range 50 {
				err := run(func(tx *bolt.Tx) error {
					return second(tx.Bucket([]byte("b")).NextSequence())
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := reader.Bucket([]byte("b")).Sequence(); n != 0 {
		t.Errorf("an old reader sees %d", n)
	}
	must(t, reader.Rollback())
	must(t, db.View(func(tx *bolt.Tx) error {
		if n := tx.Bucket([]byte("b")).Sequence(); n != 200 {
			t.Errorf("%d", n)
		}
		return nil
	}))
}

// A function of a batch that fails, or panics, does so for its caller alone.
func TestBatchFailsAlone(t *testing.T) {
	db := open(t)
	db.MaxBatchSize = 3
	failure := errors.New("no")
	must(t, db.Update(func(tx *bolt.Tx) error { return second(fill(tx, "b")) }))
	put := func(key string) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error { return tx.Bucket([]byte("b")).Put([]byte(key), nil) }
	}
	results := make(chan error, 3)
	go func() { results <- db.Batch(put("a")) }()
	go func() {
		results <- db.Batch(func(tx *bolt.Tx) error { return errors.Join(put("b")(tx), failure) })
	}()
	go func() {
		defer func() { results <- fmt.Errorf("panicked: %v", recover()) }()
		_ = db.Batch(func(tx *bolt.Tx) error { panic("out") })
	}()
	var failed []string
	for range 3 {
		if err := <-results; err != nil {
			failed = append(failed, err.Error())
		}
	}
	slices.Sort(failed)
	if !slices.Equal(failed, []string{"no", "panicked: out"}) {
		t.Errorf("%q", failed)
	}
	must(t, db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("b"))
		if b.Get([]byte("a")) == nil || b.Get([]byte("b")) != nil {
			t.Error("a is not there, or b is")
		}
		return nil
	}))
}

func TestOpenedAgain(t *testing.T) {
	fs := memfs.New()
	options := &bolt.Options{NoSync: true, Keyspace: "mine", Lightning: &lightning.Options{FS: fs, MemoryBudget: 8 << 20}}
	db, err := bolt.Open("db", options)
	must(t, err)
	must(t, db.Update(func(tx *bolt.Tx) error { return second(fill(tx, "b", "a")) }))
	must(t, db.Sync())
	options.Timeout = 1
	_, err = bolt.Open("db", options)
	wantErr(t, err, bolt.ErrTimeout)
	wantErr(t, err, lightning.ErrLocked)
	must(t, db.Close())
	must(t, db.Close())
	_, err = db.Begin(false)
	wantErr(t, err, bolt.ErrDatabaseNotOpen)
	wantErr(t, db.Sync(), bolt.ErrDatabaseNotOpen)

	options.ReadOnly = true
	db, err = bolt.Open("db", options)
	must(t, err)
	if !db.IsReadOnly() || db.Path() != "db" || db.String() != `DB<"db">` {
		t.Errorf("%v, %q, %v", db.IsReadOnly(), db.Path(), db)
	}
	_, err = db.Begin(true)
	wantErr(t, err, bolt.ErrDatabaseReadOnly)
	must(t, db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket([]byte("b")).Get([]byte("a")); !bytes.Equal(v, []byte("a")) {
			t.Errorf("%q", v)
		}
		return nil
	}))
	must(t, db.Close())

	options.Keyspace = "never written"
	db, err = bolt.Open("db", options)
	must(t, err)
	must(t, db.View(func(tx *bolt.Tx) error {
		if k, _ := tx.Cursor().First(); k != nil || tx.Bucket([]byte("b")) != nil {
			t.Error("there is something")
		}
		return tx.ForEach(func([]byte, *bolt.Bucket) error { return errors.New("a bucket") })
	}))
	must(t, db.Close())
}

// A row that nobody of this package has written is an error, and no value.
func TestForeignRowsAreErrors(t *testing.T) {
	db := open(t)
	must(t, db.Update(func(tx *bolt.Tx) error { return second(fill(tx, "b", "a")) }))
	k, err := db.Lightning().Keyspace(t.Context(), bolt.DefaultKeyspace, nil)
	must(t, err)
	must(t, k.Put([]byte("r\x00\x00\x00\x00\x00\x00\x00\x01a"), []byte("\x07?")))
	for _, read := range []func(b *bolt.Bucket){
		func(b *bolt.Bucket) { b.Get([]byte("a")) },
		func(b *bolt.Bucket) { b.Cursor().First() },
		func(b *bolt.Bucket) { _ = b.ForEach(func(_, _ []byte) error { return nil }) },
	} {
		if err := db.View(func(tx *bolt.Tx) error { read(tx.Bucket([]byte("b"))); return nil }); err == nil {
			t.Error("no error")
		}
	}
}

// What is written through a handle of a bucket that was deleted, or moved, is refused: it would be
// where nobody finds it, or in two places.
func TestOldHandlesWriteNothing(t *testing.T) {
	db := open(t)
	must(t, db.Update(func(tx *bolt.Tx) error {
		outer, err := fill(tx, "outer", "a")
		must(t, err)
		inner, err := outer.CreateBucket([]byte("inner"))
		must(t, err)
		other, err := tx.CreateBucket([]byte("other"))
		must(t, err)
		must(t, tx.MoveBucket([]byte("inner"), outer, other))
		wantErr(t, second(inner.NextSequence()), bolt.ErrBucketNotFound)
		if outer.Bucket([]byte("inner")) != nil {
			t.Error("the bucket is in both places")
		}
		for want := uint64(1); want < 3; want++ {
			if n, err := other.Bucket([]byte("inner")).NextSequence(); err != nil || n != want {
				t.Errorf("%d, %v", n, err)
			}
		}
		must(t, tx.DeleteBucket([]byte("other")))
		for _, b := range []*bolt.Bucket{inner, other} {
			for _, err := range []error{
				b.Put([]byte("k"), nil), b.Delete([]byte("k")), b.SetSequence(3), b.DeleteBucket([]byte("k")),
				second(b.NextSequence()), second(b.CreateBucket([]byte("k"))), second(b.CreateBucketIfNotExists([]byte("k"))),
			} {
				wantErr(t, err, bolt.ErrBucketNotFound)
			}
		}
		return nil
	}))
	k, err := db.Lightning().Keyspace(t.Context(), bolt.DefaultKeyspace, nil)
	must(t, err)
	if n, err := k.Count(t.Context(), nil, nil); err != nil || n != 4 { // outer twice, its key, the number
		t.Errorf("%d rows, %v", n, err)
	}
}

// A bucket is not moved into itself, nor into one within.
func TestMoveIntoItself(t *testing.T) {
	db := open(t)
	must(t, db.Update(func(tx *bolt.Tx) error {
		outer, err := fill(tx, "outer", "a")
		must(t, err)
		inner, err := outer.CreateBucket([]byte("inner"))
		must(t, err)
		wantErr(t, tx.MoveBucket([]byte("outer"), nil, outer), bolt.ErrSameBuckets)
		wantErr(t, tx.MoveBucket([]byte("outer"), nil, inner), bolt.ErrSameBuckets)
		if tx.Bucket([]byte("outer")).Bucket([]byte("inner")) == nil {
			t.Error("it is gone")
		}
		return nil
	}))
}
