// Package report turns what a run measured into something to read: a table for
// a terminal, Markdown for the documentation, one HTML page with charts, and one
// picture for the README. It also compares two runs.
//
// All of them are made from the same table (newTable): the rows of a run, put
// together by workload and engine. A figure is the median of the repeats; the
// longest latency and the peak of memory are the highest of them, so that no
// repeat hides them. What was not measured is shown as absent, never as zero.
//
// The engine that the program is about is named "lightning"; all others are its
// rivals. A ratio above 1 always speaks for the engine that it is given for,
// whether much or little is good.
//
// # Thread-safety
//
// The functions share no state, and only read the runs that they are given.
package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/bench/result"
)

// ownEngine is the engine whose rivals the others are.
const ownEngine = "lightning"

// unitOpens is the unit of workloads that measure the time of an open.
const unitOpens = "opens"

// table holds the rows of a run by workload and engine.
type table struct {
	run       *result.Run
	engines   []result.Engine // of the run, then any that only rows name
	workloads []*workload     // in order of first appearance
	notes     []string        // footnotes, numbered from 1
}

// workload holds one cell for each engine of the table.
type workload struct {
	name, unit string
	cells      []*cell  // in the order of table.engines; nil where not measured
	traits     []string // what all cells have in common
}

// cell holds the repeats of one workload on one engine, and what they come to.
type cell struct {
	engine   string
	rows     []*result.Row // in order of Repeat
	speed    spread        // operations in a second, or seconds for each open
	latency  *result.Latency
	write    float64 // bytes written for each byte of input; 0 where unknown
	disk     float64 // bytes
	space    float64 // bytes on disk for each live byte
	peak     float64 // bytes
	cpu      float64 // seconds
	cpuPerOp float64 // seconds
	allocs   *float64
	notes    []int // into table.notes, from 1
}

// spread is a median with the least and the greatest; count 0 is no figure.
type spread struct {
	median, low, high float64
	count             int
}

func newTable(run *result.Run) *table {
	t := &table{run: run, engines: slices.Clone(run.Engines)}
	for i := range run.Rows {
		t.add(&run.Rows[i])
	}
	for _, w := range t.workloads {
		// An engine that only a later workload names lengthens the list.
		w.cells = append(w.cells, make([]*cell, len(t.engines)-len(w.cells))...)
		for _, c := range w.measured() {
			c.sum(w.unit)
		}
		t.annotate(w)
	}
	return t
}

func (t *table) add(row *result.Row) {
	w := t.workload(row.Workload)
	if w == nil {
		w = &workload{name: row.Workload, unit: row.Unit}
		t.workloads = append(t.workloads, w)
	}
	at := slices.IndexFunc(t.engines, func(e result.Engine) bool { return e.Name == row.Engine })
	if at < 0 {
		at = len(t.engines)
		t.engines = append(t.engines, result.Engine{Name: row.Engine})
	}
	for len(w.cells) <= at {
		w.cells = append(w.cells, nil)
	}
	if w.cells[at] == nil {
		w.cells[at] = &cell{engine: row.Engine}
	}
	w.cells[at].rows = append(w.cells[at].rows, row)
}

func (t *table) workload(name string) *workload {
	for _, w := range t.workloads {
		if w.name == name {
			return w
		}
	}
	return nil
}

// engineNames returns the engines in the order of the cells.
func (t *table) engineNames() []string {
	names := make([]string, len(t.engines))
	for i, e := range t.engines {
		names[i] = e.Name
	}
	return names
}

// measured returns the cells that there are.
func (w *workload) measured() []*cell {
	var cells []*cell
	for _, c := range w.cells {
		if c != nil {
			cells = append(cells, c)
		}
	}
	return cells
}

// timed says that the figure is a time, of which less is better.
func (w *workload) timed() bool { return w.unit == unitOpens }

// own returns the cell of the engine that the program is about, or nil.
func (w *workload) own() *cell {
	for _, c := range w.measured() {
		if c.engine == ownEngine {
			return c
		}
	}
	return nil
}

// best returns the cell with the best figure among those that ok accepts, the
// first of equals; nil where none has a figure.
func (w *workload) best(ok func(*cell) bool) *cell {
	var best *cell
	for _, c := range w.measured() {
		if c.speed.count == 0 || !ok(c) {
			continue
		}
		if best == nil || w.better(c.speed.median, best.speed.median) {
			best = c
		}
	}
	return best
}

func (w *workload) bestRival() *cell {
	return w.best(func(c *cell) bool { return c.engine != ownEngine })
}

func (w *workload) bestOfAll() *cell { return w.best(func(*cell) bool { return true }) }

func (w *workload) better(a, b float64) bool {
	if w.timed() {
		return a < b
	}
	return a > b
}

// ratio says how many times as good as other c is; false where one of them has
// no figure, or one that nothing can be measured by.
func (w *workload) ratio(c, other *cell) (float64, bool) {
	if c == nil || other == nil || c.speed.count == 0 || other.speed.count == 0 {
		return 0, false
	}
	over, under := c.speed.median, other.speed.median
	if w.timed() {
		over, under = under, over
	}
	if under <= 0 {
		return 0, false
	}
	return over / under, true
}

// sum works out the figures of a cell from its rows.
func (c *cell) sum(unit string) {
	slices.SortStableFunc(c.rows, func(a, b *result.Row) int {
		return cmp.Compare(a.Repeat, b.Repeat)
	})
	c.speed = speedOf(c.rows, unit)
	c.latency = latencyOf(c.rows)
	c.write = positive(c.rows, (*result.Row).WriteAmplification).median
	c.disk = positive(c.rows, func(r *result.Row) float64 { return float64(r.DiskBytes) }).median
	c.space = positive(c.rows, (*result.Row).SpaceAmplification).median
	c.peak = positive(c.rows, func(r *result.Row) float64 { return float64(r.PeakBytes) }).high
	c.cpu = positive(c.rows, func(r *result.Row) float64 { return r.CPUSeconds }).median
	c.cpuPerOp = positive(c.rows, func(r *result.Row) float64 {
		return r.CPUSeconds / max(float64(r.Operations), 1)
	}).median
	var allocs []float64
	for _, r := range c.rows {
		if r.AllocsPerOp != nil {
			allocs = append(allocs, *r.AllocsPerOp)
		}
	}
	if s := spreadOf(allocs); s.count > 0 {
		c.allocs = &s.median
	}
}

// speedOf returns rates, or for opens the seconds that one took.
func speedOf(rows []*result.Row, unit string) spread {
	var values []float64
	for _, r := range rows {
		switch {
		case r.Seconds <= 0:
		case unit != unitOpens:
			values = append(values, r.Rate())
		case r.Operations > 0:
			values = append(values, r.Seconds/float64(r.Operations))
		}
	}
	return spreadOf(values)
}

// latencyOf returns the median of each percentile and the highest maximum.
func latencyOf(rows []*result.Row) *result.Latency {
	var of *result.Latency
	var p50, p99, p999, longest []float64
	for _, r := range rows {
		if r.Latency == nil {
			continue
		}
		of = r.Latency
		p50 = append(p50, float64(of.P50))
		p99 = append(p99, float64(of.P99))
		p999 = append(p999, float64(of.P999))
		longest = append(longest, float64(of.Max))
	}
	if of == nil {
		return nil
	}
	return &result.Latency{
		Of: of.Of, Count: of.Count, Paced: of.Paced,
		P50: int64(spreadOf(p50).median), P99: int64(spreadOf(p99).median),
		P999: int64(spreadOf(p999).median), Max: int64(spreadOf(longest).high),
	}
}

// positive sums up one measure of the rows that have it.
func positive(rows []*result.Row, measure func(*result.Row) float64) spread {
	var values []float64
	for _, r := range rows {
		if v := measure(r); v > 0 {
			values = append(values, v)
		}
	}
	return spreadOf(values)
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return spread{median: (v[(n-1)/2] + v[n/2]) / 2, low: v[0], high: v[n-1], count: n}
}

// Loss is a workload in which Lightning DB trails its best rival.
type Loss struct {
	Workload string
	Ratio    float64 // below 1
	Rival    string
	// Own and Best are the two figures: operations in a second or, if Timed,
	// the seconds of one open.
	Own, Best float64
	Timed     bool
}

// String tells the loss in a sentence without its workload.
func (l Loss) String() string {
	return fmt.Sprintf("%s, %s of %s with %s", figureText(l.Own, l.Timed), ratioText(l.Ratio),
		l.Rival, figureText(l.Best, l.Timed))
}

// Losses lists the workloads in which Lightning DB is not as good as the best
// of its rivals, the worst first.
func Losses(run *result.Run) []Loss { return newTable(run).losses() }

func (t *table) losses() []Loss {
	var losses []Loss
	for _, w := range t.workloads {
		own, rival := w.own(), w.bestRival()
		if ratio, ok := w.ratio(own, rival); ok && ratio < 1 {
			losses = append(losses, Loss{
				Workload: w.name, Ratio: ratio, Rival: rival.engine,
				Own: own.speed.median, Best: rival.speed.median, Timed: w.timed(),
			})
		}
	}
	slices.SortStableFunc(losses, func(a, b Loss) int { return cmp.Compare(a.Ratio, b.Ratio) })
	return losses
}
