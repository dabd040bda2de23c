package datastore_test

import (
	"context"
	"fmt"
	"log"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/contrib/datastore"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func Example() {
	ctx := context.Background()
	// Mostly a directory, and nil.
	store, err := datastore.Open("datastore", &lightning.Options{FS: memfs.New()})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	for _, name := range []string{"/pins/a", "/pins/b", "/peers/c"} {
		if err := store.Put(ctx, ds.NewKey(name), []byte("value of "+name)); err != nil {
			log.Fatal(err)
		}
	}
	for entry, err := range ds.QueryIter(ctx, store, query.Query{Prefix: "/pins"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", entry.Key, entry.Value)
	}
	// Output:
	// /pins/a: value of /pins/a
	// /pins/b: value of /pins/b
}
