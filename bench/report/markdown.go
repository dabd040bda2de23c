package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/lightningdb/lightning/bench/result"
)

// Markdown writes a run as tables in the Markdown of GitHub, to be put into a
// page of the documentation.
func Markdown(w io.Writer, run *result.Run) error {
	t := newTable(run)
	var out bytes.Buffer
	t.markdownLosses(&out)
	t.markdownSummary(&out)
	t.markdownMeasures(&out)
	t.markdownLatency(&out)
	t.markdownSetting(&out)
	t.markdownNotes(&out)
	_, err := w.Write(out.Bytes())
	return err
}

func (t *table) markdownLosses(out *bytes.Buffer) {
	out.WriteString("## Where Lightning DB is slower\n\n")
	losses := t.losses()
	if len(losses) == 0 {
		out.WriteString("In no workload of this run.\n\n")
		return
	}
	rows := [][]string{{"workload", ownEngine, "best rival", "ratio"}}
	for _, l := range losses {
		rows = append(rows, []string{escaped(l.Workload), figureText(l.Own, l.Timed),
			escaped(l.Rival) + ", " + figureText(l.Best, l.Timed), ratioText(l.Ratio)})
	}
	writeMarkdownTable(out, numberColumn, rows)
}

// markdownSummary writes the medians, with the best of a workload in bold.
func (t *table) markdownSummary(out *bytes.Buffer) {
	out.WriteString("## Summary\n\n")
	head := append(t.engineHead(), "ratio to best rival")
	rows := [][]string{head}
	for _, w := range t.workloads {
		row := []string{escaped(w.name)}
		best := w.bestOfAll()
		for _, c := range w.cells {
			text := w.figure(c)
			if c != nil && c == best {
				text = "**" + text + "**"
			}
			if c != nil {
				text += escaped(c.marks())
			}
			row = append(row, text)
		}
		rows = append(rows, append(row, escaped(w.rivalRatio())))
	}
	writeMarkdownTable(out, numberColumn, rows)
	for _, w := range t.workloads {
		if len(w.traits) > 0 || w.timed() {
			fmt.Fprintf(out, "- %s\n", escaped(w.heading()))
		}
	}
	out.WriteString("\n" + method + "\n\n")
}

func (t *table) engineHead() []string {
	head := []string{"workload"}
	for _, e := range t.engines {
		head = append(head, escaped(e.Name))
	}
	return head
}

// markdownMeasures writes one table for each measure that any row has.
func (t *table) markdownMeasures(out *bytes.Buffer) {
	for _, m := range []struct {
		title string
		text  func(*cell) string
	}{
		{"Write amplification", func(c *cell) string { return orAbsent(c.write, timesText) }},
		{"Disk", (*cell).diskText},
		{"Peak of resident memory", func(c *cell) string { return orAbsent(c.peak, bytesText) }},
		{"CPU for a million operations", (*cell).cpuPerMillionText},
		{"Allocations for each operation", (*cell).allocsText},
	} {
		rows := [][]string{t.engineHead()}
		for _, w := range t.workloads {
			row, any := []string{escaped(w.name)}, false
			for _, c := range w.cells {
				text := absent
				if c != nil {
					text = m.text(c)
				}
				any = any || text != absent
				row = append(row, text)
			}
			if any {
				rows = append(rows, row)
			}
		}
		if len(rows) > 1 {
			fmt.Fprintf(out, "## %s\n\n", m.title)
			writeMarkdownTable(out, numberColumn, rows)
		}
	}
}

func (t *table) markdownLatency(out *bytes.Buffer) {
	rows := [][]string{{"workload", "engine", "p50", "p99", "p99.9", "max"}}
	for _, w := range t.workloads {
		for _, c := range w.measured() {
			if c.latency != nil {
				p := c.percentiles()
				rows = append(rows, append([]string{escaped(w.name), escaped(c.engine)}, p[:]...))
			}
		}
	}
	if len(rows) > 1 {
		out.WriteString("## Latency\n\n")
		writeMarkdownTable(out, numberColumn, rows)
	}
}

func (t *table) markdownSetting(out *bytes.Buffer) {
	out.WriteString("## Setting\n\n")
	rows := [][]string{{"", ""}}
	for _, f := range facts(t.run) {
		rows = append(rows, []string{f.Name, escaped(f.Value)})
	}
	writeMarkdownTable(out, textColumn, rows)
	rows = [][]string{{"engine", "version", "set-up", "memory"}}
	for _, e := range t.engines {
		rows = append(rows, []string{escaped(e.Name), escaped(e.Version), escaped(e.Tuning),
			escaped(e.Memory)})
	}
	writeMarkdownTable(out, textColumn, rows)
}

func (t *table) markdownNotes(out *bytes.Buffer) {
	if len(t.notes) == 0 {
		return
	}
	out.WriteString("## Notes\n\n")
	for i, note := range t.notes {
		fmt.Fprintf(out, "%d. %s\n", i+1, escaped(note))
	}
}

const (
	textColumn   = "|---"
	numberColumn = "|---:"
)

// writeMarkdownTable writes rows of escaped text, the first as the head. All
// columns after the first are of one kind.
func writeMarkdownTable(out *bytes.Buffer, column string, rows [][]string) {
	for i, row := range rows {
		out.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			out.WriteString("|---" + strings.Repeat(column, len(row)-1) + "|\n")
		}
	}
	out.WriteString("\n")
}

var markdownEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`,
	"[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "\n", " ", "\r", " ")

// escaped takes from a text what Markdown or a table would give a meaning to.
func escaped(text string) string { return markdownEscapes.Replace(text) }
