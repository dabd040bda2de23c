package lightning_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

// BenchmarkSyncedPuts has goroutines put records that are each on the disk when the call
// is back. How many of them share a sync says how well they are grouped.
func BenchmarkSyncedPuts(b *testing.B) {
	for _, putters := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", putters), func(b *testing.B) { syncedPuts(b, putters) })
	}
}

func syncedPuts(b *testing.B, putters int) {
	files := faultfs.New(vfs.OS)
	syncs := files.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Sticky: true})
	db, err := lightning.Open(b.TempDir(), &lightning.Options{FS: files, Durability: lightning.DurabilitySync})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	before := syncs.Seen()
	var next atomic.Int64
	var wg sync.WaitGroup
	value := make([]byte, 100)
	b.ResetTimer()
	for range putters {
		wg.Go(func() {
			var key [16]byte
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				binary.BigEndian.PutUint64(key[:], uint64(n)*0x9e3779b97f4a7c15)
				if err := db.Put(key[:], value); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
	b.ReportMetric(float64(b.N)/float64(max(syncs.Seen()-before, 1)), "puts/sync")
}
