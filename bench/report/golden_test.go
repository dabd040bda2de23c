package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/lightningdb/lightning/bench/result"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// fixedRun is a run made by hand: with engines that miss workloads, a repeat
// that is missing, a single repeat, notes, paced latency, a time line, and opens.
func fixedRun(t *testing.T) *result.Run {
	t.Helper()
	run, err := result.Load(filepath.Join("testdata", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// copied returns a run that can be changed without the other.
func copied(t *testing.T, run *result.Run) *result.Run {
	t.Helper()
	b, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	var other result.Run
	if err := json.Unmarshal(b, &other); err != nil {
		t.Fatal(err)
	}
	return &other
}

func rendered(t *testing.T, write func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func checkGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is written; see the difference with -rewrite.\n%s", path, got)
	}
}

func TestGolden(t *testing.T) {
	run := fixedRun(t)
	for name, write := range map[string]func(io.Writer, *result.Run) error{
		"run.txt":     Text,
		"run.md":      Markdown,
		"summary.svg": Summary,
	} {
		t.Run(name, func(t *testing.T) {
			checkGolden(t, name, rendered(t, func(w io.Writer) error { return write(w, run) }))
		})
	}
}

func TestGoldenComparison(t *testing.T) {
	c, err := Compare(fixedRun(t), changedRun(t))
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "compare.txt", rendered(t, c.Text))
}

// changedRun is the fixed run as a later build might have measured it.
func changedRun(t *testing.T) *result.Run {
	run := copied(t, fixedRun(t))
	run.Commit, run.Host.CPU = "0123abc", "AMD EPYC 9554"
	run.Engines[1].Version = "v2.2.0"
	kept := run.Rows[:0]
	for _, r := range run.Rows {
		switch r.Workload + " " + r.Engine {
		case "load-random lightning":
			r.Seconds *= 1.5 // beyond the noise of 13 %
			r.WrittenBytes = r.WrittenBytes * 9 / 8
			r.DiskBytes = r.DiskBytes * 7 / 8
			r.Latency.P999 *= 3
		case "get-uniform lightning":
			r.Operations += r.Operations / 4
		case "scan-100 lightning":
			r.Operations -= r.Operations / 25 // within the least noise
		case "put-sync lightning":
			r.Seconds *= 1.25 // a single repeat: not beyond 30 %
		case "open-clean lightning":
			r.Seconds *= 2
		case "open-clean pebble":
			r.Seconds /= 2
		case "scan-100 bbolt":
			continue
		case "sustained-mix badger":
			r.Goroutines = 4
		}
		kept = append(kept, r)
	}
	run.Rows = append(kept, result.Row{
		Workload: "scan-100", Engine: "badger", Repeat: 1, Unit: "rows", Operations: 9, Seconds: 3,
	})
	return run
}
