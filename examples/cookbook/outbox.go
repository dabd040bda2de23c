package cookbook

import (
	"context"
	"iter"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
	"github.com/lightningdb/lightning/table"
)

// Outbox has the events that others are to be told of. An event goes there in the transaction that
// makes it happen, so none is told of what did not happen, and none is forgotten.
type Outbox struct{ events *lightning.Keyspace }

func OpenOutbox(ctx context.Context, db *lightning.DB) (Outbox, error) {
	events, err := db.Keyspace(ctx, "outbox", nil)
	return Outbox{events}, err
}

// Add adds an event to a transaction.
func (o Outbox) Add(tx *lightning.Tx, event []byte) error {
	key, err := keyenc.Append(nil, table.NewUUID()) // sorts by time
	if err != nil {
		return err
	}
	return tx.In(o.events).Put(key, event)
}

// Relay sends events until ctx ends or send fails. One that was sent is removed; after a crash in
// between it is sent again, under the same id, by which the receiver can tell.
func (o Outbox) Relay(ctx context.Context, send func(id, event []byte) error) error {
	changes := o.events.Watch(ctx, lightning.WatchOptions{}) // of what comes from now on
	if err := o.sendAll(send); err != nil {
		return err
	}
	for change, err := range changes {
		if err != nil {
			return err
		}
		if change.Kind == lightning.ChangePut {
			if err := o.sendAll(send); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendAll sends what is there.
func (o Outbox) sendAll(send func(id, event []byte) error) error {
	return o.events.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		for id, event := range rows {
			if err := send(id, event); err != nil {
				return err
			}
			if err := o.events.Delete(id); err != nil {
				return err
			}
		}
		return nil
	})
}
