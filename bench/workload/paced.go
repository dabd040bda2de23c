package workload

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lightningdb/lightning/bench/measure"
	"github.com/lightningdb/lightning/bench/result"
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
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Now()
	gap := time.Second / time.Duration(rate)
	carry := 0.0
	for due := start; due.Sub(start) < span; due = due.Add(tick) {
		woke := due
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
			woke = time.Now()
		}
		carry += float64(rate) * tick.Seconds()
		for i := 0; carry >= 1; i++ {
			carry--
			begin := time.Now()
			if intended := woke.Add(time.Duration(i) * gap); intended.Before(begin) {
				begin = intended
			}
			if err := op(); err != nil {
				return err
			}
			end := time.Now()
			w.latency.Record(end.Sub(begin))
			if each != nil {
				each(end.Sub(start), end.Sub(begin))
			}
			w.operations++
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if time.Since(start) > span {
			return nil
		}
	}
	return nil
}

// timeline puts together what several goroutines did in each second. Its
// methods may be called by all of them.
type timeline struct {
	mu      sync.Mutex
	workers int
	open    map[int]*second
	points  []result.Point
}

type second struct {
	parts     int // workers that are past it
	histogram *measure.Histogram
}

func newTimeline(workers int) *timeline { return &timeline{workers: workers, open: map[int]*second{}} }

// add gives what one worker did in a second, once it is past that.
func (t *timeline) add(index int, h *measure.Histogram) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.open[index]
	if s == nil {
		s = &second{histogram: measure.NewHistogram()}
		t.open[index] = s
	}
	s.histogram.Add(h)
	if s.parts++; s.parts < t.workers {
		return
	}
	delete(t.open, index)
	p := result.Point{Second: float64(index + 1)}
	if l := s.histogram.Latency(""); l != nil {
		p.Operations, p.P50, p.P99, p.P999, p.Max = l.Count, l.P50, l.P99, l.P999, l.Max
	}
	t.points = append(t.points, p)
}

// recorder splits one worker's latencies into seconds.
type recorder struct {
	line      *timeline
	at        int
	histogram *measure.Histogram
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

// sustained measures puts to random records at a fixed rate for a long time.
func (r *Runner) sustained(ctx context.Context) (result.Row, error) {
	c := r.config
	row := result.Row{Unit: "puts", Goroutines: c.Goroutines}
	line := newTimeline(c.Goroutines)
	span := c.SustainedTime.Truncate(time.Second)
	err := r.measured(&row, func() error {
		done, err := r.parallel(ctx, c.Goroutines, func(ctx context.Context, w *worker) error {
			seconds := &recorder{line: line, histogram: measure.NewHistogram()}
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
		row.Operations, row.Seconds = done.operations, done.elapsed.Seconds()
		row.InputBytes = done.operations * r.recordBytes()
		if err != nil {
			return err
		}
		row.Latency = done.latency.Latency("every put")
		r.report("settling")
		if err := r.db.Settle(ctx); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		return nil
	})
	if err != nil {
		return row, err
	}
	row.Timeline = line.points
	if row.Latency != nil {
		row.Latency.Paced = true
	}
	if row.Rate() < 0.99*float64(c.SustainedRate) {
		row.Notes = append(row.Notes, fmt.Sprintf("%d puts/s were due", c.SustainedRate))
	}
	return row, r.measureDisk(&row)
}
