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

// Nobody looks at the clock before something expires, and what was purged is
// known for good.
func TestPurgedTimes(t *testing.T) {
	c := &steppedClock{Clock: clock.System}
	line := New(c, nil)
	line.Start(0)
	if at := line.ReadTime(); at != 0 || line.Purged(at) {
		t.Errorf("a reader lives at %d before anything expires", at)
	}
	line.Use()
	early := line.ReadTime()
	c.step(time.Hour)
	late := line.ReadTime()
	if line.Purged(early) {
		t.Error("something is gone before any purge")
	}
	line.Purge(late)
	line.Purge(early) // a slow one
	if !line.Purged(early) || !line.Purged(0) || line.Purged(late) {
		t.Errorf("purged for who lives at 0, %d, %d: %v, %v, %v",
			early, late, line.Purged(0), line.Purged(early), line.Purged(late))
	}
}

// The time is saved some time after a reader has met what had expired, once for
// all who do so meanwhile, and not again before there is something new.
func TestTimeIsSavedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line *Timeline
		saves := 0
		line = New(clock.System, func() { saves++; line.Saved(10) })
		line.Start(0)
		expect := func(want int) {
			t.Helper()
			time.Sleep(saveDelay)
			synctest.Wait()
			if saves != want {
				t.Errorf("saved %d times, want %d", saves, want)
			}
		}
		line.SaveLater()
		expect(0)
		line.Observe(7)
		line.SaveLater()
		line.Observe(10)
		line.SaveLater()
		expect(1)
		line.Observe(9)
		line.SaveLater()
		expect(1)
		line.Observe(11)
		line.SaveLater()
		line.Stop()
		expect(1)
	})
}
