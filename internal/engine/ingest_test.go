package engine

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// commitPastLog commits what fill writes as a spilled transaction.
func commitPastLog(t testing.TB, db *DB, fill func(w *txn.Writes)) {
	t.Helper()
	s := db.Spills().NewSpill()
	defer s.Drop()
	var w txn.Writes
	fill(&w)
	must(t, w.Spill(s, nil))
	walk, err := s.NewWalk()
	must(t, err)
	defer walk.Close()
	must(t, db.CommitIngest(&Ingest{
		Records: w.Result(walk, nil), Deletes: w.Deletes(), SizeBytes: s.SizeBytes(),
		Reads: func() *view.ReadSet { return nil },
	}))
}

// Who reads the log learns of what is not in it, also after the tables with it
// were merged with others.
func TestIngestedSeqIsRemembered(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	fill(t, db, "a", 10)
	if seq := db.archive.IngestedSeq(); seq != 0 {
		t.Errorf("%d before the first", seq)
	}
	before := db.reads.VisibleSeq()
	commitPastLog(t, db, func(w *txn.Writes) {
		for n := range 100 {
			w.Put(fmt.Appendf(nil, "\x00%03d", n), nil)
		}
	})
	want := before + 1 // one for all of it
	check := func(when string) {
		t.Helper()
		if seq := db.archive.IngestedSeq(); seq != want {
			t.Errorf("%s: %d, want %d", when, seq, want)
		}
	}
	check("after the commit")
	if seq := db.reads.VisibleSeq(); seq != want || db.DurableSeq() != want {
		t.Errorf("%d is visible, %d durable, want %d", seq, db.DurableSeq(), want)
	}
	fill(t, db, "b", 10)
	must(t, db.Compact(t.Context(), nil, nil))
	check("after a compaction")
	for range 2 {
		must(t, db.Close())
		db = openTest(t, testOptions(fs))
		check("after a reopen")
	}
	must(t, db.Close())
}

// The files of a commit past the log are as large as is good for level 0, and
// however many there are, readers and writers are slowed down as by one.
func TestIngestCountsAsOneFile(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.L0Files = 64
	db := openTest(t, opts)
	value := make([]byte, 1000)
	for commit := range 2 {
		commitPastLog(t, db, func(w *txn.Writes) {
			for n := range 2000 {
				w.Put(fmt.Appendf(nil, "\x00%05d %d", n, commit), value)
			}
		})
		fillFile(t, db, "a", 10)
	}
	tree := db.reads.State().Tree
	size := tree.Version.LevelBytes(0)
	files := len(tree.Levels[0]) - 2
	if most := size/uint64(db.spills.FileBytes(math.MaxInt64, 1)) + 4; files < 10 || uint64(files) > most {
		t.Errorf("%d files for %d bytes", files, size)
	}
	if tree.Runs != 4 {
		t.Errorf("%d runs in level 0", tree.Runs)
	}
	it, err := db.Reads().NewIterator(view.IterOptions{})
	must(t, err)
	if n := it.Sources(); n > 5 {
		t.Errorf("an iterator has %d sources", n)
	}
	rows := 0
	for it.Next() {
		rows++
	}
	if rows != 4000+10 {
		t.Errorf("%d rows", rows)
	}
	must(t, it.Close())
	must(t, db.Close())
}

// What others write while the tables of a commit are written is under it, so it
// must not stay in memory.
func TestIngestEmptiesMemory(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	for _, n := range []int{0, 10, 2000} {
		fill(t, db, "a", n)
		must(t, db.commits.Alone(context.Background(), func() error {
			if err := db.admitIngest(db.stopped, &Ingest{}, nil); err != nil {
				return err
			}
			if rs := db.reads.State(); !rs.Mem.Empty() || len(rs.Immutables) > 0 {
				t.Errorf("after %d writes something is in memory", n)
			}
			return nil
		}))
	}
	must(t, db.Close())
}

// A large batch begins where the empty memtable after it does, so the log has it
// still when it is in a table. It is not replayed over what was committed past the
// log since: memory is asked first.
func TestReplayPassesWhatIsInTables(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	b := new(batch.Batch)
	must(t, b.Set([]byte{0}, []byte("k"), bytes.Repeat([]byte("old"), 50<<10))) // more than a memtable
	must(t, db.Commit(t.Context(), b, commit.Sync))
	must(t, db.Flush(t.Context()))
	commitPastLog(t, db, func(w *txn.Writes) { w.Put([]byte("\x00k"), []byte("new")) })
	want := db.reads.VisibleSeq()
	crashed := openTest(t, testOptions(fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})))
	expectRows(t, "after a power loss", crashed.Reads().AppendGet, map[string]string{"k": "new"})
	if seq := crashed.reads.VisibleSeq(); seq != want {
		t.Errorf("%d is visible, want %d", seq, want)
	}
	must(t, crashed.Close())
	must(t, db.Close())
}
