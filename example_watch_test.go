package lightning_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/lightningdb/lightning"
)

// A cache is told which of its entries are out of date.
func ExampleDB_Watch() {
	dir, err := os.MkdirTemp("", "lightning-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := lightning.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	changes := db.Watch(context.Background(), lightning.WatchOptions{Prefix: []byte("price/")})
	for key, value := range map[string]string{"price/tea": "3.20", "stock/tea": "80"} {
		if err := db.Put([]byte(key), []byte(value)); err != nil {
			log.Fatal(err)
		}
	}
	for change, err := range changes {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s is %s\n", change.Key, change.Value)
		break
	}
	// Output: price/tea is 3.20
}
