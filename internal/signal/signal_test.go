package signal

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// Everybody who waits looks again after each change, and goes on when what he
// waits for is there; also when the change comes between his look and his sleep.
func TestWaitSeesEveryChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Changes
		var n atomic.Int64
		done := make(chan int64, 3)
		for want := range int64(3) {
			go func() {
				if err := c.Wait(t.Context(), func() bool { return n.Load() > want }); err != nil {
					t.Error(err)
				}
				done <- want
			}()
		}
		for want := range int64(3) {
			synctest.Wait()
			if len(done) != int(want) {
				t.Fatalf("%d are done after %d changes", len(done), want)
			}
			n.Add(1)
			c.Notify()
		}
		synctest.Wait()
		if len(done) != 3 {
			t.Errorf("%d are done in the end", len(done))
		}
	})
}

func TestChangeBetweenLookAndSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which ends at once where everybody waits
		var c Changes
		looks := 0
		err := c.Wait(t.Context(), func() bool {
			if looks++; looks == 1 {
				c.Notify()
				return false
			}
			return true
		})
		if err != nil || looks != 2 {
			t.Errorf("%d looks, %v", looks, err)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var c Changes
	if err := c.Wait(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if !Sleep(t.Context(), clock.System, time.Hour) || time.Since(start) != time.Hour {
			t.Errorf("slept %v", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if Sleep(ctx, clock.System, time.Hour) || time.Since(start) != time.Hour+time.Minute {
			t.Errorf("slept on after the end, %v", time.Since(start))
		}
	})
}

func BenchmarkNotifyNobody(b *testing.B) {
	var c Changes
	for b.Loop() {
		c.Notify()
	}
}
