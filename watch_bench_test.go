package lightning_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// BenchmarkWatchers puts keys while loops watch; an operation is a put of 100 bytes, and that those
// who watch its key are told. With 1,000 prefixes one loop is told of each put, with one prefix all are.
func BenchmarkWatchers(b *testing.B) {
	for _, c := range []struct {
		name     string
		watchers int
		prefix   func(i int) string
		told     int // by each put
	}{
		{"none", 0, nil, 0},
		{"one", 1, func(int) string { return "" }, 1},
		{"1000-prefixes", 1000, func(i int) string { return fmt.Sprintf("%03d/", i) }, 1},
		{"1000-of-one-prefix", 1000, func(int) string { return "" }, 1000},
	} {
		b.Run(c.name, func(b *testing.B) {
			db, err := lightning.Open("db", &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			benchWatchers(b, db, c.watchers, c.prefix, c.told)
		})
	}
}

func benchWatchers(b *testing.B, db *lightning.DB, watchers int, prefix func(i int) string, told int) {
	ctx, cancel := context.WithCancel(context.Background())
	var loops, open sync.WaitGroup // open are changes that somebody is still to be told of
	for i := range watchers {
		loop := db.Watch(ctx, lightning.WatchOptions{Prefix: []byte(prefix(i))})
		loops.Go(func() {
			for _, err := range loop {
				if err != nil {
					return // the benchmark is over
				}
				open.Done()
			}
		})
	}
	const round = 100 // so that nobody falls back
	value := make([]byte, 100)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		open.Add(told)
		if err := db.Put(fmt.Appendf(nil, "%03d/%09d", n%1000, n), value); err != nil {
			b.Fatal(err)
		}
		if n%round == round-1 {
			if err := db.SyncLog(ctx); err != nil {
				b.Fatal(err)
			}
			open.Wait()
		}
	}
	open.Wait()
	cancel()
	loops.Wait()
}
