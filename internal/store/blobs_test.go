package store

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
)

// merge makes one table of others, whose values stay where they are.
func (r *room) merge(tree *Tree, files []*manifest.FileMeta) *manifest.FileMeta {
	r.t.Helper()
	open := func(lo, hi []byte) (Records, rangedel.Iterator, error) {
		return tree.MergeInputs(0, 1, [2][]*manifest.FileMeta{files, nil}, 1)
	}
	outputs, _, err := r.WriteParts(context.Background(), nil, open, Output{Level: 1}, compact.Config{})
	must(r.t, err)
	if len(outputs) != 1 {
		r.t.Fatalf("%d tables, want 1", len(outputs))
	}
	return outputs[0]
}

// A table whose values are in many blob tables shows all of them, in both directions, with few
// of those at hand. The files stay until the last table that has values there is given up.
func TestTableOfManyBlobs(t *testing.T) {
	const tables, rows = 3 * blobWalksMax, 20
	r := newRoomWith(t, 50)
	value := func(i int) string { return strings.Repeat(fmt.Sprintf("%04d", i), 20) }
	var inputs []*manifest.FileMeta
	for i := range tables {
		var records []base.Record
		for n := i; n < tables*rows; n += tables {
			records = append(records, rec(fmt.Sprintf("\x00%04d", n), base.SeqNum(1+n), value(n)))
		}
		inputs = append(inputs, r.table(records))
	}
	before := r.NewTree(r.version(inputs))
	merged := r.merge(before, inputs)
	if len(merged.Blobs) != tables || merged.RawBytes > rows*tables*100 {
		t.Fatalf("%d blob tables, %d raw bytes", len(merged.Blobs), merged.RawBytes)
	}
	after := r.NewTree(r.version(nil, []*manifest.FileMeta{merged}))
	var gone []manifest.LevelNum
	for _, f := range inputs {
		gone = append(gone, manifest.LevelNum{Num: f.Num})
	}
	r.GiveUp(gone)
	r.drop(before)
	if n := len(r.files()); n != tables+1 {
		t.Errorf("%d files, want those of the values and one more", n)
	}
	it, err := after.Levels[1][0].NewIter(sstable.IterOptions{})
	must(t, err)
	n := 0
	check := func(rec *base.Record) {
		t.Helper()
		if rec.Trailer.Kind() != base.KindSet || string(rec.Value) != value(n) || string(rec.Key) != fmt.Sprintf("\x00%04d", n) {
			t.Fatalf("record %d is %q %v %.20q", n, rec.Key, rec.Trailer, rec.Value)
		}
		if open := len(it.(*blobIter).walks.iters); open > blobWalksMax {
			t.Fatalf("%d blob tables at hand", open)
		}
	}
	for rec := it.First(); rec != nil; rec = it.Next() {
		check(rec)
		n++
	}
	if n != tables*rows {
		t.Errorf("%d records", n)
	}
	for rec := it.Last(); rec != nil; rec = it.Prev() {
		n--
		check(rec)
	}
	must(t, it.Err())
	must(t, it.Close())
	r.GiveUp([]manifest.LevelNum{{Level: 1, Num: merged.Num}})
	r.drop(after)
	r.expectFiles()
	r.expectQuiet()
}

// A database that is closed gives up nothing that the manifest names.
func TestBlobsOutliveTheStore(t *testing.T) {
	r := newRoomWith(t, 50)
	meta := r.table([]base.Record{rec("\x00a", 1, strings.Repeat("v", 60))})
	r.drop(r.NewTree(r.version([]*manifest.FileMeta{meta})))
	r.expectFiles(meta, meta.Blobs[0].Table)
}
