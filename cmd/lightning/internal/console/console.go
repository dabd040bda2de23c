// Package console knows what a terminal can show: colours if there is one and
// the user has nothing against them, and numbers, sizes and times as people
// read them. Everything here is stateless.
package console

import (
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"
)

// descriptor is a file, or stands for one.
type descriptor interface{ Fd() uintptr }

// IsTerminal reports whether stream, a reader or writer, is a terminal.
func IsTerminal(stream any) bool {
	file, ok := stream.(descriptor)
	return ok && term.IsTerminal(int(file.Fd()))
}

// CanRedraw reports whether w is a terminal that can redraw a line, as a
// progress bar needs.
func CanRedraw(w io.Writer) bool { return IsTerminal(w) && os.Getenv("TERM") != "dumb" }

// Width returns how many columns w has: what COLUMNS says, or the terminal, or 80
// where it is unknown.
func Width(w io.Writer) int {
	if width, known := width(w); known {
		return width
	}
	return 80
}

// LineWidth returns how long a line of results may be: as Width says, but as long
// as it gets where no terminal is known, for what reads it there looks for lines.
func LineWidth(w io.Writer) int {
	if width, known := width(w); known {
		return width
	}
	return math.MaxInt
}

func width(w io.Writer) (columns int, known bool) {
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && columns > 0 {
		return columns, true
	}
	if file, ok := w.(descriptor); ok {
		columns, _, err := term.GetSize(int(file.Fd()))
		return columns, err == nil && columns > 0
	}
	return 0, false
}

// Style marks up text for one output; on an output without colours it leaves
// the text alone. The zero Style has no colours.
type Style struct{ colours bool }

// StyleFor returns the style for w: with colours on a terminal, unless
// NO_COLOR is set.
func StyleFor(w io.Writer) Style {
	return Style{colours: CanRedraw(w) && os.Getenv("NO_COLOR") == ""}
}

// Bold is for headings.
func (s Style) Bold(text string) string { return s.wrap("1", text) }

// Dim is for what matters less: timings, remarks.
func (s Style) Dim(text string) string { return s.wrap("2", text) }

// Accent is for keys and commands.
func (s Style) Accent(text string) string { return s.wrap("36", text) }

// Good is for what went well.
func (s Style) Good(text string) string { return s.wrap("32", text) }

// Bad is for what went wrong.
func (s Style) Bad(text string) string { return s.wrap("31", text) }

func (s Style) wrap(code, text string) string {
	if !s.colours || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Count prints a number with separators: 1,234,567.
func Count(n int64) string { return humanize.Comma(n) }

// CountOf prints a number of things: 1 record, 1,234 records.
func CountOf(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Count(n) + " " + thing + "s"
}

// Bytes prints a size: 12 MiB.
func Bytes(n int64) string {
	if n < 0 {
		return "-" + humanize.IBytes(uint64(-n))
	}
	return humanize.IBytes(uint64(n))
}

// Rate prints how many a second n in elapsed are.
func Rate(n int64, elapsed time.Duration) string {
	if elapsed <= 0 {
		return "-"
	}
	perSecond := float64(n) / elapsed.Seconds()
	switch {
	case perSecond >= 99.995e6:
		return fmt.Sprintf("%.0f M/s", perSecond/1e6)
	case perSecond >= 1e6:
		return fmt.Sprintf("%.2f M/s", perSecond/1e6)
	case perSecond >= 10e3:
		return fmt.Sprintf("%.0f K/s", perSecond/1e3)
	case perSecond >= 100:
		return fmt.Sprintf("%.0f/s", perSecond)
	}
	return fmt.Sprintf("%.1f/s", perSecond)
}

// Duration prints a time span with about three digits: 1.23 ms.
func Duration(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d < unit.size {
			continue
		}
		value := float64(d) / float64(unit.size)
		switch {
		case value >= 99.95:
			return fmt.Sprintf("%.0f %s", value, unit.name)
		case value >= 9.995:
			return fmt.Sprintf("%.1f %s", value, unit.name)
		}
		return fmt.Sprintf("%.2f %s", value, unit.name)
	}
	return fmt.Sprintf("%d ns", d)
}

// Left pads text on the right to width columns. It counts characters, not
// bytes, and nothing for the marks of a Style.
func Left(text string, width int) string { return text + padding(text, width) }

// Right pads text on the left to width columns, counting like Left.
func Right(text string, width int) string { return padding(text, width) + text }

func padding(text string, width int) string {
	return strings.Repeat(" ", max(0, width-columns(text)))
}

// marks are what a Style adds.
var marks = regexp.MustCompile("\x1b\\[[0-9]*m")
