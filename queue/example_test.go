package queue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/queue"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func openMail(o *queue.Options) (*lightning.DB, *queue.Queue) {
	db, err := lightning.Open("mail", &lightning.Options{FS: memfs.New()})
	if err != nil {
		panic(err)
	}
	mail, err := queue.Open(context.Background(), db, "mail", o)
	if err != nil {
		panic(err)
	}
	return db, mail
}

// Eight workers share a queue. None of their transactions has to run again.
func Example() {
	db, mail := openMail(nil)
	defer db.Close()
	for n := range 100 {
		if _, err := mail.Enqueue(queue.Message{Payload: fmt.Appendf(nil, "letter %d", n)}); err != nil {
			panic(err)
		}
	}

	ctx, stop := context.WithCancel(context.Background())
	var workers, letters sync.WaitGroup
	letters.Add(100)
	for range 8 {
		workers.Go(func() {
			for {
				job, err := mail.Next(ctx)
				if err != nil {
					return // it was stopped
				}
				if err := job.Ack(); err == nil {
					letters.Done()
				}
			}
		})
	}
	letters.Wait()
	stop()
	workers.Wait()
	counts, err := mail.Counts()
	fmt.Println(counts.Ready, counts.Leased, err)
	fmt.Println(db.Metrics().Transactions.Conflicts, "conflicts")
	// Output:
	// 0 0 <nil>
	// 0 conflicts
}

// What goes wrong is tried again, and given up in the end.
func ExampleJob_Fail() {
	db, mail := openMail(&queue.Options{
		Attempts: 3,
		Backoff:  func(failures int) time.Duration { return 0 },
	})
	defer db.Close()
	id, _ := mail.Enqueue(queue.Message{Payload: []byte("letter"), Priority: 1})

	for {
		jobs, err := mail.Claim(1)
		if err != nil || len(jobs) == 0 {
			break
		}
		fmt.Printf("attempt %d: %s\n", jobs[0].Attempt, jobs[0].Payload)
		_ = jobs[0].Fail(errors.New("nobody at home"))
	}
	for letter, err := range mail.Dead() {
		fmt.Println(letter.Failures, "failures:", letter.Reason, err)
	}
	fmt.Println(mail.Revive(id))
	// Output:
	// attempt 1: letter
	// attempt 2: letter
	// attempt 3: letter
	// 3 failures: nobody at home <nil>
	// <nil>
}

// An order and the message that it makes necessary are one transaction, and so are the
// end of the job and what the job has changed.
func ExampleQueue_In() {
	db, mail := openMail(nil)
	defer db.Close()

	err := db.Update(func(tx *lightning.Tx) error {
		_, err := mail.In(tx).Enqueue(queue.Message{Payload: []byte("order 1")})
		return errors.Join(err, tx.Put([]byte("order/1"), []byte("placed")))
	})
	fmt.Println(err)

	job, err := mail.Next(context.Background())
	if err != nil {
		panic(err)
	}
	err = db.Update(func(tx *lightning.Tx) error {
		return errors.Join(mail.In(tx).Ack(job), tx.Put([]byte("order/1"), []byte("confirmed")))
	})
	fmt.Println(err)
	state, err := db.Get([]byte("order/1"))
	fmt.Println(string(state), err)
	// Output:
	// <nil>
	// <nil>
	// confirmed <nil>
}
