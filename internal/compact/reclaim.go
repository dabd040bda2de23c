package compact

import (
	"cmp"
	"slices"

	"github.com/lightningdb/lightning/internal/manifest"
)

// This file picks jobs that give space back: those that bring deletes down to what
// they have ended. What a job gives back is an estimate from what the manifest has of
// each table: a delete of a key ends one record, which may lie in any of the levels
// beneath in proportion to what they hold there; what range deletes end was estimated
// when their table was written (CoveredBytes).
//
// Every such job brings deletes one level down at least, or ends them at the bottom, so
// there are finitely many, however wrong the estimate.

// These are the parts that must be given back of what deletes are brought to for it to be
// worth it. When it is quiet, it is enough as well that all together are such a part of
// the tree, so at most a seventh is left to be gained above what lives. As long as more
// is flushed, less often is cheaper, above all from level 0, which goes down as a whole.
const (
	quietShare     = 1.0 / 8
	busyShare      = 1.0 / 4
	levelZeroShare = 1.0 / 2 // busy
)

// worth reports whether a gain is one by itself.
func (g *gain) worth(l Limits) bool {
	switch {
	case l.Quiet:
		return g.share() >= quietShare
	case g.level == 0:
		return g.share() >= levelZeroShare
	}
	return g.share() >= busyShare
}

// gain is what bringing the deletes of some tables of a level to the bottom would give
// back, and the bytes of all that lies there.
type gain struct {
	level            int
	file             *manifest.FileMeta // of level 0: the first one, which stands for all
	back, lyingThere float64            // with the values that are kept apart
	rewritten        float64            // without
}

// heldBytes is what a table holds, wherever its values are.
func heldBytes(f *manifest.FileMeta) float64 {
	n := f.SizeBytes
	for _, use := range f.Blobs {
		n += use.StoredBytes
	}
	return float64(n)
}

func (g *gain) share() float64 { return g.back / max(g.lyingThere, 1) }

// gains returns what is worth it to be gained from tables with deletes that all readers
// see, the largest share first.
func gains(v *manifest.Version, l Limits) []gain {
	var all []gain
	var tree, back float64
	for level, files := range v.Levels {
		for _, f := range files {
			tree += heldBytes(f)
		}
		most := 1
		if level == 0 {
			most = max(len(files), 1)
		}
		for some := range slices.Chunk(files, most) {
			if hasDeletes(some) && newestSeq(some) <= l.SharedSeq {
				g := gainOf(v, level, some)
				all, back = append(all, g), back+g.back
			}
		}
	}
	if !l.Quiet || back < quietShare*tree {
		all = slices.DeleteFunc(all, func(g gain) bool { return !g.worth(l) })
	}
	slices.SortStableFunc(all, func(a, b gain) int { return cmp.Compare(b.share(), a.share()) })
	return all
}

// gainOf estimates what there is to gain from some tables of a level.
func gainOf(v *manifest.Version, level int, files []*manifest.FileMeta) gain {
	var own, rewritten, deletes, covered, entries, rangeDeletes float64
	for _, f := range files {
		own += heldBytes(f)
		rewritten += float64(f.SizeBytes)
		deletes += float64(f.Deletes)
		rangeDeletes += float64(f.RangeDeletes)
		entries += float64(f.Count + f.RangeDeletes)
		covered += float64(f.CoveredBytes)
	}
	var beneath, records float64
	lo, hi := (&Job{Inputs: [2][]*manifest.FileMeta{files, nil}}).Span()
	for below := level + 1; below <= bottomLevel; below++ {
		for _, f := range v.Overlapping(below, lo, hi) {
			beneath += heldBytes(f)
			rewritten += float64(f.SizeBytes)
			records += float64(f.Count)
		}
	}
	lying := own + beneath
	if len(files) > 1 { // of level 0, which may lie over one another
		beneath, records = lying, records+entries
	}
	ended := beneath * min(deletes/max(records, 1), 1)
	return gain{
		level: level, file: files[0], lyingThere: lying, rewritten: rewritten,
		back: min(ended+covered, beneath) + own*(deletes+rangeDeletes)/max(entries, 1),
	}
}

// PickReclaim returns the job from which there is the largest part to gain, if that is
// enough, as far as damaged files let it.
func PickReclaim(v *manifest.Version, l Limits) *Job {
	for _, g := range gains(v, l) {
		if j := settleJob(v, l, g.level, g.file); j != nil {
			return j
		}
	}
	return nil
}

// HasDeletes reports whether any table has deletes.
func HasDeletes(v *manifest.Version) bool {
	return slices.ContainsFunc(v.Levels[:], hasDeletes)
}

// reclaimDebt is the bytes that PickReclaim's jobs have to read and write.
func reclaimDebt(v *manifest.Version, l Limits) (debt float64) {
	var tree float64
	for level := range v.Levels {
		tree += float64(v.LevelBytes(level))
	}
	for _, g := range gains(v, l) {
		debt += g.rewritten
	}
	return min(debt, tree)
}
