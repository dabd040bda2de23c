package workload

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// tick is how often a paced goroutine wakes up.
const tick = time.Millisecond

// paced does operations at a fixed rate, whatever became of those before: the
// ones of a tick are due evenly from its beginning on. Latency counts from the
// moment an operation was due, or began, if that was earlier, so that one that
// waits for a stalled one before it shows the stall (the correction of
// coordinated omission). Only what the timer oversleeps, when there is nothing
// to do, is nobody's latency.
//
// Where an engine cannot keep up, the operations run behind one another, and
// those still due at the end are left out. each, if not nil, is called with the
// moment of each operation's end.
func paced(
	ctx context.Context, rate int, span time.Duration, w *worker, op func() error, each func(end, latency time.Duration),
) error {
	start := clock.System.Now()
	gap := time.Second / time.Duration(rate)
	carry := 0.0
	for due := start; due.Sub(start) < span; due = due.Add(tick) {
		woke := due
		if early := due.Sub(clock.System.Now()); early > 0 {
			if err := wait(ctx, early); err != nil {
				return err
			}
			woke = clock.System.Now()
		}
		carry += float64(rate) * tick.Seconds()
		for i := 0; carry >= 1; i++ {
			carry--
			begin := clock.System.Now()
			if intended := woke.Add(time.Duration(i) * gap); intended.Before(begin) {
				begin = intended
			}
			if err := op(); err != nil {
				return err
			}
			end := clock.System.Now()
			w.latency.Record(end.Sub(begin))
			if each != nil {
				each(end.Sub(start), end.Sub(begin))
			}
			w.operations++
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if clock.System.Now().Sub(start) > span {
			return nil
		}
	}
	return nil
}

// wait returns after a while, or when ctx ends, with its error.
func wait(ctx context.Context, span time.Duration) error {
	over := make(chan struct{})
	timer := clock.System.AfterFunc(span, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Second is what all goroutines did in one second. The histogram itself would
// be large for a run of minutes.
type Second struct {
	Number int64 // from 1
	Percentiles
}

// timeline puts together what several goroutines did in each second. Its
// methods may be called by all of them.
type timeline struct {
	mu      sync.Mutex
	workers int
	open    map[int]*second
	seconds []Second
}

type second struct {
	parts     int // workers that are past it
	histogram *Histogram
}

func newTimeline(workers int) *timeline { return &timeline{workers: workers, open: map[int]*second{}} }

// add gives what one worker did in a second, once it is past that.
func (t *timeline) add(index int, h *Histogram) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.open[index]
	if s == nil {
		s = &second{histogram: NewHistogram()}
		t.open[index] = s
	}
	s.histogram.Add(h)
	if s.parts++; s.parts < t.workers {
		return
	}
	delete(t.open, index)
	t.seconds = append(t.seconds, Second{int64(index + 1), s.histogram.Percentiles()})
}

// recorder splits one worker's latencies into seconds.
type recorder struct {
	line      *timeline
	at        int
	histogram *Histogram
}

func (c *recorder) record(end, latency time.Duration) {
	for c.at < int(end/time.Second) {
		c.flush()
	}
	c.histogram.Record(latency)
}

func (c *recorder) flush() {
	c.line.add(c.at, c.histogram)
	c.histogram.Reset()
	c.at++
}

// Sustained measures puts to random records at a fixed rate for a long time.
func (r *Runner) Sustained(ctx context.Context) (Outcome, error) {
	c := r.Config
	o := Outcome{Unit: "puts", Goroutines: c.Goroutines, Paced: true}
	line := newTimeline(c.Goroutines)
	span := c.SustainedTime.Truncate(time.Second)
	err := r.measured(&o, func() error {
		done, err := r.parallel(ctx, c.Goroutines, func(ctx context.Context, w *worker) error {
			seconds := &recorder{line: line, histogram: NewHistogram()}
			err := paced(ctx, c.SustainedRate/c.Goroutines, span, w,
				func() error { return r.put(w, r.uniform(w)) },
				func(end, latency time.Duration) {
					seconds.record(end, latency)
					if w.index == 0 && w.operations%4096 == 0 {
						r.report(fmt.Sprintf("%s of %s", end.Truncate(time.Second), span))
					}
				})
			for seconds.at < int(span/time.Second) {
				seconds.flush()
			}
			return err
		})
		o.timed(done, "every put")
		o.InputBytes = done.operations * c.RecordBytes()
		if err != nil {
			return err
		}
		return r.settle(ctx)
	})
	o.Timeline = line.seconds
	if o.Rate() < 0.99*float64(c.SustainedRate) {
		o.Notes = append(o.Notes, fmt.Sprintf("%d puts/s were due", c.SustainedRate))
	}
	o.LiveBytes = r.liveBytes()
	return o, err
}
