package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lightningdb/lightning/bench/result"
)

// latencyTrait begins the traits that say how latency was measured.
const latencyTrait = "latency "

// annotate finds what must be said about a workload: what holds for all its
// cells stands under its name, the rest in footnotes.
func (t *table) annotate(w *workload) {
	cells := w.measured()
	common := t.traits(cells[0])
	for _, c := range cells[1:] {
		own := t.traits(c)
		common = slices.DeleteFunc(common, func(s string) bool { return !slices.Contains(own, s) })
	}
	w.traits = common
	for _, c := range cells {
		for _, trait := range t.traits(c) {
			if !slices.Contains(common, trait) {
				c.notes = append(c.notes, t.footnote(trait))
			}
		}
		for _, remark := range remarks(c) {
			c.notes = append(c.notes, t.footnote(remark))
		}
		slices.Sort(c.notes)
		c.notes = slices.Compact(c.notes)
	}
}

// footnote returns the number of a note; the same text has the same number.
func (t *table) footnote(text string) int {
	at := slices.Index(t.notes, text)
	if at < 0 {
		at = len(t.notes)
		t.notes = append(t.notes, text)
	}
	return at + 1
}

// traits says how the rows of a cell were measured, where that is not what the
// configuration of the run says.
func (t *table) traits(c *cell) []string {
	var traits []string
	add := func(text string) {
		if !slices.Contains(traits, text) {
			traits = append(traits, text)
		}
	}
	for _, r := range c.rows {
		if r.Durability != "" && r.Durability != t.run.Config.Durability {
			add("durability " + r.Durability)
		}
		if r.Goroutines != 0 && r.Goroutines != t.run.Config.Goroutines {
			add(countText(r.Goroutines, "goroutine"))
		}
		if l := r.Latency; l != nil && l.Of != "" {
			add(latencyTrait + "of " + l.Of)
		}
		if l := r.Latency; l != nil && l.Paced {
			add(latencyTrait + "from when an operation was due")
		}
	}
	if want := t.run.Config.Repeats; len(c.rows) < want {
		add(fmt.Sprintf("only %d of %s", len(c.rows), countText(want, "repeat")))
	}
	return traits
}

// deviations returns the traits that all cells have beside the run, without
// what is said of latency.
func (w *workload) deviations() []string {
	return slices.DeleteFunc(slices.Clone(w.traits), func(s string) bool {
		return strings.HasPrefix(s, latencyTrait)
	})
}

// remarks returns the notes of the rows, and how long they waited.
func remarks(c *cell) []string {
	var all []string
	for _, r := range c.rows {
		all = append(all, r.Notes...)
	}
	settle := positive(c.rows, func(r *result.Row) float64 { return r.SettleSeconds })
	if settle.count > 0 {
		all = append(all, fmt.Sprintf("%s of the time (median) for compactions to settle",
			secondsText(settle.median)))
	}
	return all
}
