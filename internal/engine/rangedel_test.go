package engine

import (
	"context"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Range deletes that overlap, as those of a queue that is trimmed from its
// begin, are cut into fragments that carry all of them: n of them take n*n/2
// sequence numbers, on the Go heap. Without a bound the 6000 of this test,
// 240 KB in the memtable, took 149 MB with the first read, and a memtable of
// the default size that is full of them could not be read at all.
func TestRangeDeletesOfMemtableAreBounded(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes, opts.MemoryBudget = 1<<20, 16<<20
	db := openTest(t, opts)
	defer db.Close()
	const trims = 6000
	most := 0
	for i := range trims {
		must(t, db.Commits().DeleteRange(nil, []byte{0}, fmt.Appendf([]byte{0}, "key%08d", i), commit.Async))
		if i%100 != 0 {
			continue
		}
		rs := db.reads.State()
		for _, m := range append([]*view.Flushable{rs.Mem}, rs.Immutables...) {
			seqs := 0
			for _, f := range m.RangeDeletes().Fragments() {
				seqs += len(f.Seqs)
			}
			most = max(most, seqs)
		}
	}
	if most > maxRangeDeletes*(maxRangeDeletes+1)/2 {
		t.Errorf("a memtable holds range deletes with %d sequence numbers", most)
	}
	must(t, db.Flush(context.Background()))
}
