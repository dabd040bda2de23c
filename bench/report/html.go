package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/lightningdb/lightning/bench/report/chart"
	"github.com/lightningdb/lightning/bench/result"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"noteID": func(i int) string { return fmt.Sprintf("note%d", i+1) },
}).Parse(pageText))

// page is what page.html shows.
type page struct {
	Title   string
	Style   template.CSS
	Facts   []fact
	Engines []fact
	Losses  []Loss
	Loads   []load
	Method  string
	Notes   []string
	// Commands measure it again.
	Commands []string
}

// load is one workload on the page.
type load struct {
	Name    string
	Details string
	Verdict string
	Charts  []template.HTML
	Over    []template.HTML // over time
	Head    []string        // of the table, without the name of the engine
	Rows    []pageRow
}

type pageRow struct {
	Engine string
	Own    bool
	Notes  []int
	Cells  []string
}

// HTML writes a run as one page that needs nothing else: no script, no font, no
// picture from elsewhere.
func HTML(w io.Writer, run *result.Run) error {
	t := newTable(run)
	palette := chart.NewPalette(t.engineNames())
	p := page{
		Title:   "Lightning DB and its rivals, measured",
		Style:   template.CSS(chart.Style()),
		Facts:   facts(run),
		Engines: engineFacts(t.engines),
		Losses:  t.losses(),
		Method:  method,
		Notes:   t.notes,
	}
	if run.Commit != "" {
		p.Commands = append(p.Commands, "git checkout "+run.Commit)
	}
	p.Commands = append(p.Commands, run.Command)
	for _, each := range t.workloads {
		p.Loads = append(p.Loads, t.load(each, palette))
	}
	var out bytes.Buffer // so that a failure leaves no half of a page
	if err := pageTemplate.Execute(&out, &p); err != nil {
		return err
	}
	_, err := w.Write(out.Bytes())
	return err
}

func (t *table) load(w *workload, palette chart.Palette) load {
	l := load{Name: w.name, Details: joined(append([]string{w.unitText()}, w.traits...)...)}
	rival := w.bestRival()
	if ratio, ok := w.ratio(w.own(), rival); ok {
		l.Verdict = ownEngine + ": " + w.comparison(w.own())
		if ratio < 1 {
			l.Verdict = ownEngine + " is slower: " + w.comparison(w.own())
		}
	}
	l.Charts = append(l.Charts, drawn(t.speedChart(w, palette)))
	if latency := t.latencyChart(w, palette); latency != "" {
		l.Charts = append(l.Charts, drawn(latency))
	}
	for _, svg := range t.measureCharts(w, palette) {
		l.Charts = append(l.Charts, drawn(svg))
	}
	for _, svg := range t.timelineCharts(w, palette) {
		l.Over = append(l.Over, drawn(svg))
	}
	l.Head, l.Rows = t.pageRows(w)
	return l
}

// pageRows returns the table of a workload, without columns that no engine has
// anything in.
func (t *table) pageRows(w *workload) (head []string, rows []pageRow) {
	texts := [][]string{{"figure", "min .. max", "ratio", "p50", "p99", "p99.9", "max", "write amp",
		"disk (of live)", "peak memory", "CPU", "CPU per M ops", "allocs/op"}}
	for i, c := range w.cells {
		row := pageRow{Engine: t.engines[i].Name, Own: t.engines[i].Name == ownEngine}
		if c != nil {
			row.Notes = c.notes
			texts = append(texts, w.cellTexts(c))
		} else {
			texts = append(texts, nil)
		}
		rows = append(rows, row)
	}
	texts = withoutEmptyColumns(texts)
	for i := range rows {
		rows[i].Cells = texts[i+1]
	}
	return texts[0], rows
}

// drawn passes a chart on as it is: package chart has escaped what is in it.
func drawn(svg string) template.HTML { return template.HTML(svg) }

// cellTexts returns the columns of the table on the page.
func (w *workload) cellTexts(c *cell) []string {
	texts := []string{w.figure(c), w.rangeText(c), w.comparison(c)}
	p := c.percentiles()
	texts = append(texts, p[:]...)
	return append(texts, orAbsent(c.write, timesText), c.diskText(), orAbsent(c.peak, bytesText),
		orAbsent(c.cpu, secondsText), c.cpuPerMillionText(), c.allocsText())
}
