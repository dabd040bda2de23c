package engine

import (
	"context"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Range deletes that overlap, as those of a queue that is trimmed from its
// begin, were cut into fragments that carry all of them: n of them took n*n/2
// sequence numbers, on the Go heap. The 6000 of this test, 240 KB in the memtable,
// took 149 MB with the first read; later they ended the memtable after 512. Each takes
// the same now, whether somebody reads meanwhile or not, and leaves one range in the
// table, or two.
func TestTrimsOfAQueueAreSmall(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes, opts.MemoryBudget = 2<<20, 16<<20
	db := openTest(t, opts)
	defer db.Close()
	first, err := db.reads.Snapshot() // or the table, which is over nothing, is soon given up
	must(t, err)
	defer first.Close()
	const trims = 6000
	for i := range trims {
		must(t, db.Commits().DeleteRange(nil, []byte{0}, fmt.Appendf([]byte{0}, "key%08d", i), commit.Async))
		if i%100 == 0 {
			if _, err := db.Reads().AppendGet(nil, []byte("\x00key")); err != base.ErrNotFound {
				t.Fatal(err)
			}
		}
	}
	mem := db.reads.State().Mem.Table
	if each := mem.UsedBytes() / trims; mem.RangeDeletes().Count() != trims || each > 200 {
		t.Errorf("%d of the range deletes are in the memtable, in %d bytes each", mem.RangeDeletes().Count(), each)
	}
	must(t, db.Flush(context.Background()))
	files := db.reads.State().Tree.Version.Levels[0]
	// Two, where the worker that proves dead ranges came to one in the meantime.
	if len(files) != 1 || files[0].RangeDeletes > 2 || string(files[0].DeletesHi) != fmt.Sprintf("\x00key%08d", trims-1) {
		for _, f := range files {
			t.Errorf("a table of %d range deletes, %q to %q", f.RangeDeletes, f.DeletesLo, f.DeletesHi)
		}
	}
}

// What snapshots see of the range deletes of a memtable stays when it is flushed: of
// those between two snapshots the newest.
func TestSnapshotsKeepRangeDeletes(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	defer db.Close()
	key := func(i int) []byte { return fmt.Appendf(nil, "\x00%03d", i) }
	deleteRange := func(lo, hi int) {
		must(t, db.Commits().DeleteRange(nil, key(lo), key(hi), commit.Async))
	}
	for i := range 100 {
		must(t, db.Commits().Set(nil, nil, key(i), []byte("1"), commit.Async))
	}
	must(t, db.Flush(context.Background()))
	type seen struct {
		rows string
		get  func(key []byte) ([]byte, error)
	}
	var all []seen
	note := func() {
		s, err := db.reads.Snapshot()
		must(t, err)
		t.Cleanup(func() { s.Close() })
		g := func(key []byte) ([]byte, error) { return s.AppendGet(nil, key) }
		rows := ""
		for i := range 100 {
			if _, err := g(key(i)); err == nil {
				rows += fmt.Sprint(i, " ")
			}
		}
		all = append(all, seen{rows, g})
	}
	note()
	for i := range 8 {
		deleteRange(10*i, 10*i+5)
		deleteRange(10*i+3, 10*i+7) // nobody sees the one before without it
		if i%2 == 0 {
			note()
		}
	}
	check := func(when string) {
		t.Helper()
		for i, s := range all {
			rows := ""
			for n := range 100 {
				if _, err := s.get(key(n)); err == nil {
					rows += fmt.Sprint(n, " ")
				} else if err != base.ErrNotFound {
					t.Fatal(err)
				}
			}
			if rows != s.rows {
				t.Errorf("%s: snapshot %d sees %s, not %s", when, i, rows, s.rows)
			}
		}
	}
	check("in memory")
	must(t, db.Flush(context.Background()))
	check("in a table")
	must(t, db.Compact(context.Background(), nil, nil))
	check("compacted")
}
