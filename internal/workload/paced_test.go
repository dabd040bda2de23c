package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A stall shows in the latency of all operations that were due meanwhile.
func TestPacedCountsFromWhenItWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{latency: NewHistogram()}
		err := paced(t.Context(), 1000, time.Second, w, func() error {
			if w.operations == 100 {
				time.Sleep(200 * time.Millisecond)
			}
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l := w.latency.Percentiles()
		// The stalled one and the 200 behind it: a fifth waits 1 to 200 ms.
		if w.operations < 999 || l.Max < 199*time.Millisecond {
			t.Errorf("%d operations, longest %v", w.operations, l.Max)
		}
		if p99 := l.P99; p99 < 185*time.Millisecond || p99 > 195*time.Millisecond {
			t.Errorf("p99 is %v", p99)
		}
		if l.P50 > time.Millisecond {
			t.Errorf("p50 is %v", l.P50)
		}
	})
}

// An engine that is too slow for the rate is not waited for.
func TestPacedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{latency: NewHistogram()}
		start := time.Now()
		err := paced(t.Context(), 1000, time.Second, w, func() error {
			time.Sleep(10 * time.Millisecond)
			return nil
		}, nil)
		if took := time.Since(start); err != nil || took > 1100*time.Millisecond || w.operations > 101 {
			t.Errorf("%d operations in %v: %v", w.operations, took, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := paced(ctx, 1, time.Hour, w, func() error { return nil }, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestTimeline(t *testing.T) {
	line := newTimeline(2)
	for index := range 2 {
		c := recorder{line: line, histogram: NewHistogram()}
		c.record(100*time.Millisecond, time.Millisecond)
		c.record(3500*time.Millisecond, time.Duration(index+1)*time.Second) // the seconds between are empty
		c.flush()
	}
	var got []string
	for _, p := range line.seconds {
		got = append(got, fmt.Sprint(p.Number, " ", p.Count, " ", p.Max.Round(10*time.Millisecond)))
	}
	want := []string{"1 2 0s", "2 0 0s", "3 0 0s", "4 2 2s"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

// Inserts become readable in order, whoever finishes first.
func TestInsertsAreAcknowledgedInOrder(t *testing.T) {
	r := &Runner{records: 10}
	ins := r.newInserts()
	for _, step := range []struct{ number, done int64 }{{11, 10}, {13, 10}, {10, 12}, {12, 14}, {14, 15}} {
		ins.acknowledge(step.number)
		if done := ins.done.Load(); done != step.done {
			t.Errorf("after %d: %d, not %d", step.number, done, step.done)
		}
	}
}
