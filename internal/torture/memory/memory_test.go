//go:build linux && !race

package memory

// Without the race detector, under which arenas and slabs lie in Go's heap and would
// be counted in full, however little of them is used.

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	full     = flag.Bool("full", false, "measure with large sizes and all budgets")
	profiles = flag.String("profiles", "", "directory for a profile of Go's heap of each shape")
)

const mib = 1 << 20

const (
	// slackBytes is what a process may take beside the budget.
	slackBytes = 64 * mib
	// offHeapSlackBytes is by how much what the engine counts may exceed the budget, but for
	// large values that are being read: memory is taken in pieces. What readers let go of
	// comes back a moment later: an eighth may be under way.
	offHeapSlackBytes    = 2 * mib
	offHeapSlackFraction = 8
)

func TestMain(m *testing.M) {
	if text := os.Getenv(jobEnv); text != "" {
		os.Exit(runJob(text))
	}
	flag.Parse()
	os.Exit(m.Run())
}

// Every shape of use keeps within the budget and 64 MiB, and what a shape may take
// beside that.
func TestPeakMemory(t *testing.T) {
	t.Logf("%-24s %8s %8s %8s %8s %8s %8s %8s %9s %8s", "shape", "budget", "allowed", "peak", "off-heap", "large", "Go heap", "stalled", "longest", "seconds")
	for _, s := range shapes {
		budgets, sizes := []int64{16 * mib}, s.small
		if *full {
			budgets, sizes = s.budgets(), s.large
		}
		for _, budget := range budgets {
			t.Run(fmt.Sprintf("%s/budget=%d", s.name, budget/mib), func(t *testing.T) {
				measure(t, s, sizes, budget)
			})
		}
	}
}

func measure(t *testing.T, s *shape, sizes sizes, budget int64) {
	dir := t.TempDir()
	j := job{Shape: s.name, BudgetBytes: budget, Sizes: sizes, Dir: filepath.Join(dir, "db")}
	if *profiles != "" {
		j.Profile = filepath.Join(*profiles, strings.ReplaceAll(fmt.Sprintf("%s-%d.pprof", s.name, budget/mib), " ", "-"))
	}
	r, err := runChild(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	allowed := budget + slackBytes
	if s.besides != nil {
		allowed += s.besides(sizes)
	}
	t.Logf("%-24s %8d %8d %8d %8d %8d %8d %7.0f%% %6d ms %8.1f", s.name, budget/mib, allowed/mib, r.PeakBytes/mib,
		r.OffHeapBytes/mib, r.LargeBytes/mib, r.GoBytes/mib, 100*r.StalledShare, r.LongestWrite.Milliseconds(), r.Seconds)
	if r.PeakBytes > allowed {
		t.Errorf("%d MiB were resident at the peak, %d are allowed", r.PeakBytes/mib, allowed/mib)
	}
	if most := allowed - slackBytes + offHeapSlackBytes + budget/offHeapSlackFraction; r.OffHeapBytes > most {
		t.Errorf("%d KiB outside of Go's heap, at most %d are allowed: %v", r.OffHeapBytes>>10, most>>10, r.OwnerBytes)
	}
}
