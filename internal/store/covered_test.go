package store

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

func coveredKey(i int) string { return fmt.Sprintf("\x00%06d", i) }

// coveredTree has tables of a thousand rows each, one behind the other, in level 6, and
// one that lies over them in level 5.
func coveredTree(r *room, tables int) *Tree {
	r.t.Helper()
	rows := func(from, to int) (records []base.Record) {
		for i := from; i < to; i++ {
			records = append(records, rec(coveredKey(i), 1, "a value of some length, as they are"))
		}
		return records
	}
	var bottom []*manifest.FileMeta
	for i := range tables {
		bottom = append(bottom, r.table(rows(1000*i, 1000*(i+1))))
	}
	over := []*manifest.FileMeta{r.table(rows(0, 1000*tables))}
	return r.NewTree(r.version(nil, nil, nil, nil, nil, over, bottom))
}

func rangeDelete(from, to int) rangedel.Tombstone {
	return rangedel.Tombstone{Lo: []byte(coveredKey(from)), Hi: []byte(coveredKey(to)), Seq: 9}
}

func rangeDeletes(ts ...rangedel.Tombstone) rangedel.Iterator { return rangedel.Build(ts).Iter() }

// What range deletes cover is estimated to within a block or two at each end.
func TestCoveredBytes(t *testing.T) {
	r := newRoom(t)
	const tables = 4
	tree := coveredTree(r, tables)
	defer r.drop(tree)
	perRow := float64(tree.Version.LevelBytes(6)) / (1000 * tables)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		from := rng.IntN(1000*tables + 100)
		to := from + 1 + rng.IntN(2000)
		got := float64(tree.CoveredBytes(rangeDeletes(rangeDelete(from, to)), 6, nil))
		rows := max(min(to, 1000*tables)-min(from, 1000*tables), 0)
		// What is not rows, filter and index, counts only where a table ends.
		if want := float64(rows) * perRow; got < 0.8*want-1000 || got > want+0.2*1000*perRow+1000 {
			t.Errorf("rows %d to %d take %.0f bytes, estimated are %.0f", from, to, want, got)
		}
	}
}

// Many are counted as one in several, and what goes is not counted.
func TestCoveredBytesOfMany(t *testing.T) {
	r := newRoom(t)
	tree := coveredTree(r, 10)
	defer r.drop(tree)
	var deletes []rangedel.Tombstone
	for i := range 9_999 {
		deletes = append(deletes, rangeDelete(i, i+1))
		deletes[i].Seq = base.SeqNum(9 + i) // or they would be one
	}
	all := float64(tree.Version.LevelBytes(6))
	for _, n := range []int{2*coveredSamples - 1, 2 * coveredSamples, len(deletes)} {
		got := float64(tree.CoveredBytes(rangeDeletes(deletes[:n]...), 6, nil))
		if got < 0.5*all || got > all {
			t.Errorf("%d of 10,000 rows: %.0f of %.0f bytes", n, got, all)
		}
	}
	whole := func() rangedel.Iterator { return rangeDeletes(rangeDelete(0, 10_000)) }
	both := tree.Version.LevelBytes(5) + tree.Version.LevelBytes(6)
	if got := tree.CoveredBytes(whole(), 0, nil); got != both {
		t.Errorf("all levels: %d, want %d", got, both)
	}
	gone := []manifest.LevelNum{{Level: 6, Num: tree.Version.Levels[6][3].Num}}
	if got, want := tree.CoveredBytes(whole(), 0, gone), both-tree.Version.Levels[6][3].SizeBytes; got != want {
		t.Errorf("without one that goes: %d, want %d", got, want)
	}
	metas := []*manifest.FileMeta{
		r.table(nil, rangeDelete(0, 2000)),
		r.table([]base.Record{rec(coveredKey(2000), 9, "")}),
	}
	tree.NoteCovered(metas, 6, nil)
	if two := tree.Version.Levels[6][0].SizeBytes + tree.Version.Levels[6][1].SizeBytes; metas[0].CoveredBytes != two || metas[1].CoveredBytes != 0 {
		t.Errorf("noted are %d and %d, want %d and 0", metas[0].CoveredBytes, metas[1].CoveredBytes, two)
	}
}

// A table that cannot be read counts half.
func TestCoveredBytesOfUnreadable(t *testing.T) {
	r := newRoom(t)
	tree := coveredTree(r, 1)
	defer r.drop(tree)
	r.fs.Add(faultfs.Rule{Kinds: vfs.OpOpen, Name: "*.sst", Err: syscall.EIO})
	if got, want := tree.CoveredBytes(rangeDeletes(rangeDelete(10, 20)), 6, nil), tree.Version.LevelBytes(6)/2; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}
