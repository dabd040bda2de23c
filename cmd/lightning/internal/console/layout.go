package console

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Text and tables for terminals of any width. What fits is left as it is; what
// does not is broken between words or cells, so that a terminal never has to
// break it anywhere. A word or cell that is wider than the terminal stays whole.
// Everything here is stateless.

// Fill breaks text into lines of at most width columns. All lines but the first
// begin with indent blanks; those at the beginning of the text stay.
func Fill(text string, indent, width int) string {
	if columns(text) <= width {
		return text
	}
	rest := strings.TrimLeft(text, " ")
	line := text[:len(text)-len(rest)]
	var lines []string
	empty := true
	for _, word := range strings.Fields(rest) {
		switch {
		case empty:
			line += word
		case columns(line)+1+columns(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = strings.Repeat(" ", indent) + word
		}
		empty = false
	}
	return strings.Join(append(lines, line), "\n")
}

// Wrap lays out a page for width columns. Lines that begin in the first column
// are paragraphs, which are filled anew where one of their lines is too long.
// Indented ones are items: the text of one that is too long goes on below itself,
// or, where that column is too far to the right, below the name of the item. What
// divides an item's name from its text is two blanks or more.
func Wrap(page string, width int) string {
	var out []string
	lines := strings.Split(page, "\n")
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && kindOf(lines[n]) == kindOf(lines[0]) {
			n++
		}
		block := lines[:n]
		lines = lines[n:]
		switch {
		case fits(block, width) || kindOf(block[0]) == blank:
		case kindOf(block[0]) == indented:
			block = wrapItems(block, width)
		default:
			block = []string{Fill(strings.Join(block, " "), 0, width)}
		}
		out = append(out, block...)
	}
	return strings.Join(out, "\n")
}

// The kinds of lines.
const (
	blank = iota
	flush
	indented
)

func kindOf(line string) int {
	switch {
	case strings.TrimSpace(line) == "":
		return blank
	case line[0] == ' ':
		return indented
	}
	return flush
}

func fits(lines []string, width int) bool {
	for _, line := range lines {
		if columns(line) > width {
			return false
		}
	}
	return true
}

// leastText is the narrowest column in which text can be read.
const leastText = 24

// item is an indented line with a name and a text.
var item = regexp.MustCompile(`^( *\S.*?  +)(\S.*)$`)

// wrapItems breaks indented lines, all in the same way.
func wrapItems(block []string, width int) []string {
	below := false
	for _, line := range block {
		if parts := item.FindStringSubmatch(line); parts != nil && width-columns(parts[1]) < leastText {
			below = true
		}
	}
	var out []string
	for _, line := range block {
		indent := len(line) - len(strings.TrimLeft(line, " ")) + 4
		parts := item.FindStringSubmatch(line)
		switch {
		case parts != nil && below:
			out = append(out, Fill(strings.TrimRight(parts[1], " "), indent, width),
				Fill(strings.Repeat(" ", indent)+parts[2], indent, width))
		case parts != nil:
			text := Fill(strings.Repeat(" ", columns(parts[1]))+parts[2], columns(parts[1]), width)
			out = append(out, parts[1]+text[columns(parts[1]):])
		default:
			out = append(out, Fill(line, indent, width))
		}
	}
	return out
}

// columns counts what is seen of a text.
func columns(text string) int { return utf8.RuneCountInString(marks.ReplaceAllString(text, "")) }

// Column is a column of a Table.
type Column struct {
	Title string
	Width int
	Left  bool
	// Bare says that the cells are understood without the title.
	Bare bool
}

// Table lays out rows in columns, or, where the terminal has not the width of all
// columns, a row over several lines: the first cell, and below it the others with
// their titles, as many to a line as fit. A first cell that is too wide for its
// column has a line of its own.
type Table []Column

// Head returns the line of the titles for width columns; "" where each row has
// them.
func (t Table) Head(width int) string {
	titles := make([]string, len(t))
	for i, c := range t {
		titles[i] = c.Title
	}
	if t.width() > width {
		return ""
	}
	return t.line(titles)
}

// Row returns a row. Cells at the end may be left out.
func (t Table) Row(width int, cells ...string) string {
	if t.width() <= width {
		return t.line(cells)
	}
	lines := []string{cells[0]}
	if !t[0].Bare {
		lines[0] = t[0].Title + " " + cells[0]
	}
	line := " "
	for i, cell := range cells[1:] {
		if cell == "" {
			continue
		}
		if c := t[i+1]; !c.Bare {
			cell = c.Title + " " + cell
		}
		if line != " " && columns(line)+1+columns(cell) > width {
			lines = append(lines, line)
			line = " "
		}
		if line != " " {
			line += " "
		}
		line += " " + cell
	}
	if line != " " {
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (t Table) width() (sum int) {
	for _, c := range t {
		sum += c.Width
	}
	return sum
}

func (t Table) line(cells []string) string {
	var line strings.Builder
	for i, cell := range cells {
		switch {
		case i == 0 && columns(cell) > t[0].Width:
			line.WriteString(cell + "\n" + Left("", t[0].Width))
		case t[i].Left:
			line.WriteString(Left(cell, t[i].Width))
		default:
			line.WriteString(Right(" "+cell, t[i].Width))
		}
	}
	return strings.TrimRight(line.String(), " ")
}
