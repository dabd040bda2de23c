package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/keyenc"
)

// How messages are claimed. A claim that read the head of the queue in its transaction
// would be in conflict with every other claim of that moment, and all but one would run
// again. So it is two steps. At the desk, under a lock of this process, the worker picks
// messages from the index that nobody else has picked, and marks them as taken; that is
// a look of some microseconds that no transaction remembers. Then a transaction reads
// the records of just those messages, and writes the lease. The mark goes away when the
// transaction is over and everybody can see what it did.
//
// Nothing rests on the marks but that workers seldom meet: the transaction finds out if a
// message was not what the index said, and is refused if it changes meanwhile.

// desk is where workers pick messages.
type desk struct {
	mu       ranked.Mutex[ranked.Desk]
	taken    map[ID]struct{} // picked, and their transaction is not over
	sweeping bool            // somebody moves what is due
	swept    time.Time       // when nothing was due
}

// Job is a message that this worker has, until Deadline.
type Job struct {
	ID       ID
	Payload  []byte
	Priority int
	Attempt  int       // from 1
	Deadline time.Time // as it was when the job was claimed
	queue    *Queue
	claims   int64
}

// Ack is Tx.Ack in a transaction of its own.
func (j *Job) Ack() error { return j.queue.update(func(in Tx) error { return in.Ack(j) }) }

// Fail is Tx.Fail in a transaction of its own.
func (j *Job) Fail(reason error) error {
	return j.queue.update(func(in Tx) error { return in.Fail(j, reason) })
}

// Bury is Tx.Bury in a transaction of its own.
func (j *Job) Bury(reason error) error {
	return j.queue.update(func(in Tx) error { return in.Bury(j, reason) })
}

// Extend is Tx.Extend in a transaction of its own.
func (j *Job) Extend() error { return j.queue.update(func(in Tx) error { return in.Extend(j) }) }

// Next claims a message, and waits for one if there is none.
func (q *Queue) Next(ctx context.Context) (*Job, error) {
	for {
		come := q.come.Watch()
		jobs, err := q.Claim(1)
		if err != nil {
			return nil, err
		}
		if len(jobs) > 0 {
			return jobs[0], nil
		}
		if err := q.wait(ctx, come); err != nil {
			return nil, fmt.Errorf("queue %s: %w", q.name, err)
		}
	}
}

// wait returns when a message has come, or some time has passed.
func (q *Queue) wait(ctx context.Context, come <-chan struct{}) error {
	over := make(chan struct{})
	timer := q.clock.AfterFunc(q.options.Poll, func() { close(over) })
	defer timer.Stop()
	select {
	case <-come:
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Claim claims up to n messages that are ready, fewer if there are not so many, and does
// not wait. Several at a time cost less than one by one.
//
// A claim is on its way to the operating system when it returns, not to stable storage:
// after a loss of power the message may be ready again at once, which is what the end of
// its worker means.
func (q *Queue) Claim(n int) ([]*Job, error) {
	if q == nil || q.db == nil {
		return nil, lightning.ErrClosed
	}
	for range claimRounds {
		jobs, picked, err := q.claim(n)
		if err != nil && !errors.Is(err, lightning.ErrConflict) {
			return nil, fmt.Errorf("queue %s: claim: %w", q.name, err)
		}
		if len(jobs) > 0 || picked == 0 {
			return jobs, nil
		}
		// Another handle to the queue had them before.
	}
	return nil, nil
}

// claimRounds is how often a claim whose messages went to others begins again.
const claimRounds = 16

func (q *Queue) claim(n int) (jobs []*Job, picked int, err error) {
	if err := q.sweep(); err != nil {
		return nil, 0, err
	}
	ids, err := q.pick(n)
	if err != nil || len(ids) == 0 {
		return nil, 0, err
	}
	defer q.putBack(ids)
	jobs, err = q.lease(ids)
	return jobs, len(ids), err
}

// pick returns ready messages that nobody has picked, and marks them.
func (q *Queue) pick(n int) (ids []ID, err error) {
	q.desk.mu.Lock()
	defer q.desk.mu.Unlock()
	err = q.scan(keyReady, func(id ID, _ time.Time) bool {
		if _, taken := q.desk.taken[id]; !taken && len(ids) < n {
			ids = append(ids, id)
		}
		return len(ids) < n
	})
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		q.desk.taken[id] = struct{}{}
	}
	return ids, nil
}

// putBack takes the marks away.
func (q *Queue) putBack(ids []ID) {
	q.desk.mu.Lock()
	defer q.desk.mu.Unlock()
	for _, id := range ids {
		delete(q.desk.taken, id)
	}
}

// scan goes through an index, as it is now and outside of all transactions, as long as
// see returns true.
func (q *Queue) scan(place int, see func(id ID, due time.Time) bool) error {
	it, err := q.space.Iterator(lightning.IterOptions{Lower: key(place), Upper: key(place + 1)})
	if err != nil {
		return err
	}
	for it.Next() {
		var id ID
		var due time.Time
		if id, due, err = decodeIndex(it.Key()); err != nil || !see(id, due) {
			break
		}
	}
	return errors.Join(err, it.Close())
}

// lease writes that this worker has the messages, and returns those that it got.
func (q *Queue) lease(ids []ID) (jobs []*Job, err error) {
	err = q.transact(func(in Tx) error {
		for _, id := range ids {
			job, err := in.lease(id)
			if err != nil {
				return err
			}
			if job != nil {
				jobs = append(jobs, job)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

// transact runs fn once in a transaction, and commits it into the operating system.
func (q *Queue) transact(fn func(in Tx) error) error {
	tx, err := q.db.Begin(lightning.TxOptions{})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := fn(q.In(tx)); err != nil {
		return err
	}
	return tx.CommitWith(lightning.DurabilityBuffered)
}

// lease returns nil if the message is not ready any more.
func (t Tx) lease(id ID) (*Job, error) {
	r, err := readRecord(t.tx, id)
	if errors.Is(err, lightning.ErrNotFound) || err == nil && r.place != keyReady {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	payload, err := t.tx.Get(key(keyPayload, id))
	if err != nil {
		return nil, fmt.Errorf("payload of message %s: %w", keyenc.Format(key(id)), err)
	}
	next := *r
	next.place, next.due = keyLeased, t.queue.now().Add(t.queue.options.Visibility)
	next.claims++
	return &Job{
		ID: id, Payload: payload, Priority: int(r.priority), Attempt: int(r.failures) + 1, Deadline: next.due,
		queue: t.queue, claims: next.claims,
	}, t.move(id, r, &next)
}

const (
	// sweepMax is how many messages one transaction moves because they are due.
	sweepMax = 128
	// sweepPause is how long nobody looks again when nothing was due.
	sweepPause = time.Millisecond
)

// sweep makes messages ready whose delay is over, or whose worker has not ended them in
// time. One worker does it at a time; the others go on with what is ready.
func (q *Queue) sweep() error {
	now := q.now()
	if !q.beginSweep(now) {
		return nil
	}
	moved := 0
	defer func() { q.endSweep(now, moved) }()
	for _, place := range []int{keyDelayed, keyLeased} {
		var due []ID
		err := q.scan(place, func(id ID, at time.Time) bool {
			if at.After(now) {
				return false
			}
			due = append(due, id)
			return len(due) < sweepMax
		})
		if err != nil {
			return err
		}
		if len(due) == 0 {
			continue
		}
		moved += len(due)
		err = q.transact(func(in Tx) error {
			for _, id := range due {
				if err := in.ready(id, now); err != nil {
					return err
				}
			}
			return nil
		})
		// Who is in conflict with it has changed one of them, so somebody goes on.
		if err != nil && !errors.Is(err, lightning.ErrConflict) {
			return err
		}
	}
	return nil
}

func (q *Queue) beginSweep(now time.Time) bool {
	q.desk.mu.Lock()
	defer q.desk.mu.Unlock()
	if since := now.Sub(q.desk.swept); q.desk.sweeping || since >= 0 && since < sweepPause {
		return false
	}
	q.desk.sweeping = true
	return true
}

func (q *Queue) endSweep(now time.Time, moved int) {
	q.desk.mu.Lock()
	defer q.desk.mu.Unlock()
	q.desk.sweeping = false
	if moved == 0 {
		q.desk.swept = now
	}
}

// ready moves a message on if it is still due.
func (t Tx) ready(id ID, now time.Time) error {
	r, err := readRecord(t.tx, id)
	if errors.Is(err, lightning.ErrNotFound) {
		return nil
	}
	if err != nil || !slices.Contains([]int{keyDelayed, keyLeased}, r.place) || r.due.After(now) {
		return err
	}
	next := *r
	if next.place, next.due = keyReady, (time.Time{}); r.place == keyLeased {
		at := func(int) time.Duration { return 0 }
		next = *t.queue.failed(r, "the visibility timeout was over", at)
	}
	return t.move(id, r, &next)
}
