package engine

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const reapedRows = 4000

func reapedKey(i int) []byte { return fmt.Appendf(nil, "\x00%06d", i) }

// settled returns a database of rows at the bottom, all in a few tables.
func settled(t *testing.T) *DB { return settledWith(t, testOptions(memfs.New())) }

func settledWith(t *testing.T, opts Options) *DB {
	t.Helper()
	opts.MemtableBytes = 1 << 20
	db := openTest(t, opts)
	value := make([]byte, 100)
	for i := range reapedRows {
		must(t, db.Commits().Set(nil, nil, reapedKey(i), value, commit.Async))
	}
	must(t, db.Compact(t.Context(), nil, nil))
	return db
}

// pass lets time go by in a bubble, and everybody do what is due then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (db *DB) tableBytes() uint64 { return treeBytes(db.reads.State().Tree) }

// deleteSingly deletes all rows but one in so many.
func (db *DB) deleteSingly(t *testing.T, one int) {
	t.Helper()
	for i := range reapedRows {
		if i%one != 0 {
			must(t, db.Commits().Delete(nil, nil, reapedKey(i), commit.Async))
		}
	}
}

// wantLive looks whether the tables take at most 1.3 times what the rows that are left
// took, and whether nothing is left to do.
func (db *DB) wantLive(t *testing.T, before uint64, one int) {
	t.Helper()
	if got, most := db.tableBytes(), before*13/10/uint64(one); got > most {
		t.Errorf("the tables take %d bytes, want at most %d", got, most)
	}
	m := db.Metrics()
	if m.CompactionDebt != 0 || m.BackgroundErr != nil {
		t.Errorf("a debt of %d bytes is left, error: %v", m.CompactionDebt, m.BackgroundErr)
	}
	rows := 0
	for i := range reapedRows {
		if db.has(t, reapedKey(i)) {
			rows++
		}
	}
	if rows != reapedRows/one {
		t.Errorf("there are %d rows, want %d", rows, reapedRows/one)
	}
}

func (db *DB) has(t *testing.T, key []byte) bool {
	t.Helper()
	return db.lives(t, string(key[1:]))
}

// Deletes that nobody flushes are flushed when it is quiet, and what they end goes.
func TestIdleDeletesGiveSpaceBack(t *testing.T) {
	inBubble(t, "singly", func(t *testing.T) {
		db := settled(t)
		before := db.tableBytes()
		db.deleteSingly(t, 10)
		pass(reapQuiet - reapEvery)
		if db.tableBytes() != before {
			t.Error("deletes were flushed before it was quiet")
		}
		pass(4 * reapEvery)
		db.wantLive(t, before, 10)
		must(t, db.Close())
	})
	inBubble(t, "by ranges", func(t *testing.T) {
		db := settled(t)
		before := db.tableBytes()
		for i := 0; i < reapedRows; i += 10 { // no table is covered as a whole
			must(t, db.Commits().DeleteRange(nil, reapedKey(i+1), reapedKey(i+10), commit.Async))
		}
		pass(2 * reapQuiet)
		db.wantLive(t, before, 10)
		must(t, db.Close())
	})
}

// Tables that a range delete hides as a whole go within a second, unread.
func TestCoveredTablesGoSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := settled(t)
		must(t, db.Commits().DeleteRange(nil, []byte("\x00"), []byte("\x01"), commit.Async))
		read := db.Metrics().CompactionRead
		pass(time.Second)
		if n := db.tableBytes(); n != 0 {
			t.Errorf("%d bytes of tables are left, of nothing", n)
		}
		if n := db.Metrics().CompactionRead - read; n > 4096 { // the table of the range delete
			t.Errorf("%d bytes were read for it", n)
		}
		must(t, db.Close())
	})
}

// A few deletes of a large database are not worth a flush; while somebody writes, none
// is done either.
func TestDeletesThatAreNotReaped(t *testing.T) {
	inBubble(t, "few", func(t *testing.T) {
		db := settled(t)
		flushes := db.Metrics().Flushes
		for i := range reapedRows / (2 * reapShare) {
			must(t, db.Commits().Delete(nil, nil, reapedKey(i), commit.Async))
		}
		time.Sleep(time.Hour)
		if n := db.Metrics().Flushes - flushes; n != 0 {
			t.Errorf("%d flushes", n)
		}
		must(t, db.Close())
	})
	inBubble(t, "few until the tree is smaller", func(t *testing.T) {
		db := settled(t)
		for i := range reapedRows {
			db.putFor(t, fmt.Sprintf("x%06d", i), time.Hour)
		}
		must(t, db.Compact(t.Context(), nil, nil))
		flushes := db.Metrics().Flushes
		for i := range reapedRows * 3 / 2 / reapShare {
			must(t, db.Commits().Delete(nil, nil, reapedKey(i), commit.Async))
		}
		time.Sleep(time.Hour / 2)
		if n := db.Metrics().Flushes - flushes; n != 0 {
			t.Errorf("%d flushes", n)
		}
		time.Sleep(time.Hour)
		if n := db.Metrics().Flushes - flushes; n != 1 {
			t.Errorf("%d flushes when half of the tree had expired", n)
		}
		must(t, db.Close())
	})
	inBubble(t, "busy", func(t *testing.T) {
		db := settled(t)
		flushes := db.Metrics().Flushes
		db.deleteSingly(t, 10)
		for range 100 {
			time.Sleep(reapQuiet / 2)
			db.setString(t, "k", "v", commit.Async)
		}
		if n := db.Metrics().Flushes - flushes; n != 0 {
			t.Errorf("%d flushes", n)
		}
		must(t, db.Close())
	})
}

// What an iterator sees stays as well.
func TestIteratorsKeepWhatIsDeleted(t *testing.T) {
	inBubble(t, "singly", func(t *testing.T) {
		db := settled(t)
		before := db.tableBytes()
		it, err := db.reads.NewIterator(view.IterOptions{})
		must(t, err)
		db.deleteSingly(t, 10)
		pass(time.Hour)
		if db.tableBytes() < before || db.Metrics().CompactionDebt == 0 {
			t.Errorf("%d of %d bytes are left, the debt is %d", db.tableBytes(), before, db.Metrics().CompactionDebt)
		}
		rows := 0
		for ok := it.First(); ok; ok = it.Next() {
			rows++
		}
		if must(t, it.Err()); rows != reapedRows {
			t.Errorf("the iterator sees %d rows, want %d", rows, reapedRows)
		}
		must(t, it.Close())
		pass(time.Second)
		db.wantLive(t, before, 10)
		must(t, db.Close())
	})
}

// What a snapshot sees stays, and goes when that is closed, without being asked.
func TestSnapshotsKeepWhatIsDeleted(t *testing.T) {
	for name, del := range map[string]func(t *testing.T, db *DB){
		"singly": func(t *testing.T, db *DB) { db.deleteSingly(t, 10) },
		"by a range": func(t *testing.T, db *DB) {
			for i := 0; i < reapedRows; i += 10 {
				must(t, db.Commits().DeleteRange(nil, reapedKey(i+1), reapedKey(i+10), commit.Async))
			}
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			db := settled(t)
			before := db.tableBytes()
			s, err := db.reads.Snapshot()
			must(t, err)
			del(t, db)
			pass(time.Hour)
			if db.tableBytes() < before {
				t.Errorf("%d of %d bytes are left", db.tableBytes(), before)
			}
			if db.Metrics().CompactionDebt == 0 {
				t.Error("no debt is told")
			}
			for i := range reapedRows {
				_, err := s.AppendGet(nil, reapedKey(i))
				must(t, err)
			}
			must(t, s.Close())
			pass(time.Second)
			db.wantLive(t, before, 10)
			must(t, db.Close())
		})
	}
}

// A window that moves, of which the oldest rows are deleted by range each second, takes
// what it holds: nothing is left for scans to pass.
func TestSlidingWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := settled(t)
		before := db.tableBytes()
		value := make([]byte, 100)
		const step = reapedRows / 10
		for from := 0; from < 3*reapedRows; from += step {
			for i := range step {
				must(t, db.Commits().Set(nil, nil, reapedKey(reapedRows+from+i), value, commit.Async))
			}
			must(t, db.Commits().DeleteRange(nil, reapedKey(0), reapedKey(from+step), commit.Async))
			pass(time.Second)
			if got := db.tableBytes(); got > 2*before {
				t.Errorf("at %d the tables take %d bytes, at first it was %d", from, got, before)
			}
		}
		pass(4 * reapQuiet)
		var records, rangeDeletes uint64
		for _, files := range db.reads.State().Tree.Version.Levels {
			for _, f := range files {
				records, rangeDeletes = records+f.Count, rangeDeletes+f.RangeDeletes
			}
		}
		inMemory := uint64(db.reads.State().Mem.Table.Len())
		if all := records + inMemory; all < reapedRows || all > reapedRows*115/100 {
			t.Errorf("there are %d records in tables and %d in memory, of %d rows", records, inMemory, reapedRows)
		}
		if rangeDeletes > 2 {
			t.Errorf("%d range deletes are left", rangeDeletes)
		}
		must(t, db.Close())
	})
}
