package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/bench/result"
)

func TestLosses(t *testing.T) {
	losses := Losses(fixedRun(t))
	var got []string
	for _, l := range losses {
		got = append(got, l.Workload+" "+l.Rival)
	}
	// The worst first; put-sync is behind by less than what two digits show.
	want := "open-clean bbolt, scan-100 bbolt, put-sync pebble"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("losses %s; want %s", s, want)
	}
	last := losses[len(losses)-1]
	if last.Ratio >= 1 || ratioText(last.Ratio) != "0.99x" {
		t.Errorf("a ratio of %v is shown as %s", last.Ratio, ratioText(last.Ratio))
	}
	first := losses[0]
	if !first.Timed || first.Own <= first.Best || first.Ratio > 0.1 {
		t.Errorf("%+v; a longer time is the worse one", first)
	}
}

func TestMedians(t *testing.T) {
	table := newTable(fixedRun(t))
	load := table.workload("load-random")
	own := load.own()
	if want := 1e6 / 1.562; math.Abs(own.speed.median-want) > 1 || own.speed.count != 3 {
		t.Errorf("median %v of %d; want %v of 3", own.speed.median, own.speed.count, want)
	}
	if !(own.speed.low < own.speed.median && own.speed.median < own.speed.high) {
		t.Errorf("spread %+v", own.speed)
	}
	if rival := load.bestRival(); rival.engine != "pebble" {
		t.Errorf("best rival %s", rival.engine)
	}
	opens := table.workload("open-clean")
	if best := opens.bestOfAll(); best.engine != "bbolt" || best.speed.median != 0.0007 {
		t.Errorf("best of opens is %s with %v", best.engine, best.speed.median)
	}
	if got := spreadOf([]float64{4, 1, 3, 2}).median; got != 2.5 {
		t.Errorf("median of four is %v", got)
	}
	if scan := table.workload("scan-100"); scan.cells[3] != nil {
		t.Error("badger has a cell in a workload that it was not measured in")
	}
}

// TestWorstOfRepeats: neither the longest latency nor the peak of memory may be
// averaged away.
func TestWorstOfRepeats(t *testing.T) {
	row := func(peak, p50, longest int64) result.Row {
		return result.Row{Workload: "w", Engine: "e", Seconds: 1, PeakBytes: peak,
			Latency: &result.Latency{P50: p50, Max: longest}}
	}
	run := &result.Run{Rows: []result.Row{row(10, 1, 10), row(90, 5, 70), row(20, 3, 20)}}
	c := newTable(run).workloads[0].cells[0]
	if c.peak != 90 || c.latency.Max != 70 || c.latency.P50 != 3 {
		t.Errorf("peak %v, longest %d, p50 %d", c.peak, c.latency.Max, c.latency.P50)
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{rateText(0), "0/s"},
		{rateText(12.34), "12.3/s"},
		{rateText(999.6), "1.00 K/s"},
		{rateText(123456), "123 K/s"},
		{rateText(1234567), "1.23 M/s"},
		{nanosText(999), "999 ns"},
		{nanosText(1500), "1.50 us"},
		{nanosText(1.5e9), "1.50 s"},
		{secondsText(125), "125 s"},
		{secondsText(12345), "12300 s"},
		{bytesText(1 << 20), "1.00 MiB"},
		{bytesText(1023), "0.999 KiB"},
		{ratioText(0.9999), "0.99x"},
		{ratioText(1), "1.00x"},
		{ratioText(0.004), "0.004x"},
		{ratioText(1234.5), "1230x"},
		{timesText(0.999), "0.999x"},
	} {
		if c.got != c.want {
			t.Errorf("%q; want %q", c.got, c.want)
		}
	}
}

func TestEmptyRun(t *testing.T) {
	for i, write := range []func(io.Writer, *result.Run) error{Text, Markdown, HTML, Summary} {
		for _, run := range []*result.Run{
			{},
			{Rows: []result.Row{{Workload: "w", Engine: "lightning", Unit: "puts"}}},
			{Rows: []result.Row{{Workload: "w", Engine: "x", Unit: "opens", Seconds: 1}}},
		} {
			got := string(rendered(t, func(w io.Writer) error { return write(w, run) }))
			if strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
				t.Errorf("writer %d makes\n%s", i, got)
			}
		}
	}
}

var reSVG = regexp.MustCompile(`(?s)<svg.*?</svg>`)

func TestHTML(t *testing.T) {
	page := rendered(t, func(w io.Writer) error { return HTML(w, fixedRun(t)) })
	checkBalanced(t, page)
	pictures := reSVG.FindAll(page, -1)
	// Six rates, four latencies, load-random's three measures, the peaks of
	// sustained-mix, and its rate and three latencies over time.
	if want := 6 + 4 + 3 + 1 + 1 + 3; len(pictures) != want {
		t.Errorf("%d charts; want %d", len(pictures), want)
	}
	for _, picture := range pictures {
		checkXML(t, picture)
		if !bytes.Contains(picture, []byte("<path")) && !bytes.Contains(picture, []byte("<rect")) {
			t.Errorf("an empty chart:\n%s", picture)
		}
	}
	checkSelfContained(t, page)
	for _, want := range []string{"go run ./cmd/lightning-bench", "git checkout f3ffde0",
		"stopped at its time limit", "AMD EPYC 7763", "v1.4.3", "prefers-color-scheme:dark"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if bytes.Index(page, []byte("<b>open-clean</b>")) > bytes.Index(page, []byte("<section>")) {
		t.Error("the losses do not come first")
	}
	for _, class := range []string{"ZgotmplZ", "NaN"} {
		if bytes.Contains(page, []byte(class)) {
			t.Errorf("the page has a %s", class)
		}
	}
}

func TestSummary(t *testing.T) {
	picture := rendered(t, func(w io.Writer) error { return Summary(w, fixedRun(t)) })
	checkXML(t, picture)
	checkSelfContained(t, picture)
	all := make([]*workload, 15)
	for i := range all {
		all[i] = &workload{name: fmt.Sprint(i)}
	}
	some := chosen(all, 8)
	if len(some) != 8 || some[0] != all[0] || some[7] != all[14] {
		t.Errorf("chosen %d workloads, not from the first to the last", len(some))
	}
}

// TestEscape: names come from a file and may hold anything.
func TestEscape(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src='x'>|*_` + "\x1b[31m"
	run := copied(t, fixedRun(t))
	run.Command, run.Commit, run.Host.CPU, run.Config.Durability = evil, evil, evil, evil
	run.Engines[1] = result.Engine{Name: evil, Version: evil, Tuning: evil, Memory: evil}
	for i := range run.Rows {
		r := &run.Rows[i]
		r.Workload, r.Unit, r.Durability = r.Workload+evil, r.Unit+evil, evil+"x"
		r.Notes = []string{evil}
		if r.Engine == "pebble" {
			r.Engine = evil
		}
		if r.Latency != nil {
			r.Latency.Of = evil
		}
	}
	page := rendered(t, func(w io.Writer) error { return HTML(w, run) })
	checkBalanced(t, page)
	picture := rendered(t, func(w io.Writer) error { return Summary(w, run) })
	checkXML(t, picture)
	markdown := rendered(t, func(w io.Writer) error { return Markdown(w, run) })
	for name, b := range map[string][]byte{"page": page, "picture": picture, "markdown": markdown} {
		if bytes.Contains(b, []byte("<script")) || bytes.Contains(b, []byte("<img")) {
			t.Errorf("%s: a name became an element", name)
		}
	}
	columns := 0 // of the table that a line is in
	for line := range strings.Lines(string(markdown)) {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if columns != 0 && n != columns {
			t.Errorf("markdown: a name makes columns in %s", line)
		}
		columns = n
	}
	text := rendered(t, func(w io.Writer) error { return Text(w, run) })
	if bytes.ContainsRune(text, '\x1b') {
		t.Error("text: a name steers the terminal")
	}
}

func checkXML(t *testing.T, b []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, b)
		}
	}
}

var reStyle = regexp.MustCompile(`(?s)<style>.*?</style>|<meta[^>]*>|<!DOCTYPE html>`)

// checkBalanced reads a page as XML, which it is but for the elements that are
// never closed.
func checkBalanced(t *testing.T, page []byte) {
	t.Helper()
	// A control character is allowed in a page, unlike in XML.
	page = bytes.ReplaceAll(page, []byte{0x1b}, []byte("?"))
	checkXML(t, reStyle.ReplaceAll(page, nil))
}

func checkSelfContained(t *testing.T, b []byte) {
	t.Helper()
	rest := bytes.ReplaceAll(b, []byte(`xmlns="http://www.w3.org/2000/svg"`), nil)
	for _, banned := range []string{
		"http:", "https:", "//", "<script", "<link", "url(", "@import", "src=",
	} {
		if bytes.Contains(rest, []byte(banned)) {
			t.Errorf("it holds %q", banned)
		}
	}
}
