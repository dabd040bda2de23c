package lightning_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
)

// BenchmarkSyncedPutsBesideTables tells how long synced puts wait, one at a time, while a quarter
// of a gigabyte is flushed and compacted over and over, in files of the machine. Where TMPDIR is
// in memory it tells nothing.
//
//	go test -run - -bench SyncedPutsBesideTables -benchtime 20s .
func BenchmarkSyncedPutsBesideTables(b *testing.B) {
	const rows = 2_000_000
	d := openDeletedRows(b, 1<<30)
	d.settle(rows)
	ctx, stop := context.WithCancel(b.Context())
	rewritten := make(chan error)
	passes := 0
	go func() {
		var err error
		for ; err == nil && ctx.Err() == nil; passes++ {
			batch := d.NewBatch()
			for range 100_000 {
				if err == nil {
					err = batch.Put(numberedKey(rand.IntN(rows)), d.value)
				}
			}
			if err == nil {
				err = batch.Commit()
			}
			if err == nil {
				err = d.Compact(b.Context(), nil, nil)
			}
		}
		rewritten <- err
	}()
	var took []time.Duration
	one := d.NewBatch()
	for b.Loop() {
		one.Reset()
		must(b, one.Put(numberedKey(rand.IntN(rows)), d.value))
		begin := time.Now()
		must(b, one.CommitWith(lightning.DurabilitySync))
		took = append(took, time.Since(begin))
	}
	stop()
	must(b, <-rewritten)
	slices.Sort(took)
	for share, name := range map[float64]string{0.5: "p50-us", 0.99: "p99-us", 0.999: "p99.9-us", 1: "longest-us"} {
		b.ReportMetric(float64(took[int(share*float64(len(took)-1))].Microseconds()), name)
	}
	b.ReportMetric(float64(passes), "passes")
	must(b, d.Close())
}
