package queue

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// inBubble runs a test with a queue in a bubble in which time passes when all wait.
func inBubble(t *testing.T, test func(t *testing.T, q *Queue)) {
	synctest.Test(t, func(t *testing.T) {
		db := openDB(t, memfs.New())
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(t, openQueue(t, db, &Options{Poll: time.Second, Visibility: time.Minute}, clock.System))
	})
}

// Next gets a message that Enqueue brings at once, one of a transaction at the next look,
// and those that become ready by themselves when they do.
func TestNext(t *testing.T) {
	inBubble(t, func(t *testing.T, q *Queue) {
		start := time.Now()
		next := func(want string, after time.Duration) *Job {
			t.Helper()
			job, err := q.Next(t.Context())
			if err != nil || string(job.Payload) != want {
				t.Fatalf("got %+v, %v", job, err)
			}
			if passed := time.Since(start); passed < after || passed > after+time.Second+10*time.Millisecond {
				t.Errorf("%s came after %v, not %v", want, passed, after)
			}
			return job
		}
		go func() {
			time.Sleep(300 * time.Millisecond)
			_, _ = q.Enqueue(Message{Payload: []byte("woken")})
			_, _ = q.Enqueue(Message{Payload: []byte("delayed"), Delay: 10 * time.Second})
			time.Sleep(5 * time.Second)
			_ = q.db.Update(func(tx *lightning.Tx) error {
				_, err := q.In(tx).Enqueue(Message{Payload: []byte("in a transaction")})
				return err
			})
		}()
		next("woken", 300*time.Millisecond)
		if passed := time.Since(start); passed > 310*time.Millisecond {
			t.Errorf("woken only after %v", passed)
		}
		next("in a transaction", 5300*time.Millisecond)
		next("delayed", 10300*time.Millisecond)
		next("woken", 60300*time.Millisecond)
	})
}

// Who waits can be told to stop.
func TestNextEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, q *Queue) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := q.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
