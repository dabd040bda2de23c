package engine

import (
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// know makes what lies before a row, or has lain there, a dead range as of now, whether
// it is dead or not. The worker, which has notes of its own, is beside it.
func (db *DB) know(rows int) {
	for !slices.ContainsFunc(db.reads.Dead.Active(), func(r *deadrange.Range) bool {
		return string(r.Lo) == string(reapedKey(0)) && string(r.Hi) >= string(reapedKey(rows))
	}) {
		now := db.reads.VisibleSeq()
		db.reads.Dead.Prove(db.reads.Dead.NewWalk(now), reapedKey(0), reapedKey(rows), now, 0)
	}
}

func (db *DB) deleteRows(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		must(t, db.Commits().Delete(nil, nil, reapedKey(i), commit.Async))
	}
}

// What was deleted singly and is known to be dead is one range tombstone in the table,
// and tables under it go unread.
func TestDeadRangesAreFlushed(t *testing.T) {
	synctest.Test(t, deadRangesAreFlushed)
}

func deadRangesAreFlushed(t *testing.T) {
	db := settled(t)
	before, read := db.tableBytes(), db.Metrics().CompactionRead
	const dead = reapedRows * 9 / 10
	db.deleteRows(t, 0, dead)
	db.know(dead)
	synctest.Wait() // the worker's own proof, an iterator, would keep the single deletes
	must(t, db.Flush(t.Context()))
	v := db.reads.State().Tree.Version
	if got := db.tableBytes(); got > before*3/20 {
		t.Errorf("%d of %d bytes are left after the flush", got, before)
	}
	if flushed := v.Levels[0]; len(flushed) == 1 && (flushed[0].RangeDeletes != 1 || flushed[0].Deletes > 1) {
		t.Errorf("flushed are %d deletes and %d range deletes", flushed[0].Deletes, flushed[0].RangeDeletes)
	}
	if n := db.Metrics().CompactionRead - read; n > int64(before/10) {
		t.Errorf("%d bytes were read for it", n)
	}
	if got, want := firstKey(t, db, "\x00"), string(reapedKey(dead)); got != want {
		t.Errorf("the first key is %q, want %q", got, want)
	}
	must(t, db.Close())
}

// A proof that cannot read the tables is none, and the flush goes on without it: a row in
// what was taken for dead is still there.
func TestDeadRangesThatCannotBeProved(t *testing.T) {
	const dead, alive = reapedRows * 9 / 10, reapedRows / 2
	for failing := range int64(20) {
		fs := memfs.New()
		db := settledWith(t, testOptions(fs))
		old := fileNames(t, fs, ".sst")
		db.deleteRows(t, 0, alive)
		db.deleteRows(t, alive+1, dead)
		db.know(dead)
		var reads atomic.Int64
		fs.SetHook(func(op vfs.Op) error {
			if op.Kind == vfs.OpRead && slices.Contains(old, filepath.Base(op.Name)) && reads.Add(1) > failing {
				return syscall.EIO
			}
			return nil
		})
		must(t, db.Flush(t.Context()))
		fs.SetHook(nil)
		db.reads.Dead.Upset()
		db.reads.Dead.Calm()
		if got, want := firstKey(t, db, "\x00"), string(reapedKey(alive)); got != want {
			t.Errorf("after %d reads the first key is %q, want %q", failing, got, want)
		}
		must(t, db.Close())
	}
}

// What a scan has found in memory that users can reach is not believed: a row in a dead
// range ends what is written of it.
func TestDeadRangesAreProvedAgain(t *testing.T) {
	for _, alive := range []int{0, 1, 500, reapedRows*9/10 - 1} {
		db := settled(t)
		const dead = reapedRows * 9 / 10
		for i := range dead {
			if i != alive {
				db.deleteRows(t, i, i+1)
			}
		}
		db.know(dead)
		must(t, db.Flush(t.Context()))
		db.reads.Dead.Upset()
		db.reads.Dead.Calm()
		if got, want := firstKey(t, db, "\x00"), string(reapedKey(alive)); got != want {
			t.Errorf("the first key is %q, want %q", got, want)
		}
		must(t, db.Close())
	}
}

// A row that expires is none of what is dead for good, and a snapshot that is older
// than the deletes sees what it saw.
func TestDeadRangesOfOthers(t *testing.T) {
	db := settled(t)
	s, err := db.reads.Snapshot()
	must(t, err)
	const dead = reapedRows * 9 / 10
	db.deleteRows(t, 0, dead)
	expiry := base.Instant(1) // which has passed
	must(t, db.Commits().SetExpiring(nil, nil, reapedKey(dead/2), []byte("v"), expiry, commit.Async))
	db.know(dead)
	must(t, db.Flush(t.Context()))
	for _, f := range db.reads.State().Tree.Version.Levels[0] {
		if f.RangeDeletes != 1 || f.Deletes < dead/2-1 {
			t.Errorf("flushed are %d deletes and %d range deletes", f.Deletes, f.RangeDeletes)
		}
	}
	it, err := s.NewIterator(view.IterOptions{Lower: []byte{0}})
	must(t, err)
	rows := 0
	for ok := it.First(); ok; ok = it.Next() {
		rows++
	}
	must(t, it.Err())
	must(t, it.Close())
	if rows != reapedRows {
		t.Errorf("the snapshot sees %d rows, want %d", rows, reapedRows)
	}
	must(t, s.Close())
	must(t, db.Close())
}

// Where users have written into memory nothing that was found there is used.
func TestOverwrittenMemoryProvesNothing(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes = 1 << 20
	db := openTest(t, opts)
	const dead = 2000
	for i := range dead + 10 {
		if i != 7 {
			must(t, db.Commits().Set(nil, nil, reapedKey(i), make([]byte, 100), commit.Async))
		}
	}
	must(t, db.Flush(t.Context()))
	must(t, db.Commits().Set(nil, nil, reapedKey(7), []byte("alive"), commit.Async))
	db.deleteRows(t, 0, 7)
	db.deleteRows(t, 8, dead)
	it := db.reads.State().Mem.NewIter()
	copy(it.SeekGE(reapedKey(7)).Key, reapedKey(6)) // whose newest version is a delete
	must(t, it.Close())
	db.know(dead)
	must(t, db.Flush(t.Context()))
	if got, want := firstKey(t, db, "\x00"), string(reapedKey(7)); got != want {
		t.Errorf("the first key is %q, want %q", got, want)
	}
	must(t, db.Close())
}

// Deletes in ascending order are known as a dead range before anybody has scanned there,
// but for the last few, and are no more than that after the database was opened again.
func TestDeletedHeadIsKnown(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes = 1 << 20
	db := openTest(t, opts)
	for i := range reapedRows {
		must(t, db.Commits().Set(nil, nil, reapedKey(i), make([]byte, 100), commit.Async))
	}
	must(t, db.Compact(t.Context(), nil, nil))
	const dead, lastFew = reapedRows * 9 / 10, 256
	db.deleteRows(t, 0, dead)
	for db.reads.Dead.Find(reapedKey(dead-lastFew), base.SeqNumMax, base.InstantMax) == nil {
		must(t, db.commits.Alone(t.Context(), func() error { return nil })) // the worker is about to prove it
	}
	must(t, db.Close())

	db = openTest(t, opts)
	records := uint64(0)
	for _, level := range db.Metrics().Levels {
		records += level.Records
	}
	if most := uint64(reapedRows - dead + 3*lastFew); records > most { // some of a table that is covered in part
		t.Errorf("%d records are left to be passed, want at most %d", records, most)
	}
	if got, want := firstKey(t, db, "\x00"), string(reapedKey(dead)); got != want {
		t.Errorf("the first key is %q, want %q", got, want)
	}
	must(t, db.Close())
}

// What a window that has moved on by many range deletes leaves is flushed as one range
// tombstone: the tables that it has passed leave the tree unread.
func TestWindowIsFlushedAsOneRangeDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := settled(t)
		before, read := db.tableBytes(), db.Metrics().CompactionRead
		const step, steps = reapedRows / 1000, 900 // so many that the flush is worth the proof
		for i := range steps {
			must(t, db.Commits().DeleteRange(nil, reapedKey(i*step), reapedKey((i+1)*step), commit.Async))
			synctest.Wait() // the worker's proof
		}
		must(t, db.Flush(t.Context()))
		synctest.Wait()
		const notNoted = 16
		if flushed := db.reads.State().Tree.Version.Levels[0]; len(flushed) == 1 && flushed[0].RangeDeletes > notNoted {
			t.Errorf("flushed are %d range deletes", flushed[0].RangeDeletes)
		}
		if n := db.Metrics().CompactionRead - read; n > int64(before/5) {
			t.Errorf("%d of %d bytes were read to get rid of what is left", n, before)
		}
		if got := db.tableBytes(); got > before/5 {
			t.Errorf("%d of %d bytes are left", got, before)
		}
		if got, want := firstKey(t, db, "\x00"), string(reapedKey(steps*step)); got != want {
			t.Errorf("the first key is %q, want %q", got, want)
		}
		must(t, db.Close())
	})
}
