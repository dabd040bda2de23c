package compact

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// This file picks sweeps: jobs for a full disk, which rewrite one table where it
// stands, without the records that deletes above it end. A merge would bring more
// space, but takes as much as all its inputs before it gives any back.

// sweepShare is the part of a table's records that deletes must end, by estimate, for
// a sweep to be worth it.
const sweepShare = 8

// PickSweep returns the sweep that is worth most, or nil. done tells the tables from
// which all that is deleted up to a number was swept before.
func PickSweep(v *manifest.Version, l Limits, done func(f *manifest.FileMeta, newest base.SeqNum) bool) *Job {
	var best *Job
	bestShare := 1.0 / sweepShare
	for level, files := range v.Levels {
		for i, f := range files {
			share, newest := sweepable(v, level, i)
			if share < bestShare || newest == 0 || done(f, newest) || l.anyDamaged(files[i:i+1]) {
				continue
			}
			bestShare = share
			best = &Job{
				Level: level, OutputLevel: level, Inputs: [2][]*manifest.FileMeta{files[i : i+1], nil},
				Sweep: newest,
			}
		}
	}
	return best
}

// sweepable estimates which part of a table's records deletes above it end, taking it
// that they are spread evenly, and tells up to which number there may be some. A range
// delete may end all.
func sweepable(v *manifest.Version, level, index int) (share float64, newest base.SeqNum) {
	f := v.Levels[level][index]
	for above := 0; above <= level; above++ {
		for _, other := range v.Overlapping(above, f.Lo, f.Hi) {
			if other.Deletes+other.RangeDeletes == 0 || other.LargestSeq <= f.LargestSeq {
				continue
			}
			newest = max(newest, other.LargestSeq)
			if other.RangeDeletes > 0 {
				share = 1
			}
			targets := len(v.Overlapping(level, other.Lo, other.Hi))
			share += float64(other.Deletes) / float64(targets) / float64(max(f.Count, 1))
		}
	}
	return min(share, 1), newest
}
