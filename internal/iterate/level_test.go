package iterate

import (
	"math/rand/v2"
	"testing"
)

func TestLevelWalk(t *testing.T) {
	var l Level // reused by all trials
	trials(t, 500, func(t *testing.T, rng *rand.Rand) {
		records := randomRecords(rng, rng.IntN(60), ascendingSeqs())
		files := splitFiles(t, rng, records)
		if rng.IntN(3) == 0 {
			files.failAt = new(int)
		}
		l.Reset(files)
		if files.opens > 0 {
			t.Fatal("a file was opened before it was needed")
		}
		walk(t, rng, &l, records, 200, files.failAt)
		if err := l.Close(); err != nil || files.last != nil && !files.last.closed {
			t.Fatalf("Close: %v", err)
		}
	})
}

func TestLevelOpensOnlyWhatItNeeds(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	records := randomRecords(rng, 200, ascendingSeqs())
	files := splitFiles(t, rng, records)
	l := NewLevel(files)
	for i := range files.pieces {
		if len(files.pieces[i]) == 0 {
			continue
		}
		before := files.opens
		for _, r := range files.pieces[i] {
			if rec := l.SeekGE(r.Key); rec == nil || string(rec.Key) != string(r.Key) {
				t.Fatalf("SeekGE(%q) = %v", r.Key, rec)
			}
		}
		if files.opens != before+1 {
			t.Fatalf("seeks within one file opened %d", files.opens-before)
		}
	}
}
