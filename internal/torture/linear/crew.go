package linear

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// stuckAfter is how long a crew may take. Rounds take seconds at most, so one
// that takes longer hangs.
const stuckAfter = 2 * time.Minute

// errBroken is matched by the error of a crew that did not come to its end, or of
// which a member panicked. The database then holds locks or guards that nobody
// gives back, so nothing may wait for it any more, not even to close it.
var errBroken = errors.New("the database is beyond use")

// crew is a group of goroutines with one fate: the first error, or a panic,
// ends the context of all. Its methods are safe for concurrent use.
type crew struct {
	ctx     context.Context
	cancel  context.CancelFunc
	members sync.WaitGroup

	broken chan struct{} // closed when a member has panicked

	mu    sync.Mutex
	first error
}

func newCrew(ctx context.Context) *crew {
	c := &crew{broken: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// start runs fn in a goroutine of its own.
func (c *crew) start(what string, fn func() error) {
	c.members.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				c.fail(fmt.Errorf("%s: panic: %v: %w\n%s", what, p, errBroken, debug.Stack()))
			}
		}()
		if err := fn(); err != nil {
			c.fail(fmt.Errorf("%s: %w", what, err))
		}
	})
}

func (c *crew) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, errBroken) && !errors.Is(c.first, errBroken) {
		c.first = err // whatever else went wrong: this is worse
		close(c.broken)
	}
	if c.first == nil {
		c.first = err
	}
	c.cancel()
}

func (c *crew) firstError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

func (c *crew) over() bool { return c.ctx.Err() != nil }

// wait waits for all members and returns the first error. Members that hang are
// left behind, and reported with the stacks of all goroutines; so are those that
// may hang because another panicked.
func (c *crew) wait() error {
	done := make(chan struct{})
	go func() {
		c.members.Wait()
		close(done)
	}()
	limit, cancel := context.WithTimeout(context.Background(), stuckAfter)
	defer cancel()
	select {
	case <-done:
		c.cancel()
		return c.firstError()
	case <-c.broken:
		return c.firstError()
	case <-limit.Done():
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return fmt.Errorf("goroutines hang for %v: %w\n%s", stuckAfter, errBroken, stacks)
	}
}

// endAfter ends a crew that was to work until another did, which returned err,
// and returns all that went wrong. It does not wait where err says that it
// would be for ever.
func (c *crew) endAfter(err error) error {
	c.cancel()
	if errors.Is(err, errBroken) {
		return err
	}
	return errors.Join(err, c.wait())
}
