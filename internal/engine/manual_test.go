package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A full level 0 is compacted before what callers ask for. While that failed,
// because the process had no descriptor left, Compact waited in vain, and with
// it whoever would have given the descriptors back.
func TestCompactReportsJobThatGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := faultfs.New(memfs.New())
		opts := testOptions(fs)
		opts.L0Files = 64
		db := openTest(t, opts)
		for range 4 {
			fillFile(t, db, "a", 100)
		}
		must(t, db.Close())
		fs.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EMFILE})
		opts.L0Files = 1
		db = openTest(t, opts)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := db.Compact(ctx, nil, nil); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("no compaction is possible, and Compact says: %v", err)
		}
		fs.Reset()
		must(t, db.Compact(ctx, nil, nil))
		must(t, db.Close())
	})
}

// Compact leaves no garbage. What a snapshot had kept at the bottom, deletes
// included, stayed there for good when the snapshot was gone, and so did old
// versions in a file that reached the bottom by a move: Compact took whatever
// is at the bottom for settled.
func TestCompactDropsWhatSnapshotsKept(t *testing.T) {
	ctx := context.Background()
	for _, deletes := range []bool{true, false} {
		db := openTest(t, testOptions(memfs.New()))
		fill(t, db, "a", 1000)
		s, err := db.Reads().Snapshot()
		must(t, err)
		if deletes {
			for i := range 1000 {
				must(t, db.Commits().Delete(nil, []byte{0}, fmt.Appendf(nil, "a%05d", i), commit.Async))
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

// The bounds of files with long keys are cut to what separates them from those beside
// them. A compaction in the midst of such files must know its room: what is cut too short
// reaches into the neighbour, and no level takes it.
func TestCompactBetweenLongKeys(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, testOptions(memfs.New()))
	alike := strings.Repeat("alike", 200)
	fill(t, db, alike, 4000)
	must(t, db.Compact(ctx, nil, nil))
	files := 0
	for _, level := range db.Metrics().Levels {
		files += level.Files
	}
	if files < 5 {
		t.Fatalf("%d files", files)
	}
	for at := 100; at < 4000; at += 300 {
		for i := range 20 {
			must(t, db.Commits().Set(nil, []byte{0}, fmt.Appendf(nil, "%s%05d", alike, at+i), []byte("new"), commit.Async))
		}
		must(t, db.Flush(ctx))
		must(t, db.Compact(ctx, fmt.Appendf([]byte{0}, "%s%05d", alike, at), fmt.Appendf([]byte{0}, "%s%05d", alike, at+10)))
	}
	must(t, db.Close())
}
