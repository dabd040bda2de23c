package compact

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/manifest"
)

// Borders ascend inside the span of the job, and no writer has much more than the others, as
// far as tables tell. Where there is little there are none.
func TestBorders(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		tr := newTree(t)
		job := &Job{Level: 3, OutputLevel: 4}
		count := 1 + rng.IntN(40)
		for i := range count {
			job.Inputs[1] = append(job.Inputs[1], tr.add(4, fmt.Sprintf("k%03d", 2*i), fmt.Sprintf("k%03d", 2*i+1), 10))
		}
		if rng.IntN(2) == 0 {
			job.Level = 0
			job.Inputs[0] = append(job.Inputs[0], tr.add(0, "a", "z", uint64(rng.IntN(300))))
		} else {
			job.Inputs[0] = append(job.Inputs[0], tr.add(3, "k", "l", 10))
		}
		writers, least := rng.IntN(9), int64(1+rng.IntN(100))
		borders := job.Borders(writers, least)
		if n := len(borders) + 1; n > max(writers, 1) || n > max(int(job.Bytes())/int(least), 1) {
			t.Fatalf("seed %d: %d writers of %d bytes, %d and %d were asked for", seed, n, job.Bytes(), writers, least)
		}
		last, _ := job.Span()
		for _, b := range borders {
			if bytes.Compare(b, last) <= 0 {
				t.Fatalf("seed %d: borders %q", seed, borders)
			}
			last = b
		}
		if count < 2*writers || int(job.Bytes()) < writers*int(least) || writers < 2 {
			continue
		}
		if len(borders) != writers-1 {
			t.Fatalf("seed %d: %d writers of %d tables, want %d", seed, len(borders)+1, count, writers)
		}
		at := 0
		for i := range writers {
			from := at
			for ; at < count && (i == writers-1 || bytes.Compare(job.Inputs[1][at].Lo, borders[i]) < 0); at++ {
			}
			if n := at - from; n < count/writers-1 || n > count/writers+2 {
				t.Fatalf("seed %d: writer %d of %d has %d of %d tables", seed, i, writers, n, count)
			}
		}
	}
	tr := newTree(t)
	file := tr.add(0, "a", "z", 1000)
	for name, job := range map[string]*Job{
		"one table": {Inputs: [2][]*manifest.FileMeta{{file}}},
		"a sweep":   {Inputs: [2][]*manifest.FileMeta{{file, tr.add(1, "b", "c", 10), tr.add(1, "d", "e", 1000)}}, Sweep: 1},
	} {
		if borders := job.Borders(4, 1); borders != nil {
			t.Errorf("%s: %q", name, borders)
		}
	}
}
