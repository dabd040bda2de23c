package manifest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// A blob table is there as long as a table in the tree, or of an ingest commit, has values in
// it, and a state that was read back says the same.
func TestBlobsLiveWithTheirTables(t *testing.T) {
	blob := func(n base.FileNum) *FileMeta {
		return &FileMeta{Num: n, SizeBytes: 100, Lo: []byte("a"), Hi: []byte("z"), Count: 1, RawBytes: 90}
	}
	table := func(n base.FileNum, lo string, blobs ...*FileMeta) *FileMeta {
		m := &FileMeta{Num: n, SizeBytes: 10, Lo: []byte(lo), Hi: []byte(lo + "z"), Count: 1}
		for _, b := range blobs {
			m.Blobs = append(m.Blobs, BlobUse{Num: b.Num, StoredBytes: uint64(b.Num), Table: b})
		}
		return m
	}
	first, second := blob(2), blob(4)
	a, b := table(1, "a", first), table(3, "b", first, second)
	inArchive := table(5, "c", second)
	state := newState(base.DBID{1})
	read := newState(base.DBID{1})
	for i, step := range []struct {
		edit *Edit
		want []base.FileNum
	}{
		{&Edit{AddFiles: []LevelFile{{1, a}}}, []base.FileNum{2}},
		{&Edit{AddFiles: []LevelFile{{1, b}}}, []base.FileNum{2, 4}},
		{&Edit{RemoveFiles: []LevelNum{{1, 1}}}, []base.FileNum{2, 4}},
		{&Edit{RemoveFiles: []LevelNum{{1, 3}}, AddFiles: []LevelFile{{2, b}}}, []base.FileNum{2, 4}},
		{&Edit{AddIngests: []IngestCommit{{First: 1, Last: 1, Tables: []*FileMeta{withSeq(inArchive, 1)}}}}, []base.FileNum{2, 4}},
		{&Edit{RemoveFiles: []LevelNum{{2, 3}}}, []base.FileNum{4}},
		{&Edit{ForgetIngests: []base.SeqNum{1}}, nil},
	} {
		step.edit.findBlobs(state)
		encoded := appendEdit(nil, step.edit)
		var err error
		if state, err = state.apply(step.edit); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		decoded, err := decodeEdit(encoded)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if read, err = read.apply(decoded); err != nil {
			t.Fatalf("step %d, read: %v", i, err)
		}
		snapshot, err := decodeEdit(appendEdit(nil, state.snapshot()))
		if err != nil {
			t.Fatal(err)
		}
		rolled, err := newState(base.DBID{1}).apply(snapshot)
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]*State{"written": state, "read": read, "rolled": rolled} {
			if got := slices.Sorted(maps.Keys(s.Blobs)); !slices.Equal(got, step.want) {
				t.Errorf("step %d, %s: blob tables %v, want %v", i, name, got, step.want)
			}
			for f := range tables(s.Version, s.Ingests...) {
				for _, use := range f.Blobs {
					if use.Table == nil || use.Table != s.Blobs[use.Num] || use.StoredBytes != uint64(use.Num) {
						t.Errorf("step %d, %s: table %s has %+v", i, name, f.Num, use)
					}
				}
			}
		}
	}
}

func withSeq(m *FileMeta, seq base.SeqNum) *FileMeta {
	m.SmallestSeq, m.LargestSeq = seq, seq
	return m
}

// A table whose blob table nobody describes is refused, and so is one that comes twice.
func TestBlobsAreChecked(t *testing.T) {
	meta := &FileMeta{Num: 1, SizeBytes: 10, Lo: []byte("a"), Hi: []byte("b"), Count: 1, Blobs: []BlobUse{{Num: 7}}}
	_, err := newState(base.DBID{1}).apply(&Edit{AddFiles: []LevelFile{{1, meta}}})
	if err == nil || !strings.Contains(err.Error(), "000007") {
		t.Errorf("%v", err)
	}
	b := &FileMeta{Num: 7, SizeBytes: 10, Lo: []byte("a"), Hi: []byte("b"), Count: 1}
	_, err = newState(base.DBID{1}).apply(&Edit{AddBlobs: []*FileMeta{b, b}})
	if err == nil {
		t.Error("a blob table comes twice")
	}
	for _, uses := range [][]BlobUse{{{Num: 0}}, {{Num: 2}, {Num: 2}}, {{Num: 3}, {Num: 2}}} {
		meta.Blobs = uses
		if err := meta.validate(); err == nil {
			t.Errorf("blob tables %v", uses)
		}
	}
}
