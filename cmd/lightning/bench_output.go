package main

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/internal/workload"
)

// benchOutput prints results as they come.
type benchOutput interface {
	begin() error
	running(name string) // is told before a row is measured
	row(name string, o *workload.Outcome) error
	end() error // the database is closed by then
}

// benchTable prints for people.
type benchTable struct {
	out      io.Writer
	style    console.Style
	flags    *benchFlags
	width    int
	columns  console.Table
	timed    []string      // what latencies are of, each once
	filling  time.Duration // fill and settle together
	settled  bool
	isMarked bool // running has written a line that is to go
}

func newBenchTable(out io.Writer, f *benchFlags) *benchTable {
	t := &benchTable{out: out, style: console.StyleFor(out), flags: f, width: console.LineWidth(out)}
	t.columns = console.Table{
		{Title: "workload", Width: 12, Left: true, Bare: true}, {Title: "operations", Width: 18, Bare: true},
		{Title: "time", Width: 8, Bare: true}, {Title: "rate", Width: 10, Bare: true},
		{Title: "p50", Width: 8}, {Title: "p99", Width: 8}, {Title: "p99.9", Width: 8}, {Title: "max", Width: 8},
	}
	return t
}

// print writes lines of text, each broken where the terminal is narrow.
func (t *benchTable) print(lines ...string) error {
	for i, line := range lines {
		lines[i] = console.Fill(line, 2, t.width)
	}
	_, err := fmt.Fprintln(t.out, strings.Join(lines, "\n"))
	return err
}

func (t *benchTable) begin() error {
	c := &t.flags.config
	puts := "single puts"
	if t.flags.batch > 1 {
		puts = fmt.Sprintf("batches of %d", t.flags.batch)
	}
	err := t.print(
		fmt.Sprintf("%s of %d B + %d B (%s), %s", console.CountOf(c.Records, "record"), workload.KeyBytes, c.ValueBytes,
			console.Bytes(c.Records*c.RecordBytes()), console.CountOf(int64(c.Goroutines), "goroutine")),
		fmt.Sprintf("%s, %s, compression %s, memory budget %s",
			puts, t.flags.durability, t.flags.compression.value, console.Bytes(int64(t.flags.memory))),
		"")
	if head := t.columns.Head(t.width); err == nil && head != "" {
		_, err = fmt.Fprintln(t.out, t.style.Bold(head))
	}
	return err
}

// running shows on a terminal what is being measured.
func (t *benchTable) running(name string) {
	if console.CanRedraw(t.out) {
		fmt.Fprint(t.out, t.style.Dim(name+" …"))
		t.isMarked = true
	}
}

func (t *benchTable) row(name string, o *workload.Outcome) error {
	if t.isMarked {
		fmt.Fprint(t.out, "\r\x1b[K")
		t.isMarked = false
	}
	switch name {
	case "fill":
		t.filling += o.Elapsed
	case "settle":
		t.filling += o.Elapsed
		t.settled = true
	}
	cells := []string{name, operationsText(o), console.Duration(o.Elapsed)}
	if o.Operations > 1 || o.Latency != nil {
		cells = append(cells, console.Rate(o.Operations, o.Elapsed))
	}
	if o.Latency != nil {
		p := o.Latency.Percentiles()
		for _, latency := range []time.Duration{p.P50, p.P99, p.P999, p.Max} {
			cells = append(cells, console.Duration(latency))
		}
		if !slices.Contains(t.timed, o.Of) {
			t.timed = append(t.timed, o.Of)
		}
	}
	_, err := fmt.Fprintln(t.out, t.columns.Row(t.width, cells...))
	for _, note := range o.Notes {
		if err == nil {
			err = t.print("  " + note)
		}
	}
	return err
}

// operationsText counts operations in words that are short enough for a column.
func operationsText(o *workload.Outcome) string {
	unit := strings.TrimSuffix(o.Unit, "s")
	switch unit {
	case "operation":
		unit = "op"
	case "transaction":
		unit = "tx"
	}
	return console.CountOf(o.Operations, unit)
}

func (t *benchTable) end() error {
	lines := []string{"", "latencies: " + strings.Join(t.timed, ", ")}
	records := t.flags.config.Records
	if t.settled {
		lines = append(lines, "fill including settle: "+console.Rate(records, t.filling))
	}
	if peak, ok := peakResidentBytes(); ok {
		lines = append(lines, fmt.Sprintf("peak resident memory: %s, with a budget of %s",
			console.Bytes(peak), console.Bytes(int64(t.flags.memory))))
	}
	size, err := dirBytes(t.flags.dir)
	if err != nil {
		return err
	}
	return t.print(append(lines, fmt.Sprintf("on disk: %s for %s of keys and values",
		console.Bytes(size), console.Bytes(records*t.flags.config.RecordBytes())))...)
}

// benchJSON prints an object a workload, and one of the whole at the end. Names
// are those of the result.json of bench/.
type benchJSON struct {
	out   io.Writer
	flags *benchFlags
}

type benchResult struct {
	Workload   string        `json:"workload"`
	Unit       string        `json:"unit"`
	Operations int64         `json:"operations"`
	Seconds    float64       `json:"seconds"`
	Goroutines int           `json:"goroutines"`
	Durability string        `json:"durability"`
	Latency    *benchLatency `json:"latency,omitempty"`
	Notes      []string      `json:"notes,omitempty"`
}

type benchLatency struct {
	Of    string `json:"of"`
	Count int64  `json:"count"`
	P50   int64  `json:"p50_ns"`
	P99   int64  `json:"p99_ns"`
	P999  int64  `json:"p999_ns"`
	Max   int64  `json:"max_ns"`
}

type benchTotals struct {
	Records    int64 `json:"records"`
	KeyBytes   int   `json:"key_bytes"`
	ValueBytes int   `json:"value_bytes"`
	PeakBytes  int64 `json:"peak_bytes,omitempty"` // absent where it is unknown
	DiskBytes  int64 `json:"disk_bytes"`
}

func (benchJSON) begin() error { return nil }

func (benchJSON) running(string) {}

func (j benchJSON) row(name string, o *workload.Outcome) error {
	result := benchResult{
		Workload: name, Unit: o.Unit, Operations: o.Operations, Seconds: o.Elapsed.Seconds(),
		Goroutines: o.Goroutines, Durability: j.flags.durability.String(), Notes: o.Notes,
	}
	if o.Latency != nil {
		p := o.Latency.Percentiles()
		result.Latency = &benchLatency{o.Of, p.Count, int64(p.P50), int64(p.P99), int64(p.P999), int64(p.Max)}
	}
	return printJSONLine(j.out, result)
}

func (j benchJSON) end() (err error) {
	c := &j.flags.config
	totals := benchTotals{Records: c.Records, KeyBytes: workload.KeyBytes, ValueBytes: c.ValueBytes}
	totals.PeakBytes, _ = peakResidentBytes()
	if totals.DiskBytes, err = dirBytes(j.flags.dir); err != nil {
		return err
	}
	return printJSONLine(j.out, totals)
}

// dirBytes adds up the sizes of the files in dir.
func dirBytes(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	return total, err
}
