package compact

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

var testLimits = Limits{L0Files: 4, BaseBytes: 1000}

// tree builds a version from files written as level, lo, hi and size.
type testTree struct {
	t *testing.T
	v *manifest.Version
	n base.FileNum
}

func newTree(t *testing.T) *testTree { return &testTree{t: t, v: &manifest.Version{}} }

func (tr *testTree) add(level int, lo, hi string, size uint64) *manifest.FileMeta {
	tr.t.Helper()
	tr.n++
	f := &manifest.FileMeta{
		Num: tr.n, SizeBytes: size, Lo: []byte(lo), Hi: []byte(hi), Count: 1,
		SmallestSeq: base.SeqNum(tr.n), LargestSeq: base.SeqNum(tr.n),
	}
	v, err := tr.v.Apply(&manifest.Edit{AddFiles: []manifest.LevelFile{{Level: level, Meta: f}}})
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.v = v
	return f
}

// apply does what a job says, as if outputs had the size of the inputs.
func (tr *testTree) apply(j *Job) {
	tr.t.Helper()
	e := &manifest.Edit{}
	for i, files := range j.Inputs {
		for _, f := range files {
			e.RemoveFiles = append(e.RemoveFiles,
				manifest.LevelNum{Level: [2]int{j.Level, j.OutputLevel}[i], Num: f.Num})
		}
	}
	lo, hi := j.Span()
	if j.Move {
		for _, f := range j.Inputs[0] {
			e.AddFiles = append(e.AddFiles, manifest.LevelFile{Level: j.OutputLevel, Meta: f})
		}
	} else {
		tr.n++
		e.AddFiles = []manifest.LevelFile{{Level: j.OutputLevel, Meta: &manifest.FileMeta{
			Num: tr.n, SizeBytes: j.Bytes(), Lo: lo, Hi: hi, Count: 1,
		}}}
	}
	v, err := tr.v.Apply(e)
	if err != nil {
		tr.t.Fatalf("job from %d to %d breaks the tree: %v", j.Level, j.OutputLevel, err)
	}
	tr.v = v
}

func TestNothingToDo(t *testing.T) {
	tr := newTree(t)
	if j := Pick(tr.v, testLimits); j != nil {
		t.Errorf("a job in an empty tree: %+v", j)
	}
	for range 3 {
		tr.add(0, "a", "z", 100)
	}
	tr.add(6, "a", "z", 500)
	if j := Pick(tr.v, testLimits); j != nil {
		t.Errorf("a job in a tree in shape: %+v", j)
	}
	if d := DebtBytes(tr.v, testLimits); d != 0 {
		t.Errorf("debt %d in a tree in shape", d)
	}
}

func TestL0GoesToTheBottomOfASmallTree(t *testing.T) {
	tr := newTree(t)
	below := tr.add(6, "c", "d", 100)
	tr.add(6, "x", "y", 100)
	for range 4 {
		tr.add(0, "a", "k", 100)
	}
	j := Pick(tr.v, testLimits)
	if j == nil || j.Level != 0 || j.OutputLevel != 6 || len(j.Inputs[0]) != 4 || j.Move || !j.Bottom {
		t.Fatalf("job is %+v", j)
	}
	if len(j.Inputs[1]) != 1 || j.Inputs[1][0] != below {
		t.Errorf("lower inputs are %v", j.Inputs[1])
	}
	if DebtBytes(tr.v, testLimits) == 0 {
		t.Error("no debt while a job is due")
	}
}

func TestSequentialFilesMove(t *testing.T) {
	tr := newTree(t)
	tr.add(6, "a", "b", 100)
	for i := range 4 {
		tr.add(0, fmt.Sprint("m", i), fmt.Sprint("m", i, "x"), 100)
	}
	j := Pick(tr.v, testLimits)
	if j == nil || !j.Move || len(j.Inputs[0]) != 4 {
		t.Fatalf("job is %+v", j)
	}
}

func TestTombstonesAreRewrittenAtTheBottom(t *testing.T) {
	tr := newTree(t)
	for i := range 4 {
		f := tr.add(0, fmt.Sprint("m", i), fmt.Sprint("m", i, "x"), 100)
		f.Deletes = uint64(i)
	}
	if j := Pick(tr.v, testLimits); j == nil || j.Move {
		t.Fatalf("job is %+v: a move would keep tombstones for ever", j)
	}
}

// TestBottomIsJudgedByAllInputs has a file of level 4 that goes into a wider one
// of level 5, part of which lies over level 6. The job was once taken for one at
// the bottom, because there was nothing below the upper input: the deletes of
// the wider file were dropped, and the rows that they hid came back for good.
func TestBottomIsJudgedByAllInputs(t *testing.T) {
	for _, c := range []struct {
		lo, hi string // of the file in level 6
		bottom bool
	}{{"a", "b", false}, {"y", "z", false}, {"m", "n", false}, {"A", "B", true}} {
		tr := newTree(t)
		upper := tr.add(4, "k", "p", 10)
		lower := tr.add(5, "a", "z", 10)
		tr.add(6, c.lo, c.hi, 10)
		limits := testLimits
		limits.SharedSeq = base.SeqNumMax
		j := PickRange(tr.v, limits, nil, nil)
		if j == nil || j.Level != 4 || j.OutputLevel != 5 || len(j.Inputs[0]) != 1 || len(j.Inputs[1]) != 1 ||
			j.Inputs[0][0] != upper || j.Inputs[1][0] != lower || j.Bottom != c.bottom {
			t.Errorf("over [%s, %s) the job is %+v", c.lo, c.hi, j)
		}
	}
}

func TestLargeTreeHasABaseLevel(t *testing.T) {
	tr := newTree(t)
	tr.add(6, "a", "z", 50_000)
	s := shapeOf(tr.v, testLimits)
	if s.base != 4 || s.targets[4] != 1000 || s.targets[6] < 49_000 || s.targets[6] > 51_000 {
		t.Errorf("base %d, targets %v", s.base, s.targets)
	}
	for range 4 {
		tr.add(0, "a", "z", 100)
	}
	if j := Pick(tr.v, testLimits); j.OutputLevel != 4 || j.Bottom {
		t.Errorf("level 0 goes to level %d, bottom %v", j.OutputLevel, j.Bottom)
	}
}

func TestUpperLevelIsNotJumpedOver(t *testing.T) {
	tr := newTree(t)
	tr.add(6, "a", "z", 500)
	tr.add(3, "a", "c", 10) // above base, left from when the tree was larger
	for range 4 {
		tr.add(0, "a", "z", 100)
	}
	s := shapeOf(tr.v, testLimits)
	if j := jobFromL0(tr.v, testLimits, s.base); j.OutputLevel != 3 {
		t.Errorf("level 0 goes to level %d past newer data in level 3", j.OutputLevel)
	}
	if j := Pick(tr.v, testLimits); j.Level != 3 {
		t.Errorf("the picker takes level %d, not the one that should be empty", j.Level)
	}
}

// TestPickSettles runs jobs on random trees until there are none: this must
// end, keep levels disjoint and never move data above newer data.
func TestPickSettles(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		tr := newTree(t)
		for range 30 {
			lo := rng.IntN(900)
			tr.add(0, fmt.Sprintf("%03d", lo), fmt.Sprintf("%03d", lo+1+rng.IntN(99)), 10+rng.Uint64N(200))
			tr.settle(func(v *manifest.Version) *Job { return Pick(v, testLimits) })
		}
		lo, hi := []byte("200"), []byte("300")
		if rng.IntN(2) == 0 {
			lo, hi = nil, nil
		}
		tr.settle(func(v *manifest.Version) *Job { return PickRange(v, testLimits, lo, hi) })
		for level := range bottomLevel {
			if files := tr.v.Overlapping(level, lo, hi); len(files) != 0 {
				t.Fatalf("seed %d: level %d still holds %d files of the range", seed, level, len(files))
			}
		}
	}
}

func (tr *testTree) settle(pick func(*manifest.Version) *Job) {
	tr.t.Helper()
	for n := 0; ; n++ {
		j := pick(tr.v)
		if j == nil {
			return
		}
		if n > 1000 {
			tr.t.Fatal("the picker never stops")
		}
		tr.checkJob(j)
		tr.apply(j)
	}
}

// checkJob sees that nothing of the job's span stays between its levels and
// that Bottom is true.
func (tr *testTree) checkJob(j *Job) {
	tr.t.Helper()
	lo, hi := j.Span()
	for level := j.Level + 1; level < j.OutputLevel; level++ {
		if len(tr.v.Overlapping(level, lo, hi)) > 0 {
			tr.t.Fatalf("job from %d to %d jumps over level %d", j.Level, j.OutputLevel, level)
		}
	}
	if got, want := len(j.Inputs[1]), len(tr.v.Overlapping(j.OutputLevel, lo, hi)); got != want {
		tr.t.Fatalf("job takes %d of %d overlapping files", got, want)
	}
	for level := j.OutputLevel + 1; level <= bottomLevel; level++ {
		if j.Bottom && len(tr.v.Overlapping(level, lo, hi)) > 0 {
			tr.t.Fatalf("job to %d says bottom, level %d has older data", j.OutputLevel, level)
		}
	}
	if j.Level == 0 && len(j.Inputs[0]) != len(tr.v.Levels[0]) {
		tr.t.Fatal("a level-0 job leaves files that may be older")
	}
	if bytes.Compare(lo, hi) >= 0 {
		tr.t.Fatalf("span [%q, %q)", lo, hi)
	}
}

func BenchmarkPick(b *testing.B) {
	v := &manifest.Version{}
	e := &manifest.Edit{}
	for i := range 5000 {
		e.AddFiles = append(e.AddFiles, manifest.LevelFile{Level: 5 + i%2, Meta: &manifest.FileMeta{
			Num: base.FileNum(i + 1), SizeBytes: 100, Count: 1,
			Lo: fmt.Appendf(nil, "%06d", i/2*2), Hi: fmt.Appendf(nil, "%06d", i/2*2+1),
		}})
	}
	v, err := v.Apply(e)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Pick(v, testLimits)
	}
}
