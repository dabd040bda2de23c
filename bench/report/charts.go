package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/lightningdb/lightning/bench/report/chart"
	"github.com/lightningdb/lightning/bench/result"
)

// timelinePoints is the most points that a line over time has; more of them
// than there are pixels would only make the page large.
const timelinePoints = 240

// speedChart draws the medians of a workload, with the range of the repeats.
func (t *table) speedChart(w *workload, p chart.Palette) string {
	title := "Rate (" + w.unit + " in a second)"
	if w.timed() {
		title = "Time of one open, less is better"
	}
	return t.bars(title, w, p, func(c *cell, b *chart.Bar) {
		b.Value, b.Text = c.speed.median, w.figure(c)
		if c.speed.count > 1 {
			b.Low, b.High = c.speed.low, c.speed.high
		}
		b.Hint = fmt.Sprintf("%s: %s (%s), %s", c.engine, w.figure(c), w.rangeText(c),
			countText(c.speed.count, "repeat"))
	})
}

// bars draws one bar for each engine; fill adds what a measured cell has.
func (t *table) bars(
	title string, w *workload, p chart.Palette, fill func(*cell, *chart.Bar),
) string {
	bars := make([]chart.Bar, len(w.cells))
	for i, c := range w.cells {
		name := t.engines[i].Name
		bars[i] = chart.Bar{
			Name: name, Class: p.Class(name), Own: name == ownEngine, Text: "not measured",
		}
		if c != nil {
			fill(c, &bars[i])
		}
		if bars[i].Text == absent {
			bars[i].Text = "not measured"
		}
	}
	return chart.Bars(title, bars)
}

// measureCharts draws what else was measured of a workload as bars.
func (t *table) measureCharts(w *workload, p chart.Palette) []string {
	var charts []string
	for _, m := range []struct {
		title string
		value func(*cell) float64
		text  func(*cell) string
	}{
		{"Write amplification, less is better", func(c *cell) float64 { return c.write },
			func(c *cell) string { return orAbsent(c.write, timesText) }},
		{"Disk (of live bytes), less is better", func(c *cell) float64 { return c.disk },
			(*cell).diskText},
		{"Peak of resident memory, less is better", func(c *cell) float64 { return c.peak },
			func(c *cell) string { return orAbsent(c.peak, bytesText) }},
	} {
		if !slices.ContainsFunc(w.measured(), func(c *cell) bool { return m.value(c) > 0 }) {
			continue
		}
		charts = append(charts, t.bars(m.title, w, p, func(c *cell, b *chart.Bar) {
			b.Value, b.Text = m.value(c), m.text(c)
			b.Hint = c.engine + ": " + b.Text
		}))
	}
	return charts
}

// latencyChart draws the percentiles of a workload, or nothing without any.
func (t *table) latencyChart(w *workload, p chart.Palette) string {
	var series []chart.Series
	for _, c := range w.measured() {
		if c.latency != nil {
			series = append(series, chart.Series{
				Name: c.engine, Class: p.Class(c.engine), Own: c.engine == ownEngine,
				Values: latencyValues(c.latency),
			})
		}
	}
	if len(series) == 0 {
		return ""
	}
	return chart.Percentiles("Latency, less is better", []string{"p50", "p99", "p99.9", "max"}, series,
		chart.Axis{Logarithmic: true, Text: nanosText})
}

// timelineCharts draws rate and latency over time: the rates of all engines in
// one chart, then the latencies of each, all on the same axis.
func (t *table) timelineCharts(w *workload, p chart.Palette) []string {
	axis := chart.Axis{Logarithmic: true, Text: nanosText}
	lines := make(map[*cell][]result.Point)
	for _, c := range w.measured() {
		lines[c] = merged(c.timeline(), timelinePoints)
		for _, point := range lines[c] {
			axis.High = math.Max(axis.High, float64(point.Max))
			if low := float64(point.P50); low > 0 && (axis.Low == 0 || low < axis.Low) {
				axis.Low = low
			}
		}
	}
	var rates []chart.Series
	var latencies []string
	for _, c := range w.measured() {
		points := lines[c]
		if len(points) == 0 {
			continue
		}
		class := p.Class(c.engine)
		seconds, rate := ratesOf(points)
		rates = append(rates, chart.Series{
			Name: c.engine, Class: class, Own: c.engine == ownEngine, Values: rate, Seconds: seconds,
		})
		latencies = append(latencies, latencyLines(c.engine, class, points, axis))
	}
	if len(rates) == 0 {
		return nil
	}
	all := chart.Lines("Rate over time", rates, chart.Axis{Text: rateText})
	return append([]string{all}, latencies...)
}

func latencyLines(engine, class string, points []result.Point, axis chart.Axis) string {
	series := []chart.Series{
		{Name: "p50", Class: class},
		{Name: "p99", Class: class, Shape: "dashed"},
		{Name: "max", Class: class, Shape: "dotted"},
	}
	for _, point := range points {
		for i, ns := range []int64{point.P50, point.P99, point.Max} {
			series[i].Values = append(series[i].Values, float64(ns))
			series[i].Seconds = append(series[i].Seconds, point.Second)
		}
	}
	return chart.Lines("Latency of "+engine+" over time", series, axis)
}

// timeline returns that of the repeat whose rate is nearest to the median.
func (c *cell) timeline() []result.Point {
	var best *result.Row
	for _, r := range c.rows {
		if len(r.Timeline) > 0 && (best == nil ||
			math.Abs(r.Rate()-c.speed.median) < math.Abs(best.Rate()-c.speed.median)) {
			best = r
		}
	}
	if best == nil {
		return nil
	}
	return best.Timeline
}

// merged puts intervals together until at most so many are left. A percentile
// of the whole is not known: the worst of the parts stands for it.
func merged(points []result.Point, most int) []result.Point {
	parts := (len(points) + most - 1) / most
	if parts < 2 {
		return points
	}
	var all []result.Point
	for chunk := range slices.Chunk(points, parts) {
		whole := chunk[0]
		for _, p := range chunk[1:] {
			whole.Second = p.Second
			whole.Operations += p.Operations
			whole.P50 = max(whole.P50, p.P50)
			whole.P99 = max(whole.P99, p.P99)
			whole.P999 = max(whole.P999, p.P999)
			whole.Max = max(whole.Max, p.Max)
		}
		all = append(all, whole)
	}
	return all
}

// ratesOf returns the ends of the intervals and the rate in each.
func ratesOf(points []result.Point) (seconds, rates []float64) {
	began := 0.0
	for _, p := range points {
		rate := math.NaN() // of an interval without length
		if p.Second > began {
			rate = float64(p.Operations) / (p.Second - began)
		}
		seconds, rates = append(seconds, p.Second), append(rates, rate)
		began = p.Second
	}
	return seconds, rates
}
