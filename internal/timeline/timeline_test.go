package timeline

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
)

// steppedClock is the system's clock with its hands moved. As those of a machine,
// they take the monotonic time along with them only within a process.
type steppedClock struct {
	clock.Clock
	by atomic.Int64
}

func (c *steppedClock) Now() time.Time {
	return c.Clock.Now().Add(time.Duration(c.by.Load()))
}

func (c *steppedClock) step(d time.Duration) { c.by.Add(int64(d)) }

func TestTimelineNeverGoesBack(t *testing.T) {
	c := &steppedClock{Clock: clock.System}
	line := New(c, nil)
	line.Start(0)
	last := line.Now()
	for _, step := range []time.Duration{time.Hour, -2 * time.Hour, time.Minute, -time.Second, 24 * time.Hour, -48 * time.Hour} {
		c.step(step)
		now := line.Now()
		if now < last {
			t.Fatalf("after a step of %v the time went from %d to %d", step, last, now)
		}
		last = now
	}
}

// The wall clock can be set back for good, and time goes on all the same.
func TestTimelineGoesOnUnderAClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := New(clock.System, nil)
		start := time.Now()
		line.Start(base.Instant(start.Add(time.Hour).UnixNano()))
		first := line.Now()
		time.Sleep(time.Minute)
		if passed := time.Duration(line.Now() - first); passed != time.Minute {
			t.Errorf("%v of a minute passed", passed)
		}
		if at := time.Unix(0, int64(first)); !at.Equal(start.Add(time.Hour)) {
			t.Errorf("the time began at %v, not where it had been", at)
		}
	})
}
