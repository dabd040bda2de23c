package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

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

// The log is archived as it grows; after a mistake the database is brought back to just before.
func ExampleDB_Archive() {
	dir, err := os.MkdirTemp("", "lightning-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	target := backup.Dir(filepath.Join(dir, "backups"))
	db, err := lightning.Open(filepath.Join(dir, "orders.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Backup(ctx, target, backup.Options{}); err != nil {
		log.Fatal(err)
	}
	mistake := make(chan struct{}) // is closed when that is archived
	archived := sync.OnceFunc(func() { close(mistake) })
	over := make(chan error)
	go func() {
		over <- db.Archive(ctx, target, backup.ArchiveOptions{MaxLag: time.Millisecond, Progress: func(s backup.ArchiveStatus) {
			if s.ArchivedSeq == 2 {
				archived()
			}
		}})
	}()
	if err := db.Put([]byte("order/1"), []byte("two chairs")); err != nil {
		log.Fatal(err)
	}
	good := db.Metrics().VisibleSeq
	if err := db.DeleteRange(nil, nil); err != nil {
		log.Fatal(err)
	}
	<-mistake
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}

	copied := filepath.Join(dir, "copy.db")
	_, err = backup.Restore(context.Background(), target, copied, backup.RestoreOptions{Seq: good})
	if err != nil {
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
