package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// naive is a queue as one writes it first: whoever wants work reads the first row, sends the letter and
// deletes the row, in one transaction. No letter is lost. But all workers read the same row; one of
// them commits, and the others have sent the same letter for nothing and begin again. It is here to be
// compared with package queue, and knows no failures, delays and priorities.
type naive struct {
	db       *lightning.DB
	rows     *lightning.Keyspace
	receipts *lightning.Keyspace
	takes    time.Duration // to send a letter
	tally    tally
}

func openNaive(ctx context.Context, db *lightning.DB, takes time.Duration) (*naive, error) {
	rows, err := db.Keyspace(ctx, "naive", nil)
	if err != nil {
		return nil, err
	}
	receipts, err := db.Keyspace(ctx, "naive receipts", nil)
	return &naive{db: db, rows: rows, receipts: receipts, takes: takes}, err
}

// write puts letters into the queue, until ctx ends.
func (n *naive) write(ctx context.Context, first, end int) error {
	for number := first; number < end && ctx.Err() == nil; number++ {
		key, err := keyenc.Append(nil, number)
		if err != nil {
			return err
		}
		m, err := newLetter(number).message()
		if err != nil {
			return err
		}
		if err := n.rows.Put(key, m.Payload); err != nil {
			return err
		}
	}
	return nil
}

// work has workers take rows until there is none, or ctx ends.
func (n *naive) work(ctx context.Context, workers int) (*tally, error) {
	errs := make([]error, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for more := true; more && errs[i] == nil && ctx.Err() == nil; {
				if more, errs[i] = n.takeOne(); more && errs[i] == nil {
					n.tally.done.Add(1)
				}
			}
		})
	}
	all.Wait()
	return &n.tally, errors.Join(errs...)
}

// takeOne takes the first row. It reports whether there was one.
func (n *naive) takeOne() (found bool, err error) {
	err = n.db.Update(func(tx *lightning.Tx) error {
		found = false // it runs again after a conflict
		return tx.In(n.rows).Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
			for key, payload := range rows {
				found = true
				l, err := decodeLetter(payload)
				if err != nil {
					return err
				}
				n.tally.sendings.Add(1)
				_ = l.send(1, n.takes) // once is all it tries
				if err := putReceipt(tx.In(n.receipts), l.Number); err != nil {
					return err
				}
				return tx.In(n.rows).Delete(key)
			}
			return nil
		})
	})
	return found, err
}
