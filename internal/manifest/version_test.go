package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
)

func add(level int, files ...*FileMeta) *Edit {
	e := &Edit{}
	for _, f := range files {
		e.AddFiles = append(e.AddFiles, LevelFile{level, f})
	}
	return e
}

func TestApplyOrdersLevels(t *testing.T) {
	v := &Version{}
	old := table(1, "a", "z")
	old.LargestSeq = 9
	tied := table(5, "a", "b")
	tied.LargestSeq = 9
	for _, e := range []*Edit{
		add(0, table(3, "c", "d"), old),
		add(0, tied),
		add(2, table(12, "m", "n"), table(11, "a", "b")),
		add(2, table(10, "b", "m")),
	} {
		next, err := v.Apply(e)
		if err != nil {
			t.Fatal(err)
		}
		v = next
	}
	checkVersion(t, v)
	const want = "L0:5[a,b) L0:1[a,z) L0:3[c,d) L2:11[a,b) L2:10[b,m) L2:12[m,n) "
	if got := describe(v); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestApplySharesUnchangedLevels(t *testing.T) {
	v, err := (&Version{}).Apply(add(1, table(1, "a", "b")))
	if err != nil {
		t.Fatal(err)
	}
	w, err := v.Apply(add(2, table(2, "a", "b")))
	if err != nil {
		t.Fatal(err)
	}
	if &v.Levels[1][0] != &w.Levels[1][0] {
		t.Error("level 1 did not change and was copied")
	}
	if same, _ := w.Apply(&Edit{LastSeq: 3}); same != w {
		t.Error("an edit without tables made a new version")
	}
	if len(v.Levels[2]) != 0 {
		t.Error("Apply changed the version it started from")
	}
}

func TestApplyRefuses(t *testing.T) {
	start, err := (&Version{}).Apply(&Edit{AddFiles: []LevelFile{
		{0, table(1, "a", "m")}, {1, table(2, "a", "c")}, {1, table(3, "f", "k")}, {3, table(4, "a", "z")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	seqs := table(9, "a", "b")
	seqs.SmallestSeq = seqs.LargestSeq + 1
	huge := table(9, "a", "b")
	huge.LargestSeq = base.SeqNumMax + 1
	remove := func(files ...LevelNum) *Edit { return &Edit{RemoveFiles: files} }
	for name, e := range map[string]*Edit{
		"overlap with a table":     add(1, table(9, "b", "d")),
		"overlap among the added":  add(2, table(8, "a", "d"), table(9, "c", "e")),
		"covering a table":         add(1, table(9, "e", "l")),
		"number in the same level": add(1, table(2, "x", "y")),
		"number in level 0":        add(2, table(1, "x", "y")),
		"number in another level":  add(2, table(4, "a", "z")),
		"number added twice":       add(2, table(9, "a", "b"), table(9, "c", "d")),
		"unknown removal":          remove(LevelNum{0, 7}),
		"removal at a wrong level": remove(LevelNum{2, 2}),
		"removal twice":            remove(LevelNum{1, 2}, LevelNum{1, 2}),
		"level out of range":       add(NumLevels, table(9, "a", "b")),
		"negative level":           add(-1, table(9, "a", "b")),
		"removal out of range":     remove(LevelNum{NumLevels, 1}),
		"no description":           {AddFiles: []LevelFile{{Level: 1}}},
		"number zero":              add(2, table(0, "a", "b")),
		"empty span":               add(2, table(9, "b", "b")),
		"long bound":               add(2, table(9, "b", strings.Repeat("c", maxBoundBytes+1))),
		"sequences reversed":       add(2, seqs),
		"ingest at zero":           {AddIngests: []IngestCommit{ingest(0, 5, table(7, "a", "b"))}},
		"ingest reversed":          {AddIngests: []IngestCommit{ingest(8, 7, table(7, "a", "b"))}},
		"ingest too far":           {AddIngests: []IngestCommit{ingest(1, base.SeqNumMax+1, table(7, "a", "b"))}},
		"ingest before time":       {AddIngests: []IngestCommit{{First: 1, Last: 9, At: -1, Tables: []*FileMeta{table(7, "a", "b")}}}},
		"ingest without tables":    {AddIngests: []IngestCommit{ingest(1, 9)}},
		"ingest of nil":            {AddIngests: []IngestCommit{ingest(1, 9, nil)}},
		"ingest of no table":       {AddIngests: []IngestCommit{ingest(1, 9, table(0, "a", "b"))}},
		"ingest of others":         {AddIngests: []IngestCommit{ingest(1, 6, table(7, "a", "b"))}},
		"ingest out of order":      {AddIngests: []IngestCommit{ingest(1, 9, table(8, "c", "e"), table(7, "a", "d"))}},
		"ingest twice":             {AddIngests: []IngestCommit{ingest(1, 9, table(7, "a", "b")), ingest(9, 9, table(9, "a", "b"))}},
		"sequence out of range":    add(2, huge),
	} {
		before := describe(start)
		if _, err := start.Apply(e); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if describe(start) != before {
			t.Errorf("%s: changed the version", name)
		}
	}
	moved, err := start.Apply(&Edit{
		RemoveFiles: []LevelNum{{1, 2}, {3, 4}}, AddFiles: []LevelFile{{3, table(2, "a", "c")}},
	})
	if err != nil {
		t.Fatalf("a move: %v", err)
	}
	checkVersion(t, moved)
}

func TestApplyModel(t *testing.T) {
	for seed := range uint64(20) {
		ed := newEditor(seed)
		state := newState(testID)
		for range 150 {
			e := ed.edit(state)
			model := map[string]bool{}
			for level, files := range state.Version.Levels {
				for _, f := range files {
					model[fmt.Sprint(level, f.Num)] = true
				}
			}
			for _, f := range e.RemoveFiles {
				delete(model, fmt.Sprint(f.Level, f.Num))
			}
			for _, f := range e.AddFiles {
				model[fmt.Sprint(f.Level, f.Meta.Num)] = true
			}
			next, err := state.apply(e)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			state = next
			checkVersion(t, state.Version)
			for level, files := range state.Version.Levels {
				for _, f := range files {
					if !model[fmt.Sprint(level, f.Num)] {
						t.Fatalf("seed %d: table %s in level %d should be gone", seed, f.Num, level)
					}
					delete(model, fmt.Sprint(level, f.Num))
				}
			}
			if len(model) != 0 {
				t.Fatalf("seed %d: missing %v", seed, model)
			}
		}
	}
}

func TestOverlapping(t *testing.T) {
	for seed := range uint64(5) {
		ed := newEditor(seed)
		state := newState(testID)
		for range 200 {
			next, err := state.apply(ed.edit(state))
			if err != nil {
				t.Fatal(err)
			}
			state = next
		}
		for range 500 {
			level := ed.rng.IntN(NumLevels)
			lo := fmt.Appendf(nil, "k%02d", ed.rng.IntN(100))
			hi := fmt.Appendf(nil, "k%02d", ed.rng.IntN(100))
			if ed.rng.IntN(4) == 0 {
				hi = nil
			}
			if ed.rng.IntN(4) == 0 {
				lo = nil
			}
			if hi != nil && bytes.Compare(lo, hi) >= 0 {
				if got := state.Version.Overlapping(level, lo, lo[:len(lo):len(lo)]); level > 0 && len(got) > 1 {
					t.Fatalf("seed %d: an empty range meets %d tables", seed, len(got))
				}
				continue
			}
			var want []*FileMeta
			for _, f := range state.Version.Levels[level] {
				if bytes.Compare(lo, f.Hi) < 0 && (hi == nil || bytes.Compare(f.Lo, hi) < 0) {
					want = append(want, f)
				}
			}
			if got := state.Version.Overlapping(level, lo, hi); !slices.Equal(got, want) {
				t.Fatalf("seed %d: [%s,%s) in level %d: got %d tables, want %d of %s",
					seed, lo, hi, level, len(got), len(want), describe(state.Version))
			}
		}
	}
}

// ingest is a commit past the log.
func ingest(first, last base.SeqNum, tables ...*FileMeta) IngestCommit {
	return IngestCommit{First: first, Last: last, Tables: tables}
}

func TestStateRefuses(t *testing.T) {
	start, err := newState(testID).apply(&Edit{
		AddLogs: logs(1, 2), NextFileNum: 10,
		AddKeyspaces: []Keyspace{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	start, err = start.apply(&Edit{DropKeyspaces: []uint64{2}})
	if err != nil {
		t.Fatal(err)
	}
	longName := strings.Repeat("x", MaxKeyspaceNameBytes+1)
	for name, e := range map[string]*Edit{
		"log listed":            {AddLogs: logs(2)},
		"log zero":              {AddLogs: []LogSegment{{SizeBytes: 1}}},
		"log of no size":        {AddLogs: []LogSegment{{Num: 3}}},
		"log of negative size":  {AddLogs: []LogSegment{{Num: 3, SizeBytes: -1}}},
		"log removed twice":     {RemoveLogs: []base.FileNum{1, 1}},
		"log grown to nothing":  {GrowLogs: []LogSize{{Num: 1}}},
		"log unknown":           {RemoveLogs: []base.FileNum{3}},
		"keyspace unknown":      {DropKeyspaces: []uint64{7}},
		"keyspace listed":       {AddKeyspaces: []Keyspace{{ID: 1, Name: "x"}}},
		"keyspace name listed":  {AddKeyspaces: []Keyspace{{ID: 5, Name: "a"}}},
		"keyspace dropped once": {AddKeyspaces: []Keyspace{{ID: 2, Name: "x"}}},
		"keyspace zero":         {AddKeyspaces: []Keyspace{{Name: "x"}}},
		"keyspace nameless":     {AddKeyspaces: []Keyspace{{ID: 3}}},
		"keyspace long name":    {AddKeyspaces: []Keyspace{{ID: 3, Name: longName}}},
		"keyspace compression":  {AddKeyspaces: []Keyspace{{ID: 3, Name: "x", Compression: 200}}},
		"dropped not dropped":   {AddDropped: []DroppedKeyspace{{ID: 1, Name: "a"}}},
		"dropped not given out": {AddDropped: []DroppedKeyspace{{ID: 3, Name: "c"}}},
		"dropped unknown":       {ForgetDropped: []uint64{2}},
		"dropped nameless":      {AddDropped: []DroppedKeyspace{{ID: 2}}},
		"dropped of the future": {AddDropped: []DroppedKeyspace{{ID: 2, Name: "b", LastSeq: base.SeqNumMax + 1}}},
		"dropped twice":         {AddDropped: []DroppedKeyspace{{ID: 2, Name: "b"}, {ID: 2, Name: "b"}}},
		"sequence out of range": {LastSeq: base.SeqNumMax + 1},
		"number out of range":   {NextFileNum: maxFileNum + 2},
	} {
		if _, err := start.apply(e); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStateCountersNeverGoBack(t *testing.T) {
	s, err := newState(testID).apply(&Edit{NextFileNum: 10, LastSeq: 20, LogStart: 32, NextKeyspaceID: 4})
	if err != nil {
		t.Fatal(err)
	}
	s, err = s.apply(&Edit{
		NextFileNum: 3, LastSeq: 4, LogStart: 8, NextKeyspaceID: 2, AddLogs: logs(15),
		AddFiles: []LevelFile{{0, table(17, "a", "b")}}, AddKeyspaces: []Keyspace{{ID: 6, Name: "x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.NextFileNum != 18 || s.LastSeq != 20 || s.LogStart != 32 || s.NextKeyspaceID != 7 {
		t.Errorf("counters are %d %d %d %d", s.NextFileNum, s.LastSeq, s.LogStart, s.NextKeyspaceID)
	}
	// Changing a keyspace is dropping and adding it at once.
	changed := Keyspace{ID: 6, Name: "y", Compression: 2}
	s, err = s.apply(&Edit{DropKeyspaces: []uint64{6}, AddKeyspaces: []Keyspace{changed}})
	if err != nil || len(s.Keyspaces) != 1 || s.Keyspaces[0].Name != "y" {
		t.Errorf("changed keyspace: %v, %v", s.Keyspaces, err)
	}
}

// A log that has grown keeps its place and its salt, and no edit makes one smaller.
// One that is gone stays so: who says that it has grown may come too late.
func TestLogsGrow(t *testing.T) {
	s, err := newState(testID).apply(&Edit{AddLogs: logs(1, 2, 3)})
	if err != nil {
		t.Fatal(err)
	}
	grow := []LogSize{{Num: 2, SizeBytes: 1 << 30}, {Num: 1, SizeBytes: 1 << 30}, {Num: 3, SizeBytes: 5}}
	next, err := s.apply(&Edit{RemoveLogs: []base.FileNum{1}, GrowLogs: grow})
	want := logs(2, 3)
	want[0].SizeBytes = 1 << 30
	if err != nil || !slices.Equal(next.Logs, want) {
		t.Errorf("got %v, %v", next.Logs, err)
	}
	if !slices.Equal(s.Logs, logs(1, 2, 3)) {
		t.Errorf("the state before has changed: %v", s.Logs)
	}
}

// useMany makes, changes, drops and forgets so many keyspaces, each in one edit. It
// returns how long that took.
func useMany(t *testing.T, n int) time.Duration {
	var made, dropped Edit
	for i := range uint64(n) {
		k := Keyspace{ID: i + 1, Name: fmt.Sprint(i)}
		made.AddKeyspaces = append(made.AddKeyspaces, k)
		dropped.DropKeyspaces = append(dropped.DropKeyspaces, k.ID)
		dropped.AddDropped = append(dropped.AddDropped, DroppedKeyspace{ID: k.ID, Name: k.Name})
	}
	changed := Edit{DropKeyspaces: dropped.DropKeyspaces, AddKeyspaces: made.AddKeyspaces}
	forgotten := Edit{ForgetDropped: dropped.DropKeyspaces}
	start := clock.System.Now()
	s := newState(testID)
	for _, e := range []*Edit{&made, &changed, &dropped, &forgotten} {
		var err error
		if s, err = s.apply(e); err != nil {
			t.Fatal(err)
		}
	}
	took := clock.System.Now().Sub(start)
	if len(s.Keyspaces) != 0 || len(s.Dropped) != 0 || s.NextKeyspaceID != uint64(n)+1 {
		t.Errorf("left are %d and %d", len(s.Keyspaces), len(s.Dropped))
	}
	return took
}

// nameMany makes so many names and a map of them, which is what the time of other
// things can be compared with on a machine that is busy.
func nameMany(n int) time.Duration {
	start := clock.System.Now()
	names := map[string]int{}
	for i := range n {
		names[fmt.Sprint("name ", i)] = i
	}
	return clock.System.Now().Sub(start)
}

// An edit costs time in proportion to the keyspaces that there are and those that it
// names: about what it takes to make their names. Dropping many in one edit took the
// square of that, a hundred times as long for this number of them.
func TestManyKeyspacesCostLinearTime(t *testing.T) {
	const count = 50_000
	names, edits := nameMany(count), useMany(t, count)
	for range 4 {
		names, edits = min(names, nameMany(count)), min(edits, useMany(t, count))
	}
	t.Logf("%v for the names of %d, %v for edits", names, count, edits)
	if edits > 20*names {
		t.Errorf("%v for the names of %d, and %v for edits", names, count, edits)
	}
}

// The order in which an edit names keyspaces does not matter.
func TestKeyspacesInAnyOrder(t *testing.T) {
	s, err := newState(testID).apply(&Edit{AddKeyspaces: []Keyspace{{ID: 7, Name: "g"}, {ID: 2, Name: "b"}, {ID: 5, Name: "e"}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err = s.apply(&Edit{
		DropKeyspaces: []uint64{7, 2, 5},
		AddKeyspaces:  []Keyspace{{ID: 9, Name: "i"}, {ID: 5, Name: "changed"}},
		AddDropped:    []DroppedKeyspace{{ID: 7, Name: "g"}, {ID: 2, Name: "b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	live := []Keyspace{{ID: 5, Name: "changed"}, {ID: 9, Name: "i"}}
	dropped := []DroppedKeyspace{{ID: 2, Name: "b"}, {ID: 7, Name: "g"}}
	if !slices.Equal(s.Keyspaces, live) || !slices.Equal(s.Dropped, dropped) {
		t.Errorf("got %v and %v", s.Keyspaces, s.Dropped)
	}
}
