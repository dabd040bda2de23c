package ethdb_test

import (
	"fmt"
	"log"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/contrib/ethdb"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func Example() {
	// Mostly a directory, and nil.
	store, err := ethdb.Open("chaindata", &lightning.Options{FS: memfs.New()})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	batch := store.NewBatch()
	for _, key := range []string{"h1", "h2", "r1"} {
		if err := batch.Put([]byte(key), []byte("of "+key)); err != nil {
			log.Fatal(err)
		}
	}
	if err := batch.Write(); err != nil {
		log.Fatal(err)
	}

	it := store.NewIterator([]byte("h"), nil)
	defer it.Release()
	for it.Next() {
		fmt.Printf("%s: %s\n", it.Key(), it.Value())
	}
	if err := it.Error(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// h1: of h1
	// h2: of h2
}
