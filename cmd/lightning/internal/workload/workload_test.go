package workload

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
)

func small(t *testing.T) Config {
	return Config{
		Dir: filepath.Join(t.TempDir(), "db"), Records: 500, ValueBytes: 21, Goroutines: 2,
		BatchRecords: 1, ReadTime: time.Millisecond, Durability: lightning.Async,
	}
}

func open(t *testing.T, config Config) *Runner {
	t.Helper()
	r, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func mustRun(t *testing.T, r *Runner, name string) Result {
	t.Helper()
	result, err := r.Run(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestAllWorkloads(t *testing.T) {
	r := open(t, small(t))
	for _, name := range Names() {
		result := mustRun(t, r, name)
		if result.Operations == 0 || result.Elapsed == 0 || result.Unit == "" || result.Name != name {
			t.Errorf("%s: %+v", name, result)
		}
		if result.Latency != nil && (result.Latency.TotalCount() == 0 || result.Sampled == "") {
			t.Errorf("%s: no latencies", name)
		}
		if Describe(name) == "" {
			t.Errorf("%s: no description", name)
		}
	}
	if _, err := r.Run(t.Context(), "nonsense"); err == nil || Describe("nonsense") != "" {
		t.Error("nonsense is no workload")
	}
}

func TestFillInBatches(t *testing.T) {
	config := small(t)
	config.BatchRecords = 64
	r := open(t, config)
	if result := mustRun(t, r, "fill"); result.Operations != config.Records {
		t.Errorf("%d operations", result.Operations)
	}
	mustRun(t, r, "full-scan")
}

// TestWrongAnswersAreFound damages the data in every way a workload can see.
func TestWrongAnswersAreFound(t *testing.T) {
	var first, absent [KeyBytes]byte
	makeKey(&first, 0)
	makeKey(&absent, 500)
	value := make([]byte, 21)
	makeValue(value, absent[:])
	for name, c := range map[string]struct {
		damage func(*lightning.DB) error
		found  []string // by these
	}{
		"a record is missing": {
			func(db *lightning.DB) error { return db.Delete(first[:]) },
			[]string{"full-scan", "reopen"},
		},
		"all records are missing": {
			func(db *lightning.DB) error { return db.DeleteRange(nil, nil) },
			[]string{"get-uniform", "get-hot", "scan", "scan-new", "full-scan", "reopen"},
		},
		"a value is wrong": {
			func(db *lightning.DB) error { return db.Put(first[:], value) },
			[]string{"full-scan", "reopen"},
		},
		"a record is there that was never put": {
			func(db *lightning.DB) error { return db.Put(absent[:], value) },
			[]string{"full-scan"},
		},
		"a key is none of ours": {
			func(db *lightning.DB) error { return db.Put([]byte("0123456789abcdef"), value) },
			[]string{"full-scan"},
		},
		"nothing": {func(*lightning.DB) error { return nil }, nil},
	} {
		r := open(t, small(t))
		mustRun(t, r, "fill")
		if err := c.damage(r.db); err != nil {
			t.Fatal(err)
		}
		for _, workload := range []string{"get-uniform", "get-hot", "scan", "scan-new", "full-scan", "reopen"} {
			_, err := r.Run(t.Context(), workload)
			if slices.Contains(c.found, workload) && (err == nil || !strings.Contains(err.Error(), "wrong answer")) {
				t.Errorf("%s: %s did not see it: %v", name, workload, err)
			}
			if c.found == nil && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestCheckValue(t *testing.T) {
	var key [KeyBytes]byte
	makeKey(&key, 1)
	for _, size := range []int{0, 1, 7, 8, 9, 100} {
		value := make([]byte, size)
		makeValue(value, key[:])
		if err := checkRecord(key[:], value, size); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		for i := range value {
			value[i] ^= 1
			if checkRecord(key[:], value, size) == nil {
				t.Errorf("%d bytes: a flip at %d went unseen", size, i)
			}
			value[i] ^= 1
		}
		if checkValue(key[:], append(value, 0), size) == nil {
			t.Errorf("%d bytes: one too many went unseen", size)
		}
		if size > 0 && checkValue(key[:], value[:size-1], size) == nil {
			t.Errorf("%d bytes: one too few went unseen", size)
		}
	}
}

func TestRandomCoversItsRange(t *testing.T) {
	seen := map[int64]bool{}
	numbers := random(1)
	for range 1000 {
		n := numbers.below(10)
		if n < 0 || n >= 10 {
			t.Fatalf("%d is not below 10", n)
		}
		seen[n] = true
	}
	if len(seen) != 10 {
		t.Errorf("only %d numbers of 10", len(seen))
	}
}

func TestCancelledWorkloadsStop(t *testing.T) {
	r := open(t, small(t))
	mustRun(t, r, "fill")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"fill", "get-uniform", "scan", "full-scan"} {
		if _, err := r.Run(ctx, name); err == nil {
			t.Errorf("%s went on", name)
		}
	}
}

func TestValidate(t *testing.T) {
	good := small(t)
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Config){
		"records":    func(c *Config) { c.Records = 0 },
		"value":      func(c *Config) { c.ValueBytes = -1 },
		"goroutines": func(c *Config) { c.Goroutines = 0 },
		"batch":      func(c *Config) { c.BatchRecords = 0 },
		"time":       func(c *Config) { c.ReadTime = 0 },
	} {
		bad := good
		spoil(&bad)
		if _, err := Open(bad); err == nil {
			t.Errorf("bad %s was accepted", name)
		}
	}
}

func BenchmarkMakeAndCheck(b *testing.B) {
	b.ReportAllocs()
	var key [KeyBytes]byte
	value := make([]byte, 100)
	n := int64(0)
	for b.Loop() {
		makeKey(&key, n)
		makeValue(value, key[:])
		if err := checkValue(key[:], value, 100); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
