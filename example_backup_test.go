package lightning_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/backup"
)

// A backup is made while the database is used, and restored elsewhere.
func ExampleDB_Backup() {
	dir, err := os.MkdirTemp("", "lightning-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	target := backup.Dir(filepath.Join(dir, "backups"))

	db, err := lightning.Open(filepath.Join(dir, "orders.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Put([]byte("order/1"), []byte("two chairs")); err != nil {
		log.Fatal(err)
	}
	info, err := db.Backup(ctx, target, backup.Options{})
	if err != nil {
		log.Fatal(err)
	}

	copied := filepath.Join(dir, "copy.db")
	if _, err := backup.Restore(ctx, target, copied, backup.RestoreOptions{ID: info.ID}); err != nil {
		log.Fatal(err)
	}
	again, err := lightning.Open(copied, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer again.Close()
	value, err := again.Get([]byte("order/1"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", value)
	// Output: two chairs
}
