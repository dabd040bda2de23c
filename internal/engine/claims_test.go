package engine

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func (c *claims) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.claimed)
}

// Nobody gets what another has claimed, be it for a job or because it can go
// unread.
func TestClaims(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	fillFile(t, db, "a", 100)
	fillFile(t, db, "b", 100)
	files := db.reads.State().Tree.Version.Levels[0]
	pick := func(inputs ...*manifest.FileMeta) *compact.Job {
		return db.claims.takeJob(func(*manifest.Version, func(*manifest.FileMeta) bool) *compact.Job {
			return &compact.Job{Inputs: [2][]*manifest.FileMeta{inputs}}
		})
	}
	everything := rangedel.Build([]rangedel.Tombstone{{Lo: []byte{0}, Hi: []byte{1}, Seq: base.SeqNumMax}})
	job := pick(files[0])
	if job == nil || pick(files...) != nil || db.claims.count() != 1 {
		t.Fatalf("%v; then %d files are claimed", job, db.claims.count())
	}
	covered := db.claims.takeCovered(everything)
	if len(covered) != 1 || covered[0].Num != files[1].Num {
		t.Fatalf("%v goes unread", covered)
	}
	db.claims.releaseJob(job)
	if pick(files[1]) != nil || pick(files...) != nil || len(db.claims.takeCovered(rangedel.Build(nil))) != 0 {
		t.Error("what is about to go unread is to be had")
	}
	db.claims.release(covered)
	if job = pick(files...); job == nil || len(db.claims.takeCovered(everything)) != 0 {
		t.Errorf("%v, and some of it goes unread", job)
	}
	db.claims.releaseJob(job)
	if n := db.claims.count(); n != 0 {
		t.Errorf("%d files are claimed in the end", n)
	}
	must(t, db.Close())
}

// A file stays claimed until the edit that takes it out is installed: whoever finds
// it in the tree before that may not have it. Then nothing is left of the claim.
func TestClaimsOutliveTheEdit(t *testing.T) {
	ctx := context.Background()
	faulty := faultfs.New(memfs.New())
	db := openTest(t, testOptions(faulty))
	var most atomic.Int64 // claims that an edit has seen
	faulty.Add(faultfs.Rule{Kinds: vfs.OpWrite, Name: "*.manifest", Sticky: true, Before: func(vfs.Op) {
		most.Store(max(most.Load(), int64(db.claims.count())))
	}})
	check := func(what string, files int64) {
		t.Helper()
		// The table of a range delete over nothing is soon given up, too.
		must(t, db.changed.Wait(ctx, func() bool { return db.claims.count() == 0 }))
		if most.Load() != files || db.claims.count() != 0 {
			t.Errorf("%s: %d files were claimed during the edit, want %d; %d are after it",
				what, most.Load(), files, db.claims.count())
		}
		most.Store(0)
	}
	fillFile(t, db, "a", 300)
	fillFile(t, db, "a", 300)
	check("a flush of new rows", 0)
	must(t, db.Commits().DeleteRange(nil, []byte("\x00"), []byte("\x01"), commit.Async))
	must(t, db.Flush(ctx))
	check("a flush of a range delete over two files", 2)
	fillFile(t, db, "a", 300)
	must(t, db.Compact(ctx, nil, nil))
	if most.Load() == 0 {
		t.Error("no inputs were claimed during the edit of a compaction")
	}
	must(t, db.Close())
	if n := db.claims.count(); n != 0 {
		t.Errorf("%d files are claimed in the end", n)
	}
}

// A file goes unread only if nobody can see anything in it: a tombstone newer than
// all of it covers it entirely, and no snapshot stands between.
func TestCoveredFiles(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	fillFile(t, db, "a", 100)
	old, err := db.reads.Snapshot()
	must(t, err)
	fillFile(t, db, "b", 100)
	levelZero := db.reads.State().Tree.Version.Levels[0]
	newer, older := levelZero[0], levelZero[1]
	covered := func(lo, hi []byte, seq base.SeqNum) (nums []base.FileNum) {
		list := db.claims.takeCovered(rangedel.Build([]rangedel.Tombstone{{Lo: lo, Hi: hi, Seq: seq}}))
		db.claims.release(list)
		for _, f := range list {
			nums = append(nums, f.Num)
		}
		return nums
	}
	inside := append(bytes.Clone(newer.Lo), 0)
	for _, c := range []struct {
		what   string
		lo, hi []byte
		seq    base.SeqNum
		want   []base.FileNum
	}{
		{"exactly", newer.Lo, newer.Hi, 1000, []base.FileNum{newer.Num}},
		{"not the begin", inside, newer.Hi, 1000, nil},
		{"not the end", newer.Lo, newer.Hi[:len(newer.Hi)-1], 1000, nil},
		{"with older data, which a snapshot sees", []byte{0}, []byte{1}, 1000, []base.FileNum{newer.Num}},
		{"as new as its newest", newer.Lo, newer.Hi, newer.LargestSeq, nil},
		{"newer than its newest", newer.Lo, newer.Hi, newer.LargestSeq + 1, []base.FileNum{newer.Num}},
		{"all that the snapshot sees", older.Lo, older.Hi, old.Seq() + 1, nil},
		{"no newer than what it covers", older.Lo, older.Hi, old.Seq(), nil},
	} {
		if got := covered(c.lo, c.hi, c.seq); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v goes unread, want %v", c.what, got, c.want)
		}
	}
	middle := []byte("\x00b00050")
	for what, c := range map[string]struct {
		deletes []rangedel.Tombstone
		goes    bool
	}{
		"by two":                  {[]rangedel.Tombstone{{Lo: newer.Lo, Hi: middle, Seq: 1000}, {Lo: middle, Hi: newer.Hi, Seq: 1001}}, true},
		"by two with a gap":       {[]rangedel.Tombstone{{Lo: newer.Lo, Hi: middle, Seq: 1000}, {Lo: append(middle, 0), Hi: newer.Hi, Seq: 1000}}, false},
		"by one that is too old":  {[]rangedel.Tombstone{{Lo: newer.Lo, Hi: middle, Seq: newer.LargestSeq}, {Lo: middle, Hi: newer.Hi, Seq: 1001}}, false},
		"by another too old":      {[]rangedel.Tombstone{{Lo: newer.Lo, Hi: middle, Seq: 1001}, {Lo: middle, Hi: newer.Hi, Seq: newer.LargestSeq}}, false},
		"by a window that moves":  {[]rangedel.Tombstone{{Lo: []byte{0}, Hi: middle, Seq: 1000}, {Lo: []byte{0}, Hi: newer.Hi, Seq: 1001}}, true},
		"by a window not far yet": {[]rangedel.Tombstone{{Lo: []byte{0}, Hi: middle, Seq: 1001}, {Lo: []byte{0}, Hi: newer.Hi, Seq: newer.LargestSeq}}, false},
	} {
		list := db.claims.takeCovered(rangedel.Build(c.deletes))
		db.claims.release(list)
		if got := slices.ContainsFunc(list, func(f manifest.LevelNum) bool { return f.Num == newer.Num }); got != c.goes {
			t.Errorf("%s: it goes unread: %v", what, got)
		}
	}
	everything := rangedel.Build([]rangedel.Tombstone{{Lo: []byte{0}, Hi: []byte{1}, Seq: 1000}})
	if got := db.claims.coveredBytes(everything, 1000); got != newer.SizeBytes {
		t.Errorf("%d bytes go unread, want %d", got, newer.SizeBytes)
	}
	if got := db.claims.coveredBytes(everything, 999); got != 0 {
		t.Errorf("%d bytes go unread although the range delete is not seen", got)
	}
	must(t, old.Close())
	if got := covered([]byte{0}, []byte{1}, 1000); len(got) != 2 {
		t.Errorf("without a snapshot %v goes unread", got)
	}
	must(t, db.Close())
}
