package console

import (
	"strings"
	"testing"
)

func TestFill(t *testing.T) {
	for _, c := range []struct {
		text          string
		indent, width int
		want          string
	}{
		{"", 2, 10, ""},
		{"one two three", 2, 20, "one two three"},
		{"one two three", 2, 8, "one two\n  three"},
		{"  one two three", 4, 8, "  one\n    two\n    three"},
		{"incomprehensible to all", 2, 8, "incomprehensible\n  to all"},
		{"µs é ü", 0, 4, "µs é\nü"},
		{"\x1b[1mab\x1b[0m cd", 0, 5, "\x1b[1mab\x1b[0m cd"},
	} {
		if got := Fill(c.text, c.indent, c.width); got != c.want {
			t.Errorf("%q in %d: %q, not %q", c.text, c.width, got, c.want)
		}
	}
}

const page = `A paragraph that was laid out for wider terminals than
this one is.

Flags:
  -l, --limit int    stop after this many records
      --json         print JSON

Examples:
  lightning scan my.db --from a --to b --reverse
`

func TestWrap(t *testing.T) {
	if got := Wrap(page, 80); got != page {
		t.Errorf("changed what fits:\n%s", got)
	}
	const at46 = `A paragraph that was laid out for wider
terminals than this one is.

Flags:
  -l, --limit int    stop after this many
                     records
      --json         print JSON

Examples:
  lightning scan my.db --from a --to b
      --reverse
`
	if got := Wrap(page, 46); got != at46 {
		t.Errorf("in 46 columns:\n%s", got)
	}
	const at30 = `  -l, --limit int
      stop after this many
      records
`
	if got := Wrap(page, 30); !strings.Contains(got, at30) {
		t.Errorf("in 30 columns:\n%s", got)
	}
}

func TestTable(t *testing.T) {
	table := Table{
		{Title: "name", Width: 6, Left: true, Bare: true}, {Title: "count", Width: 8, Bare: true},
		{Title: "p50", Width: 8}, {Title: "p99", Width: 8},
	}
	for _, c := range []struct {
		width int
		cells []string
		want  string
	}{
		{30, []string{"get", "12 gets", "1 µs", "20 µs"}, "get    12 gets    1 µs   20 µs"},
		{30, []string{"get", "12 gets"}, "get    12 gets"},
		{30, []string{"longest", "12 gets"}, "longest\n       12 gets"},
		{29, []string{"get", "12 gets", "1 µs", "20 µs"}, "get\n  12 gets  p50 1 µs  p99 20 µs"},
		{20, []string{"get", "12 gets", "1 µs", "20 µs"}, "get\n  12 gets  p50 1 µs\n  p99 20 µs"},
		{20, []string{"get", "", "1 µs"}, "get\n  p50 1 µs"},
		{20, []string{"get"}, "get"},
	} {
		if got := table.Row(c.width, c.cells...); got != c.want {
			t.Errorf("%q in %d: %q, not %q", c.cells, c.width, got, c.want)
		}
	}
	if wide, narrow := table.Head(30), table.Head(29); wide != "name     count     p50     p99" || narrow != "" {
		t.Errorf("heads %q and %q", wide, narrow)
	}
}
