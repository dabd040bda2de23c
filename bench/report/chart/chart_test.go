package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func texts(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

func checkXML(t *testing.T, svg string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("no number in\n%s", svg)
	}
}

// numbers returns an attribute of all elements of a name.
func numbers(t *testing.T, svg, element, attribute string) []float64 {
	t.Helper()
	var all []float64
	re := regexp.MustCompile(`<` + element + `[^>]* ` + attribute + `="([^"]*)"`)
	for _, m := range re.FindAllStringSubmatch(svg, -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func TestBars(t *testing.T) {
	svg := Bars("<rates>", []Bar{
		{Name: "a&b", Class: "c0", Value: 100, Low: 90, High: 120, Text: "100 K/s", Hint: `"quoted"`},
		{Name: "half", Class: "c1", Value: 50, Text: "50 K/s"},
		{Name: "none", Text: "not measured"},
		{Name: "nan", Value: math.NaN(), Text: "x"},
	})
	checkXML(t, svg)
	w := numbers(t, svg, "rect", "width")
	if len(w) != 2 || math.Abs(w[0]-2*w[1]) > 0.2 {
		t.Errorf("widths %v; want two, the first twice the second", w)
	}
	if n := strings.Count(svg, `class="whisker"`); n != 3 {
		t.Errorf("%d parts of whiskers; want 3", n)
	}
	for _, x := range numbers(t, svg, "line", "x2") {
		if x > width {
			t.Errorf("a whisker ends at %v, outside", x)
		}
	}
}

func TestPercentilesIsLogarithmic(t *testing.T) {
	places := []string{"p50", "p99", "max"}
	svg := Percentiles("latency", places, []Series{
		{Name: "a", Class: "c0", Values: []float64{1e3, 1e4, 1e5}},
		{Name: "zero", Class: "c1", Values: []float64{0, 1e4, math.Inf(1)}},
	}, Axis{Logarithmic: true, Text: texts})
	checkXML(t, svg)
	y := numbers(t, svg, "circle", "cy")
	if len(y) != 4 || math.Abs((y[0]-y[1])-(y[1]-y[2])) > 0.2 || y[0] <= y[1] {
		t.Errorf("heights %v; want equal steps upwards, and one dot of the other", y)
	}
}

func TestLines(t *testing.T) {
	svg := Lines("over time", []Series{
		{Name: "a", Class: "c0", Values: []float64{1, math.NaN(), 3}, Seconds: []float64{1, 2, 3}},
		{Name: "none", Class: "c1"},
	}, Axis{Text: texts})
	checkXML(t, svg)
	// The gap of a value that is no number is not bridged.
	m := regexp.MustCompile(`<path[^>]*d="(M[^"]*)"`).FindStringSubmatch(svg)
	if strings.Count(m[1], "M") != 2 {
		t.Errorf("path %s", m[1])
	}
	checkXML(t, Lines("nothing", nil, Axis{Logarithmic: true, Text: texts}))
}

// TestNamesApart: lines that end at the same height have names that do not
// cover each other, and none is outside.
func TestNamesApart(t *testing.T) {
	var series []Series
	for range 12 {
		series = append(series, Series{Name: "same", Values: []float64{5, 1}, Seconds: []float64{1, 2}})
	}
	svg := Lines("t", series, Axis{Text: texts})
	re := regexp.MustCompile(`y="([0-9.]+)">same<`)
	last := 0.0
	matches := re.FindAllStringSubmatch(svg, -1)
	if len(matches) != len(series) {
		t.Fatalf("%d names", len(matches))
	}
	for _, m := range matches {
		y, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		if y < last+12 || y > plotBottom+5 {
			t.Errorf("a name at %v after one at %v", y, last)
		}
		last = y
	}
}

func TestPoster(t *testing.T) {
	g := Group{Name: "w", Bars: []Bar{{Name: "a", Class: "c0", Value: 1, Text: "1"}}}
	svg := Poster("title", []string{"sub"}, []Group{g, g, g}, []string{"foot"})
	checkXML(t, svg)
	if !strings.Contains(svg, "prefers-color-scheme:dark") {
		t.Error("the picture has no dark form")
	}
	if tops, _ := posterTops([]Group{g, g, g}, 10); tops[0] != tops[1] || tops[2] <= tops[1] {
		t.Errorf("groups at %v; want two in a row", tops)
	}
}

func TestPalette(t *testing.T) {
	a := NewPalette([]string{"lightning", "pebble", "mystery", "other"})
	b := NewPalette([]string{"pebble", "lightning"})
	for _, name := range []string{"lightning", "pebble"} {
		if a.Class(name) != b.Class(name) {
			t.Errorf("%s changes its colour", name)
		}
	}
	seen := make(map[string]bool)
	for _, name := range []string{"lightning", "pebble", "mystery", "other"} {
		if c := a.Class(name); c == "" || seen[c] {
			t.Errorf("%s has the class %q", name, c)
		}
		seen[a.Class(name)] = true
	}
}

// TestContrast: every colour can be seen on both grounds (WCAG 2, graphics).
func TestContrast(t *testing.T) {
	for _, c := range colours {
		if r := contrast(t, c.light, lightGround); r < 3 {
			t.Errorf("%s has a contrast of %.2f on light", c.light, r)
		}
		if r := contrast(t, c.dark, darkGround); r < 3 {
			t.Errorf("%s has a contrast of %.2f on dark", c.dark, r)
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(hex[1:], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(v uint64) float64 {
		f := float64(v&0xff) / 255
		if f <= 0.04045 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}

func TestClipped(t *testing.T) {
	if got := clipped("short", 100); got != "short" {
		t.Error(got)
	}
	got := clipped("a-very-long-name-indeed", 80)
	if len([]rune(got)) > 12 || !strings.Contains(got, "…") {
		t.Error(got)
	}
}
