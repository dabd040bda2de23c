package lightning_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// memory is a database for an example.
func memory() *lightning.DB {
	db, err := lightning.Open("db", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	return db
}

// A name goes to whoever asks first.
func ExampleDB_PutIfAbsent() {
	db := memory()
	defer db.Close()
	for _, user := range []string{"alice", "bob"} {
		got, err := db.PutIfAbsent([]byte("name/lightning"), []byte(user))
		fmt.Println(user, got, err)
	}
	// Output:
	// alice true <nil>
	// bob false <nil>
}

// A document is changed only if nobody else has changed it since it was read.
func ExampleDB_CompareAndSwap() {
	db := memory()
	defer db.Close()
	_ = db.Put([]byte("doc"), []byte("draft"))
	read, _ := db.Get([]byte("doc"))
	fmt.Println(db.CompareAndSwap([]byte("doc"), read, []byte("final")))
	fmt.Println(db.CompareAndSwap([]byte("doc"), read, []byte("something else")))
	// Output:
	// true <nil>
	// false <nil>
}

// A lock is given back by its owner and by nobody else.
func ExampleDB_CompareAndDelete() {
	db := memory()
	defer db.Close()
	_ = db.Put([]byte("lock"), []byte("worker 1"))
	fmt.Println(db.CompareAndDelete([]byte("lock"), []byte("worker 2")))
	fmt.Println(db.CompareAndDelete([]byte("lock"), []byte("worker 1")))
	// Output:
	// false <nil>
	// true <nil>
}

// A token works once.
func ExampleDB_GetAndDelete() {
	db := memory()
	defer db.Close()
	_ = db.Put([]byte("token"), []byte("alice"))
	user, err := db.GetAndDelete([]byte("token"))
	fmt.Println(string(user), err)
	_, err = db.GetAndDelete([]byte("token"))
	fmt.Println(errors.Is(err, lightning.ErrNotFound))
	// Output:
	// alice <nil>
	// true
}

// A session lives for half an hour from its last use.
func ExampleDB_Touch() {
	db := memory()
	defer db.Close()
	_ = db.PutWithTTL([]byte("session"), []byte("alice"), time.Minute)
	fmt.Println(db.Touch([]byte("session"), 30*time.Minute))
	at, _ := db.ExpiresAt([]byte("session"))
	fmt.Println(time.Until(at) > 29*time.Minute)
	// Output:
	// <nil>
	// true
}

// Numbers for invoices, each given out once.
func ExampleDB_Increment() {
	db := memory()
	defer db.Close()
	for range 3 {
		number, err := db.Increment([]byte("last invoice"), 1)
		fmt.Println(number, err)
	}
	stored, _ := db.Get([]byte("last invoice"))
	fmt.Println(binary.LittleEndian.Uint64(stored))
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
	// 3
}
