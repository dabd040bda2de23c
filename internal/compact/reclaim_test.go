package compact

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// rows adds a table of rows of ten bytes.
func (tr *testTree) rows(level int, lo, hi string, count uint64) *manifest.FileMeta {
	f := tr.add(level, lo, hi, 10*count)
	f.Count = count
	return f
}

// deletes adds a table of deletes of one byte.
func (tr *testTree) deletes(level int, lo, hi string, count uint64) *manifest.FileMeta {
	f := tr.add(level, lo, hi, count)
	f.Count, f.Deletes = count, count
	return f
}

var reclaimLimits = Limits{L0Files: 4, BaseBytes: 10_000, SharedSeq: base.SeqNumMax, Quiet: true}

// wantReclaim looks whether the next job takes a table down to a level, or, where the
// table is nil, whether there is none.
func (tr *testTree) wantReclaim(l Limits, f *manifest.FileMeta, output int) {
	tr.t.Helper()
	j := PickReclaim(tr.v, l)
	switch {
	case f == nil && j != nil:
		tr.t.Errorf("a job takes %v from level %d to %d", j.Inputs[0], j.Level, j.OutputLevel)
	case f != nil && (j == nil || j.Inputs[0][0] != f || j.OutputLevel != output):
		tr.t.Errorf("job is %+v, want that of %s to level %d", j, f.Num, output)
	}
	if due := DebtBytes(tr.v, l) > 0; due != (f != nil) {
		tr.t.Errorf("there is debt: %v", due)
	}
}

func TestReclaimWhatIsWorthIt(t *testing.T) {
	tr := newTree(t)
	tr.rows(6, "a", "f", 1000)
	tr.rows(6, "f", "k", 1000)
	tr.wantReclaim(reclaimLimits, nil, 0)
	few := tr.deletes(5, "a", "c", 100)
	tr.wantReclaim(reclaimLimits, nil, 0)
	some := tr.deletes(5, "c", "e", 200)
	tr.wantReclaim(reclaimLimits, some, 6)
	most := tr.deletes(5, "f", "g", 900)
	tr.wantReclaim(reclaimLimits, most, 6)

	shared := reclaimLimits
	shared.SharedSeq = some.LargestSeq // a snapshot sees what most has deleted
	tr.wantReclaim(shared, some, 6)
	damaged := reclaimLimits
	damaged.Damaged = func(f *manifest.FileMeta) bool { return f == most }
	if j := PickReclaim(tr.v, damaged); j == nil || j.Inputs[0][0] != some {
		t.Errorf("beside damage the job is %+v", j)
	}
	few.CoveredBytes = 9500
	tr.wantReclaim(reclaimLimits, few, 6)
}

// What is little everywhere is enough taken together.
func TestReclaimLittleEverywhere(t *testing.T) {
	tr := newTree(t)
	tr.rows(6, "a", "k", 1000)
	limits := reclaimLimits
	limits.BaseBytes = 100
	first := tr.deletes(5, "a", "k", 70)
	tr.wantReclaim(limits, nil, 0)
	tr.deletes(4, "a", "k", 70)
	tr.wantReclaim(limits, first, 6)
}

// Level 0 goes down as a whole, and only when it is worth what lies under all of it.
func TestReclaimFromLevelZero(t *testing.T) {
	tr := newTree(t)
	tr.rows(6, "a", "k", 1000)
	tr.deletes(0, "a", "b", 70)
	tr.wantReclaim(reclaimLimits, nil, 0)
	newest := tr.deletes(0, "b", "c", 70)
	tr.wantReclaim(reclaimLimits, newest, 6)
	if j := PickReclaim(tr.v, reclaimLimits); len(j.Inputs[0]) != 2 || !j.Bottom {
		t.Errorf("the job is %+v", j)
	}
}

// While more is flushed there must be more to gain, above all from level 0.
func TestReclaimLessOftenWhenBusy(t *testing.T) {
	busy := reclaimLimits
	busy.Quiet, busy.BaseBytes = false, 1<<40
	tr := newTree(t)
	tr.rows(6, "a", "k", 1000)
	tr.rows(6, "m", "p", 2000)
	tr.deletes(0, "a", "c", 400)
	tr.wantReclaim(busy, nil, 0)
	enough := tr.deletes(0, "a", "c", 400)
	tr.wantReclaim(busy, enough, 6)

	busy.BaseBytes = reclaimLimits.BaseBytes
	tr = newTree(t)
	tr.rows(6, "a", "k", 1000)
	tr.rows(6, "m", "p", 2000)
	first := tr.deletes(5, "a", "c", 200)
	tr.wantReclaim(busy, nil, 0)
	first.CoveredBytes = 1000
	tr.wantReclaim(busy, first, 6)
}

// Deletes that lie over nothing go where they stand.
func TestReclaimDeletesOfNothing(t *testing.T) {
	tr := newTree(t)
	tr.rows(6, "a", "k", 10_000)
	alone := tr.deletes(6, "x", "z", 10)
	tr.wantReclaim(reclaimLimits, alone, 6)
	alone.Deletes, alone.Count, alone.RangeDeletes = 0, 0, 1
	tr.wantReclaim(reclaimLimits, alone, 6)
	tr.apply(PickReclaim(tr.v, reclaimLimits))
	tr.wantReclaim(reclaimLimits, nil, 0)
}

// However wrong the estimates are, it comes to an end.
func TestReclaimEnds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		tr := newTree(t)
		files := 0
		for level := range manifest.NumLevels {
			for at := 'a'; at < 'w'; at += 1 + rune(rng.IntN(4)) {
				f := tr.add(level, string(at), string(at+1+rune(rng.IntN(2))), uint64(1+rng.IntN(1000)))
				f.Count = uint64(1 + rng.IntN(100))
				f.Deletes = f.Count * uint64(rng.IntN(2))
				f.CoveredBytes = uint64(rng.IntN(3000) * rng.IntN(2))
				f.RangeDeletes = f.CoveredBytes % 7
				f.DeletesLo, f.DeletesHi = f.Lo, f.Hi
				files++
				at += 2
			}
		}
		jobs := 0
		for j := PickReclaim(tr.v, reclaimLimits); j != nil; j = PickReclaim(tr.v, reclaimLimits) {
			if jobs++; jobs > files*manifest.NumLevels {
				t.Fatalf("%d jobs for %d files, the next one is %+v", jobs, files, j)
			}
			tr.applyKeeping(j)
		}
	}
}

// applyKeeping is apply with deletes that stay where they are not at the bottom.
func (tr *testTree) applyKeeping(j *Job) {
	tr.t.Helper()
	moved := fmt.Sprint(j.Move)
	tr.apply(j)
	if j.Move || j.Bottom {
		return
	}
	for _, out := range tr.v.Levels[j.OutputLevel] {
		if out.Num != tr.n {
			continue
		}
		for _, files := range j.Inputs {
			for _, f := range files {
				out.Count += f.Count
				out.Deletes += f.Deletes
				out.RangeDeletes += f.RangeDeletes
				out.DeletesLo, out.DeletesHi = out.Lo, out.Hi
				out.CoveredBytes += f.CoveredBytes
			}
		}
		return
	}
	tr.t.Fatalf("a job (move: %s) has no output", moved)
}
