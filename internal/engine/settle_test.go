package engine

import (
	"context"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/vfs/memfs"
)

// Compact leaves no garbage. What a snapshot had kept at the bottom, deletes
// included, stayed there for good when the snapshot was gone, and so did old
// versions in a file that reached the bottom by a move: Compact took whatever
// is at the bottom for settled.
func TestCompactDropsWhatSnapshotsKept(t *testing.T) {
	ctx := context.Background()
	for _, deletes := range []bool{true, false} {
		db := openTest(t, testOptions(memfs.New()))
		fill(t, db, "a", 1000)
		s, err := db.Snapshot()
		must(t, err)
		if deletes {
			for i := range 1000 {
				must(t, db.Delete(nil, []byte{0}, fmt.Appendf(nil, "a%05d", i), Async))
			}
		} else {
			fill(t, db, "a", 1000)
		}
		must(t, db.Compact(ctx, nil, nil))
		for i := range 1000 {
			if _, err := s.AppendGet(nil, fmt.Appendf([]byte{0}, "a%05d", i)); err != nil {
				t.Fatalf("row %d of the snapshot: %v", i, err)
			}
		}
		must(t, s.Close())
		must(t, db.Compact(ctx, nil, nil))
		records, want := uint64(0), uint64(1000)
		if deletes {
			want = 0
		}
		for _, level := range db.Metrics().Levels {
			records += level.Records
		}
		if records != want {
			t.Errorf("%d records are left of %d rows", records, want)
		}
		must(t, db.Close())
	}
}
