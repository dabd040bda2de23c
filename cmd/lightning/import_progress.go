package main

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

// importProgress shows on one line how far an import is: the records loaded and
// their rate, and a bar with the share of the input read and the time left.
// Without a terminal it shows nothing. The committing goroutine uses it, except
// for the reader that count returns.
type importProgress struct {
	out       io.Writer
	sizeBytes int64 // of the input; -1 where it is unknown
	readBytes atomic.Int64
	start     time.Time
	shown     time.Time // when the line was last drawn
	visible   bool      // there is a line to draw, from begin to finish on a terminal
}

func newImportProgress(out io.Writer, sizeBytes int64) *importProgress {
	return &importProgress{out: out, sizeBytes: sizeBytes}
}

// count wraps the input to know how much of it was read.
func (p *importProgress) count(input io.Reader) io.Reader {
	return &countingReader{input, &p.readBytes}
}

// begin starts the clock.
func (p *importProgress) begin() {
	p.start = time.Now()
	p.visible = console.CanRedraw(p.out)
}

// progressInterval is the time between two drawings of the line.
const progressInterval = 100 * time.Millisecond

// update tells how many records are loaded.
func (p *importProgress) update(records int64) {
	if !p.visible || time.Since(p.shown) < progressInterval {
		return
	}
	p.shown = time.Now()
	state := progressState{records, p.readBytes.Load(), p.sizeBytes, time.Since(p.start)}
	// The last column stays free: some terminals wrap when it is written to.
	// The line is decoration: a terminal that went away is no failure.
	fmt.Fprintf(p.out, "\r%s\x1b[K", state.line(console.Width(p.out)-1))
}

// finish removes the line. Further calls do nothing.
func (p *importProgress) finish() {
	if p.visible {
		fmt.Fprint(p.out, "\r\x1b[K") // decoration, as above
		p.visible = false
	}
}

// progressState is what the line tells.
type progressState struct {
	records              int64
	readBytes, sizeBytes int64 // of the input; the size is -1 where it is unknown
	elapsed              time.Duration
}

// line returns the fullest form of the line that fits in width columns.
func (s progressState) line(width int) string {
	count, rate := console.Count(s.records), console.Rate(s.records, s.elapsed)
	loaded := console.CountOf(s.records, "record") + ", " + rate
	forms := []string{loaded + ", " + console.Bytes(s.readBytes) + " read"}
	if s.sizeBytes > 0 {
		share := min(1, float64(s.readBytes)/float64(s.sizeBytes))
		percent := fmt.Sprintf("%.0f%%", 100*share)
		left := percent
		if share > 0 {
			left += ", " + console.Duration(time.Duration(float64(s.elapsed)*(1-share)/share)) + " left"
		}
		forms = []string{
			loaded + " " + progressBar(share) + " " + left, loaded + ", " + left, loaded + ", " + percent,
		}
	}
	forms = append(forms, loaded, count+", "+rate, count)
	return fitting(forms, width)
}

// fitting returns the first of the forms that fits in width columns.
func fitting(forms []string, width int) string {
	for _, form := range forms {
		if utf8.RuneCountInString(form) <= width {
			return form
		}
	}
	return ""
}

// progressBar draws a share of 0 to 1.
func progressBar(share float64) string {
	const width = 24
	filled := int(share * width)
	return strings.Repeat("━", filled) + strings.Repeat("·", width-filled)
}

// countingReader counts the bytes that go through it.
type countingReader struct {
	input io.Reader
	bytes *atomic.Int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.input.Read(p)
	r.bytes.Add(int64(n))
	return n, err
}
