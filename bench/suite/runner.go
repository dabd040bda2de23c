// Package suite says what bench measures: groups of rows, most of which are those
// of internal/workload, the configuration of each group, and what the process
// used for a row.
//
// A Runner belongs to one goroutine. The rows of a group follow one another on
// the same database.
package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/measure"
	"github.com/lightningdb/lightning/bench/result"
	"github.com/lightningdb/lightning/internal/workload"
)

// Config says how much is done. All engines of a run get the same.
type Config struct {
	workload.Config
	Durability  engine.Durability
	MemoryBytes int64

	LargeDataBytes int64 // how much of each size of large values
	ColdDataBytes  int64 // of a database larger than memory
}

// Validate reports the first number that makes no sense.
func (c *Config) Validate() error {
	checks := []struct {
		ok   bool
		rule string
	}{
		{c.Records >= 1000, "there must be at least 1000 records"},
		{c.ValueBytes >= workload.VersionedBytes, fmt.Sprintf("values must have at least %d bytes", workload.VersionedBytes)},
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

// coldLimitMinBytes leaves room for this program, some 30 MiB, beside an engine that
// keeps to half of it.
const coldLimitMinBytes = 96 << 20

// ColdLimitBytes is what a process may use, page cache included, that reads the
// database larger than memory; it asks its engine to keep to half of that.
func (c *Config) ColdLimitBytes() int64 { return max(c.ColdDataBytes/5, coldLimitMinBytes) }

// Runner runs the rows of one group on one engine.
type Runner struct {
	config Config
	engine engine.Engine
	dir    string
	db     engine.DB
	work   workload.Runner
	used   result.Row // what the process used for the measured part of a row
}

// New returns a Runner whose database is not open yet. Progress is told in a
// few words, often.
func New(e engine.Engine, dir string, config Config, report func(string)) *Runner {
	r := &Runner{config: config, engine: e, dir: dir}
	r.work.Config, r.work.Report, r.work.Around = config.Config, report, r.around
	return r
}

// open opens the database.
func (r *Runner) open(transactions, small bool) error {
	db, err := r.engine.Open(engine.Config{
		Dir:          r.dir,
		Durability:   r.config.Durability,
		MemoryBytes:  r.config.MemoryBytes,
		DataBytes:    2 * r.config.Records * r.config.RecordBytes(), // inserts and overwrites, too
		Transactions: transactions,
		Small:        small,
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", r.engine.Name, err)
	}
	r.db, r.work.Store = db, db
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

// around runs the measured part of a row and notes what the process used for it.
func (r *Runner) around(measured func() error) error {
	measure.ResetPeak()
	before := measure.Now()
	if err := measured(); err != nil {
		return err
	}
	used := measure.Now().Since(before)
	allocs := float64(used.Mallocs)
	r.used = result.Row{
		CPUSeconds: used.CPUSeconds, WrittenBytes: used.WrittenBytes, PeakBytes: measure.PeakBytes(), AllocsPerOp: &allocs,
	}
	return nil
}

// row measures a workload.
func (r *Runner) row(ctx context.Context, w *Workload) (result.Row, error) {
	r.used = result.Row{}
	o, err := w.run(r, ctx)
	if err != nil {
		return result.Row{}, fmt.Errorf("%s: %w", w.Name, err)
	}
	row := result.Row{
		Workload: w.Name, Engine: r.engine.Name, Durability: string(r.config.Durability),
		Unit: o.Unit, Operations: o.Operations, Goroutines: o.Goroutines,
		Seconds: o.Elapsed.Seconds(), SettleSeconds: o.Settling.Seconds(),
		Latency: latency(&o), InputBytes: o.InputBytes, LiveBytes: o.LiveBytes, Notes: o.Notes,
		CPUSeconds: r.used.CPUSeconds, PeakBytes: r.used.PeakBytes,
	}
	for _, s := range o.Timeline {
		row.Timeline = append(row.Timeline, result.Point{
			Second: float64(s.Number), Operations: s.Count,
			P50: int64(s.P50), P99: int64(s.P99), P999: int64(s.P999), Max: int64(s.Max),
		})
	}
	if row.InputBytes > 0 && r.used.WrittenBytes >= 0 {
		row.WrittenBytes = r.used.WrittenBytes
	}
	if r.engine.Go && row.Operations > 0 && r.used.AllocsPerOp != nil {
		allocs := *r.used.AllocsPerOp / float64(row.Operations)
		row.AllocsPerOp = &allocs
	}
	if w.deletesRanges && !r.engine.RangeDeletes {
		row.Notes = append(row.Notes, "it has no range delete: a loop of deletes, in one commit where it can")
	}
	if w.compresses {
		if !r.engine.Compresses {
			row.Notes = append(row.Notes, "it does not compress")
		}
		// What counts is the size at rest: logs may be as large as the rest together.
		if err := r.Close(); err != nil {
			return row, err
		}
	}
	if o.LiveBytes > 0 {
		row.DiskBytes, err = measure.DiskBytes(r.dir)
	}
	return row, err
}

// latency is nil where nothing was timed.
func latency(o *workload.Outcome) *result.Latency {
	if o.Latency == nil {
		return nil
	}
	p := o.Latency.Percentiles()
	return &result.Latency{
		Of: o.Of, Count: p.Count, Paced: o.Paced,
		P50: int64(p.P50), P99: int64(p.P99), P999: int64(p.P999), Max: int64(p.Max),
	}
}
