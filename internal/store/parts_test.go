package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

// versions are some versions of some keys, and tombstones over them.
func versions(rng *rand.Rand) (records []base.Record, deletes []rangedel.Tombstone) {
	for n := range 300 {
		records = append(records, rec(fmt.Sprintf("\x00%03d", rng.IntN(100)), base.SeqNum(1+n), strings.Repeat("v", rng.IntN(40))))
	}
	for n := range 6 {
		lo := rng.IntN(99)
		hi := lo + 1 + rng.IntN(99-lo)
		deletes = append(deletes, rangedel.Tombstone{
			Lo: fmt.Appendf(nil, "\x00%03d", lo), Hi: fmt.Appendf(nil, "\x00%03d", hi), Seq: base.SeqNum(1 + 50*n),
		})
	}
	return records, deletes
}

// content is what tables hold: their records, and their tombstones where nothing is cut.
func (r *room) content(files []*manifest.FileMeta) string {
	r.t.Helper()
	tree := r.NewTree(r.version(nil, files))
	defer r.drop(tree)
	merged, deletes, err := tree.MergeInputs(0, 1, [2][]*manifest.FileMeta{nil, files}, 1)
	must(r.t, err)
	defer merged.Close()
	out := text(merged)
	for f, err := deletes.Next(); f != nil; f, err = deletes.Next() {
		must(r.t, err)
		out += fmt.Sprintf(" %s-%s%v", f.Lo, f.Hi, f.Seqs)
	}
	return out
}

// What several writers write is what one writes, and their tables overlap nowhere.
func TestWriteParts(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		records, deletes := versions(rng)
		snapshots := []base.SeqNum{base.SeqNum(rng.IntN(150)), base.SeqNum(150 + rng.IntN(150))}
		cfg := compact.Config{Snapshots: snapshots, Bottom: rng.IntN(2) == 0}
		out := Output{Level: 1, FileBytes: 1 << 10}
		r := newRoom(t)
		input := r.table(records, deletes...)
		tree := r.NewTree(r.version([]*manifest.FileMeta{input}))
		cfg.Lo, cfg.Hi = input.Lo, input.Hi
		open := func(lo, hi []byte) (Records, rangedel.Iterator, error) {
			merged, tombstones, err := tree.MergeInputs(0, 1, [2][]*manifest.FileMeta{{input}, nil}, 1)
			return merged, rangedel.Within(tombstones, lo, hi), err
		}
		one, stats, err := r.WriteParts(context.Background(), nil, open, out, cfg)
		must(t, err)
		var borders [][]byte
		for i := range 1 + rng.IntN(4) {
			borders = append(borders, fmt.Appendf(nil, "\x00%03d", 20*(i+1)+rng.IntN(18)))
		}
		several, sum, err := r.WriteParts(context.Background(), borders, open, out, cfg)
		must(t, err)
		if sum.RecordsIn != stats.RecordsIn || sum.RecordsOut != stats.RecordsOut {
			t.Errorf("seed %d: %+v, one writer %+v", seed, sum, stats)
		}
		for i := range several[1:] {
			if string(several[i].Hi) > string(several[i+1].Lo) {
				t.Errorf("seed %d: a table ends at %q, the next begins at %q", seed, several[i].Hi, several[i+1].Lo)
			}
		}
		if got, want := r.content(several), r.content(one); got != want {
			t.Fatalf("seed %d, borders %q: there is\n%s\nwant\n%s", seed, borders, got, want)
		}
		r.drop(tree)
	}
}

// Where one writer fails, or cannot begin, nothing is left of the others, and what is said is
// what went wrong first.
func TestFailedPartLeavesNothing(t *testing.T) {
	out := Output{Level: 1, FileBytes: 1 << 10}
	borders := [][]byte{[]byte("\x00030"), []byte("\x00060")}
	open := func(lo, hi []byte) (Records, rangedel.Iterator, error) {
		return iterate.NewMerging([]iterate.Source{{Iter: &walk{newSource(someRecords())}, MaxSeq: base.SeqNumMax}}), nil, nil
	}
	r := newRoom(t)
	before := r.fs.Ops()
	_, _, err := r.WriteParts(context.Background(), borders, open, out, compact.Config{})
	must(t, err)
	for n := range r.fs.Ops() - before {
		r := newRoom(t)
		r.fs.Add(faultfs.Rule{Err: errInjected, Nth: n + 1, Sticky: true, Kinds: vfs.OpAll &^ vfs.OpRemove})
		outputs, _, err := r.WriteParts(context.Background(), borders, open, out, compact.Config{})
		if err == nil {
			continue // its operations come in another order each time
		}
		r.fs.Reset()
		if !errors.Is(err, errInjected) || len(outputs) > 0 {
			t.Errorf("operation %d: %d tables, %v", n, len(outputs), err)
		}
		r.expectFiles()
	}
	r = newRoom(t)
	_, _, err = r.WriteParts(context.Background(), borders, func(lo, hi []byte) (Records, rangedel.Iterator, error) {
		if lo != nil && hi != nil {
			return nil, nil, errInjected
		}
		return open(lo, hi)
	}, out, compact.Config{})
	if err != errInjected {
		t.Errorf("one cannot begin: %v", err)
	}
	r.expectFiles()
}

// walk makes a source of records something that can be sought.
type walk struct{ *source }

func (w *walk) SeekGE(key []byte) *base.Record {
	w.at = slices.IndexFunc(w.records, func(r base.Record) bool { return string(r.Key) >= string(key) }) - 1
	return w.Next()
}

func (w *walk) SeekLT([]byte) *base.Record { return nil } // not asked for
func (w *walk) Last() *base.Record         { return nil } // not asked for
func (w *walk) Prev() *base.Record         { return nil } // not asked for
func (w *walk) Close() error               { return nil }
