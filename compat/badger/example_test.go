package badger_test

import (
	"fmt"
	"log"
	"time"

	"github.com/lightningdb/lightning/compat/badger"
)

func Example() {
	db, err := badger.Open(badger.DefaultOptions("").WithInMemory(true)) // mostly a directory
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	err = db.Update(func(txn *badger.Txn) error {
		for _, name := range []string{"ada", "grace"} {
			e := badger.NewEntry([]byte("session/"+name), []byte("token of "+name)).WithTTL(time.Hour)
			if err := txn.SetEntry(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}

	err = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		prefix := []byte("session/")
		for it.Seek(prefix); it.ValidForPrefix(prefix); it.Next() {
			item := it.Item()
			err := item.Value(func(value []byte) error {
				fmt.Printf("%s: %s\n", item.Key(), value)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return it.Err()
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// session/ada: token of ada
	// session/grace: token of grace
}
