package lightning_test

import (
	"context"
	"fmt"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Two programs make tables where the database is not, and a third one loads both, all or nothing.
func ExampleCreateTable() {
	fs := memfs.New()
	for part := range 2 {
		w, err := lightning.CreateTable(fmt.Sprintf("part-%d.table", part), &lightning.TableOptions{FS: fs})
		if err != nil {
			panic(err)
		}
		for n := part; n < 1000; n += 2 { // in the order of the keys
			if err := w.Put(fmt.Appendf(nil, "%06d", n), fmt.Append(nil, n*n)); err != nil {
				panic(err)
			}
		}
		if err := w.Finish(); err != nil {
			panic(err)
		}
	}
	db, err := lightning.Open("numbers", &lightning.Options{FS: fs})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	load, err := db.BulkLoader()
	if err != nil {
		panic(err)
	}
	defer load.Close()
	for part := range 2 {
		if err := load.AddTable(context.Background(), fmt.Sprintf("part-%d.table", part)); err != nil {
			panic(err)
		}
	}
	if err := load.Commit(); err != nil {
		panic(err)
	}
	value, err := db.Get([]byte("000007"))
	fmt.Println(string(value), err)
	// Output: 49 <nil>
}
