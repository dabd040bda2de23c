// Package chart draws charts as SVG, each a single element that can stand in an
// HTML page or, with its style inside, in a file of its own.
//
// Nothing in a chart has a fixed colour: its parts have the classes that Style
// describes, in a light and a dark form. A series is told from another by its
// colour and by its name in text beside it. All text is escaped here; a caller
// passes it as it is. A value that is no finite number is not drawn.
//
// # Thread-safety
//
// The functions share no state. A Palette does not change once it is made.
package chart

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

const (
	width      = 440 // of the view; the page scales it
	lineHeight = 15
	charWidth  = 6.6 // of the 11 px sans-serif text, on the wide side
)

// svg collects the elements of one chart.
type svg struct{ strings.Builder }

// open writes the root element. The title is what a screen reader says.
func (s *svg) open(w, h float64, title string) {
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" `+
		`viewBox="0 0 %.0f %.0f"><title>%s</title>`, w, h, Escape(title))
	s.WriteByte('\n')
}

func (s *svg) close() string {
	s.WriteString("</svg>\n")
	return s.String()
}

func (s *svg) text(class, anchor string, x, y float64, text string) {
	fmt.Fprintf(s, `<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`+"\n",
		class, anchor, x, y, Escape(text))
}

func (s *svg) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(s, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n",
		class, x1, y1, x2, y2)
}

func (s *svg) rect(class string, x, y, w, h float64, title string) {
	fmt.Fprintf(s, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2">`+
		"<title>%s</title></rect>\n", class, x, y, w, h, Escape(title))
}

func (s *svg) dot(class string, x, y float64, title string) {
	fmt.Fprintf(s, `<circle class="%s" cx="%.1f" cy="%.1f" r="3.5"><title>%s</title></circle>`+"\n",
		class, x, y, Escape(title))
}

// path draws a line through points, not all of which need be finite: it is
// broken where one is not.
func (s *svg) path(class, title string, xs, ys []float64) {
	var d strings.Builder
	pen := "M"
	for i, x := range xs {
		if !finite(ys[i]) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&d, "%s%.1f %.1f", pen, x, ys[i])
		pen = "L"
	}
	if d.Len() > 0 {
		fmt.Fprintf(s, `<path class="%s" d="%s"><title>%s</title></path>`+"\n",
			class, d.String(), Escape(title))
	}
}

// Escape makes a text fit for XML, in elements and in quoted attributes.
func Escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil { // a Builder does not fail
		return ""
	}
	return b.String()
}

// clipped shortens a text to what fits into a width; its ends stay.
func clipped(text string, within float64) string {
	most := max(int(within/charWidth), 3)
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	runes := []rune(text)
	tail := (most - 1) / 2
	return string(runes[:most-1-tail]) + "…" + string(runes[len(runes)-tail:])
}

func textWidth(text string) float64 { return float64(utf8.RuneCountInString(text)) * charWidth }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
