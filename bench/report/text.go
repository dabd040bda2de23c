package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lightningdb/lightning/bench/result"
)

// Text writes a run as tables for a terminal.
func Text(w io.Writer, run *result.Run) error {
	t := newTable(run)
	var out bytes.Buffer
	writeFacts(&out, facts(run))
	out.WriteString("\nengines\n")
	writeFacts(&out, engineFacts(t.engines))
	for _, load := range t.workloads {
		out.WriteString("\n" + printable(load.heading()) + "\n")
		writeAligned(&out, 1, t.textRows(load))
	}
	if len(t.notes) > 0 {
		out.WriteString("\n")
	}
	for i, note := range t.notes {
		fmt.Fprintf(&out, "[%d] %s\n", i+1, printable(note))
	}
	out.WriteString("\n" + method + "\n")
	_, err := w.Write(out.Bytes())
	return err
}

// heading names a workload, its unit and what all its rows have in common.
func (w *workload) heading() string {
	if details := joined(append([]string{w.unitText()}, w.traits...)...); details != "" {
		return w.name + " (" + details + ")"
	}
	return w.name
}

// unitText says what the figure counts.
func (w *workload) unitText() string {
	if w.timed() {
		return "time of one open"
	}
	return w.unit
}

func (t *table) textRows(w *workload) [][]string {
	figure := "rate"
	if w.timed() {
		figure = "time"
	}
	rows := [][]string{{"", figure, "min .. max", "ratio", "p50", "p99", "p99.9", "max",
		"write amp", "disk (of live)", "peak memory", "CPU", "allocs/op"}}
	for i, c := range w.cells {
		name := t.engines[i].Name
		if c == nil {
			rows = append(rows, []string{name, "not measured"})
			continue
		}
		row := []string{name + c.marks(), w.figure(c), w.rangeText(c), w.comparison(c)}
		p := c.percentiles()
		row = append(row, p[:]...)
		rows = append(rows, append(row, orAbsent(c.write, timesText), c.diskText(),
			orAbsent(c.peak, bytesText), orAbsent(c.cpu, secondsText), c.allocsText()))
	}
	return rows
}

// marks are the numbers of the footnotes of a cell.
func (c *cell) marks() string {
	var b strings.Builder
	for _, n := range c.notes {
		fmt.Fprintf(&b, " [%d]", n)
	}
	return b.String()
}

func writeFacts(out *bytes.Buffer, all []fact) {
	rows := make([][]string, len(all))
	for i, f := range all {
		rows[i] = []string{f.Name, f.Value}
	}
	width := widths(rows)
	for _, r := range rows {
		fmt.Fprintf(out, "  %s  %s\n", padded(printable(r[0]), width[0], false), printable(r[1]))
	}
}

// writeAligned writes rows with the first columns to the left and the others,
// after so many, to the right. Columns in which no row has anything are left out.
func writeAligned(out *bytes.Buffer, left int, rows [][]string) {
	rows = withoutEmptyColumns(rows)
	width := widths(rows)
	for _, row := range rows {
		var line strings.Builder
		for i, text := range row {
			line.WriteString("  " + padded(printable(text), width[i], i >= left))
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// withoutEmptyColumns drops columns whose cells below the head are all absent.
func withoutEmptyColumns(rows [][]string) [][]string {
	kept := make([][]string, len(rows))
	for col := range rows[0] {
		used := slices.ContainsFunc(rows[1:], func(row []string) bool {
			return col < len(row) && row[col] != absent
		})
		for i, row := range rows {
			if used && col < len(row) {
				kept[i] = append(kept[i], row[col])
			}
		}
	}
	return kept
}

func widths(rows [][]string) []int {
	var width []int
	for _, row := range rows {
		for i, text := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(printable(text)))
		}
	}
	return width
}

func padded(text string, width int, right bool) string {
	fill := strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
	if right {
		return fill + text
	}
	return text + fill
}

// printable keeps what a file says from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}
