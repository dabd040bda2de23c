package report

import (
	"fmt"
	"io"
	"slices"

	"github.com/lightningdb/lightning/bench/report/chart"
	"github.com/lightningdb/lightning/bench/result"
)

// summaryWorkloads is how many workloads the picture shows.
const summaryWorkloads = 8

// Summary writes one picture for the README: each workload with the figures of
// all engines, drawn against the best of them. The workloads are chosen by
// their place in the run, never by their outcome.
func Summary(w io.Writer, run *result.Run) error {
	t := newTable(run)
	palette := chart.NewPalette(t.engineNames())
	compared := t.compared()
	var groups []chart.Group
	for _, load := range chosen(compared, summaryWorkloads) {
		groups = append(groups, t.group(load, palette))
	}
	c := &run.Config
	subtitle := []string{
		fmt.Sprintf("%s records of %d B + %d B, %s, %s of memory asked of each engine, durability %s",
			countsText(c.Records), c.KeyBytes, c.ValueBytes, countText(c.Goroutines, "goroutine"),
			bytesText(float64(c.MemoryBytes)), c.Durability),
		joined(run.Host.CPU, countText(run.Host.Cores, "core"), run.Host.OS, run.Host.FileSystem,
			run.Host.Go),
	}
	foot := []string{fmt.Sprintf("Medians of %s; each bar is drawn against the best of its "+
		"workload. The longer bar is better, also for times. %d of %d compared workloads.",
		countText(c.Repeats, "repeat"), len(groups), len(compared))}
	_, err := io.WriteString(w, chart.Poster("Lightning DB and its rivals", subtitle, groups, foot))
	return err
}

// compared returns the workloads that Lightning DB and a rival were measured in.
func (t *table) compared() []*workload {
	return slices.DeleteFunc(slices.Clone(t.workloads), func(w *workload) bool {
		_, ok := w.ratio(w.own(), w.bestRival())
		return !ok
	})
}

// chosen returns at most so many of all, evenly spread from the first to the
// last.
func chosen(all []*workload, most int) []*workload {
	if len(all) <= most {
		return all
	}
	some := make([]*workload, most)
	for i := range some {
		some[i] = all[i*(len(all)-1)/(most-1)]
	}
	return some
}

// group draws a workload so that the best engine has the longest bar, of
// length 1.
func (t *table) group(w *workload, p chart.Palette) chart.Group {
	remark := joined(append([]string{w.unitText()}, w.deviations()...)...)
	g := chart.Group{Name: w.name, Remark: remark}
	best := w.bestOfAll()
	for i, c := range w.cells {
		name := t.engines[i].Name
		bar := chart.Bar{
			Name: name, Class: p.Class(name), Own: name == ownEngine, Text: "not measured",
		}
		if ratio, ok := w.ratio(c, best); ok {
			bar.Value, bar.Text = ratio, w.figure(c)
			bar.Hint = fmt.Sprintf("%s: %s, %s of the best", name, bar.Text, ratioText(ratio))
		}
		g.Bars = append(g.Bars, bar)
	}
	return g
}
