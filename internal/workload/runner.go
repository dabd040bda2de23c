// Package workload fills a database with records, does the same work on it
// whatever database it is, measures that, and checks every answer. Both bench/
// and 'lightning bench' measure with it, so that a row of one name is the same
// thing in both.
//
// A key follows from the number of its record, a value from the key and a
// version. Which records are touched in which order follows from the number of
// the goroutine and the time that it works: testdata/operations.txt holds the
// first operations of every row, and they must not change, or measurements can
// no longer be compared with earlier ones. An answer that cannot be right ends
// the run.
//
// A Runner belongs to one goroutine, which starts others for the time of a row.
// The rows of a Runner follow one another on the same database.
package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// Config says how much is done.
type Config struct {
	Records    int64
	ValueBytes int
	Goroutines int // of the rows that do not say

	WarmUp    time.Duration // the same work, unmeasured, before a timed row
	Time      time.Duration // of a timed row
	LoadLimit time.Duration // after which a slow load is cut short; 0: never

	SustainedTime time.Duration // of the paced load
	SustainedRate int           // its puts per second
}

// RecordBytes is the size of a key and its value.
func (c *Config) RecordBytes() int64 { return int64(KeyBytes + c.ValueBytes) }

// Outcome is what a row did, and how long it took.
type Outcome struct {
	Unit       string // of the operations: "puts", "gets", "rows"
	Operations int64
	Goroutines int
	Elapsed    time.Duration
	Settling   time.Duration // the part of Elapsed that waited for compactions

	Latency  *Histogram // of single operations; nil where there are none to time
	Of       string     // what was timed: "every put", "1 in 32 gets"
	Paced    bool       // operations were due at fixed times, latency is from then
	Timeline []Second

	InputBytes int64 // keys and values that were written
	LiveBytes  int64 // that are in the settled database now; 0: it is not settled
	// Notes say what makes the outcome another than the row promises, such as a
	// load that was stopped at its limit.
	Notes []string
}

// Rate returns operations per second.
func (o *Outcome) Rate() float64 {
	if o.Elapsed <= 0 {
		return 0
	}
	return float64(o.Operations) / o.Elapsed.Seconds()
}

// timed notes what a team did and how long its operations took.
func (o *Outcome) timed(t team, of string) {
	o.Operations, o.Elapsed = t.operations, t.elapsed
	if t.latency != nil && t.latency.Count() > 0 {
		o.Latency, o.Of = t.latency, of
	}
}

// Runner runs rows on one database.
type Runner struct {
	Config Config
	Store  Store // may be another one after the database was opened again
	Order  Order
	// Report, if not nil, is told of progress in a few words, often.
	Report func(words string)
	// Around, if not nil, is called with the measured part of each row, which it
	// runs, so that it can tell what the process used meanwhile.
	Around func(measured func() error) error

	records int64        // numbers [0, records) are in the database
	added   atomic.Int64 // and so many more, by rows that insert
	deleted bool         // those with even numbers are gone
	popular *Zipfian     // over records; made when first needed
	tail    []uint64     // the greatest heads of the keys of records, ascending
	warm    bool         // all records have been read
}

// Adopt takes over a database that was filled before.
func (r *Runner) Adopt() { r.records = r.Config.Records }

// live returns how many records are in the database.
func (r *Runner) live() int64 {
	if r.deleted {
		return r.records/2 + r.added.Load()
	}
	return r.records + r.added.Load()
}

func (r *Runner) report(words string) {
	if r.Report != nil {
		r.Report(words)
	}
}

// settle waits until nothing is left to compact.
func (r *Runner) settle(ctx context.Context) error {
	r.report("settling")
	if err := r.Store.Settle(ctx); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// worker is one goroutine's share of a row.
type worker struct {
	Session
	index      int
	random     Random
	operations int64
	latency    *Histogram
	key        [KeyBytes]byte
	value      []byte // of length Config.ValueBytes, to write
	got        []byte // to read into
}

// timed runs fn and records how long it took.
func (w *worker) timed(fn func() error) (now time.Time, err error) {
	start := clock.System.Now()
	err = fn()
	now = clock.System.Now()
	w.latency.Record(now.Sub(start))
	return now, err
}

// until repeats fn, which returns how many operations it did, for a span of
// time. Of every sample calls one is timed, and the clock is looked at.
func (w *worker) until(ctx context.Context, span time.Duration, sample int, fn func() (int64, error)) error {
	deadline := clock.System.Now().Add(span)
	for ctx.Err() == nil {
		var done int64
		now, err := w.timed(func() (err error) { done, err = fn(); return err })
		if err != nil {
			return err
		}
		w.operations += done
		if now.After(deadline) {
			return nil
		}
		for range sample - 1 {
			done, err := fn()
			if err != nil {
				return err
			}
			w.operations += done
		}
	}
	return ctx.Err()
}

// team is what some goroutines did together.
type team struct {
	operations int64
	elapsed    time.Duration
	latency    *Histogram
}

// parallel runs fn on so many goroutines with a session each. The first failure
// stops the others through their context. Sessions are opened before the clock
// runs.
func (r *Runner) parallel(
	ctx context.Context, goroutines int, fn func(context.Context, *worker) error,
) (t team, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := make([]*worker, goroutines)
	defer func() {
		for _, w := range workers {
			if w != nil {
				err = errors.Join(err, w.Close())
			}
		}
	}()
	for i := range workers {
		s, err := r.Store.Session()
		if err != nil {
			return t, fmt.Errorf("session %d of %d: %w", i+1, goroutines, err)
		}
		workers[i] = &worker{
			Session: s, index: i, random: seedOf(i),
			latency: NewHistogram(), value: make([]byte, r.Config.ValueBytes),
		}
	}
	start := clock.System.Now()
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			if err := fn(ctx, w); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	t.elapsed, t.latency = clock.System.Now().Sub(start), NewHistogram()
	for _, w := range workers {
		t.operations += w.operations
		t.latency.Add(w.latency)
	}
	return t, context.Cause(ctx)
}

// measured runs fn, which fills in the outcome.
func (r *Runner) measured(o *Outcome, fn func() error) error {
	run := func() error {
		start := clock.System.Now()
		err := fn()
		if o.Elapsed == 0 {
			o.Elapsed = clock.System.Now().Sub(start)
		}
		return err
	}
	if r.Around != nil {
		return r.Around(run)
	}
	return run()
}

// timedRow is a row that goes on for a span of time.
type timedRow struct {
	unit       string
	of         string // what is timed
	goroutines int
	sample     int
	cold       bool // no warm-up
	// op does one operation, or a few, and returns how many.
	op func(w *worker) (int64, error)
	// beside, if not nil, runs meanwhile on one more session until its context
	// ends.
	beside func(context.Context, *worker) error
}

// run warms up, then measures.
func (r *Runner) run(ctx context.Context, t timedRow) (Outcome, error) {
	o := Outcome{Unit: t.unit, Goroutines: t.goroutines}
	once := func(span time.Duration) (team, error) {
		return r.parallel(ctx, t.goroutines, func(ctx context.Context, w *worker) error {
			w.random ^= Random(span) // another sequence than that of the warm-up
			return w.until(ctx, span, t.sample, func() (int64, error) { return t.op(w) })
		})
	}
	if !t.cold && r.Config.WarmUp > 0 {
		if _, err := once(r.Config.WarmUp); err != nil {
			return o, err
		}
	}
	err := r.measured(&o, func() error {
		stop := func() error { return nil }
		if t.beside != nil {
			stop = r.start(ctx, t.beside)
		}
		done, err := once(r.Config.Time)
		o.timed(done, t.of)
		return errors.Join(err, stop())
	})
	return o, err
}

// start runs fn on a goroutine of its own and returns what ends it.
func (r *Runner) start(ctx context.Context, fn func(context.Context, *worker) error) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		_, err := r.parallel(ctx, 1, fn)
		failed <- err
	}()
	return func() error {
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
}
