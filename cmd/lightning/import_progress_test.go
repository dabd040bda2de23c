package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The line was 78 columns wide at 585,040 records, and on a narrower terminal
// each drawing of it took a new line.
func TestProgressFitsTheTerminal(t *testing.T) {
	states := map[string]progressState{
		"at first":     {0, 0, 1 << 20, 0},
		"many records": {585_040, 37 << 20, 120 << 20, time.Second},
		"more than is": {9_223_372_036_854_775_807, 1 << 62, 1 << 61, 1000 * time.Hour},
		"unknown size": {585_040, 37 << 20, -1, time.Second},
		"empty input":  {0, 0, 0, time.Second},
	}
	for name, state := range states {
		for width := range 120 {
			if line := state.line(width); utf8.RuneCountInString(line) > width {
				t.Errorf("%s: %q in %d columns", name, line, width)
			}
		}
	}
	for width, want := range map[int]string{
		79: "585,040 records, 585 K/s " + strings.Repeat("━", 7) + strings.Repeat("·", 17) + " 31%, 2.24 s left",
		49: "585,040 records, 585 K/s, 31%, 2.24 s left",
		39: "585,040 records, 585 K/s, 31%",
		24: "585,040 records, 585 K/s",
		19: "585,040, 585 K/s",
		10: "585,040",
		6:  "",
	} {
		if got := states["many records"].line(width); got != want {
			t.Errorf("%d columns: got %q, want %q", width, got, want)
		}
	}
}
