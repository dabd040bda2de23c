package engine

import (
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// commitPastLog commits what fill writes as a spilled transaction.
func commitPastLog(t testing.TB, db *DB, fill func(w *txn.Writes)) {
	t.Helper()
	s := db.NewSpill()
	defer s.Drop()
	var w txn.Writes
	fill(&w)
	must(t, w.Spill(s, nil))
	walk, err := s.NewWalk()
	must(t, err)
	defer walk.Close()
	must(t, db.CommitUnlogged(&Unlogged{
		Records: w.Result(walk, nil), Deletes: w.Deletes(), SizeBytes: s.SizeBytes(),
		Check: func() *Check { return nil },
	}))
}

// Who reads the log learns of what is not in it, also after the tables with it
// were merged with others.
func TestUnloggedSeqIsRemembered(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	fill(t, db, "a", 10)
	if seq := base.SeqNum(db.unloggedSeq.Load()); seq != 0 {
		t.Errorf("%d before the first", seq)
	}
	before := base.SeqNum(db.visible.Load())
	commitPastLog(t, db, func(w *txn.Writes) {
		for n := range 100 {
			w.Put(fmt.Appendf(nil, "\x00%03d", n), nil)
		}
	})
	want := before + 1 // one for all of it
	check := func(when string) {
		t.Helper()
		if seq := base.SeqNum(db.unloggedSeq.Load()); seq != want {
			t.Errorf("%s: %d, want %d", when, seq, want)
		}
	}
	check("after the commit")
	if seq := base.SeqNum(db.visible.Load()); seq != want || db.DurableSeq() != want {
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
func TestUnloggedCommitCountsAsOneFile(t *testing.T) {
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
	tree := db.state.Load().tree
	size := tree.version.LevelBytes(0)
	files := len(tree.levels[0]) - 2
	if most := size/uint64(spillFiles*opts.FileBytes) + 4; files < 10 || uint64(files) > most {
		t.Errorf("%d files for %d bytes", files, size)
	}
	if tree.runs != 4 {
		t.Errorf("%d runs in level 0", tree.runs)
	}
	it, err := db.NewIterator(IterOptions{})
	must(t, err)
	if n := len(it.core.sources); n > 5 {
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

// Many runs become few, which have of each key what is needed, in their order.
func TestRunsAreMerged(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	s := db.NewSpill()
	var w txn.Writes
	var half txn.Step
	const spills = 3*spillFanIn*spillFanIn + 5
	for n := range spills {
		w.Put([]byte("\x00hot"), fmt.Append(nil, n))
		w.Put(fmt.Appendf(nil, "\x00%04d", n), nil)
		if n == spills/2 {
			half = w.Step()
		}
		pins := []txn.Step{half}
		if half == 0 {
			pins = nil
		}
		must(t, w.Spill(s, pins))
		if len(s.runs) > 3*spillFanIn {
			t.Fatalf("%d runs after %d spills", len(s.runs), n)
		}
	}
	for i, r := range s.runs[1:] {
		if r.tier < s.runs[i].tier || r.largestSeq >= s.runs[i].smallestSeq {
			t.Errorf("run %d is out of order", i+1)
		}
	}
	get := func(key, want string) {
		t.Helper()
		if v, outcome, err := w.Get([]byte(key)); outcome != txn.Present || string(v) != want || err != nil {
			t.Errorf("%q = %q, %v, %v; want %q", key, v, outcome, err, want)
		}
	}
	get("\x00hot", fmt.Sprint(spills-1))
	get("\x000000", "")
	records := uint64(0)
	for _, r := range s.runs {
		for _, tab := range r.tables {
			records += tab.meta.Count
		}
	}
	if records > spills+4*spillFanIn {
		t.Errorf("%d records for %d keys", records, spills+1)
	}
	// The version that the pin needs is still there.
	w.TakeBack(half)
	get("\x00hot", fmt.Sprint(spills/2))
	if _, outcome, err := w.Get(fmt.Appendf(nil, "\x00%04d", spills-1)); outcome != txn.Untouched || err != nil {
		t.Errorf("what was taken back is %v, %v", outcome, err)
	}
	s.Drop()
	s.Drop() // does nothing
	must(t, db.Close())
}

// What was taken back hides nothing, when runs become one and no savepoint keeps
// the versions apart any more.
func TestMergedRunsLeaveOutWhatWasTakenBack(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	s := db.NewSpill()
	var w txn.Writes
	w.Put([]byte("\x00k"), []byte("1"))
	savepoint := w.Step()
	w.Put([]byte("\x00k"), []byte("2"))
	must(t, w.Spill(s, []txn.Step{savepoint}))
	w.TakeBack(savepoint)
	for n := range spillFanIn + 1 {
		w.Put(fmt.Appendf(nil, "\x00%d", n), nil)
		must(t, w.Spill(s, nil))
	}
	if len(s.runs) > spillFanIn {
		t.Fatalf("%d runs", len(s.runs))
	}
	if v, outcome, err := w.Get([]byte("\x00k")); outcome != txn.Present || string(v) != "1" || err != nil {
		t.Errorf("%q, %v, %v", v, outcome, err)
	}
	s.Drop()
	must(t, db.Close())
}

// What others write while the tables of a commit are written is under it, so it
// must not stay in memory.
func TestMayCommitEmptiesMemory(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	for _, n := range []int{0, 10, 2000} {
		fill(t, db, "a", n)
		must(t, db.alone(func() error {
			if err := db.mayCommit(&Unlogged{}, nil); err != nil {
				return err
			}
			if rs := db.state.Load(); !rs.mem.empty() || len(rs.imms) > 0 {
				t.Errorf("after %d writes something is in memory", n)
			}
			return nil
		}))
	}
	must(t, db.Close())
}
