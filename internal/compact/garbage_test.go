package compact

import (
	"testing"

	"github.com/lightningdb/lightning/internal/manifest"
)

// Blob tables are left where too much of all of them is garbage, the worst ones, and in passing
// where little of one is in use. The job for that is for the table that has the most there.
func TestLeftBlobs(t *testing.T) {
	for name, c := range map[string]struct {
		raw, live [3]uint64 // of three blob tables
		left      [3]bool
		due       bool
	}{
		"all in use":      {raw: [3]uint64{100, 100, 100}, live: [3]uint64{98, 99, 100}},
		"some garbage":    {raw: [3]uint64{100, 100, 100}, live: [3]uint64{75, 90, 90}},
		"much of one":     {raw: [3]uint64{100, 100, 100}, live: [3]uint64{45, 95, 95}, left: [3]bool{true, false, false}},
		"much":            {raw: [3]uint64{100, 100, 100}, live: [3]uint64{60, 70, 90}, left: [3]bool{true, true, false}, due: true},
		"one that is all": {raw: [3]uint64{100, 0, 0}, live: [3]uint64{20, 0, 0}, left: [3]bool{true, false, false}, due: true},
	} {
		tr := newTree(t)
		var blobs [3]*manifest.FileMeta
		for i := range blobs {
			tr.n++
			blobs[i] = &manifest.FileMeta{Num: tr.n, RawBytes: c.raw[i]}
		}
		whole, small := tr.add(3, "a", "b", 10), tr.add(3, "c", "d", 10)
		upper := tr.add(0, "a", "z", 10)
		for i, b := range blobs {
			if c.live[i] == 0 {
				continue
			}
			part := c.live[i] / 10
			whole.Blobs = append(whole.Blobs, manifest.BlobUse{Num: b.Num, Table: b, StoredBytes: c.live[i] - 2*part})
			small.Blobs = append(small.Blobs, manifest.BlobUse{Num: b.Num, Table: b, StoredBytes: part})
			upper.Blobs = append(upper.Blobs, manifest.BlobUse{Num: b.Num, Table: b, StoredBytes: part})
		}
		left, due := LeftBlobs(tr.v, nil)
		if due != c.due {
			t.Errorf("%s: due is %v", name, due)
		}
		for i, b := range blobs {
			if left[b.Num] != c.left[i] {
				t.Errorf("%s: table %d is left: %v", name, i, left[b.Num])
			}
		}
		job := PickBlobs(tr.v, testLimits)
		if (job != nil) != c.due || job != nil && (job.Level != 3 || job.OutputLevel != 3 || job.Move || job.Inputs[0][0] != whole || !job.Bottom) {
			t.Errorf("%s: job %+v", name, job)
		}
		l := testLimits
		l.Damaged = func(f *manifest.FileMeta) bool { return f == whole }
		if job := PickBlobs(tr.v, l); c.due && (job == nil || job.Inputs[0][0] != small) {
			t.Errorf("%s, where the largest is damaged: job %+v", name, job)
		}
		if sum := SumBlobs(tr.v); sum.LiveBytes != c.live[0]+c.live[1]+c.live[2] || sum.RawBytes != c.raw[0]+c.raw[1]+c.raw[2] {
			t.Errorf("%s: %+v", name, sum)
		}
	}
}
