package report

import (
	"fmt"
	"math"
	"strconv"

	"github.com/lightningdb/lightning/bench/result"
)

// absent stands for what was not measured.
const absent = "-"

// scaled prints a value with three significant digits in the first unit in
// which it is below 1000. Units are given from the smallest on, each a step
// above the one before.
func scaled(v, step float64, units ...string) string {
	last := len(units) - 1
	for i, unit := range units {
		// Rounding must not make 1000 of 999.6.
		if roundedTo3(v) < 1000 || i == last {
			return digits3(v) + unit
		}
		v /= step
	}
	return ""
}

func roundedTo3(v float64) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', 2, 64), 64)
	if err != nil { // FormatFloat is its own inverse
		return v
	}
	return f
}

// digits3 prints three significant digits without an exponent.
func digits3(v float64) string {
	r := roundedTo3(v)
	if r == 0 || math.IsInf(r, 0) {
		return strconv.FormatFloat(r, 'f', -1, 64)
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(r))+1e-9))
	return strconv.FormatFloat(r, 'f', min(max(decimals, 0), 6), 64)
}

func rateText(perSecond float64) string {
	return scaled(perSecond, 1000, "/s", " K/s", " M/s", " G/s")
}

func nanosText(ns float64) string {
	if ns < 1e9 {
		return scaled(ns, 1000, " ns", " us", " ms", " s")
	}
	return digits3(ns/1e9) + " s"
}

func secondsText(s float64) string { return nanosText(s * 1e9) }

func bytesText(b float64) string { return scaled(b, 1024, " B", " KiB", " MiB", " GiB", " TiB") }

func ratioText(r float64) string {
	if r >= 10 {
		return digits3(r) + "x"
	}
	if r != 0 && r < 0.01 {
		return strconv.FormatFloat(r, 'g', 1, 64) + "x"
	}
	// No rounding across 1: it would make a win of a loss.
	if r < 1 && r >= 0.995 {
		return "0.99x"
	}
	return strconv.FormatFloat(r, 'f', 2, 64) + "x"
}

func timesText(v float64) string { return digits3(v) + "x" }

func countsText(n int64) string { return scaled(float64(n), 1000, "", " K", " M", " G") }

func countText(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// figureText prints a rate, or a time.
func figureText(v float64, timed bool) string {
	if timed {
		return secondsText(v)
	}
	return rateText(v)
}

// orAbsent prints v unless it is zero, which stands for not measured.
func orAbsent(v float64, text func(float64) string) string {
	if v == 0 {
		return absent
	}
	return text(v)
}

func (w *workload) figure(c *cell) string {
	if c == nil || c.speed.count == 0 {
		return absent
	}
	return figureText(c.speed.median, w.timed())
}

func (w *workload) rangeText(c *cell) string {
	if c.speed.count < 2 {
		return absent
	}
	return figureText(c.speed.low, w.timed()) + " .. " + figureText(c.speed.high, w.timed())
}

// comparison tells the ratio of a cell: of Lightning DB to its best rival, of a
// rival to Lightning DB.
func (w *workload) comparison(c *cell) string {
	other := w.own()
	if c.engine == ownEngine {
		other = w.bestRival()
	}
	ratio, ok := w.ratio(c, other)
	if !ok {
		return absent
	}
	if c.engine == ownEngine {
		return ratioText(ratio) + " of best rival " + other.engine
	}
	return ratioText(ratio) + " of " + ownEngine
}

// rivalRatio is the ratio of Lightning DB to its best rival, for a column.
func (w *workload) rivalRatio() string {
	rival := w.bestRival()
	ratio, ok := w.ratio(w.own(), rival)
	if !ok {
		return absent
	}
	return ratioText(ratio) + " of " + rival.engine
}

// percentiles prints p50, p99, p99.9 and the maximum.
func (c *cell) percentiles() [4]string {
	texts := [4]string{absent, absent, absent, absent}
	if l := c.latency; l != nil {
		for i, ns := range latencyValues(l) {
			texts[i] = orAbsent(ns, nanosText)
		}
	}
	return texts
}

func latencyValues(l *result.Latency) []float64 {
	return []float64{float64(l.P50), float64(l.P99), float64(l.P999), float64(l.Max)}
}

func (c *cell) diskText() string {
	if c.disk == 0 {
		return absent
	}
	text := bytesText(c.disk)
	if c.space > 0 {
		text += " (" + timesText(c.space) + ")"
	}
	return text
}

// cpuPerMillionText leaves out opens, of which nobody does a million.
func (c *cell) cpuPerMillionText() string {
	if c.rows[0].Unit == unitOpens {
		return absent
	}
	return orAbsent(c.cpuPerOp*1e6, secondsText)
}

func (c *cell) allocsText() string {
	if c.allocs == nil {
		return absent
	}
	if *c.allocs < 0.005 { // what the runtime does beside it
		return "0"
	}
	return strconv.FormatFloat(*c.allocs, 'f', 2, 64)
}
