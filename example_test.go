package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// inMemory opens a database that lives in memory, for the examples.
func inMemory() *lightning.DB {
	db, err := lightning.Open("db", &lightning.Options{FS: memfs.New()})
	if err != nil {
		log.Fatal(err)
	}
	return db
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleOpen() {
	db, err := lightning.Open("db", &lightning.Options{
		FS:           memfs.New(), // leave it out to use a directory
		MemoryBudget: 64 << 20,
	})
	check(err)
	check(db.Put([]byte("hello"), []byte("world")))
	value, err := db.Get([]byte("hello"))
	check(err)
	fmt.Printf("%s\n", value)
	check(db.Close())
	// Output: world
}

func ExampleDB_Get() {
	db := inMemory()
	defer db.Close()
	_, err := db.Get([]byte("nobody"))
	fmt.Println(errors.Is(err, lightning.ErrNotFound))
	// Output: true
}

func ExampleDB_AppendGet() {
	db := inMemory()
	defer db.Close()
	check(db.Put([]byte("a"), []byte("1")))
	var buf []byte // reused, so that reading allocates nothing
	for range 3 {
		var err error
		buf, err = db.AppendGet(buf[:0], []byte("a"))
		check(err)
	}
	fmt.Printf("%s\n", buf)
	// Output: 1
}

func ExampleDB_GetFunc() {
	db := inMemory()
	defer db.Close()
	check(db.Put([]byte("a"), []byte("a long value")))
	check(db.GetFunc([]byte("a"), func(value []byte) error {
		fmt.Println(len(value)) // value is not copied, and not valid after this
		return nil
	}))
	// Output: 12
}

func ExampleDB_Has() {
	db := inMemory()
	defer db.Close()
	check(db.Put([]byte("a"), nil))
	a, err := db.Has([]byte("a"))
	check(err)
	b, err := db.Has([]byte("b"))
	check(err)
	fmt.Println(a, b)
	// Output: true false
}

func ExampleDB_MultiGet() {
	db := inMemory()
	defer db.Close()
	check(db.Put([]byte("a"), []byte("1")))
	check(db.Put([]byte("c"), []byte("3")))
	keys := [][]byte{[]byte("a"), []byte("b"), []byte("c")}
	check(db.MultiGet(keys, func(i int, value []byte, err error) error {
		switch {
		case errors.Is(err, lightning.ErrNotFound):
			fmt.Printf("%s is not there\n", keys[i])
		case err == nil:
			fmt.Printf("%s is %s\n", keys[i], value)
		default:
			return err
		}
		return nil
	}))
	// Output:
	// a is 1
	// b is not there
	// c is 3
}

func ExampleDB_DeleteRange() {
	db := inMemory()
	defer db.Close()
	for _, day := range []string{"2024-12-31", "2025-01-01", "2025-06-30", "2026-01-01"} {
		check(db.Put([]byte(day), nil))
	}
	check(db.DeleteRange([]byte("2025"), []byte("2026")))
	check(db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		for day := range rows {
			fmt.Printf("%s\n", day)
		}
		return nil
	}))
	// Output:
	// 2024-12-31
	// 2026-01-01
}

func ExampleBatch() {
	db := inMemory()
	defer db.Close()
	batch := db.NewBatch()
	check(batch.Put([]byte("account/alice"), []byte("70")))
	check(batch.Put([]byte("account/bob"), []byte("30")))
	check(batch.Commit()) // both or neither, also after a crash
	fmt.Println(batch.Len())
	// Output: 2
}

func ExampleDB_Scan() {
	db := inMemory()
	defer db.Close()
	for _, fruit := range []string{"apple", "apricot", "banana", "avocado"} {
		check(db.Put([]byte(fruit), []byte("fruit")))
	}
	options := lightning.ScanOptions{Reverse: true}
	options.Prefix = []byte("a")
	err := db.Scan(options, func(rows iter.Seq2[[]byte, []byte]) error {
		for key := range rows {
			fmt.Printf("%s\n", key)
		}
		return nil
	})
	check(err) // covers errors in the middle of the scan
	// Output:
	// avocado
	// apricot
	// apple
}

func ExampleDB_Iterator() {
	db := inMemory()
	defer db.Close()
	for i := range 10 {
		check(db.Put(fmt.Appendf(nil, "%d", i), nil))
	}
	it, err := db.Iterator(lightning.IterOptions{Lower: []byte("2"), Upper: []byte("8")})
	check(err)
	it.SeekGE([]byte("5"))
	fmt.Printf("%s\n", it.Key())
	it.Prev()
	fmt.Printf("%s\n", it.Key())
	it.Last()
	fmt.Printf("%s\n", it.Key())
	check(it.Close()) // returns what stopped the iterator, if anything did
	// Output:
	// 5
	// 4
	// 7
}

func ExampleDB_Snapshot() {
	db := inMemory()
	defer db.Close()
	check(db.Put([]byte("a"), []byte("before")))
	snapshot, err := db.Snapshot()
	check(err)
	defer snapshot.Close()
	check(db.Put([]byte("a"), []byte("after")))
	value, err := snapshot.Get([]byte("a"))
	check(err)
	fmt.Printf("%s\n", value)
	// Output: before
}

func ExampleDB_Keyspace() {
	db := inMemory()
	defer db.Close()
	users, err := db.Keyspace(context.Background(), "users", nil)
	check(err)
	mails, err := db.Keyspace(context.Background(), "mails", &lightning.KeyspaceOptions{Compression: lightning.CompressionSmall})
	check(err)

	batch := users.NewBatch() // one batch can write to several keyspaces
	check(batch.Put([]byte("1"), []byte("alice")))
	check(batch.In(mails).Put([]byte("1"), []byte("welcome")))
	check(batch.Commit())

	user, err := users.Get([]byte("1"))
	check(err)
	mail, err := mails.Get([]byte("1"))
	check(err)
	fmt.Printf("%s: %s %q\n", user, mail, db.Keyspaces())

	check(db.DropKeyspace(context.Background(), "mails"))
	_, err = mails.Get([]byte("1"))
	fmt.Println(errors.Is(err, lightning.ErrKeyspaceDropped))
	// Output:
	// alice: welcome ["mails" "users"]
	// true
}

func ExampleDB_SyncLog() {
	db := inMemory()
	defer db.Close()
	batch := db.NewBatch()
	check(batch.Put([]byte("a"), nil))
	check(batch.CommitWith(lightning.DurabilityAsync))
	check(db.SyncLog(context.Background()))
	fmt.Println(db.DurableSeq())
	// Output: 1
}

func ExampleDB_Compact() {
	db := inMemory()
	defer db.Close()
	check(db.Put([]byte("a"), nil))
	check(db.Compact(context.Background(), nil, nil))
	m := db.Metrics()
	fmt.Println(m.Levels[len(m.Levels)-1].Records)
	// Output: 1
}

// A second database that follows the first. The number to go on at is written in
// the same batch as the changes, so that a crash of the follower loses nothing and
// repeats nothing.
func ExampleDB_Changes() {
	source, follower := inMemory(), inMemory()
	defer source.Close()
	defer follower.Close()
	check(source.Put([]byte("a"), []byte("1")))
	check(source.Put([]byte("b"), []byte("2")))
	check(source.DeleteRange([]byte("a"), []byte("b")))

	progress, err := follower.Keyspace(context.Background(), "progress", nil)
	check(err)
	next := uint64(0) // what Get returns of progress, in a follower that goes on
	for batch, err := range source.Changes(context.Background(), next) {
		check(err)
		copied := follower.NewBatch()
		for c := range batch.All() {
			switch c.Kind { // of the default keyspace
			case lightning.ChangePut:
				check(copied.Put(c.Key, c.Value))
			case lightning.ChangeDelete:
				check(copied.Delete(c.Key))
			case lightning.ChangeDeleteRange:
				check(copied.DeleteRange(c.Key, c.End))
			}
		}
		check(batch.Err())
		next = batch.Last + 1
		check(copied.In(progress).Put([]byte("next"), fmt.Append(nil, next)))
		check(copied.Commit())
		if batch.Last == source.DurableSeq() {
			break // to follow for good, leave this out
		}
	}
	_, err = follower.Get([]byte("a"))
	value, _ := follower.Get([]byte("b"))
	fmt.Println(errors.Is(err, lightning.ErrNotFound), string(value), next)
	// Output: true 2 4
}

func ExampleDB_WithContext() {
	db := inMemory()
	defer db.Close()

	ctx, cancel := context.WithCancel(context.Background())
	withCtx := db.WithContext(ctx) // mostly that of a request
	fmt.Println(withCtx.Put([]byte("key"), []byte("value")))

	cancel() // whoever asked has gone
	err := withCtx.Put([]byte("key"), []byte("other"))
	fmt.Println(errors.Is(err, context.Canceled))
	value, err := db.Get([]byte("key"))
	fmt.Printf("%s %v\n", value, err)
	// Output:
	// <nil>
	// true
	// value <nil>
}
