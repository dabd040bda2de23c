package cookbook

import (
	"context"
	"errors"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/queue"
)

// Order places an order and asks for its bill, both or none.
func Order(db *lightning.DB, bills *queue.Queue, number string) error {
	return db.Update(func(tx *lightning.Tx) error {
		if err := tx.Put([]byte("order/"+number), []byte("placed")); err != nil {
			return err
		}
		_, err := bills.In(tx).Enqueue(queue.Message{Payload: []byte(number)})
		return err
	})
}

// Bill writes bills until ctx ends. A bill is written once: what the worker does to the database
// takes effect with the end of the job.
func Bill(ctx context.Context, db *lightning.DB, bills *queue.Queue) error {
	for {
		job, err := bills.Next(ctx)
		if err != nil {
			return err
		}
		err = db.Update(func(tx *lightning.Tx) error {
			if err := bills.In(tx).Ack(job); err != nil {
				return err
			}
			return tx.Put([]byte("bill/"+string(job.Payload)), []byte("to be paid"))
		})
		if err != nil && !errors.Is(err, queue.ErrLeaseLost) { // lost: it is another's now
			return err
		}
	}
}
