package chart

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// Series is one line of a chart. Its shape, "dashed" or "dotted", tells lines
// of one colour apart; empty is a whole line.
type Series struct {
	Name   string
	Class  string // from a Palette
	Shape  string
	Own    bool // is printed in bold
	Values []float64
	// Seconds are the ends of the intervals that the values belong to, as many
	// as values; only for Lines.
	Seconds []float64
}

// Axis is the vertical one. On a logarithmic one, values that are not above
// zero are not drawn.
type Axis struct {
	Logarithmic bool
	// Low and High are what must be on it; the values widen it. Charts with the
	// same can be compared by eye.
	Low, High float64
	Text      func(float64) string
}

const (
	plotLeft   = 58.0
	plotRight  = 352.0 // to the right of it are the names
	plotTop    = 28.0
	plotHeight = 150.0
	plotBottom = plotTop + plotHeight
)

// Percentiles draws for each series one value for each of places, from left to
// right, joined by lines.
func Percentiles(title string, places []string, series []Series, axis Axis) string {
	xs := make([]float64, len(places))
	for i := range xs {
		step := (plotRight - plotLeft - 30) / math.Max(float64(len(xs)-1), 1)
		xs[i] = plotLeft + 15 + step*float64(i)
	}
	var s svg
	s.open(width, plotBottom+22, title)
	s.text("head", "start", 0, 13, clipped(title, width*0.9))
	scale := s.axis(axis, series)
	for i, place := range places {
		s.text("faint", "middle", xs[i], plotBottom+15, place)
	}
	for _, line := range ownLast(series) {
		ys := scale.all(line.Values)
		s.path(line.Class+" "+line.Shape, line.Name, xs[:len(ys)], ys)
		for i, y := range ys {
			if finite(y) {
				s.dot(line.Class, xs[i], y, hint(line.Name, places[i], axis.Text(line.Values[i])))
			}
		}
	}
	s.names(series, scale, xs[len(xs)-1])
	return s.close()
}

// Lines draws series over time.
func Lines(title string, series []Series, axis Axis) string {
	last := 0.0
	for _, line := range series {
		for _, at := range line.Seconds {
			last = math.Max(last, at)
		}
	}
	last = positiveOr1(last)
	x := func(at float64) float64 { return plotLeft + (plotRight-plotLeft)*at/last }
	var s svg
	s.open(width, plotBottom+22, title)
	s.text("head", "start", 0, 13, clipped(title, width*0.9))
	scale := s.axis(axis, series)
	for _, at := range ticks(last) {
		s.text("faint", "middle", x(at), plotBottom+15, secondsLabel(at))
	}
	for _, line := range ownLast(series) {
		xs := make([]float64, len(line.Seconds))
		for i, at := range line.Seconds {
			xs[i] = x(at)
		}
		s.path(line.Class+" "+line.Shape, line.Name, xs, scale.all(line.Values))
	}
	s.names(series, scale, plotRight)
	return s.close()
}

// ownLast returns the series in the order in which they are drawn: what the
// report is about lies on top.
func ownLast(series []Series) []Series {
	sorted := slices.Clone(series)
	slices.SortStableFunc(sorted, func(a, b Series) int {
		switch {
		case a.Own == b.Own:
			return 0
		case a.Own:
			return 1
		default:
			return -1
		}
	})
	return sorted
}

// scale turns a value into a height; NaN is one that cannot be drawn.
type scale struct {
	logarithmic bool
	low, high   float64 // the logarithms on a logarithmic axis
}

func (c scale) y(v float64) float64 {
	if c.logarithmic {
		if v <= 0 {
			return math.NaN()
		}
		v = math.Log10(v)
	}
	return plotBottom - plotHeight*(v-c.low)/(c.high-c.low)
}

func (c scale) all(values []float64) []float64 {
	ys := make([]float64, len(values))
	for i, v := range values {
		ys[i] = c.y(v)
	}
	return ys
}

// axis draws the vertical axis with its grid, wide enough for all series.
func (s *svg) axis(a Axis, series []Series) scale {
	low, high := a.Low, a.High
	for _, line := range series {
		for _, v := range line.Values {
			if !finite(v) || (a.Logarithmic && v <= 0) {
				continue
			}
			if low == 0 || v < low {
				low = v
			}
			high = math.Max(high, v)
		}
	}
	c := scale{logarithmic: a.Logarithmic, high: positiveOr1(high)}
	marks := ticks(c.high)
	if a.Logarithmic {
		c.low = math.Floor(math.Log10(positiveOr1(low)))
		c.high = math.Max(math.Ceil(math.Log10(positiveOr1(high))), c.low+1)
		marks = nil
		for power := c.low; power <= c.high; power++ {
			marks = append(marks, math.Pow(10, power))
		}
	} else {
		c.high *= 1.05
	}
	for _, v := range marks {
		y := c.y(v)
		s.line("grid", plotLeft, y, plotRight, y)
		s.text("faint", "end", plotLeft-5, y+4, a.Text(v))
	}
	return c
}

// ticks returns round values from 0 to high, about five.
func ticks(high float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for _, part := range []float64{0.1, 0.2, 0.5, 1, 2} {
		if high/(step*part) <= 6 {
			step *= part
			break
		}
	}
	var marks []float64
	for i := 0.0; i*step <= high*1.0001; i++ {
		marks = append(marks, i*step)
	}
	return marks
}

func secondsLabel(s float64) string {
	switch {
	case s == 0:
		return "0"
	case s >= 600:
		return trimmed(s/60) + " min"
	default:
		return trimmed(s) + " s"
	}
}

// names writes the name of each series to the right, at the height at which it
// ends, moved apart so that none covers another.
func (s *svg) names(series []Series, c scale, from float64) {
	type label struct {
		series *Series
		at, y  float64
	}
	var labels []label
	for i := range series {
		for _, v := range slices.Backward(series[i].Values) {
			if y := c.y(v); finite(y) {
				labels = append(labels, label{&series[i], y, y})
				break
			}
		}
	}
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(a.at, b.at) })
	const pitch = 13.0
	for i := 1; i < len(labels); i++ {
		labels[i].y = math.Max(labels[i].y, labels[i-1].y+pitch)
	}
	// What went below the plot comes back up, and moves those above it.
	floor := math.Max(plotBottom, plotTop+pitch*float64(len(labels)-1))
	for i := len(labels) - 1; i >= 0; i-- {
		labels[i].y = math.Min(labels[i].y, floor)
		floor = labels[i].y - pitch
	}
	for _, l := range labels {
		class := "name"
		if l.series.Own {
			class = "own"
		}
		s.path(l.series.Class+" "+l.series.Shape, l.series.Name,
			[]float64{from + 6, plotRight + 8, plotRight + 20}, []float64{l.at, l.y, l.y})
		s.text(class, "start", plotRight+24, l.y+4, clipped(l.series.Name, width-plotRight-24))
	}
}

func trimmed(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
