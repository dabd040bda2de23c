package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lightningdb/lightning/internal/workload"
)

func TestBench(t *testing.T) { runScripts(t, "bench") }

// Rows of any workload fit into the terminal, also with large numbers.
func TestBenchTableFits(t *testing.T) {
	latency := workload.NewHistogram()
	for i := range 1000 {
		latency.Record(time.Duration(i) * time.Millisecond)
	}
	for _, width := range []int{40, 80} {
		var out bytes.Buffer
		table := newBenchTable(&out, &benchFlags{})
		table.width = width
		for _, row := range append(defaultRows(), otherRows()...) {
			for unit, operations := range map[string]int64{"rows": 123_456_789, "operations": 123_456_789, "deletes": 9_999_999} {
				o := workload.Outcome{Unit: unit, Operations: operations, Elapsed: 3 * time.Second, Latency: latency}
				if err := table.row(row.name, &o); err != nil {
					t.Fatal(err)
				}
			}
		}
		for line := range strings.Lines(out.String()) {
			if columns := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); columns > width {
				t.Errorf("%d columns, not %d: %q", columns, width, line)
			}
		}
	}
}

func TestBenchRowsHaveOneNameEach(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range append(defaultRows(), otherRows()...) {
		if seen[row.name] || row.what == "" {
			t.Errorf("%q is there twice, or says nothing", row.name)
		}
		seen[row.name] = true
	}
}
