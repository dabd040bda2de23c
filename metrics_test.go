package lightning_test

import (
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestAbortRate(t *testing.T) {
	for _, c := range []struct {
		commits, conflicts int64
		want               float64
	}{{0, 0, 0}, {5, 0, 0}, {3, 1, 0.25}, {0, 2, 1}} {
		m := lightning.TransactionMetrics{Commits: c.commits, Conflicts: c.conflicts}
		if got := m.AbortRate(); got != c.want {
			t.Errorf("%d commits, %d conflicts: %v, want %v", c.commits, c.conflicts, got, c.want)
		}
	}
}

// The figures can be asked where they are returned, without a variable.
func TestMetricsAreValues(t *testing.T) {
	db := open(t, small(memfs.New()))
	if n := db.Metrics().DiskBytes(); n != 0 {
		t.Errorf("an empty database takes %d bytes", n)
	}
	fill(t, db, 100)
	must(t, db.Flush(t.Context()))
	if n := db.Metrics().DiskBytes(); n == 0 {
		t.Error("a hundred rows take no space")
	}
	if a := db.Metrics().WriteAmplification(); a <= 1 {
		t.Errorf("everything was written to log and table: %v", a)
	}
	if r := db.Metrics().Transactions.AbortRate(); r != 0 {
		t.Errorf("nothing was refused: %v", r)
	}
}
