package compact

import (
	"cmp"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// This file simulates large trees: the jobs are those of the picker, on versions that
// the manifest makes, and what merges would write is computed. The keys of a table are
// spread evenly in its span.

const (
	mib = 1 << 20
	gib = 1 << 30
)

func TestTableBytes(t *testing.T) {
	for _, c := range []struct {
		tree  uint64
		least int64
		want  int64
	}{
		{0, 32 * mib, 32 * mib},
		{32 * gib, 32 * mib, 32 * mib}, // 1024 tables
		{128 * gib, 32 * mib, 64 * mib},
		{512 * gib, 32 * mib, 128 * mib},
		{1 << 50, 32 * mib, 512 * mib},
		{8 * gib, 2 * mib, 4 * mib},
		{1 << 40, 2 * mib, 32 * mib},
		{1 << 40, 4 << 10, 64 << 10},
	} {
		if got := TableBytes(c.tree, c.least); got != c.want {
			t.Errorf("a tree of %d bytes with tables of %d at least: %d, want %d", c.tree, c.least, got, c.want)
		}
	}
}

// A job of a manual compaction takes several small tables, and few large ones.
func TestManualJobsAreBounded(t *testing.T) {
	for _, c := range []struct {
		tableBytes uint64
		want       int
	}{{32 * mib, maxJobFiles}, {100 * mib, 2}, {512 * mib, 1}} {
		tr := newTree(t)
		for lo := 'a'; lo < 'k'; lo++ {
			tr.add(5, string(lo), string(lo+1), c.tableBytes)
		}
		tr.add(bottomLevel, "a", "z", 1000)
		if j := PickRange(tr.v, testLimits, nil, nil); len(j.Inputs[0]) != c.want {
			t.Errorf("a job takes %d tables of %d bytes, want %d", len(j.Inputs[0]), c.tableBytes, c.want)
		}
	}
}

// A terabyte under the default budget is a few thousand tables. It was 32,000, and half
// a million under the smallest budgets.
func TestTablesOfATerabyte(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates a terabyte")
	}
	s := newSimulation(t, 64*mib, 32*mib)
	s.fill(1 << 40)
	t.Logf("%d tables, largest job %d MiB, %.1f bytes written for each", s.tables(), s.largestJob/mib, s.writeAmplification())
	if s.tables() > 8000 {
		t.Errorf("a terabyte is %d tables", s.tables())
	}
	if share := TreeBytes(s.v) / s.largestJob; share < 300 {
		t.Errorf("a job has 1/%d of the tree", share)
	}
}

// Larger tables do not make merges write more.
func TestGrowthWritesNoMore(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates tens of gigabytes twice")
	}
	const tree = 32 * gib
	fixed := newSimulation(t, 8*mib, 8*mib)
	fixed.tableBytes = func(uint64) int64 { return 8 * mib }
	grown := newSimulation(t, 8*mib, 8*mib)
	for _, s := range []*simulation{fixed, grown} {
		s.capacity = tree
		s.fill(tree + tree/4) // the last fifth over what is there
	}
	ratio := grown.writeAmplification() / fixed.writeAmplification()
	t.Logf("write amplification %.2f, %.3f times that of small tables", grown.writeAmplification(), ratio)
	if ratio > 1.05 {
		t.Errorf("write amplification is %.3f times that of small tables", ratio)
	}
	if few, many := grown.tables(), fixed.tables(); few > many*3/4 {
		t.Errorf("there are %d tables, and %d small ones", few, many)
	}
}

// simulation is a tree into which records with random keys are put.
type simulation struct {
	t          testing.TB
	limits     Limits
	tableBytes func(treeBytes uint64) int64
	flushBytes float64
	capacity   float64 // what all keys there are take

	v                *manifest.Version
	num              base.FileNum
	flushed, written float64
	largestJob       uint64
}

func newSimulation(t testing.TB, flushBytes, leastBytes int64) *simulation {
	return &simulation{
		t: t, flushBytes: float64(flushBytes), capacity: 1 << 50, v: &manifest.Version{},
		limits:     Limits{L0Files: 4, BaseBytes: uint64(4 * flushBytes), SharedSeq: base.SeqNumMax},
		tableBytes: func(treeBytes uint64) int64 { return TableBytes(treeBytes, leastBytes) },
	}
}

// writeAmplification counts what merges have written.
func (s *simulation) writeAmplification() float64 { return s.written / s.flushed }

func (s *simulation) tables() (n int) {
	for _, files := range s.v.Levels {
		n += len(files)
	}
	return n
}

// fill flushes so many bytes, and does what that makes due.
func (s *simulation) fill(bytes float64) {
	s.t.Helper()
	for end := s.flushed + bytes; s.flushed < end; s.flushed += s.flushBytes {
		s.edit(nil, manifest.LevelFile{Level: 0, Meta: s.table(0, keySpace, s.flushBytes)})
		for j := Pick(s.v, s.limits); j != nil; j = Pick(s.v, s.limits) {
			s.run(j)
		}
	}
}

// run does a job.
func (s *simulation) run(j *Job) {
	s.t.Helper()
	var gone []manifest.LevelNum
	for i, level := range []int{j.Level, j.OutputLevel} {
		for _, f := range j.Inputs[i] {
			gone = append(gone, manifest.LevelNum{Level: level, Num: f.Num})
		}
	}
	outputs := j.Inputs[0]
	if !j.Move {
		outputs = s.merged(j)
		s.largestJob = max(s.largestJob, j.Bytes())
		s.written += float64(fileBytes(outputs))
	}
	var added []manifest.LevelFile
	for _, f := range outputs {
		added = append(added, manifest.LevelFile{Level: j.OutputLevel, Meta: f})
	}
	s.edit(gone, added...)
}

func (s *simulation) edit(gone []manifest.LevelNum, added ...manifest.LevelFile) {
	s.t.Helper()
	v, err := s.v.Apply(&manifest.Edit{RemoveFiles: gone, AddFiles: added})
	if err != nil {
		s.t.Fatal(err)
	}
	s.v = v
}

// keySpace is the end of all keys. It leaves a float64 exact.
const keySpace = float64(1 << 50)

func keyAt(place float64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(place)) }

func placeOf(key []byte) float64 { return float64(binary.BigEndian.Uint64(key)) }

func (s *simulation) table(lo, hi, bytes float64) *manifest.FileMeta {
	s.num++
	return &manifest.FileMeta{
		Num: s.num, SizeBytes: uint64(bytes), Lo: keyAt(lo), Hi: keyAt(hi),
		SmallestSeq: base.SeqNum(s.num), LargestSeq: base.SeqNum(s.num), Count: uint64(bytes) / 100,
	}
}

// edge is where a table begins or ends.
type edge struct {
	place   float64
	density float64 // bytes for each key that begin here, negative: that end
}

// merged returns what a job writes: tables that end at the size that the tree asks for.
func (s *simulation) merged(j *Job) (out []*manifest.FileMeta) {
	var edges []edge
	for _, files := range j.Inputs {
		for _, f := range files {
			lo, hi := placeOf(f.Lo), placeOf(f.Hi)
			density := float64(f.SizeBytes) / (hi - lo)
			edges = append(edges, edge{lo, density}, edge{hi, -density})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.place, b.place) })
	target := float64(s.tableBytes(TreeBytes(s.v)))
	begin, size := edges[0].place, 0.0
	var open []float64
	for i, e := range edges {
		switch {
		case len(open) == 0 && size == 0:
			begin = e.place
		case len(open) > 0:
			density, place := s.union(open), edges[i-1].place
			for size+density*(e.place-place) >= target {
				end := place + (target-size)/density
				out = append(out, s.table(begin, end, target))
				begin, place, size = end, end, 0
			}
			size += density * (e.place - place)
		}
		if e.density > 0 {
			open = append(open, e.density)
		} else {
			k := slices.Index(open, -e.density)
			open = slices.Delete(open, k, k+1)
		}
	}
	if end := edges[len(edges)-1].place; size >= 1 && end-begin >= 1 {
		out = append(out, s.table(begin, end, size))
	}
	return out
}

// union is the density of several tables together, which have some keys in common.
func (s *simulation) union(densities []float64) float64 {
	full := s.capacity / keySpace
	missing := 1.0
	for _, d := range densities {
		missing *= max(1-d/full, 0)
	}
	return full * (1 - missing)
}
