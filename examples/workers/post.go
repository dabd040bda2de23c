package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
	"github.com/lightningdb/lightning/queue"
)

// attempts is how often a letter is tried.
const attempts = 4

// post is a queue of letters and the receipts of those that were sent. A receipt is written by the
// transaction that ends the job, so there is one for each letter, however often its sending was
// begun. Its methods are safe for concurrent use.
type post struct {
	db       *lightning.DB
	letters  *queue.Queue
	receipts *lightning.Keyspace
	takes    time.Duration // to send a letter
	tally    tally
}

// tally is what workers have done.
type tally struct {
	sendings atomic.Int64 // begun, of letters that were sent and others
	done     atomic.Int64 // letters that were sent, or given up
	lost     atomic.Int64 // jobs that took too long, and went to other workers
}

func openPost(ctx context.Context, db *lightning.DB, takes time.Duration) (*post, error) {
	letters, err := queue.Open(ctx, db, "letters", &queue.Options{
		Attempts:   attempts,
		Visibility: 30 * time.Second,
		Backoff:    func(failures int) time.Duration { return 10 * time.Millisecond << failures },
	})
	if err != nil {
		return nil, err
	}
	receipts, err := db.Keyspace(ctx, "receipts", nil)
	return &post{db: db, letters: letters, receipts: receipts, takes: takes}, err
}

// write puts letters into the queue, until ctx ends.
func (p *post) write(ctx context.Context, first, end int) error {
	for number := first; number < end && ctx.Err() == nil; number++ {
		m, err := newLetter(number).message()
		if err != nil {
			return err
		}
		if _, err := p.letters.Enqueue(m); err != nil {
			return fmt.Errorf("letter %d: %w", number, err)
		}
	}
	return nil
}

// work has workers send letters until none is left, or ctx ends: then each finishes what it is at.
func (p *post) work(ctx context.Context, workers int) (*tally, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			errs[i] = p.workAlone(ctx)
			stop() // it was the last letter, or something is broken: the others need not wait
		})
	}
	all.Wait()
	return &p.tally, errors.Join(errs...)
}

// workAlone is one worker.
func (p *post) workAlone(ctx context.Context) error {
	for ctx.Err() == nil {
		job, err := p.next(ctx)
		if err != nil || job == nil {
			return err
		}
		done, err := p.deliver(job)
		switch {
		case errors.Is(err, queue.ErrLeaseLost):
			p.tally.lost.Add(1) // somebody else has it now
		case err != nil:
			return err
		case done:
			p.tally.done.Add(1)
		}
	}
	return nil
}

// patience is how long a worker waits before it looks whether anything will ever come.
const patience = 100 * time.Millisecond

// next returns a job, and waits for one as long as there are messages that may become one; nil when
// there are none, or ctx has ended. A worker that serves for ever just calls Next.
func (p *post) next(ctx context.Context) (*queue.Job, error) {
	for ctx.Err() == nil {
		jobs, err := p.letters.Claim(1)
		if err != nil {
			return nil, err
		}
		if len(jobs) > 0 {
			return jobs[0], nil
		}
		counts, err := p.letters.Counts()
		if err != nil || waiting(counts) == 0 {
			return nil, err
		}
		some, cancel := context.WithTimeout(ctx, patience)
		job, err := p.letters.Next(some)
		cancel()
		if err == nil || some.Err() == nil {
			return job, err
		}
	}
	return nil, nil
}

// waiting is how many messages are neither done nor given up.
func waiting(c queue.Counts) int { return c.Ready + c.Delayed + c.Leased }

// deliver works on a job, and reports whether its message is done or given up.
func (p *post) deliver(job *queue.Job) (done bool, err error) {
	l, err := decodeLetter(job.Payload)
	if err != nil {
		return true, job.Bury(err) // no attempt would go better
	}
	p.tally.sendings.Add(1)
	switch err := l.send(job.Attempt, p.takes); {
	case errors.Is(err, errNoAddress):
		return true, job.Bury(err)
	case err != nil:
		return job.Attempt >= attempts, job.Fail(err)
	}
	err = p.db.Update(func(tx *lightning.Tx) error {
		if err := p.letters.In(tx).Ack(job); err != nil {
			return err
		}
		return putReceipt(tx.In(p.receipts), l.Number)
	})
	return true, err
}

// putReceipt notes that a letter was sent.
func putReceipt(tx *lightning.Tx, number int) error {
	key, err := keyenc.Append(nil, number)
	if err != nil {
		return err
	}
	return tx.Put(key, nil)
}
