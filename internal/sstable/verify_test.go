package sstable

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// spoiling is a way to make a table that is wrong under right checksums, as a
// broken writer or a flipped bit in memory would make it.
type spoiling struct {
	spoil func(w *Writer) // before the record
	mend  func(w *Writer) // after it
	want  error
}

func spoilings() map[string]spoiling {
	return map[string]spoiling{
		"right": {},
		"block out of order": {spoil: func(w *Writer) {
			_ = w.endBlock([]byte("key00150"))
			w.lastKey = nil
			_ = w.Add([]byte("key00100"), base.MakeTrailer(1, base.KindSet), nil)
		}, want: errDisorder},
		"separator too small": {spoil: func(w *Writer) {
			w.lastKey = []byte("key00148x")
			_ = w.endBlock(nil)
		}, want: errBoundary},
		"separator too large": {spoil: func(w *Writer) {
			w.lastKey = []byte("key00150x")
			_ = w.endBlock(nil)
			w.lastKey = nil
		}, want: errBoundary},
		"key not in the filter": {
			spoil: func(w *Writer) { w.o.FilterBitsPerKey = 0 },
			mend:  func(w *Writer) { w.o.FilterBitsPerKey = 20 },
			want:  errFiltered},
		"fingerprint of another key": {spoil: func(w *Writer) {
			key := []byte("key00149x")
			w.filter.Add(base.Hash(key))
			w.data.Add(key, base.MakeTrailer(1, base.KindSet), nil, ^base.Hash(key))
		}, want: errUnfound},
		"range delete among the records": {spoil: func(w *Writer) {
			key := []byte("key00149x")
			w.filter.Add(base.Hash(key))
			w.data.Add(key, base.MakeTrailer(1, base.KindRangeDelete), []byte("z"), base.Hash(key))
		}, want: errDataKind},
		"record not counted": {spoil: func(w *Writer) {
			key := []byte("key00149x")
			w.filter.Add(base.Hash(key))
			w.data.Add(key, base.MakeTrailer(1, base.KindSet), nil, base.Hash(key))
		}, want: base.ErrCorrupted},
		"checksum":          {spoil: func(w *Writer) { w.tally.EntryChecksum++ }, want: base.ErrCorrupted},
		"deletes":           {spoil: func(w *Writer) { w.tally.Deletes++ }, want: base.ErrCorrupted},
		"sequence range":    {spoil: func(w *Writer) { w.tally.SmallestSeq-- }, want: base.ErrCorrupted},
		"span":              {spoil: func(w *Writer) { w.tally.Lo = []byte("key") }, want: base.ErrCorrupted},
		"range delete lost": {spoil: func(w *Writer) { w.tally.RangeDeletes++ }, want: base.ErrCorrupted},
	}
}

// TestVerifyJudgesContent spoils tables at their middle record.
func TestVerifyJudgesContent(t *testing.T) {
	const spoiled = 150
	record := func(i int) entry { return set(fmt.Sprintf("key%05d", i), 5, "some value") }
	for name, c := range spoilings() {
		t.Run(name, func(t *testing.T) {
			f := &memFile{}
			w := NewWriter(f, WriterOptions{
				DBID: testID, FileNum: testFile, BlockSizeBytes: 1000, FilterBitsPerKey: 20,
			})
			del := rangedel.Fragment{Lo: []byte("key1"), Hi: []byte("key2"), Seqs: []base.SeqNum{8}}
			if err := w.AddRangeDelete(del); err != nil {
				t.Fatal(err)
			}
			for i := range 300 {
				if i == spoiled && c.spoil != nil {
					c.spoil(w)
				}
				e := record(i)
				if err := w.Add(e.key, e.tr, e.value); err != nil {
					t.Fatal(err)
				}
				if i == spoiled && c.mend != nil {
					c.mend(w)
				}
			}
			if _, err := w.Finish(nil, nil); err != nil {
				t.Fatal(err)
			}
			_, err := open(t, f, 0).Verify(t.Context())
			if c.want == nil && err != nil || !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil {
				wantCorruption(t, "verify", err)
			}
		})
	}
}

// TestVerifyJudgesCutBounds spoils the bounds of tables with long keys, which are cut.
func TestVerifyJudgesCutBounds(t *testing.T) {
	foreign := bytes.Repeat([]byte("z"), 2*base.BoundBytes)
	for name, c := range map[string]struct {
		spoil func(w *Writer)
		want  error
	}{
		"as written": {func(*Writer) {}, nil},
		"lower":      {func(w *Writer) { w.tally.Lo = bytes.Repeat([]byte("a"), 2*base.BoundBytes) }, base.ErrCorrupted},
		"upper":      {func(w *Writer) { w.lastKey = foreign }, base.ErrCorrupted},
	} {
		t.Run(name, func(t *testing.T) {
			f := &memFile{}
			w := NewWriter(f, WriterOptions{DBID: testID, FileNum: testFile, BlockSizeBytes: 1000})
			for _, first := range []string{"b", "k", "x"} {
				if err := w.Add(bytes.Repeat([]byte(first), 2*base.BoundBytes), base.MakeTrailer(5, base.KindSet), nil); err != nil {
					t.Fatal(err)
				}
			}
			c.spoil(w)
			p, err := w.Finish(nil, nil)
			if err != nil || len(p.Lo) != base.BoundBytes || len(p.Hi) != base.BoundBytes {
				t.Fatalf("bounds of %d and %d bytes, %v", len(p.Lo), len(p.Hi), err)
			}
			if _, err := open(t, f, 0).Verify(t.Context()); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}
