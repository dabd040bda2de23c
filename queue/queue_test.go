package queue

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// handClock is a clock that goes on when it is told to. Timers are the system's.
type handClock struct {
	clock.Clock
	mu  sync.Mutex
	now time.Time
}

func newHandClock() *handClock {
	return &handClock{Clock: clock.System, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openDB(t testing.TB, fs *memfs.FS) *lightning.DB {
	t.Helper()
	db, err := lightning.Open("db", &lightning.Options{
		FS: fs, Durability: lightning.DurabilityAsync, MemoryBudget: 8 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func openQueue(t testing.TB, db *lightning.DB, o *Options, c clock.Clock) *Queue {
	t.Helper()
	q, err := open(t.Context(), db, "test", o, c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// testQueue returns an empty queue with a clock that stands still.
func testQueue(t testing.TB, o *Options) (*Queue, *handClock) {
	t.Helper()
	db := openDB(t, memfs.New())
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	c := newHandClock()
	return openQueue(t, db, o, c), c
}

func enqueue(t testing.TB, q *Queue, payload string, priority int, delay time.Duration) ID {
	t.Helper()
	id, err := q.Enqueue(Message{Payload: []byte(payload), Priority: priority, Delay: delay})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// claim claims one message, which must be the one with a payload; "" for none.
func claim(t testing.TB, q *Queue, want string) *Job {
	t.Helper()
	jobs, err := q.Claim(1)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	if len(jobs) > 0 {
		got = string(jobs[0].Payload)
	}
	if got != want {
		t.Fatalf("claimed %q, want %q", got, want)
	}
	if want == "" {
		return nil
	}
	return jobs[0]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustCount(t testing.TB, q *Queue, want Counts) {
	t.Helper()
	if got, err := q.Counts(); err != nil || got != want {
		t.Errorf("counted %+v, %v, want %+v", got, err, want)
	}
	checkQueue(t, q)
}

// checkQueue looks whether records, indexes and payloads belong to one another.
func checkQueue(t testing.TB, q *Queue) {
	t.Helper()
	err := q.db.View(func(tx *lightning.Tx) error {
		tx = tx.In(q.space)
		counts := map[int]int{}
		for k := range tx.Range(nil, nil) {
			kind := kindOf(t, k)
			counts[kind]++
			if kind != keyRecord {
				continue
			}
			var id ID
			copy(id[:], k[len(k)-len(id):])
			r, err := readRecord(tx, id)
			if err != nil {
				return err
			}
			for _, want := range [][]byte{r.index(id), key(keyPayload, id)} {
				if has, err := tx.Has(want); err != nil || !has {
					t.Errorf("message %x lacks the key %x, %v", id, want, err)
				}
			}
		}
		indexed := counts[keyReady] + counts[keyDelayed] + counts[keyLeased] + counts[keyDead]
		if counts[keyRecord] != indexed || counts[keyRecord] != counts[keyPayload] {
			t.Errorf("keys of each kind: %v", counts)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func kindOf(t testing.TB, k []byte) int {
	for kind := keyRecord; kind <= keyPayload; kind++ {
		if prefix := key(kind); len(k) >= len(prefix) && string(k[:len(prefix)]) == string(prefix) {
			return kind
		}
	}
	t.Fatalf("key %x is none", k)
	return 0
}

// Messages come by priority, then in their order; what ended is gone.
func TestOrder(t *testing.T) {
	q, _ := testQueue(t, nil)
	enqueue(t, q, "a", 0, 0)
	enqueue(t, q, "low", -5, 0)
	enqueue(t, q, "b", 0, 0)
	enqueue(t, q, "high", 7, 0)
	for _, want := range []string{"high", "a", "b", "low"} {
		job := claim(t, q, want)
		if job.Attempt != 1 {
			t.Errorf("attempt %d", job.Attempt)
		}
		must(t, job.Ack())
		if err := job.Ack(); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("ended twice: %v", err)
		}
	}
	claim(t, q, "")
	mustCount(t, q, Counts{})
}

// Several are claimed at a time, none of them twice.
func TestClaimSeveral(t *testing.T) {
	q, _ := testQueue(t, nil)
	for n := range 10 {
		enqueue(t, q, fmt.Sprint(n), 0, 0)
	}
	got := ""
	for _, n := range []int{3, 0, -1, 4, 100, 1} {
		jobs, err := q.Claim(n)
		must(t, err)
		for _, job := range jobs {
			got += string(job.Payload)
		}
		got += " "
	}
	if got != "012   3456 789  " {
		t.Errorf("got %q", got)
	}
	mustCount(t, q, Counts{Leased: 10})
}

// A message that was delayed comes when its time has come, and then by its priority.
func TestDelay(t *testing.T) {
	q, c := testQueue(t, nil)
	enqueue(t, q, "later", 1, time.Minute)
	enqueue(t, q, "now", 0, 0)
	job := claim(t, q, "now")
	claim(t, q, "")
	mustCount(t, q, Counts{Delayed: 1, Leased: 1})
	must(t, job.Ack())
	enqueue(t, q, "other", 0, 0)
	c.pass(time.Minute)
	claim(t, q, "later")
	claim(t, q, "other")
}

// What fails waits longer each time, and is given up in the end.
func TestFailures(t *testing.T) {
	q, c := testQueue(t, &Options{Attempts: 3})
	id := enqueue(t, q, "m", 0, 0)
	must(t, claim(t, q, "m").Fail(errors.New("first")))
	for attempt, pause := range []time.Duration{time.Second, 2 * time.Second} {
		mustCount(t, q, Counts{Delayed: 1})
		c.pass(pause - 2*sweepPause)
		claim(t, q, "")
		c.pass(2 * sweepPause)
		job := claim(t, q, "m")
		if job.Attempt != attempt+2 {
			t.Errorf("attempt %d", job.Attempt)
		}
		must(t, job.Fail(fmt.Errorf("attempt %d", attempt+2)))
	}
	mustCount(t, q, Counts{Dead: 1})
	for letter, err := range q.Dead() {
		if err != nil || letter.ID != id || string(letter.Payload) != "m" || letter.Failures != 3 || letter.Reason != "attempt 3" {
			t.Errorf("got %+v, %v", letter, err)
		}
	}
	must(t, q.Revive(id))
	job := claim(t, q, "m")
	if job.Attempt != 1 {
		t.Errorf("attempt %d after it was revived", job.Attempt)
	}
	for _, err := range []error{q.Revive(id), q.Discard(id)} {
		if !errors.Is(err, lightning.ErrNotFound) {
			t.Errorf("of a message that is no dead letter: %v", err)
		}
	}
	must(t, job.Bury(nil))
	must(t, q.Discard(id))
	mustCount(t, q, Counts{})
}

// A worker that does not end its job in time loses it; one that asks for more keeps it.
func TestVisibility(t *testing.T) {
	q, c := testQueue(t, &Options{Visibility: time.Minute, Attempts: 3})
	enqueue(t, q, "m", 0, 0)
	slow := claim(t, q, "m")
	if want := c.Now().Add(time.Minute); !slow.Deadline.Equal(want) {
		t.Errorf("deadline %v, want %v", slow.Deadline, want)
	}
	c.pass(59 * time.Second)
	must(t, slow.Extend())
	c.pass(59 * time.Second)
	claim(t, q, "")
	c.pass(time.Second)
	second := claim(t, q, "m")
	if second.Attempt != 2 {
		t.Errorf("attempt %d", second.Attempt)
	}
	for _, err := range []error{slow.Ack(), slow.Fail(nil), slow.Bury(nil), slow.Extend()} {
		if !errors.Is(err, ErrLeaseLost) {
			t.Errorf("of a job that was lost: %v", err)
		}
	}
	c.pass(2 * time.Minute)
	must(t, second.Ack()) // nobody else has it yet
	enqueue(t, q, "n", 0, 0)
	for range 3 {
		claim(t, q, "n")
		c.pass(time.Minute)
	}
	claim(t, q, "")
	mustCount(t, q, Counts{Dead: 1})
}

// A claim before a revival is not one after it, though the attempts begin anew.
func TestOldLeaseAfterRevival(t *testing.T) {
	q, c := testQueue(t, &Options{Visibility: time.Minute, Attempts: 1})
	id := enqueue(t, q, "m", 0, 0)
	old := claim(t, q, "m")
	c.pass(time.Minute)
	claim(t, q, "")
	must(t, q.Revive(id))
	job := claim(t, q, "m")
	if err := old.Ack(); !errors.Is(err, ErrLeaseLost) {
		t.Errorf("the old worker: %v", err)
	}
	must(t, job.Ack())
}

// What a job does and its end are one: both or none. So are a change and its message.
func TestInATransaction(t *testing.T) {
	q, c := testQueue(t, nil)
	failed := errors.New("failed")
	for _, want := range []error{failed, nil} {
		err := q.db.Update(func(tx *lightning.Tx) error {
			_, err := q.In(tx).Enqueue(Message{Payload: []byte("m")})
			return errors.Join(err, tx.Put([]byte("order"), []byte("1")), want)
		})
		if !errors.Is(err, want) {
			t.Fatal(err)
		}
		if want != nil {
			claim(t, q, "")
		}
	}
	job := claim(t, q, "m")
	for _, want := range []error{failed, nil} {
		err := q.db.Update(func(tx *lightning.Tx) error {
			return errors.Join(q.In(tx).Ack(job), tx.Put([]byte("done"), nil), want)
		})
		if !errors.Is(err, want) {
			t.Fatal(err)
		}
	}
	c.pass(time.Hour)
	claim(t, q, "")
	if has, err := q.db.Has([]byte("done")); !has || err != nil {
		t.Errorf("done: %v, %v", has, err)
	}
}

// An end of a job and the end of its lease are in conflict: one of them wins.
func TestAckAgainstTimeout(t *testing.T) {
	q, c := testQueue(t, &Options{Visibility: time.Minute})
	enqueue(t, q, "m", 0, 0)
	job := claim(t, q, "m")
	tx, err := q.db.Begin(lightning.TxOptions{})
	must(t, err)
	defer tx.Rollback()
	must(t, q.In(tx).Ack(job))
	c.pass(time.Minute)
	claim(t, q, "m")
	if err := tx.Commit(); !errors.Is(err, lightning.ErrConflict) {
		t.Errorf("got %v", err)
	}
	mustCount(t, q, Counts{Leased: 1})
}

// Who moves what is due looks at the record: it may have been extended, or ended, since
// the index was read.
func TestSweepLooksAgain(t *testing.T) {
	q, c := testQueue(t, &Options{Visibility: time.Minute})
	id := enqueue(t, q, "m", 0, 0)
	job := claim(t, q, "m")
	c.pass(time.Minute)
	now := q.now()
	must(t, job.Extend())
	sweep := func(in Tx) error { return in.ready(id, now) }
	must(t, q.transact(sweep))
	mustCount(t, q, Counts{Leased: 1})
	must(t, job.Ack())
	must(t, q.transact(sweep))
	mustCount(t, q, Counts{})
}

// Two handles to a queue are slower than one, and as right.
func TestTwoHandles(t *testing.T) {
	q, c := testQueue(t, nil)
	other := openQueue(t, q.db, nil, c)
	const count = 300
	for n := range count {
		enqueue(t, q, fmt.Sprint(n), 0, 0)
	}
	seen := work(t, []*Queue{q, other, q, other}, count)
	if len(seen) != count {
		t.Errorf("%d messages of %d", len(seen), count)
	}
	mustCount(t, q, Counts{})
}

// work lets a worker for each of the queues claim and end until so many messages are
// done, and returns how often each payload was seen.
func work(t testing.TB, queues []*Queue, count int) map[string]int {
	seen := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, q := range queues {
		wg.Go(func() {
			for {
				jobs, err := q.Claim(1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, job := range jobs {
					seen[string(job.Payload)]++
				}
				done := len(seen) >= count
				mu.Unlock()
				for _, job := range jobs {
					if err := job.Ack(); err != nil {
						t.Error(err)
						return
					}
				}
				if done {
					return
				}
			}
		})
	}
	wg.Wait()
	return seen
}

// Eight workers at one queue, and four who put into it, are not in conflict. Without
// the marks at the desk some hundred of the claims are, of which each has to run again.
func TestWorkersDoNotConflict(t *testing.T) {
	q, _ := testQueue(t, nil)
	const count = 2000
	var wg sync.WaitGroup
	for producer := range 4 {
		wg.Go(func() {
			for n := range count / 4 {
				enqueue(t, q, fmt.Sprint(producer, "/", n), n%3, 0)
			}
		})
	}
	seen := work(t, []*Queue{q, q, q, q, q, q, q, q}, count)
	wg.Wait()
	for payload, times := range seen {
		if times != 1 {
			t.Errorf("message %s was given %d times", payload, times)
		}
	}
	mustCount(t, q, Counts{})
	m := q.db.Metrics().Transactions
	t.Logf("%d commits, %d conflicts: %.2f %%", m.Commits, m.Conflicts, 100*m.AbortRate())
	if m.Commits < 3*count || m.Conflicts > count/200 {
		t.Errorf("%d commits, %d conflicts", m.Commits, m.Conflicts)
	}
}

// Names, options and arguments that cannot be are refused.
func TestMisuse(t *testing.T) {
	q, _ := testQueue(t, nil)
	for _, name := range []string{"", "a/b", "a b"} {
		if _, err := Open(t.Context(), q.db, name, nil); !errors.Is(err, ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for _, o := range []Options{{Visibility: -1}, {Attempts: -1}, {Poll: -1}} {
		if _, err := Open(t.Context(), q.db, "q", &o); !errors.Is(err, ErrOption) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := q.Enqueue(Message{Delay: -1}); !errors.Is(err, ErrOption) {
		t.Error(err)
	}
	if _, err := Open(t.Context(), nil, "q", nil); !errors.Is(err, lightning.ErrClosed) {
		t.Error(err)
	}
	var none Queue
	_, claimErr := none.Claim(1)
	_, enqueueErr := none.Enqueue(Message{})
	_, countErr := none.Counts()
	_, nextErr := none.Next(t.Context())
	for _, err := range []error{claimErr, enqueueErr, countErr, nextErr, none.Revive(ID{}), new(Job).Ack(), Tx{}.Discard(ID{})} {
		if !errors.Is(err, lightning.ErrClosed) {
			t.Errorf("of no queue: %v", err)
		}
	}
	for _, err := range none.Dead() {
		if !errors.Is(err, lightning.ErrClosed) {
			t.Errorf("of no queue: %v", err)
		}
	}
	tx, err := q.db.Begin(lightning.TxOptions{Isolation: lightning.SnapshotIsolation})
	must(t, err)
	defer tx.Rollback()
	if _, err := q.In(tx).Enqueue(Message{}); !errors.Is(err, ErrOption) {
		t.Error(err)
	}
	err = q.update(func(in Tx) error { return in.Ack(nil) })
	for _, err := range []error{err, q.In(nil).Discard(ID{})} {
		if !errors.Is(err, lightning.ErrNilArgument) {
			t.Error(err)
		}
	}
}
