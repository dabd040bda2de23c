package bolt_test

import (
	"fmt"
	"log"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/compat/bolt"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func Example() {
	// A program passes a directory and mostly no options.
	db, err := bolt.Open("orders", &bolt.Options{Lightning: &lightning.Options{FS: memfs.New()}})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	err = db.Update(func(tx *bolt.Tx) error {
		orders, err := tx.CreateBucketIfNotExists([]byte("orders"))
		if err != nil {
			return err
		}
		for _, what := range []string{"apples", "pears"} {
			id, err := orders.NextSequence()
			if err != nil {
				return err
			}
			if err := orders.Put(fmt.Appendf(nil, "%04d", id), []byte(what)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}

	err = db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket([]byte("orders")).Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			fmt.Printf("%s: %s\n", k, v)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 0002: pears
	// 0001: apples
}
