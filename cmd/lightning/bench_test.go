package main

import (
	"testing"
	"unicode/utf8"
)

func TestBench(t *testing.T) { runScripts(t, "bench") }

func TestBenchTableFits80Columns(t *testing.T) {
	line := benchLine("scan-reverse", "123,456,789 rows", "3.00 s", "57.00 M/s",
		"1.23 µs", "12.3 ms", "123 ms", "1000 ms")
	if width := utf8.RuneCountInString(line); width > 80 {
		t.Errorf("%d columns: %q", width, line)
	}
}
