package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/uuid"
	"github.com/lightningdb/lightning/keyenc"
)

// The errors of the package, for errors.Is.
var (
	// ErrLeaseLost says that a job is no longer this worker's: its time was over and the
	// message went to another one or to the dead letters, or it was ended before.
	ErrLeaseLost = errors.New("the job is not this worker's any more")
	// ErrName says that a queue cannot have a name: it must have 1 to 200 letters,
	// digits, underscores, dashes and full stops.
	ErrName = errors.New("a queue cannot have this name")
	// ErrOption says that an option, or a field of a message, has a value that it
	// cannot have.
	ErrOption = errors.New("impossible option")
)

// Options of a queue. They are not stored: each Open says them anew.
type Options struct {
	// Visibility is how long a worker has a job to himself. Default 30 s.
	Visibility time.Duration
	// Attempts is how often a message is given to a worker before it becomes a dead
	// letter. Default 10.
	Attempts int
	// Backoff is how long a message waits after its n-th failure, from 1. Default: a
	// second, doubled each time, up to an hour.
	Backoff func(failures int) time.Duration
	// Poll is how often Next looks for messages that it was not told of: those that
	// transactions of the caller have put there. Default 100 ms.
	Poll time.Duration
}

const (
	backoffMin = time.Second
	backoffMax = time.Hour
)

func backoff(failures int) time.Duration {
	if failures > 12 {
		return backoffMax
	}
	return min(backoffMax, backoffMin<<(failures-1))
}

// withDefaults returns the options with what is not said.
func (o Options) withDefaults() (Options, error) {
	if o.Visibility < 0 || o.Attempts < 0 || o.Poll < 0 {
		return o, fmt.Errorf("%w: a duration or a number of attempts is negative", ErrOption)
	}
	if o.Visibility == 0 {
		o.Visibility = 30 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 10
	}
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	if o.Poll == 0 {
		o.Poll = 100 * time.Millisecond
	}
	return o, nil
}

// Queue is a handle to a queue. It is safe for concurrent use and needs no closing. It
// comes from Open: the zero Queue is as one of a database that was closed.
type Queue struct {
	db      *lightning.DB
	space   *lightning.Keyspace
	name    string
	options Options
	clock   clock.Clock
	ids     *uuid.Generator
	desk    desk
	come    signal.Changes // messages may have become ready
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,200}$`)

// Open opens a queue, and makes it if there is none. o can be nil. ctx ends the waiting
// of what must be written, not what has begun.
func Open(ctx context.Context, db *lightning.DB, name string, o *Options) (*Queue, error) {
	return open(ctx, db, name, o, clock.System)
}

func open(ctx context.Context, db *lightning.DB, name string, o *Options, c clock.Clock) (*Queue, error) {
	if !nameForm.MatchString(name) {
		return nil, fmt.Errorf("%w: %q", ErrName, name)
	}
	if o == nil {
		o = &Options{}
	}
	options, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("queue %s: %w", name, err)
	}
	space, err := db.Keyspace(ctx, "queue/"+name, nil)
	if err != nil {
		return nil, fmt.Errorf("queue %s: %w", name, err)
	}
	return &Queue{
		db: db, space: space, name: name, options: options, clock: c, ids: &uuid.Generator{Clock: c},
		desk: desk{taken: map[ID]struct{}{}},
	}, nil
}

// now is the time in the form in which it is stored.
func (q *Queue) now() time.Time { return q.clock.Now().Round(0).UTC() }

// Message is what is put into a queue.
type Message struct {
	Payload []byte
	// Priority: messages with a greater one are given first. Default 0.
	Priority int
	// Delay is how long nobody gets the message. Default 0.
	Delay time.Duration
}

// update runs fn in a transaction of its own, as durable as the database makes it.
func (q *Queue) update(fn func(in Tx) error) error {
	if q == nil || q.db == nil {
		return lightning.ErrClosed
	}
	return q.db.Update(func(tx *lightning.Tx) error { return fn(q.In(tx)) })
}

// Enqueue is Tx.Enqueue in a transaction of its own. It wakes a worker in Next.
func (q *Queue) Enqueue(m Message) (id ID, err error) {
	err = q.update(func(in Tx) error {
		id, err = in.Enqueue(m)
		return err
	})
	if err == nil {
		q.come.Notify()
	}
	return id, err
}

// Counts are the numbers of messages by where they stand.
type Counts struct {
	Ready   int // to be claimed
	Delayed int // not yet: because of a delay, or of a failure
	Leased  int // being worked on
	Dead    int // given up
}

// Counts counts the messages, of one moment. It reads a key for each of them. What is
// due counts as ready only when a worker has looked.
func (q *Queue) Counts() (c Counts, err error) {
	if q.db == nil {
		return c, lightning.ErrClosed
	}
	err = q.db.View(func(tx *lightning.Tx) error {
		for place, n := range map[int]*int{
			keyReady: &c.Ready, keyDelayed: &c.Delayed, keyLeased: &c.Leased, keyDead: &c.Dead,
		} {
			for range tx.In(q.space).Range(key(place), key(place+1)) {
				*n++
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("queue %s: %w", q.name, err)
	}
	return c, err
}

// Letter is a message that was given up.
type Letter struct {
	ID       ID
	Payload  []byte
	Priority int
	Failures int
	Reason   string // of the last failure
}

// Dead returns the messages that were given up, the oldest first. An error ends them and
// comes as the last pair.
func (q *Queue) Dead() iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		if q.db == nil {
			yield(Letter{}, lightning.ErrClosed)
			return
		}
		stopped := false
		err := q.db.View(func(tx *lightning.Tx) error {
			tx = tx.In(q.space)
			for k := range tx.Range(key(keyDead), key(keyDead+1)) {
				letter, err := readLetter(tx, k)
				if err != nil {
					return err
				}
				if stopped = !yield(letter, nil); stopped {
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(Letter{}, fmt.Errorf("queue %s: %w", q.name, err))
		}
	}
}

func readLetter(tx *lightning.Tx, k []byte) (Letter, error) {
	id, _, err := decodeIndex(k)
	if err != nil {
		return Letter{}, err
	}
	r, err := readRecord(tx, id)
	if err != nil {
		return Letter{}, err
	}
	payload, err := tx.Get(key(keyPayload, id))
	return Letter{id, payload, int(r.priority), int(r.failures), r.reason}, err
}

// readRecord returns the record of a message. tx is the view of the queue.
func readRecord(tx *lightning.Tx, id ID) (*record, error) {
	data, err := tx.Get(key(keyRecord, id))
	if err != nil {
		return nil, err
	}
	r, err := decodeRecord(data)
	if err != nil {
		err = fmt.Errorf("message %s: %w", keyenc.Format(key(id)), err)
	}
	return r, err
}

// Revive is Tx.Revive in a transaction of its own. It wakes a worker in Next.
func (q *Queue) Revive(id ID) error {
	err := q.update(func(in Tx) error { return in.Revive(id) })
	if err == nil {
		q.come.Notify()
	}
	return err
}

// Discard is Tx.Discard in a transaction of its own.
func (q *Queue) Discard(id ID) error { return q.update(func(in Tx) error { return in.Discard(id) }) }
