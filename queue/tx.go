package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// Tx is a queue in a transaction of the caller: Queue.In makes it. What it does takes
// effect with all else that the transaction does, or not at all.
type Tx struct {
	queue *Queue
	tx    *lightning.Tx // view of the queue's keyspace
}

// In returns the queue in a transaction, which must be strictly serializable, as it is by
// default.
func (q *Queue) In(tx *lightning.Tx) Tx {
	if q == nil || q.db == nil {
		return Tx{}
	}
	if tx == nil {
		return Tx{queue: q}
	}
	return Tx{q, tx.In(q.space)}
}

// usable says why the queue cannot be used.
func (t Tx) usable() error {
	if t.queue == nil {
		return lightning.ErrClosed
	}
	if t.tx == nil {
		return t.wrap(fmt.Errorf("%w: a transaction is needed", lightning.ErrNilArgument))
	}
	o := t.tx.Options()
	if !o.ReadOnly && o.Isolation != lightning.StrictSerializable {
		return t.wrap(fmt.Errorf("%w: isolation %s", ErrOption, o.Isolation))
	}
	return nil
}

func (t Tx) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("queue %s: %w", t.queue.name, err)
}

// Enqueue puts a message into the queue and returns its name. It reads nothing, so it is
// never in conflict with others. Workers in Next find it within Options.Poll of the
// commit.
func (t Tx) Enqueue(m Message) (ID, error) {
	if err := t.usable(); err != nil {
		return ID{}, err
	}
	if m.Delay < 0 {
		return ID{}, t.wrap(fmt.Errorf("%w: delay of %v", ErrOption, m.Delay))
	}
	id := t.queue.ids.New()
	r := &record{place: keyReady, priority: int64(m.Priority)}
	if m.Delay > 0 {
		r.place, r.due = keyDelayed, t.queue.now().Add(m.Delay)
	}
	err := t.tx.Put(key(keyPayload, id), m.Payload)
	if err == nil {
		err = t.put(id, r)
	}
	return id, t.wrap(err)
}

// put writes the record of a message that stands nowhere.
func (t Tx) put(id ID, r *record) error {
	return errors.Join(t.tx.Put(key(keyRecord, id), r.encode()), t.tx.Put(r.index(id), nil))
}

// move changes where a message stands.
func (t Tx) move(id ID, from, to *record) error {
	return errors.Join(t.tx.Delete(from.index(id)), t.put(id, to))
}

// forget removes a message.
func (t Tx) forget(id ID, r *record) error {
	return errors.Join(t.tx.Delete(r.index(id)), t.tx.Delete(key(keyRecord, id)), t.tx.Delete(key(keyPayload, id)))
}

// Ack ends a job: the message is gone. It fails with ErrLeaseLost if the job is not this
// worker's any more. A transaction with an Ack in it takes effect only as long as the job
// is.
func (t Tx) Ack(job *Job) error {
	r, err := t.leased(job)
	if err != nil {
		return err
	}
	return t.wrap(t.forget(job.ID, r))
}

// Fail ends a job that went wrong, for a reason that is kept: the message is given out
// again after Options.Backoff, or becomes a dead letter after Options.Attempts.
func (t Tx) Fail(job *Job, reason error) error {
	r, err := t.leased(job)
	if err != nil {
		return err
	}
	text := ""
	if reason != nil {
		text = reason.Error()
	}
	return t.wrap(t.move(job.ID, r, t.queue.failed(r, text, t.queue.options.Backoff)))
}

// failed returns where a message stands after a failure. wait says for how long.
func (q *Queue) failed(r *record, reason string, wait func(failures int) time.Duration) *record {
	next := *r
	next.failures++
	next.reason, next.due = reason, time.Time{}
	if next.failures >= int64(q.options.Attempts) {
		next.place = keyDead
		return &next
	}
	next.place = keyReady
	if pause := wait(int(next.failures)); pause > 0 {
		next.place, next.due = keyDelayed, q.now().Add(pause)
	}
	return &next
}

// Bury ends a job that will never go right: the message becomes a dead letter.
func (t Tx) Bury(job *Job, reason error) error {
	r, err := t.leased(job)
	if err != nil {
		return err
	}
	next := *r
	next.place, next.due = keyDead, time.Time{}
	next.failures++
	if reason != nil {
		next.reason = reason.Error()
	}
	return t.wrap(t.move(job.ID, r, &next))
}

// Extend gives the worker the visibility timeout once more, from now on.
func (t Tx) Extend(job *Job) error {
	r, err := t.leased(job)
	if err != nil {
		return err
	}
	next := *r
	next.due = t.queue.now().Add(t.queue.options.Visibility)
	return t.wrap(t.move(job.ID, r, &next))
}

// leased returns the record of a job's message, if it is still this job's.
func (t Tx) leased(job *Job) (*record, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	if job == nil {
		return nil, t.wrap(fmt.Errorf("%w: a job is needed", lightning.ErrNilArgument))
	}
	r, err := readRecord(t.tx, job.ID)
	if errors.Is(err, lightning.ErrNotFound) || err == nil && (r.place != keyLeased || r.claims != job.claims) {
		return nil, t.wrap(fmt.Errorf("message %s: %w", keyenc.Format(key(job.ID)), ErrLeaseLost))
	}
	return r, t.wrap(err)
}

// Revive makes a dead letter a message again, with all its attempts before it. It fails
// with lightning.ErrNotFound if there is no such dead letter.
func (t Tx) Revive(id ID) error {
	r, err := t.dead(id)
	if err != nil {
		return err
	}
	next := *r
	next.place, next.failures = keyReady, 0
	return t.wrap(t.move(id, r, &next))
}

// Discard removes a dead letter. It fails with lightning.ErrNotFound if there is no such
// dead letter.
func (t Tx) Discard(id ID) error {
	r, err := t.dead(id)
	if err != nil {
		return err
	}
	return t.wrap(t.forget(id, r))
}

func (t Tx) dead(id ID) (*record, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	r, err := readRecord(t.tx, id)
	if err == nil && r.place != keyDead {
		err = lightning.ErrNotFound
	}
	return r, t.wrap(err)
}
