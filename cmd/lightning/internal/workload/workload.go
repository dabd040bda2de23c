// Package workload measures a database: it fills it with records made from
// their numbers, reads them back in several ways, checks every answer, and
// reports rates and latencies.
//
// Every key and value follows from the number of the record, so that no answer
// needs to be remembered to be checked. A Runner is used by one goroutine; it
// starts others for the time of one workload.
package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/lightningdb/lightning"
)

// Config says what to measure.
type Config struct {
	Dir          string
	Records      int64
	ValueBytes   int
	Goroutines   int
	BatchRecords int           // puts to a commit; 1 is single puts
	ReadTime     time.Duration // how long each workload of random reads runs
	MemoryBudget int64
	Durability   lightning.Durability
	Compression  lightning.Compression
}

// Validate reports the first field that makes no sense.
func (c *Config) Validate() error {
	switch {
	case c.Records < 1:
		return errors.New("there must be at least 1 record")
	case c.ValueBytes < 0:
		return errors.New("the value size must not be negative")
	case c.ValueBytes > lightning.MaxValueBytes:
		return fmt.Errorf("the value size must be at most %d bytes", lightning.MaxValueBytes)
	case c.Goroutines < 1:
		return errors.New("there must be at least 1 goroutine")
	case c.BatchRecords < 1:
		return errors.New("a batch must have at least 1 record")
	case c.ReadTime <= 0:
		return errors.New("the time must be positive")
	}
	return nil
}

// RawBytes is the size of all keys and values.
func (c *Config) RawBytes() int64 { return c.Records * int64(KeyBytes+c.ValueBytes) }

// Result is the outcome of one workload.
type Result struct {
	Name       string
	Operations int64
	Unit       string // of the operations: "puts", "gets", "rows"
	Single     bool   // there was one operation, which Unit names
	Elapsed    time.Duration
	// Latency holds the sampled operations in nanoseconds; nil where there is
	// only one operation. Sampled names them, such as "1 in 64 gets".
	Latency *hdrhistogram.Histogram
	Sampled string
}

// Runner runs workloads on one database.
type Runner struct {
	config Config
	db     *lightning.DB
}

// Open makes a Runner with an open database in the configured directory.
func Open(config Config) (*Runner, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	r := &Runner{config: config}
	return r, r.open()
}

func (r *Runner) open() error {
	db, err := lightning.Open(r.config.Dir, &lightning.Options{
		MemoryBudget: r.config.MemoryBudget,
		Durability:   r.config.Durability,
		Compression:  r.config.Compression,
	})
	r.db = db
	return err
}

// Close closes the database.
func (r *Runner) Close() error {
	if r.db == nil {
		return nil
	}
	err := r.db.Close()
	r.db = nil
	return err
}

// workload is one thing to measure.
type workload struct {
	name, what string
	run        func(*Runner, context.Context) (Result, error)
}

func workloads() []workload {
	return []workload{
		{"fill", "put all records in random order", (*Runner).fill},
		{"settle", "compact until nothing is left to do", (*Runner).settle},
		{"get-uniform", "get random records", (*Runner).getUniform},
		{"get-hot", "get random ones of 10,000 records", (*Runner).getHot},
		{"get-absent", "get random keys that are not there", (*Runner).getAbsent},
		{"scan", "read 100 rows from a random key on, with one iterator", (*Runner).scanReused},
		{"scan-reverse", "the same backwards", (*Runner).scanReverse},
		{"scan-new", "the same as scan with a new iterator for each scan", (*Runner).scanNew},
		{"full-scan", "read all records once, by one goroutine", (*Runner).fullScan},
		{"reopen", "close, open and get one record", (*Runner).reopen},
	}
}

// Names lists the workloads in the order in which they make sense.
func Names() []string {
	var names []string
	for _, w := range workloads() {
		names = append(names, w.name)
	}
	return names
}

// Describe says what a workload does, "" for an unknown one.
func Describe(name string) string {
	for _, w := range workloads() {
		if w.name == name {
			return w.what
		}
	}
	return ""
}

// Run runs the named workload. An answer that is not right is an error.
func (r *Runner) Run(ctx context.Context, name string) (Result, error) {
	for _, w := range workloads() {
		if w.name != name {
			continue
		}
		result, err := w.run(r, ctx)
		result.Name = name
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return result, err
	}
	return Result{}, fmt.Errorf("no workload %q", name)
}

// worker is one goroutine's share of a workload.
type worker struct {
	index      int
	operations int64
	latency    *hdrhistogram.Histogram
}

// parallel runs fn on all goroutines and adds up what they did. The first
// failure stops the others through their context.
func (r *Runner) parallel(
	ctx context.Context, fn func(ctx context.Context, w *worker) error,
) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := make([]worker, r.config.Goroutines)
	failures := make([]error, r.config.Goroutines)
	var running sync.WaitGroup
	start := time.Now()
	for i := range workers {
		workers[i] = worker{index: i, latency: newLatency()}
		running.Go(func() {
			if failures[i] = fn(ctx, &workers[i]); failures[i] != nil {
				cancel()
			}
		})
	}
	running.Wait()
	result := Result{Elapsed: time.Since(start), Latency: newLatency()}
	for _, w := range workers {
		result.Operations += w.operations
		result.Latency.Merge(w.latency)
	}
	return result, firstCause(failures)
}

// firstCause returns the failure that is not just a consequence of another
// one's cancelling.
func firstCause(failures []error) error {
	var cancelled error
	for _, err := range failures {
		switch {
		case errors.Is(err, context.Canceled):
			cancelled = err
		case err != nil:
			return err
		}
	}
	return cancelled
}

// newLatency makes a histogram for spans from a nanosecond to a minute, to
// three digits.
func newLatency() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute), 3)
}

// timed measures one operation.
func (w *worker) timed(fn func() error) (end time.Time, err error) {
	start := time.Now()
	err = fn()
	end = time.Now()
	w.record(end.Sub(start))
	return end, err
}

func (w *worker) record(span time.Duration) {
	// Only a span over a minute fails to be recorded; it counts as a minute.
	if w.latency.RecordValue(int64(span)) != nil {
		_ = w.latency.RecordValue(int64(time.Minute))
	}
}
