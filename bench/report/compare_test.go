package report

import (
	"strings"
	"testing"

	"github.com/lightningdb/lightning/bench/result"
)

func TestCompareVerdicts(t *testing.T) {
	c, err := Compare(fixedRun(t), changedRun(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Verdict{
		"load-random lightning": Regression,
		"get-uniform lightning": Improvement,
		"open-clean lightning":  Regression,
		"open-clean pebble":     Improvement,
	}
	for _, change := range c.Changes {
		name := change.Workload + " " + change.Engine
		if change.Verdict != want[name] {
			t.Errorf("%s: %s (%+.3f, noise %.3f)", name, change.Verdict, change.Change, change.Noise)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not compared: %v", want)
	}
	if n := c.Regressions(); n != 2 {
		t.Errorf("%d regressions; want 2", n)
	}
	findings := map[string]Verdict{
		"write amplification": Regression, "disk": Improvement, "p99.9": Regression,
	}
	if len(c.Findings) != len(findings) {
		t.Errorf("findings %+v", c.Findings)
	}
	for _, f := range c.Findings {
		if f.Verdict != findings[f.Measure] || f.Engine != ownEngine {
			t.Errorf("%+v", f)
		}
	}
}

func TestCompareWithItself(t *testing.T) {
	run := fixedRun(t)
	c, err := Compare(run, run)
	if err != nil {
		t.Fatal(err)
	}
	if c.Regressions() != 0 || len(c.Findings) != 0 || len(c.Warnings) != 0 {
		t.Errorf("%+v", c)
	}
	for _, change := range c.Changes {
		single := change.Workload == "put-sync" || change.Workload == "sustained-mix"
		if change.NoiseKnown == single || (single && change.Noise != noiseUnknown) {
			t.Errorf("%+v", change)
		}
		if change.Noise < noiseLeast {
			t.Errorf("%+v: less noise than is believed", change)
		}
	}
}

// TestCompareNoise: the larger spread of the two runs is what counts.
func TestCompareNoise(t *testing.T) {
	runOf := func(rates ...int64) *result.Run {
		var run result.Run
		for i, r := range rates {
			run.Rows = append(run.Rows, result.Row{
				Workload: "w", Engine: ownEngine, Unit: "gets", Repeat: i + 1, Operations: r, Seconds: 1,
			})
		}
		return &run
	}
	calm, wild := runOf(99, 100, 101), runOf(70, 80, 110)
	for _, pair := range [][2]*result.Run{{calm, wild}, {wild, calm}} {
		c, err := Compare(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Changes[0]; got.Noise != 0.5 || got.Verdict != Same {
			t.Errorf("%+v", got)
		}
	}
	for _, pair := range [][2]*result.Run{{calm, runOf(80)}, {runOf(80), calm}} {
		c, err := Compare(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Changes[0]; got.NoiseKnown || got.Verdict != Same {
			t.Errorf("with one repeat in a run: %+v", got)
		}
	}
	c, err := Compare(calm, runOf(80, 80))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Changes[0]; got.Noise != noiseLeast || got.Verdict != Regression {
		t.Errorf("%+v", got)
	}
}

func TestCompareConfig(t *testing.T) {
	for name, change := range map[string]func(*result.Config){
		"records":      func(c *result.Config) { c.Records++ },
		"key bytes":    func(c *result.Config) { c.KeyBytes++ },
		"value bytes":  func(c *result.Config) { c.ValueBytes++ },
		"durability":   func(c *result.Config) { c.Durability = "sync" },
		"goroutines":   func(c *result.Config) { c.Goroutines++ },
		"memory bytes": func(c *result.Config) { c.MemoryBytes++ },
	} {
		other := copied(t, fixedRun(t))
		change(&other.Config)
		_, err := Compare(fixedRun(t), other)
		if err == nil || !strings.Contains(err.Error(), "differ in "+name+" (") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
