package manifest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

const testDir = "db"

var testID = base.DBID{1, 2, 3, 4}

// table makes a description with the span [lo, hi).
func table(n base.FileNum, lo, hi string) *FileMeta {
	return &FileMeta{
		Num: n, SizeBytes: 1000 + uint64(n), Lo: []byte(lo), Hi: []byte(hi),
		SmallestSeq: 1, LargestSeq: base.SeqNum(n), Count: 10, Deletes: 2,
		RangeDeletes: 1, DeletesLo: []byte(lo), DeletesHi: []byte(hi),
		RawBytes: 500, EntryChecksum: uint64(n) * 0x9e3779b97f4a7c15,
	}
}

// fingerprint tells states apart. It has the counters on their own, so that one
// that a snapshot forgets is missed.
func fingerprint(s *State) string {
	return string(s.DBID[:]) + string(appendEdit(nil, s.snapshot())) +
		fmt.Sprint(s.NextFileNum, s.LastSeq, s.LogStart, s.NextKeyspaceID)
}

// describe lists a version, for comparing and for messages.
func describe(v *Version) string {
	var b strings.Builder
	for level, files := range v.Levels {
		for _, f := range files {
			fmt.Fprintf(&b, "L%d:%d[%s,%s) ", level, f.Num, f.Lo, f.Hi)
		}
	}
	return b.String()
}

// editor makes random edits that fit a state.
type editor struct {
	rng  *rand.Rand
	next base.FileNum
	seq  base.SeqNum
}

// logs returns log segments, of which each number has its own size and salt.
func logs(nums ...base.FileNum) []LogSegment {
	var all []LogSegment
	for _, n := range nums {
		all = append(all, LogSegment{Num: n, SizeBytes: int64(n)<<10 + 1, Salt: 0xa0000000 + uint32(n)})
	}
	return all
}

func newEditor(seed uint64) *editor {
	return &editor{rng: rand.New(rand.NewPCG(seed, 7)), next: 1}
}

func (ed *editor) number() base.FileNum {
	ed.next++
	return ed.next - 1
}

// edit returns an edit that state accepts.
func (ed *editor) edit(state *State) *Edit {
	ed.seq += base.SeqNum(ed.rng.IntN(100))
	e := &Edit{NextFileNum: ed.next, LastSeq: ed.seq, LogStart: state.LogStart + uint64(ed.rng.IntN(64))*8}
	switch ed.rng.IntN(6) {
	case 0:
		e.AddLogs = append(e.AddLogs, logs(ed.number())...)
		if n := len(state.Logs); n > 0 {
			e.GrowLogs = append(e.GrowLogs, LogSize{Num: state.Logs[n-1].Num, SizeBytes: ed.rng.Int64N(1<<20) + 1})
		}
		if len(state.Logs) > 2 {
			e.RemoveLogs = append(e.RemoveLogs, state.Logs[0].Num)
		}
	case 1:
		id := state.NextKeyspaceID
		k := Keyspace{ID: id, Name: fmt.Sprintf("ks%d", id), Compression: uint8(id % 4)}
		e.AddKeyspaces = append(e.AddKeyspaces, k)
		if len(state.Keyspaces) > 2 {
			k := state.Keyspaces[ed.rng.IntN(len(state.Keyspaces))]
			e.DropKeyspaces = append(e.DropKeyspaces, k.ID)
			e.AddDropped = append(e.AddDropped, DroppedKeyspace{ID: k.ID, Name: k.Name, LastSeq: ed.seq})
		}
		if len(state.Dropped) > 2 {
			e.ForgetDropped = append(e.ForgetDropped, state.Dropped[ed.rng.IntN(len(state.Dropped))].ID)
		}
	case 2:
		ed.move(state, e)
	case 3:
		f := table(ed.number(), "a", "b")
		f.SmallestSeq = f.LargestSeq
		if n := len(state.Ingests); n > 2 {
			e.ForgetIngests = append(e.ForgetIngests, state.Ingests[ed.rng.IntN(n)].First)
		}
		e.AddIngests = append(e.AddIngests, IngestCommit{First: f.SmallestSeq, Last: f.LargestSeq, Tables: []*FileMeta{f}})
	default:
		lo := ed.rng.IntN(90)
		f := table(ed.number(), fmt.Sprintf("k%02d", lo), fmt.Sprintf("k%02d", lo+1+ed.rng.IntN(9)))
		e.AddFiles = append(e.AddFiles, LevelFile{0, f})
	}
	return e
}

// move takes a table one level down and removes what it overlaps there.
func (ed *editor) move(state *State, e *Edit) {
	for level := range NumLevels - 1 {
		files := state.Version.Levels[level]
		if len(files) == 0 || ed.rng.IntN(2) == 0 {
			continue
		}
		f := files[ed.rng.IntN(len(files))]
		e.RemoveFiles = append(e.RemoveFiles, LevelNum{level, f.Num})
		e.AddFiles = append(e.AddFiles, LevelFile{level + 1, f})
		for _, below := range state.Version.Overlapping(level+1, f.Lo, f.Hi) {
			e.RemoveFiles = append(e.RemoveFiles, LevelNum{level + 1, below.Num})
		}
		return
	}
}

// checkVersion checks the invariants of a version.
func checkVersion(t *testing.T, v *Version) {
	t.Helper()
	seen := map[base.FileNum]bool{}
	for level, files := range v.Levels {
		var sum uint64
		for i, f := range files {
			if seen[f.Num] {
				t.Fatalf("table %s is listed twice: %s", f.Num, describe(v))
			}
			seen[f.Num] = true
			sum += f.SizeBytes
			switch {
			case i == 0:
			case level == 0 && newestFirst(files[i-1], f) >= 0:
				t.Fatalf("level 0 is out of order: %s", describe(v))
			case level > 0 && bytes.Compare(files[i-1].Hi, f.Lo) > 0:
				t.Fatalf("level %d overlaps: %s", level, describe(v))
			}
		}
		if v.LevelBytes(level) != sum {
			t.Fatalf("level %d has %d bytes, LevelBytes says %d", level, sum, v.LevelBytes(level))
		}
	}
}

// load loads the database in testDir.
func load(fsys vfs.FS) (*State, error) {
	names, err := fsys.List(testDir)
	if err != nil {
		return nil, err
	}
	return Load(fsys, testDir, names)
}

// reopen loads the database in testDir and goes on with it.
func reopen(fsys vfs.FS) (*Log, *State, error) {
	state, err := load(fsys)
	if err != nil {
		return nil, nil, err
	}
	l, err := Open(fsys, testDir, state)
	return l, state, err
}
