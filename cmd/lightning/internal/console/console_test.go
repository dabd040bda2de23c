package console

import (
	"bytes"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for span, want := range map[time.Duration]string{
		0:                       "0 ns",
		999:                     "999 ns",
		1500:                    "1.50 µs",
		12345 * 1000:            "12.3 ms",
		9_999_999:               "10.0 ms",
		99_999_999:              "100 ms",
		2 * time.Minute:         "120 s",
		1234 * time.Millisecond: "1.23 s",
	} {
		if got := Duration(span); got != want {
			t.Errorf("Duration(%d) = %q, want %q", span, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		n    int64
		span time.Duration
		want string
	}{
		{5, 2 * time.Second, "2.5/s"},
		{5000, 2 * time.Second, "2500/s"},
		{1_000_000, 2 * time.Second, "500 K/s"},
		{57_000_000, time.Second, "57.00 M/s"},
		{300_000_000, time.Second, "300 M/s"},
		{1, 0, "-"},
	} {
		if got := Rate(c.n, c.span); got != c.want {
			t.Errorf("Rate(%d, %v) = %q, want %q", c.n, c.span, got, c.want)
		}
	}
}

func TestColoursNeedATerminal(t *testing.T) {
	var plain bytes.Buffer
	if got := StyleFor(&plain).Bold("text"); got != "text" {
		t.Errorf("without a terminal: %q", got)
	}
	if got, want := (Style{colours: true}).Bold("text"), "\x1b[1mtext\x1b[0m"; got != want {
		t.Errorf("with colours: %q, want %q", got, want)
	}
}

func TestPaddingCountsCharacters(t *testing.T) {
	if got := Left("µs", 4) + "|" + Right("São", 5); got != "µs  |  São" {
		t.Errorf("got %q", got)
	}
	if got := Left(Style{colours: true}.Good("ok"), 4); got != "\x1b[32mok\x1b[0m  " {
		t.Errorf("got %q", got)
	}
	if got := Left("too long", 3); got != "too long" {
		t.Errorf("got %q", got)
	}
}
