// Package workload does the same work on any engine, checks every answer, and
// measures it.
//
// Records are made from their numbers: a key follows from the number, a value
// from the key and a version, so that an answer is checked without remembering
// what was written. An answer that cannot be right ends the run.
//
// A Runner belongs to one goroutine, which starts others for the time of a
// workload. Workloads of a group follow one another on the same database.
package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/measure"
	"github.com/lightningdb/lightning/bench/result"
)

// Config says how much is done. All engines of a run get the same.
type Config struct {
	Records     int64
	ValueBytes  int
	Goroutines  int
	Durability  engine.Durability
	MemoryBytes int64

	WarmUp    time.Duration // the same work, unmeasured, before a timed workload
	Time      time.Duration // of a timed workload
	LoadLimit time.Duration // after which a slow load is cut short

	LargeDataBytes int64         // how much of each size of large values
	ColdDataBytes  int64         // of a database larger than memory
	SustainedTime  time.Duration // of the paced load
	SustainedRate  int           // its puts per second
}

// Validate reports the first number that makes no sense.
func (c *Config) Validate() error {
	checks := []struct {
		ok   bool
		rule string
	}{
		{c.Records >= 1000, "there must be at least 1000 records"},
		{c.ValueBytes >= MinValueBytes, fmt.Sprintf("values must have at least %d bytes", MinValueBytes)},
		{c.ValueBytes <= 1<<20, "values must have at most 1 MiB"},
		{c.Goroutines >= 1 && c.Goroutines <= 1024, "there must be 1 to 1024 goroutines"},
		{c.MemoryBytes >= 16<<20, "the memory must be at least 16 MiB"},
		{c.SustainedRate >= c.Goroutines, "the rate must be at least one put a second for each goroutine"},
		{c.SustainedTime >= time.Second, "the sustained load must go on for at least 1s"},
		{c.Durability == engine.Async || c.Durability == engine.Sync, "the durability must be async or sync"},
	}
	for _, check := range checks {
		if !check.ok {
			return errors.New(check.rule)
		}
	}
	return nil
}

// ColdLimitBytes is what a process may use, page cache included, that reads the
// database larger than memory; it asks its engine to keep to half of that.
func (c *Config) ColdLimitBytes() int64 { return max(c.ColdDataBytes/5, 64<<20) }

// Runner runs the workloads of one group on one engine.
type Runner struct {
	config Config
	engine engine.Engine
	dir    string
	db     engine.DB

	order         order
	transactional bool
	records       int64        // numbers [0, records) are in the database
	added         atomic.Int64 // and so many more, by workloads that insert
	deleted       bool         // those with even numbers are gone
	popular       *zipfian     // over records; made when first needed
	tail          []uint64     // the greatest heads of the keys of records, ascending
	warm          bool         // all records have been read
	report        func(string) // progress
}

// New returns a Runner whose database is not open yet. Progress is told in a
// few words, often.
func New(e engine.Engine, dir string, config Config, report func(string)) *Runner {
	return &Runner{config: config, engine: e, dir: dir, report: report}
}

// open opens the database.
func (r *Runner) open() error {
	data := r.config.Records * int64(KeyBytes+r.config.ValueBytes)
	db, err := r.engine.Open(engine.Config{
		Dir:          r.dir,
		Durability:   r.config.Durability,
		MemoryBytes:  r.config.MemoryBytes,
		DataBytes:    2 * data, // inserts and overwrites, too
		Transactions: r.transactional,
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", r.engine.Name, err)
	}
	r.db = db
	return nil
}

// Close closes the database, if it is open.
func (r *Runner) Close() error {
	if r.db == nil {
		return nil
	}
	err := r.db.Close()
	r.db = nil
	return err
}

// live returns how many records are in the database.
func (r *Runner) live() int64 {
	if r.deleted {
		return r.records/2 + r.added.Load()
	}
	return r.records + r.added.Load()
}

func (r *Runner) recordBytes() int64 { return int64(KeyBytes + r.config.ValueBytes) }

// worker is one goroutine's share of a workload.
type worker struct {
	engine.Session
	index      int
	random     random
	operations int64
	latency    *measure.Histogram
	key        [KeyBytes]byte
	value      []byte // of length Config.ValueBytes, to write
	got        []byte // to read into
}

// timed runs fn and records how long it took.
func (w *worker) timed(fn func() error) (now time.Time, err error) {
	start := time.Now()
	err = fn()
	now = time.Now()
	w.latency.Record(now.Sub(start))
	return now, err
}

// until repeats fn, which returns how many operations it did, for a span of
// time. Of every sample calls one is timed, and the clock is looked at.
func (w *worker) until(ctx context.Context, span time.Duration, sample int, fn func() (int64, error)) error {
	deadline := time.Now().Add(span)
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
	latency    *measure.Histogram
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
		s, err := r.db.Session()
		if err != nil {
			return t, fmt.Errorf("session %d of %d: %w", i+1, goroutines, err)
		}
		workers[i] = &worker{
			Session: s, index: i, random: random(mix(uint64(i) + 1)),
			latency: measure.NewHistogram(), value: make([]byte, r.config.ValueBytes),
		}
	}
	start := time.Now()
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			if err := fn(ctx, w); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	t.elapsed, t.latency = time.Since(start), measure.NewHistogram()
	for _, w := range workers {
		t.operations += w.operations
		t.latency.Add(w.latency)
	}
	return t, context.Cause(ctx)
}

// measured runs fn and notes in its row what the process used meanwhile.
func (r *Runner) measured(row *result.Row, fn func() error) error {
	measure.ResetPeak()
	before, start := measure.Now(), time.Now()
	if err := fn(); err != nil {
		return err
	}
	used := measure.Now().Since(before)
	if row.Seconds == 0 {
		row.Seconds = time.Since(start).Seconds()
	}
	row.CPUSeconds = used.CPUSeconds
	row.PeakBytes = measure.PeakBytes()
	if row.InputBytes > 0 && used.WrittenBytes >= 0 {
		row.WrittenBytes = used.WrittenBytes
	}
	if r.engine.Go && row.Operations > 0 {
		allocs := float64(used.Mallocs) / float64(row.Operations)
		row.AllocsPerOp = &allocs
	}
	return nil
}

// measureDisk notes what the settled database takes.
func (r *Runner) measureDisk(row *result.Row) (err error) {
	row.LiveBytes = r.live() * r.recordBytes()
	row.DiskBytes, err = measure.DiskBytes(r.dir)
	return err
}

// timedWorkload is a workload that goes on for a span of time.
type timedWorkload struct {
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
func (r *Runner) run(ctx context.Context, t timedWorkload) (result.Row, error) {
	row := result.Row{Unit: t.unit, Goroutines: t.goroutines}
	once := func(span time.Duration) (team, error) {
		return r.parallel(ctx, t.goroutines, func(ctx context.Context, w *worker) error {
			w.random ^= random(span) // another sequence than that of the warm-up
			return w.until(ctx, span, t.sample, func() (int64, error) { return t.op(w) })
		})
	}
	if !t.cold && r.config.WarmUp > 0 {
		if _, err := once(r.config.WarmUp); err != nil {
			return row, err
		}
	}
	err := r.measured(&row, func() error {
		stop := func() error { return nil }
		if t.beside != nil {
			stop = r.start(ctx, t.beside)
		}
		done, err := once(r.config.Time)
		row.Operations, row.Seconds = done.operations, done.elapsed.Seconds()
		if done.latency != nil {
			row.Latency = done.latency.Latency(t.of)
		}
		return errors.Join(err, stop())
	})
	return row, err
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
