package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

// importProgress shows how far an import is: the records loaded and their
// rate, and a bar with the share of the input read and the time left. Without
// a terminal it shows nothing. The committing goroutine uses it, except for
// the reader that count returns.
type importProgress struct {
	out       io.Writer
	sizeBytes int64 // of the input; -1 where it is unknown
	readBytes atomic.Int64
	start     time.Time
	bar       *progressbar.ProgressBar // nil before begin, after finish, and without a terminal
}

func newImportProgress(out io.Writer, sizeBytes int64) *importProgress {
	return &importProgress{out: out, sizeBytes: sizeBytes}
}

// count wraps the input to know how much of it was read.
func (p *importProgress) count(input io.Reader) io.Reader {
	return &countingReader{input, &p.readBytes}
}

// begin starts the clock and shows the bar.
func (p *importProgress) begin() {
	p.start = time.Now()
	if !console.CanRedraw(p.out) {
		return
	}
	p.bar = progressbar.NewOptions64(p.sizeBytes,
		progressbar.OptionSetWriter(p.out),
		progressbar.OptionSetDescription("importing"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(24),
		progressbar.OptionUseANSICodes(true),
		progressbar.OptionSetTheme(progressbar.Theme{
			Saucer: "━", SaucerHead: "╸", SaucerPadding: "·", BarStart: " ", BarEnd: " ",
		}),
		progressbar.OptionClearOnFinish(),
	)
}

// update tells how many records are loaded.
func (p *importProgress) update(records int64) {
	if p.bar == nil {
		return
	}
	p.bar.Describe(fmt.Sprintf("%s, %s",
		console.CountOf(records, "record"), console.Rate(records, time.Since(p.start))))
	// The bar is decoration: a terminal that went away is no failure.
	_ = p.bar.Set64(p.readBytes.Load())
}

// finish removes the bar. Further calls do nothing.
func (p *importProgress) finish() {
	if p.bar != nil {
		_ = p.bar.Clear() // decoration, as above
		p.bar = nil
	}
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
