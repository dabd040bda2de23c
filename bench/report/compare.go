package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/lightningdb/lightning/bench/result"
)

const (
	noiseLeast   = 0.05 // the least change that is believed
	noiseUnknown = 0.30 // where a run has too few repeats to tell
	bytesBeyond  = 0.10 // change of write amplification or disk that is a finding
	tailBeyond   = 2    // factor of p99.9 that is a finding
)

// Verdict says what a change means.
type Verdict uint8

const (
	Same Verdict = iota // within the noise
	Regression
	Improvement
)

func (v Verdict) String() string { return [...]string{"same", "REGRESSION", "improvement"}[v] }

// Change is one workload on one engine in both runs.
type Change struct {
	Workload, Engine string
	Timed            bool    // the figures are the seconds of one open
	Old, New         float64 // medians
	Change           float64 // of New against Old: 0.1 is 10 % more
	Noise            float64 // what Change must be beyond
	NoiseKnown       bool    // false where a run has fewer than two repeats
	Verdict          Verdict
}

// Finding is a change of something beside the figure of a workload.
type Finding struct {
	Workload, Engine string
	Measure          string // "write amplification", "disk" or "p99.9"
	Old, New         float64
	Text             string // both, as they are printed
	Verdict          Verdict
}

// Comparison is what became of each workload and engine from one run to another.
type Comparison struct {
	Old, New string // which runs they are
	Warnings []string
	Changes  []Change // in the order of the new run
	Findings []Finding
}

// Compare compares two runs of the same configuration. Another configuration is
// an error that names the fields; another machine is a warning.
func Compare(old, new *result.Run) (Comparison, error) {
	if err := sameConfig(&old.Config, &new.Config); err != nil {
		return Comparison{}, err
	}
	c := Comparison{Old: runText(old), New: runText(new)}
	c.warnOfHosts(&old.Host, &new.Host)
	before, after := newTable(old), newTable(new)
	c.warnOfEngines(before, after)
	for _, w := range after.workloads {
		for _, newCell := range w.measured() {
			c.compare(before, old, new, w, newCell)
		}
	}
	for _, w := range before.workloads {
		for _, oldCell := range w.measured() {
			if after.cell(w.name, oldCell.engine) == nil {
				c.warn("%s of %s is only in the old run", w.name, oldCell.engine)
			}
		}
	}
	return c, nil
}

// Regressions counts the figures that became worse by more than the noise.
// Findings do not count: they have no noise to be measured by.
func (c Comparison) Regressions() int {
	n := 0
	for _, change := range c.Changes {
		if change.Verdict == Regression {
			n++
		}
	}
	return n
}

func (c *Comparison) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

func sameConfig(old, new *result.Config) error {
	var differ []string
	check := func(name string, same bool, a, b any) {
		if !same {
			differ = append(differ, fmt.Sprintf("%s (%v, %v)", name, a, b))
		}
	}
	check("records", old.Records == new.Records, old.Records, new.Records)
	check("key bytes", old.KeyBytes == new.KeyBytes, old.KeyBytes, new.KeyBytes)
	check("value bytes", old.ValueBytes == new.ValueBytes, old.ValueBytes, new.ValueBytes)
	check("durability", old.Durability == new.Durability, old.Durability, new.Durability)
	check("goroutines", old.Goroutines == new.Goroutines, old.Goroutines, new.Goroutines)
	check("memory bytes", old.MemoryBytes == new.MemoryBytes, old.MemoryBytes, new.MemoryBytes)
	if len(differ) > 0 {
		return fmt.Errorf("the runs cannot be compared: they differ in %s", strings.Join(differ, ", "))
	}
	return nil
}

func (c *Comparison) warnOfHosts(old, new *result.Host) {
	var differ []string
	for _, f := range []struct{ name, old, new string }{
		{"CPU", old.CPU, new.CPU},
		{"cores", fmt.Sprint(old.Cores), fmt.Sprint(new.Cores)},
		{"memory", bytesText(float64(old.MemoryBytes)), bytesText(float64(new.MemoryBytes))},
		{"OS", old.OS, new.OS},
		{"file system", old.FileSystem, new.FileSystem},
		{"Go", old.Go, new.Go},
	} {
		if f.old != f.new {
			differ = append(differ, fmt.Sprintf("%s (%s, %s)", f.name, f.old, f.new))
		}
	}
	if len(differ) > 0 {
		c.warn("the hosts differ in %s", strings.Join(differ, ", "))
	}
}

// warnOfEngines names rivals of another version: what changes may be theirs.
func (c *Comparison) warnOfEngines(before, after *table) {
	for _, e := range after.engines {
		at := slices.Index(before.engineNames(), e.Name)
		if at < 0 || e.Name == ownEngine {
			continue
		}
		if old := before.engines[at].Version; old != e.Version {
			c.warn("%s is of version %s in the old run and %s in the new one", e.Name, old, e.Version)
		}
	}
}

func (t *table) cell(workload, engine string) *cell {
	w := t.workload(workload)
	if w == nil {
		return nil
	}
	for _, c := range w.measured() {
		if c.engine == engine {
			return c
		}
	}
	return nil
}

// compare adds what became of one cell.
func (c *Comparison) compare(before *table, old, new *result.Run, w *workload, newCell *cell) {
	oldCell := before.cell(w.name, newCell.engine)
	if oldCell == nil {
		c.warn("%s of %s is only in the new run", w.name, newCell.engine)
		return
	}
	if a, b := oldCell.setting(&old.Config), newCell.setting(&new.Config); a != b {
		c.warn("%s of %s is not compared: it was measured with %s, then with %s",
			w.name, newCell.engine, a, b)
		return
	}
	if oldUnit := before.workload(w.name).unit; oldUnit != w.unit {
		c.warn("%s of %s is not compared: its unit was %s and is %s", w.name, newCell.engine,
			oldUnit, w.unit)
		return
	}
	if oldCell.speed.median > 0 && newCell.speed.count > 0 {
		c.Changes = append(c.Changes, changeOf(w, oldCell, newCell))
	} else {
		c.warn("%s of %s is not compared: it has no figure", w.name, newCell.engine)
	}
	c.find(w.name, oldCell, newCell)
}

// setting is what a row may have otherwise than its run.
func (c *cell) setting(config *result.Config) string {
	durability, goroutines := config.Durability, config.Goroutines
	if own := c.rows[0].Durability; own != "" {
		durability = own
	}
	if own := c.rows[0].Goroutines; own != 0 {
		goroutines = own
	}
	return "durability " + durability + " and " + countText(goroutines, "goroutine")
}

func changeOf(w *workload, oldCell, newCell *cell) Change {
	change := Change{
		Workload: w.name, Engine: newCell.engine, Timed: w.timed(),
		Old: oldCell.speed.median, New: newCell.speed.median,
		Change:     newCell.speed.median/oldCell.speed.median - 1,
		Noise:      noiseUnknown,
		NoiseKnown: oldCell.speed.count >= 2 && newCell.speed.count >= 2,
	}
	if change.NoiseKnown {
		change.Noise = max(oldCell.speed.relative(), newCell.speed.relative(), noiseLeast)
	}
	change.Verdict = verdictOf(change.Change, change.Noise, w.timed())
	return change
}

// relative is the width of a spread against its median.
func (s spread) relative() float64 {
	if s.median <= 0 {
		return 0
	}
	return (s.high - s.low) / s.median
}

func verdictOf(change, beyond float64, lessIsBetter bool) Verdict {
	switch {
	case math.Abs(change) <= beyond:
		return Same
	case (change < 0) == lessIsBetter:
		return Improvement
	default:
		return Regression
	}
}

// find adds what changed beside the figure. Of all of it, less is better.
func (c *Comparison) find(workload string, old, new *cell) {
	add := func(measure string, before, after float64, verdict Verdict, text func(float64) string) {
		if before > 0 && after > 0 && verdict != Same {
			c.Findings = append(c.Findings, Finding{
				Workload: workload, Engine: new.engine, Measure: measure, Old: before, New: after,
				Text: text(before) + " to " + text(after), Verdict: verdict,
			})
		}
	}
	add("write amplification", old.write, new.write,
		verdictOf(new.write/old.write-1, bytesBeyond, true), timesText)
	add("disk", old.disk, new.disk, verdictOf(new.disk/old.disk-1, bytesBeyond, true), bytesText)
	if old.latency == nil || new.latency == nil {
		return
	}
	before, after := float64(old.latency.P999), float64(new.latency.P999)
	verdict := Same
	switch {
	case after > tailBeyond*before:
		verdict = Regression
	case after < before/tailBeyond:
		verdict = Improvement
	}
	add("p99.9", before, after, verdict, nanosText)
}

func runText(run *result.Run) string {
	commit := run.Commit
	if commit != "" {
		commit = "commit " + commit
	}
	return joined(commit, dateText(run))
}

// Text writes a comparison as tables for a terminal.
func (c Comparison) Text(w io.Writer) error {
	var out bytes.Buffer
	writeFacts(&out, []fact{{"old", c.Old}, {"new", c.New}})
	for _, warning := range c.Warnings {
		fmt.Fprintf(&out, "warning: %s\n", printable(warning))
	}
	out.WriteString("\n")
	rows := [][]string{{"workload", "engine", "old", "new", "change", "noise", ""}}
	for _, change := range c.Changes {
		rows = append(rows, change.texts())
	}
	writeAligned(&out, 2, rows)
	if len(c.Findings) > 0 {
		out.WriteString("\nbeside the figures\n")
		rows = [][]string{{"workload", "engine", "what", "change", ""}}
		for _, f := range c.Findings {
			word := "worse"
			if f.Verdict == Improvement {
				word = "better"
			}
			rows = append(rows, []string{f.Workload, f.Engine, f.Measure, f.Text, word})
		}
		writeAligned(&out, 3, rows)
	}
	fmt.Fprintf(&out, "\n%s\n", countText(c.Regressions(), "regression"))
	_, err := w.Write(out.Bytes())
	return err
}

func (c *Change) texts() []string {
	noise := fmt.Sprintf("%.0f %%", c.Noise*100)
	if !c.NoiseKnown {
		noise += " (unknown: fewer than 2 repeats)"
	}
	return []string{c.Workload, c.Engine, figureText(c.Old, c.Timed), figureText(c.New, c.Timed),
		fmt.Sprintf("%+.1f %%", c.Change*100), noise, c.Verdict.String()}
}
