package lightning_test

import (
	"fmt"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A hundred thousand records go into tables without passing through the log. Nothing is there before
// Commit, and everything after it.
func ExampleDB_BulkLoader() {
	db, err := lightning.Open("numbers", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	load, err := db.BulkLoader()
	if err != nil {
		panic(err)
	}
	defer load.Close()
	for n := range 100_000 {
		if err := load.Put(fmt.Appendf(nil, "%06d", n), fmt.Append(nil, n*n)); err != nil {
			panic(err)
		}
	}
	_, err = db.Get([]byte("000007"))
	fmt.Println(err == lightning.ErrNotFound)
	if err := load.Commit(); err != nil {
		panic(err)
	}
	value, err := db.Get([]byte("000007"))
	fmt.Println(string(value), err)
	// Output:
	// true
	// 49 <nil>
}
