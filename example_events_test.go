package lightning_test

import (
	"context"
	"fmt"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A program that is told of each flush.
func ExampleEventListener() {
	flushed := make(chan lightning.FlushInfo, 1)
	db, err := lightning.Open("observed", &lightning.Options{FS: memfs.New(), EventListener: &lightning.EventListener{
		FlushEnd: func(info lightning.FlushInfo) { flushed <- info },
	}})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	if err := db.Put([]byte("key"), []byte("value")); err != nil {
		panic(err)
	}
	if err := db.Flush(context.Background()); err != nil {
		panic(err)
	}
	info := <-flushed
	fmt.Println(info.Memtables, info.Tables, info.Err)
	// Output: 1 1 <nil>
}
