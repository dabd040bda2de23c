package compact

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/lightningdb/lightning/internal/manifest"
)

// Borders returns the keys that divide the inputs of a job among so many writers, at least
// leastBytes and about the same for each: the bounds of tables, which the version knows. There
// are fewer where there is less, or no bound inside.
func (j *Job) Borders(writers int, leastBytes int64) (borders [][]byte) {
	writers = min(writers, int(j.Bytes()/uint64(max(leastBytes, 1))))
	if writers < 2 || j.Sweep > 0 {
		return nil
	}
	files := j.Inputs[1]
	if len(files) < 2*writers {
		files = slices.Concat(j.Inputs[0], files)
	} // else they tell best: tables of level 0 may reach over everything
	slices.SortFunc(files, func(a, b *manifest.FileMeta) int {
		return cmp.Or(bytes.Compare(a.Lo, b.Lo), cmp.Compare(a.Num, b.Num))
	})
	total, before, last := fileBytes(files), uint64(0), files[0].Lo
	for _, f := range files {
		due := total * uint64(len(borders)+1) / uint64(writers)
		if len(borders)+1 < writers && before >= due && bytes.Compare(f.Lo, last) > 0 {
			borders, last = append(borders, f.Lo), f.Lo
		}
		before += f.SizeBytes
	}
	return borders
}
