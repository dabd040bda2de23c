package lightning_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning"
)

// How many orders has a customer? Exactly, and about.
func ExampleDB_Count() {
	db := memory()
	defer db.Close()
	for i := range 100 {
		_ = db.Put(fmt.Appendf(nil, "order/alice/%03d", i), nil)
	}
	n, err := db.Count(context.Background(), []byte("order/alice/"), []byte("order/alice0"))
	fmt.Println(n, err)
	about, err := db.EstimateCount([]byte("order/alice/"), []byte("order/alice0"))
	fmt.Println(about, err)
	// Output:
	// 100 <nil>
	// 100 <nil>
}

// How much do a customer's orders take, all of them and the newer half?
func ExampleDB_EstimateSize() {
	db := memory()
	defer db.Close()
	for i := range 10_000 {
		_ = db.Put(fmt.Appendf(nil, "order/alice/%05d", i), fmt.Appendf(nil, "%0100d", i))
	}
	if err := db.Flush(context.Background()); err != nil {
		panic(err)
	}
	all, err := db.EstimateSize(nil, nil)
	half, halfErr := db.EstimateSize([]byte("order/alice/05000"), nil)
	fmt.Println(all > 0, half > all/3 && half < all*2/3, err, halfErr)
	// Output: true true <nil> <nil>
}

// Keys without their values.
func ExampleDB_Scan_keysOnly() {
	db := memory()
	defer db.Close()
	_ = db.Put([]byte("photo/1"), make([]byte, 1<<20))
	_ = db.Put([]byte("photo/2"), make([]byte, 1<<20))
	o := lightning.ScanOptions{Reverse: true}
	o.Prefix, o.KeysOnly = []byte("photo/"), true
	err := db.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		for key := range rows {
			fmt.Println(string(key))
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// photo/2
	// photo/1
	// <nil>
}

// Four goroutines share a walk over all keys, as of one moment.
func ExampleDB_Split() {
	db := memory()
	defer db.Close()
	for i := range 10_000 {
		_ = db.Put(fmt.Appendf(nil, "%05d", i), []byte("value"))
	}
	snap, err := db.Snapshot()
	if err != nil {
		panic(err)
	}
	defer snap.Close()
	ranges, err := db.Split(nil, nil, 4)
	if err != nil {
		panic(err)
	}
	var rows atomic.Int64
	var all sync.WaitGroup
	for _, r := range ranges {
		all.Go(func() {
			err := snap.Scan(lightning.ScanOptions{IterOptions: r.Options()}, func(seq iter.Seq2[[]byte, []byte]) error {
				for range seq {
					rows.Add(1)
				}
				return nil
			})
			if err != nil {
				fmt.Println(err)
			}
		})
	}
	all.Wait()
	fmt.Println(len(ranges), rows.Load())
	// Output: 4 10000
}
