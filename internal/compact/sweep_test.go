package compact

import (
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// The table that newer deletes end most of is swept first, and once for the same
// deletes; one that they hardly touch is not, nor is one that is damaged.
func TestPickSweep(t *testing.T) {
	file := func(num base.FileNum, lo, hi string, seq base.SeqNum, count, deletes, ranges uint64) *manifest.FileMeta {
		return &manifest.FileMeta{
			Num: num, Lo: []byte(lo), Hi: []byte(hi), SmallestSeq: seq, LargestSeq: seq, SizeBytes: 1000,
			Count: count, Deletes: deletes, RangeDeletes: ranges,
		}
	}
	v := &manifest.Version{}
	edit := &manifest.Edit{AddFiles: []manifest.LevelFile{
		{Level: 0, Meta: file(9, "a", "c", 90, 60, 60, 0)},
		{Level: 0, Meta: file(8, "a", "z", 80, 100, 1, 0)},
		{Level: 5, Meta: file(3, "a", "b", 10, 100, 0, 0)},
		{Level: 5, Meta: file(4, "b", "c", 10, 50, 0, 0)},
		{Level: 5, Meta: file(5, "d", "e", 10, 100, 0, 0)},
		{Level: 6, Meta: file(2, "d", "f", 95, 100, 0, 0)}, // newer than the deletes
	}}
	v, err := v.Apply(edit)
	if err != nil {
		t.Fatal(err)
	}
	swept := map[base.FileNum]base.SeqNum{}
	damaged := func(f *manifest.FileMeta) bool { return f.Num == 8 }
	pick := func() *Job {
		return PickSweep(v, Limits{Damaged: damaged}, func(f *manifest.FileMeta, newest base.SeqNum) bool {
			return swept[f.Num] >= newest
		})
	}
	for _, want := range []base.FileNum{4, 3} {
		job := pick()
		if job == nil || job.Inputs[0][0].Num != want || job.Level != 5 || job.OutputLevel != 5 || job.Sweep != 90 || job.Bottom {
			t.Fatalf("picked %+v, want table %d", job, want)
		}
		swept[want] = job.Sweep
	}
	if job := pick(); job != nil {
		t.Errorf("picked %+v", job.Inputs[0][0])
	}
	damaged = func(*manifest.FileMeta) bool { return false }
	if job := pick(); job == nil || job.Inputs[0][0].Num != 8 || job.Level != 0 {
		t.Errorf("picked %+v, want the table of level 0", job)
	}
}
