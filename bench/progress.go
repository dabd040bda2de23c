package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress shows what is going on: one line that is rewritten on a terminal,
// one line for each session elsewhere.
type progress struct {
	to       io.Writer
	terminal bool
	start    time.Time
	total    int
	done     int
	what     string
}

func newProgress(to io.Writer) *progress {
	p := &progress{to: to, start: time.Now()}
	if f, ok := to.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// next begins a session.
func (p *progress) next(what string) {
	p.done++
	p.what = what
	p.show("")
	if !p.terminal {
		fmt.Fprintf(p.to, "%s\n", p.line(""))
	}
}

func (p *progress) line(words string) string {
	s := fmt.Sprintf("%d/%d  %s  %s", p.done, p.total, time.Since(p.start).Truncate(time.Second), p.what)
	if words != "" {
		s += ", " + words
	}
	return s
}

// show says what the session is at.
func (p *progress) show(words string) {
	if p.terminal {
		fmt.Fprintf(p.to, "\r\x1b[K%.79s", p.line(words))
	}
}

// clear takes the line away.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
