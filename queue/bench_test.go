package queue

import (
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// BenchmarkWorkers lets workers claim and end messages; a message is an operation. The
// pattern of ExampleTx_Scan is there to compare: each deletes the head of the queue in
// the transaction that reads it.
func BenchmarkWorkers(b *testing.B) {
	for _, workers := range []int{1, 8} {
		for name, take := range map[string]func(b *testing.B, q *Queue) func() error{
			"queue": claimAndAck(1), "queue-by-16": claimAndAck(16), "delete-head": deleteHead,
		} {
			b.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(b *testing.B) {
				db := openDB(b, memfs.New())
				defer db.Close()
				q := openQueue(b, db, nil, clock.System)
				benchWorkers(b, q, workers, take(b, q))
			})
		}
	}
}

var errDone = errors.New("nothing is left")

func benchWorkers(b *testing.B, q *Queue, workers int, take func() error) {
	before := q.db.Metrics().Transactions
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				if err := take(); err != nil {
					if err != errDone {
						b.Error(err)
					}
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	after := q.db.Metrics().Transactions
	conflicts := float64(after.Conflicts - before.Conflicts)
	b.ReportMetric(100*conflicts/(conflicts+float64(after.Commits-before.Commits)), "%conflicts")
}

func claimAndAck(n int) func(b *testing.B, q *Queue) func() error {
	return func(b *testing.B, q *Queue) func() error {
		for range b.N {
			enqueue(b, q, "a letter of some thirty bytes.", 0, 0)
		}
		return func() error {
			jobs, err := q.Claim(n)
			if err != nil {
				return err
			}
			if len(jobs) == 0 {
				return errDone
			}
			return q.update(func(in Tx) error {
				for _, job := range jobs {
					if err := in.Ack(job); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
}

func deleteHead(b *testing.B, q *Queue) func() error {
	for n := range b.N {
		if err := q.db.Put(key(n), []byte("a letter of some thirty bytes.")); err != nil {
			b.Fatal(err)
		}
	}
	return func() error {
		found := false
		err := q.db.Update(func(tx *lightning.Tx) error {
			found = false
			return tx.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
				for key := range rows {
					found = true
					runtime.Gosched() // others come meanwhile, as they do while a commit waits for a disk
					return tx.Delete(key)
				}
				return nil
			})
		})
		if err == nil && !found {
			return errDone
		}
		return err
	}
}

func BenchmarkEnqueue(b *testing.B) {
	q, _ := testQueue(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		enqueue(b, q, "a letter of some thirty bytes.", 0, 0)
	}
}
