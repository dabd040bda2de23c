package commit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/invariant"
)

// never is of a pipeline that nobody falls behind.
func never() bool { return false }

// emptyEnv does nothing for a group: what is measured is the queue.
func emptyEnv() Env {
	nothing := func(*Group) error { return nil }
	return Env{
		Clock: clock.System, Admit: admitAll, Join: func(*Group) bool { return true }, MakeRoom: nothing, WriteLog: nothing,
		Append: nothing, Harden: func(Durability) error { return nil }, Apply: nothing, Behind: never,
	}
}

func TestSingleWriteDoesNotAllocate(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the pool forgets at random under the race detector")
	}
	var p Pipeline
	p.Init(emptyEnv())
	prefix, key, value := []byte{0}, []byte("key"), make([]byte, 100)
	for name, write := range map[string]func() error{
		"set":          func() error { return p.Set(nil, prefix, key, value, Async) },
		"merge":        func() error { return p.Merge(nil, prefix, key, value, Sync) },
		"delete":       func() error { return p.Delete(nil, prefix, key, Buffered) },
		"delete range": func() error { return p.DeleteRange(nil, key, value, Async) },
	} {
		if n := testing.AllocsPerRun(200, func() { must(t, write()) }); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	b := batchOf(t, "a", "b")
	if n := testing.AllocsPerRun(200, func() { must(t, p.Commit(context.Background(), b, Async, nil)) }); n != 0 {
		t.Errorf("a batch allocates %v times", n)
	}
}

func BenchmarkUncontended(b *testing.B) {
	var p Pipeline
	p.Init(emptyEnv())
	key, value := []byte("key"), make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Set(nil, nil, key, value, Async); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkContended has several committers for each processor. What waits for a
// sync sleeps at once, the others look some time whether it is their turn.
func BenchmarkContended(b *testing.B) {
	for _, d := range []Durability{Async, Sync} {
		for _, parallel := range []int{1, 8} {
			b.Run(fmt.Sprintf("durability=%d/parallel=%d", d, parallel), func(b *testing.B) {
				var p Pipeline
				p.Init(emptyEnv())
				b.ReportAllocs()
				b.SetParallelism(parallel)
				b.RunParallel(func(pb *testing.PB) {
					key, value := []byte("key"), make([]byte, 100)
					for pb.Next() {
						if err := p.Set(nil, nil, key, value, d); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

// BenchmarkSynced has committers that wait for a sync which takes some time, as a disk
// does. The best there can be is that each sync serves all of them.
func BenchmarkSynced(b *testing.B) {
	for _, took := range []time.Duration{0, 100 * time.Microsecond, time.Millisecond} {
		for _, committers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("sync=%v/committers=%d", took, committers), func(b *testing.B) { synced(b, took, committers) })
		}
	}
}

func synced(b *testing.B, took time.Duration, committers int) {
	var p Pipeline
	env := emptyEnv()
	syncs := 0
	env.Harden = func(Durability) error {
		syncs++
		if took > 0 {
			<-time.After(took) // or later; the processor is others' meanwhile
		}
		return nil
	}
	p.Init(env)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range committers {
		wg.Go(func() {
			key, value := []byte("key"), make([]byte, 100)
			for left.Add(-1) >= 0 {
				if err := p.Set(nil, nil, key, value, Sync); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/float64(syncs), "commits/sync")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}
