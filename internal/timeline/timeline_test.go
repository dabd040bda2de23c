package timeline

import (
	"sync"
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

// As long as nothing expires nobody needs the time.
func TestReadTimeBeginsWithTheFirstUse(t *testing.T) {
	line := New(clock.System, nil)
	line.Start(0)
	if at := line.ReadTime(); at != 0 {
		t.Errorf("the time is %d before its first use", at)
	}
	line.Use()
	if line.ReadTime() == 0 {
		t.Error("there is no time after its first use")
	}
	line = New(clock.System, nil)
	line.Start(1) // something has expired before
	if line.ReadTime() == 0 {
		t.Error("there is no time where it was used before")
	}
}

func TestPurged(t *testing.T) {
	line := New(clock.System, nil)
	line.Purge(100)
	line.Purge(50)
	for at, want := range map[base.Instant]bool{0: true, 99: true, 100: false, 101: false} {
		if line.Purged(at) != want {
			t.Errorf("for a reader at %d something was purged: %v", at, !want)
		}
	}
}

// The time is saved once some time after a reader has met what expired since the last
// time that was; not where nothing new was met, and not after Stop.
func TestSaveLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line *Timeline
		var saves atomic.Int32
		line = New(clock.System, func() { saves.Add(1); line.Saved(line.Now()) })
		line.Start(0)
		expect := func(want int32) {
			t.Helper()
			synctest.Wait()
			if saves.Load() != want {
				t.Errorf("saved %d times, want %d", saves.Load(), want)
			}
		}
		line.SaveLater()
		time.Sleep(time.Hour)
		expect(0)
		for range 3 {
			line.Observe(line.Now())
			line.SaveLater()
			time.Sleep(saveDelay / 4)
		}
		time.Sleep(saveDelay/4 - 1)
		expect(0)
		time.Sleep(1)
		expect(1)
		line.SaveLater() // what was met is saved
		time.Sleep(time.Hour)
		expect(1)
		line.Observe(line.Now())
		line.SaveLater()
		time.Sleep(saveDelay)
		expect(2)
		time.Sleep(time.Hour)
		line.Observe(line.Now())
		line.SaveLater()
		line.Stop()
		time.Sleep(time.Hour)
		expect(2)

		readOnly := New(clock.System, nil)
		readOnly.Start(0)
		readOnly.Observe(readOnly.Now())
		readOnly.SaveLater()
		readOnly.Stop()
	})
}

func TestTimelineIsOneForAll(t *testing.T) {
	c := &steppedClock{Clock: clock.System}
	line := New(c, nil)
	line.Start(0)
	var told atomic.Int64 // the latest time that anyone was told
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				before := told.Load()
				now := int64(line.Now())
				if now < before {
					t.Errorf("told %d after somebody was told %d", now, before)
				}
				raise(&told, now)
				if reader == 0 {
					c.step(time.Duration(i%7-3) * time.Minute)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkNow(b *testing.B) {
	line := New(clock.System, nil)
	line.Start(0)
	for b.Loop() {
		line.Now()
	}
}
