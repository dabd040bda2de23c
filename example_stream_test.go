package lightning_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A value of some megabytes goes to its file as it is read, and a part of it is read without the
// rest.
func ExampleDB_PutReader() {
	db, err := lightning.Open("films", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	film := strings.NewReader(strings.Repeat("frame ", 2_000_000))
	n, err := db.PutReader(context.Background(), []byte("film"), film)
	fmt.Println(n, err)

	r, err := db.GetReader([]byte("film"))
	if err != nil {
		panic(err)
	}
	defer r.Close()
	if _, err := r.Seek(6_000_000, io.SeekStart); err != nil {
		panic(err)
	}
	part := make([]byte, 12)
	_, err = io.ReadFull(r, part)
	fmt.Printf("%d %q %v\n", r.Size(), part, err)
	// Output:
	// 12000000 <nil>
	// 12000000 "frame frame " <nil>
}
