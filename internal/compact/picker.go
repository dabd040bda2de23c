// Package compact decides which files to merge and merges them. The picker is
// a pure function from a version of the tree to a job; the runner turns sorted
// inputs into output tables, dropping what no reader can see. Neither holds
// state or locks: the engine decides when they run and installs what they
// make.
package compact

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// Limits shape the tree.
type Limits struct {
	// L0Files is the number of level-0 files that makes a compaction due.
	L0Files int
	// BaseBytes is the size that the first level under level 0 may reach.
	BaseBytes uint64
	// SharedSeq is the newest sequence number up to which all readers see
	// everything. A file at the bottom that is not newer and not yet rewritten
	// there may hold garbage, all of which a rewrite drops.
	SharedSeq base.SeqNum
	// Damaged, if given, tells the files that no job may read. They stay where
	// they are, and so does what must not pass them.
	Damaged func(f *manifest.FileMeta) bool
	// DamagedBlobs are the blob tables whose values no job writes anew.
	DamagedBlobs map[base.FileNum]error
	// Quiet says that nothing was flushed for a while: it is not worth waiting until
	// more deletes can be brought down at once.
	Quiet bool
	// Done, if given, tells the files that were rewritten already for the range
	// that PickRange is asked for, and that look as if it were worth it again:
	// operands that no value can be made of keep their sequence numbers.
	Done func(f *manifest.FileMeta) bool
}

// anyDamaged reports whether a job may not read one of the files.
func (l *Limits) anyDamaged(files []*manifest.FileMeta) bool {
	return l.Damaged != nil && slices.ContainsFunc(files, l.Damaged)
}

const (
	bottomLevel = manifest.NumLevels - 1
	// maxFanout is the largest size ratio between neighbouring levels. Ten is
	// the classic balance of write and space amplification for levelled trees.
	maxFanout = 10
	// maxJobFiles bounds the upper inputs of a job between two sorted levels,
	// so that one job neither blocks urgent ones for long nor needs much
	// temporary space.
	maxJobFiles = 8
	// maxJobBytes bounds them too, where tables are large.
	maxJobBytes = 256 << 20
)

// Job is a compaction to run: the files of Inputs[0] at Level and those of
// Inputs[1] at OutputLevel become new files at OutputLevel.
type Job struct {
	Level, OutputLevel int
	Inputs             [2][]*manifest.FileMeta
	// Move says that the upper inputs overlap neither each other nor anything
	// at the output level, so they can change level without being read.
	Move bool
	// Bottom says that no level under OutputLevel has a key of the job's span.
	Bottom bool
	// TTL says that the job is there to get rid of expired records.
	TTL bool
	// Sweep says that what deletes above the input end is left out, and up to which
	// number there may be some; 0: it is not.
	Sweep base.SeqNum
}

// Span returns the half-open key range that the inputs cover.
func (j *Job) Span() (lo, hi []byte) {
	for _, files := range j.Inputs {
		for _, f := range files {
			if lo == nil || bytes.Compare(f.Lo, lo) < 0 {
				lo = f.Lo
			}
			if hi == nil || bytes.Compare(f.Hi, hi) > 0 {
				hi = f.Hi
			}
		}
	}
	return lo, hi
}

// Bytes returns the size of all inputs.
func (j *Job) Bytes() uint64 { return fileBytes(j.Inputs[0]) + fileBytes(j.Inputs[1]) }

// LeastBytes estimates the least that the outputs take: each delete ends itself and one
// record, and what a range delete ends is not known.
func (j *Job) LeastBytes() (n int64) {
	for _, files := range j.Inputs {
		for _, f := range files {
			if f.RangeDeletes > 0 {
				return 0
			}
			left := 1 - 2*float64(f.Deletes)/float64(max(f.Count, 1))
			n += int64(left * float64(f.SizeBytes))
		}
	}
	return max(n, 0)
}

// shape holds the target size of each level. Levels above base are meant to be
// empty; level 0 feeds base directly, so that a small tree has few levels.
type shape struct {
	base    int
	targets [manifest.NumLevels]float64
}

func shapeOf(v *manifest.Version, l Limits) shape {
	var largest float64
	for level := 1; level <= bottomLevel; level++ {
		largest = max(largest, float64(v.LevelBytes(level)))
	}
	s := shape{base: bottomLevel}
	for size := largest; s.base > 1 && size > float64(l.BaseBytes); size /= maxFanout {
		s.base--
	}
	fanout := 1.0
	if n := bottomLevel - s.base; n > 0 {
		fanout = math.Pow(largest/float64(l.BaseBytes), 1/float64(n))
	}
	target := float64(l.BaseBytes)
	for level := s.base; level <= bottomLevel; level++ {
		s.targets[level] = target
		target *= fanout
	}
	return s
}

// score tells how due a level is: 1 and more means that a job should run.
func (s *shape) score(v *manifest.Version, l Limits, level int) float64 {
	switch {
	case level == 0:
		return float64(len(v.Levels[0])) / float64(l.L0Files)
	case level == bottomLevel || len(v.Levels[level]) == 0:
		return 0
	case level < s.base:
		return math.Inf(1)
	}
	return float64(v.LevelBytes(level)) / s.targets[level]
}

// Pick returns the most urgent job that can run, or nil when the tree is in
// shape, as far as damaged files let it.
func Pick(v *manifest.Version, l Limits) *Job {
	s := shapeOf(v, l)
	type due struct {
		level int
		score float64
	}
	var levels []due
	for level := 0; level < bottomLevel; level++ {
		if score := s.score(v, l, level); score >= 1 {
			levels = append(levels, due{level, score})
		}
	}
	slices.SortStableFunc(levels, func(a, b due) int { return cmp.Compare(b.score, a.score) })
	for _, d := range levels {
		if j := s.job(v, l, d.level); j != nil {
			return j
		}
	}
	return nil
}

// job returns a job that makes a level smaller, or nil when there is none.
func (s *shape) job(v *manifest.Version, l Limits, level int) *Job {
	switch {
	case level == 0:
		return jobFromL0(v, l, s.base)
	case level < s.base:
		return jobFromLevel(v, l, level, nextFilled(v, level, s.base), v.Levels[level], 1)
	}
	return jobFromLevel(v, l, level, level+1, v.Levels[level], 1)
}

// PickRange returns the next job on the way to having everything in [lo, hi)
// (nil: unbounded) in one sorted run at the bottom, or nil when it is there, as
// far as damaged files let it.
func PickRange(v *manifest.Version, l Limits, lo, hi []byte) *Job {
	if len(v.Overlapping(0, lo, hi)) > 0 {
		s := shapeOf(v, l)
		if j := jobFromL0(v, l, s.base); j != nil {
			return j
		}
	}
	for level := 1; level < bottomLevel; level++ {
		files := v.Overlapping(level, lo, hi)
		if len(files) == 0 {
			continue
		}
		if j := jobFromLevel(v, l, level, nextFilled(v, level, bottomLevel), files, maxJobFiles); j != nil {
			return j
		}
	}
	return settleBottom(v.Overlapping(bottomLevel, lo, hi), l)
}

// settleBottom returns a job that rewrites neighbours at the bottom that came
// there with what a snapshot saw, or by a move. What it writes has sequence
// number zero throughout, so no file is rewritten twice.
func settleBottom(files []*manifest.FileMeta, l Limits) *Job {
	begin, end := 0, 0
	for i, f := range files {
		settled := f.LargestSeq == 0 || f.LargestSeq > l.SharedSeq || l.anyDamaged(files[i:i+1]) ||
			l.Done != nil && l.Done(f)
		if settled && end == begin {
			begin, end = i+1, i+1
			continue
		}
		if settled || end-begin == maxJobFiles {
			break
		}
		end++
	}
	if begin == end {
		return nil
	}
	return &Job{
		Level:       bottomLevel,
		OutputLevel: bottomLevel,
		Inputs:      [2][]*manifest.FileMeta{files[begin:end], nil},
		Bottom:      true,
	}
}

// nextFilled returns the first level under level that holds files, at most
// last.
func nextFilled(v *manifest.Version, level, last int) int {
	for level++; level < last && len(v.Levels[level]) == 0; level++ {
	}
	return level
}

// DebtBytes estimates the bytes that compactions must still write until the
// tree is in shape.
func DebtBytes(v *manifest.Version, l Limits) uint64 {
	s := shapeOf(v, l)
	var debt float64
	carried := 0.0
	if len(v.Levels[0]) >= l.L0Files {
		carried = float64(v.LevelBytes(0))
		debt += carried + float64(v.LevelBytes(s.base))
	}
	for level := 1; level < bottomLevel; level++ {
		excess := float64(v.LevelBytes(level)) + carried - s.targets[level]
		if level < s.base {
			excess = float64(v.LevelBytes(level))
		}
		if excess <= 0 || len(v.Levels[level]) == 0 && level != s.base {
			carried = 0
			continue
		}
		ratio := 1.0
		if own := float64(v.LevelBytes(level)); own > 0 {
			ratio += min(float64(v.LevelBytes(level+1))/own, maxFanout)
		}
		debt += excess * ratio
		carried = excess
	}
	return uint64(debt + reclaimDebt(v, l))
}

// jobFromL0 takes all of level 0, but for the files that cannot go down: those
// that are damaged or meet damage below, and those that lie over one that
// stays, because older data must never come to stand above newer.
func jobFromL0(v *manifest.Version, l Limits, base int) *Job {
	// A level above base that still holds files must not be jumped over: its
	// data is newer than that of the levels under it.
	j := &Job{OutputLevel: nextFilled(v, 0, base)}
	below := func() []*manifest.FileMeta {
		lo, hi := j.Span()
		return v.Overlapping(j.OutputLevel, lo, hi)
	}
	j.Inputs[0] = v.Levels[0]
	if l.anyDamaged(j.Inputs[0]) || l.anyDamaged(below()) {
		var stay []*manifest.FileMeta
		j.Inputs[0] = nil
		for _, f := range slices.Backward(v.Levels[0]) { // from the oldest
			taken := j.Inputs[0]
			j.Inputs[0] = append(slices.Clip(taken), f)
			if l.Damaged(f) || overlapsAny(f, stay) || l.anyDamaged(below()) {
				stay = append(stay, f)
				j.Inputs[0] = taken
			}
		}
		if len(j.Inputs[0]) == 0 {
			return nil
		}
		slices.Reverse(j.Inputs[0])
	}
	j.Inputs[1] = below()
	return finishJob(v, j)
}

// jobFromLevel takes, of the given files of a level, a run of up to most
// neighbours, and no more than maxJobBytes, that starts where a merge rewrites the fewest bytes of the output
// level per byte moved down. It takes no damaged file, nor one over damage.
func jobFromLevel(v *manifest.Version, l Limits, level, out int, files []*manifest.FileMeta, most int) *Job {
	best, bestCost := -1, math.Inf(1)
	for i, f := range files {
		below := v.Overlapping(out, f.Lo, f.Hi)
		if l.anyDamaged(files[i:i+1]) || l.anyDamaged(below) {
			continue
		}
		if cost := float64(fileBytes(below)) / float64(f.SizeBytes+1); cost < bestCost {
			best, bestCost = i, cost
		}
	}
	if best < 0 {
		return nil
	}
	j := &Job{Level: level, OutputLevel: out}
	for end := min(best+most, len(files)); end > best; end-- {
		j.Inputs[0] = files[best:end]
		lo, hi := j.Span()
		below := v.Overlapping(out, lo, hi)
		tooLarge := end > best+1 && fileBytes(j.Inputs[0]) > maxJobBytes
		if tooLarge || l.anyDamaged(j.Inputs[0]) || l.anyDamaged(below) {
			continue // a shorter run
		}
		j.Inputs[1] = below
		return finishJob(v, j)
	}
	return nil
}

func overlapsAny(f *manifest.FileMeta, files []*manifest.FileMeta) bool {
	return slices.ContainsFunc(files, func(o *manifest.FileMeta) bool { return overlap(f, o) })
}

func overlap(a, b *manifest.FileMeta) bool {
	return bytes.Compare(a.Lo, b.Hi) < 0 && bytes.Compare(b.Lo, a.Hi) < 0
}

// finishJob fills in what follows from the inputs. The lower ones often reach
// beyond the upper ones, so it is the span of both that must have nothing below.
func finishJob(v *manifest.Version, j *Job) *Job {
	lo, hi := j.Span()
	j.Bottom = true
	for level := j.OutputLevel + 1; level <= bottomLevel; level++ {
		if len(v.Overlapping(level, lo, hi)) > 0 {
			j.Bottom = false
		}
	}
	// A move keeps tombstones; where a rewrite would drop them it is worth it.
	j.Move = len(j.Inputs[1]) == 0 && disjoint(j.Inputs[0]) &&
		!(j.Bottom && hasDeletes(j.Inputs[0]))
	return j
}

// PickExpired returns a job that gets rid of records that have expired at a
// moment, or nil when there is too little to gain; then it tells when that may
// change next, base.InstantMax if only new files can. A file is due when about
// half of its expiring records, and a quarter of all its records, are garbage,
// and in any case when all that expires in it has.
func PickExpired(v *manifest.Version, l Limits, at base.Instant) (*Job, base.Instant) {
	next := base.InstantMax
	for level, files := range v.Levels {
		for _, f := range files {
			due := expiryDue(f)
			if due > at {
				next = min(next, due)
				continue
			}
			if j := settleJob(v, l, level, f); j != nil {
				j.TTL, j.Move = true, false
				return j, at
			}
		}
	}
	return nil, next
}

// expiryDue returns when a file is worth a compaction.
func expiryDue(f *manifest.FileMeta) base.Instant {
	switch {
	case f.Expiring.Count == 0:
		return base.InstantMax
	case f.Expiring.Count*2 >= f.Count:
		return f.Expiring.Mean
	}
	return f.Expiring.Last
}

// settleJob returns a job that brings a file, or all of level 0, to what it lies over,
// or rewrites it where it stands if there is nothing; nil where damage is in the way.
func settleJob(v *manifest.Version, l Limits, level int, f *manifest.FileMeta) *Job {
	s := shapeOf(v, l)
	if level == 0 {
		return jobFromL0(v, l, s.base)
	}
	own := []*manifest.FileMeta{f}
	if l.anyDamaged(own) {
		return nil
	}
	for below := level + 1; below <= bottomLevel; below++ {
		if len(v.Overlapping(below, f.Lo, f.Hi)) > 0 {
			return jobFromLevel(v, l, level, below, own, 1)
		}
	}
	return &Job{Level: level, OutputLevel: level, Inputs: [2][]*manifest.FileMeta{own, nil}, Bottom: true}
}

// newestSeq returns the newest sequence number in files.
func newestSeq(files []*manifest.FileMeta) (newest base.SeqNum) {
	for _, f := range files {
		newest = max(newest, f.LargestSeq)
	}
	return newest
}

func hasDeletes(files []*manifest.FileMeta) bool {
	for _, f := range files {
		if f.Deletes+f.RangeDeletes > 0 {
			return true
		}
	}
	return false
}

func disjoint(files []*manifest.FileMeta) bool {
	for i, a := range files {
		for _, b := range files[i+1:] {
			if overlap(a, b) {
				return false
			}
		}
	}
	return true
}

func fileBytes(files []*manifest.FileMeta) uint64 {
	var n uint64
	for _, f := range files {
		n += f.SizeBytes
	}
	return n
}
