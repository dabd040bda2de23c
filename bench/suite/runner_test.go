package suite

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/result"
	"github.com/lightningdb/lightning/internal/workload"
)

func small() Config {
	return Config{
		Config: workload.Config{
			Records: 3001, ValueBytes: 40, Goroutines: 2,
			WarmUp: time.Millisecond, Time: 10 * time.Millisecond, LoadLimit: time.Minute,
			SustainedTime: time.Second, SustainedRate: 5000,
		},
		Durability: engine.Async, MemoryBytes: 16 << 20, LargeDataBytes: 8 << 20, ColdDataBytes: 1 << 20,
	}
}

// runGroup runs all phases of a group in this process.
func runGroup(t *testing.T, e engine.Engine, g Group, wanted []string) (rows []result.Row, err error) {
	t.Helper()
	dir := t.TempDir()
	for i := range g.Phases {
		if !g.Phases[i].Wanted(wanted) {
			continue
		}
		r := New(e, dir, g.Configure(small()), func(string) {})
		err = r.RunPhase(t.Context(), &g, i, wanted, func(row result.Row) error {
			rows = append(rows, row)
			return nil
		})
		if err := errors.Join(err, r.Close()); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func TestAllWorkloads(t *testing.T) {
	e, err := engine.Lookup("lightning")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range Groups() {
		rows, err := runGroup(t, e, g, Names())
		if err != nil {
			t.Fatalf("%s: %v", g.Name, err)
		}
		for _, row := range rows {
			names = append(names, row.Workload)
			if row.Operations == 0 || row.Seconds <= 0 || row.Unit == "" || row.Goroutines == 0 ||
				row.Durability == "" || row.Engine != "lightning" || row.CPUSeconds < 0 {
				t.Errorf("%+v", row)
			}
			if row.Latency == nil && row.Unit != "opens" && row.Workload != "full-scan" {
				t.Errorf("%s: no latencies", row.Workload)
			}
		}
	}
	if !slices.Equal(names, Names()) {
		t.Errorf("rows of %v, not of %v", names, Names())
	}
}

// Caches take part where nothing but gets and puts is needed, and do all of that.
func TestCachesTakePart(t *testing.T) {
	for _, name := range engine.Names() {
		e, err := engine.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if !e.Cache {
			continue
		}
		var done []string
		for _, g := range Groups() {
			if !g.TakesPart(e) {
				continue
			}
			rows, err := runGroup(t, e, g, Names())
			if err != nil {
				t.Fatalf("%s of %s: %v", g.Name, name, err)
			}
			for _, row := range rows {
				done = append(done, row.Workload)
			}
		}
		if !slices.Equal(done, []string{"cache-hot", "cache-uniform"}) {
			t.Errorf("%s did %v", name, done)
		}
	}
}

func TestValidate(t *testing.T) {
	c := small()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Records = 10 },
		func(c *Config) { c.ValueBytes = 3 },
		func(c *Config) { c.Goroutines = 0 },
		func(c *Config) { c.MemoryBytes = 1 },
		func(c *Config) { c.SustainedRate = 1 },
		func(c *Config) { c.SustainedTime = 0 },
		func(c *Config) { c.Durability = "never" },
	} {
		c := small()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("accepted %+v", c)
		}
	}
	if err := Check([]string{"get-hot", "nonsense"}); err == nil {
		t.Error("nonsense is no workload")
	}
}
