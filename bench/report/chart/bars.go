package chart

import (
	"fmt"
	"math"
)

// Bar is one value with the range that it was found in. A bar without a value
// says only its Text.
type Bar struct {
	Name      string
	Class     string // from a Palette
	Own       bool   // is printed in bold
	Value     float64
	Low, High float64 // both 0 for no whisker
	Text      string  // the value as it is printed
	Hint      string  // what a pointer on the bar is told
}

const (
	barNameWidth = 82.0
	barPitch     = 24.0
	barHeight    = 15.0
)

// Bars draws horizontal bars, with a whisker from Low to High over each.
func Bars(title string, bars []Bar) string {
	var s svg
	height := 22 + barPitch*float64(len(bars))
	s.open(width, height, title)
	s.text("head", "start", 0, 13, clipped(title, width*0.9))
	full, textMax := 0.0, 0.0
	for _, b := range bars {
		if finite(b.Value) && finite(b.High) {
			full = math.Max(full, math.Max(b.Value, b.High))
		}
		textMax = math.Max(textMax, textWidth(b.Text))
	}
	room := width - barNameWidth - textMax - 12
	for i, b := range bars {
		s.bar(&b, 22+barPitch*float64(i), room/positiveOr1(full))
	}
	return s.close()
}

func (s *svg) bar(b *Bar, top, scale float64) {
	middle := top + barHeight/2
	nameClass, end := "name", barNameWidth
	if b.Own {
		nameClass = "own"
	}
	s.text(nameClass, "end", barNameWidth-6, middle+4, clipped(b.Name, barNameWidth-6))
	if b.Value > 0 && finite(b.Value) {
		s.rect(b.Class, barNameWidth, top, math.Max(b.Value*scale, 1), barHeight, b.Hint)
		end += b.Value * scale
	}
	if b.High > b.Low && finite(b.High) && finite(b.Low) {
		low, high := barNameWidth+b.Low*scale, barNameWidth+b.High*scale
		s.line("whisker", low, middle, high, middle)
		s.line("whisker", low, middle-4, low, middle+4)
		s.line("whisker", high, middle-4, high, middle+4)
		end = math.Max(end, high)
	}
	textClass := "value"
	if b.Value <= 0 {
		textClass = "faint"
	}
	s.text(textClass, "start", end+6, middle+4, b.Text)
}

// Group is a set of bars that are drawn against the greatest of them.
type Group struct {
	Name, Remark string
	Bars         []Bar
}

const (
	posterWidth  = 880.0
	posterMargin = 20.0
	posterPitch  = 16.0
)

// Poster draws groups in two columns as a picture of its own, on a ground of
// its own. The subtitle and foot are lines of text above and below.
func Poster(title string, subtitle []string, groups []Group, foot []string) string {
	tops, bottom := posterTops(groups, 52+lineHeight*float64(len(subtitle)))
	height := bottom + lineHeight*float64(len(foot)) + 10
	var s svg
	s.open(posterWidth, height, title)
	s.WriteString("<style>\n" + Style() + "</style>\n")
	s.rect("ground", 0.5, 0.5, posterWidth-1, height-1, title)
	s.text("title", "start", posterMargin, 30, title)
	for i, line := range subtitle {
		s.text("faint", "start", posterMargin, 50+lineHeight*float64(i), clipped(line, 980))
	}
	column := (posterWidth - 3*posterMargin) / 2
	for i := range groups {
		left := posterMargin + float64(i%2)*(column+posterMargin)
		s.group(&groups[i], left, tops[i], column)
	}
	for i, line := range foot {
		s.text("faint", "start", posterMargin, bottom+lineHeight*float64(i), clipped(line, 980))
	}
	return s.close()
}

// posterTops returns where each group begins, two in a row, and where the last
// row ends.
func posterTops(groups []Group, top float64) (tops []float64, bottom float64) {
	rowHeight := 0.0
	for i := range groups {
		if i%2 == 0 {
			top, rowHeight = top+rowHeight, 0
		}
		tops = append(tops, top)
		rowHeight = math.Max(rowHeight, 36+posterPitch*float64(len(groups[i].Bars)))
	}
	return tops, top + rowHeight + 4
}

func (s *svg) group(g *Group, left, top, columnWidth float64) {
	s.text("head", "start", left, top+12, clipped(g.Name, columnWidth*0.55))
	s.text("faint", "end", left+columnWidth, top+12, clipped(g.Remark, columnWidth*0.45))
	full, textMax := 0.0, 0.0
	for _, b := range g.Bars {
		if finite(b.Value) {
			full = math.Max(full, b.Value)
		}
		textMax = math.Max(textMax, textWidth(b.Text))
	}
	scale := (columnWidth - barNameWidth - textMax - 8) / positiveOr1(full)
	for i, b := range g.Bars {
		y := top + 20 + posterPitch*float64(i)
		class, length := "name", 0.0
		if b.Own {
			class = "own"
		}
		s.text(class, "end", left+barNameWidth-6, y+10, clipped(b.Name, barNameWidth-6))
		if b.Value > 0 && finite(b.Value) {
			length = math.Max(b.Value*scale, 1)
			s.rect(b.Class, left+barNameWidth, y, length, posterPitch-4, b.Hint)
		}
		textClass := class
		if length == 0 {
			textClass = "faint"
		}
		s.text(textClass, "start", left+barNameWidth+length+6, y+10, b.Text)
	}
}

func positiveOr1(v float64) float64 {
	if v > 0 && finite(v) {
		return v
	}
	return 1
}

// hint joins the name of a series and of a place in it with the value there.
func hint(series, place, value string) string {
	return fmt.Sprintf("%s, %s: %s", series, place, value)
}
