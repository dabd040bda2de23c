package sstable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/rangedel"
)

func newTestWriter(f *memFile) *Writer {
	return NewWriter(f, WriterOptions{DBID: testID, FileNum: testFile, FilterBitsPerKey: 10})
}

func TestWriterRefuses(t *testing.T) {
	key := make([]byte, maxKeyBytes+1)
	deletes := func(lo, hi string, seqs ...base.SeqNum) func(w *Writer) error {
		return func(w *Writer) error {
			return w.AddRangeDelete(rangedel.Fragment{Lo: []byte(lo), Hi: []byte(hi), Seqs: seqs})
		}
	}
	add := func(key []byte, tr base.Trailer) func(w *Writer) error {
		return func(w *Writer) error { return w.Add(key, tr, nil) }
	}
	for name, c := range map[string]struct {
		call func(w *Writer) error
		want error
	}{
		"smaller key":        {add([]byte("a"), base.MakeTrailer(9, base.KindSet)), errOrder},
		"prefix of last key": {add([]byte("k"), base.MakeTrailer(9, base.KindSet)), errOrder},
		"same record":        {add([]byte("key"), base.MakeTrailer(5, base.KindSet)), errOrder},
		"newer version":      {add([]byte("key"), base.MakeTrailer(6, base.KindSet)), errOrder},
		"empty key":          {add(nil, base.MakeTrailer(6, base.KindSet)), errKeyLength},
		"long key":           {add(key, base.MakeTrailer(6, base.KindSet)), errKeyLength},
		"range delete as a record": {
			add([]byte("l"), base.MakeTrailer(6, base.KindRangeDelete)), errRecordKind},
		"no kind":              {add([]byte("l"), base.MakeTrailer(6, 0)), errRecordKind},
		"overlapping fragment": {deletes("l", "n", 1), errOrder},
		"fragment without lo":  {deletes("", "n", 1), errKeyLength},
		"long fragment":        {deletes("n", string(key)+"x", 1), errKeyLength},
		"fragment upside down": {deletes("n", "m", 1), nil},
		"fragment without seq": {deletes("n", "o"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &memFile{}
			w := newTestWriter(f)
			if err := w.Add([]byte("key"), base.MakeTrailer(5, base.KindSet), nil); err != nil {
				t.Fatal(err)
			}
			if err := deletes("k", "m", 3)(w); err != nil {
				t.Fatal(err)
			}
			err := c.call(w)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if again := w.Add([]byte("z"), base.MakeTrailer(1, base.KindSet), nil); again != err {
				t.Fatalf("the error does not stay: %v", again)
			}
			if _, again := w.Finish(nil, nil); again != err {
				t.Fatalf("finish after an error: %v", again)
			}
			if err := w.Abort(); err != nil || f.closes != 1 || f.syncs != 0 {
				t.Fatalf("abort: %v, %d closes, %d syncs", err, f.closes, f.syncs)
			}
		})
	}
}

func TestWriterEmpty(t *testing.T) {
	f := &memFile{}
	if _, err := newTestWriter(f).Finish(nil, nil); !errors.Is(err, errNothing) || f.closes != 1 {
		t.Fatal(err, f.closes)
	}
}

func TestWriterLifecycle(t *testing.T) {
	f := &memFile{}
	w := newTestWriter(f)
	if err := w.Add([]byte("key"), base.MakeTrailer(5, base.KindSet), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(nil, nil); err != nil || f.syncs != 1 || f.closes != 1 {
		t.Fatal(err, f.syncs, f.closes)
	}
	if err := w.Abort(); err != nil || f.closes != 1 {
		t.Fatal(err, f.closes)
	}
	if err := w.Add([]byte("z"), base.MakeTrailer(5, base.KindSet), nil); !errors.Is(err, errDone) {
		t.Fatal(err)
	}
	if _, err := w.Finish(nil, nil); !errors.Is(err, errDone) {
		t.Fatal(err)
	}
	w = newTestWriter(&memFile{})
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := w.Add([]byte("z"), base.MakeTrailer(5, base.KindSet), nil); !errors.Is(err, errDone) {
		t.Fatal(err)
	}
}

// TestWriterFaults fails writes and the sync: the error names the table, wraps
// the cause and closes the file.
func TestWriterFaults(t *testing.T) {
	cause := errors.New("no space")
	for _, size := range []int{10, writeBytes, 3 * directBytes} {
		for _, file := range []*memFile{{failWrite: cause}, {failSync: cause}} {
			w := newTestWriter(file)
			err := w.Add([]byte("a"), base.MakeTrailer(5, base.KindSet), make([]byte, size))
			if err == nil {
				err = w.Add([]byte("b"), base.MakeTrailer(5, base.KindSet), make([]byte, size))
			}
			if err == nil {
				_, err = w.Finish(nil, nil)
			}
			if !errors.Is(err, cause) || !strings.Contains(err.Error(), testFile.String()) {
				t.Fatal(err)
			}
			if err := w.Abort(); err != nil || file.closes != 1 {
				t.Fatal(err, file.closes)
			}
		}
	}
}

// TestEstimatedBytes bounds the error of the estimate that decides where
// compaction cuts its files.
func TestEstimatedBytes(t *testing.T) {
	f := &memFile{}
	w := newTestWriter(f)
	table := newBenchTable()
	var key []byte
	for i := range 20_000 {
		key = table.key(key, i)
		if err := w.Add(key, base.MakeTrailer(base.SeqNum(i), base.KindSet), table.value(i)); err != nil {
			t.Fatal(err)
		}
	}
	del := rangedel.Fragment{Lo: []byte("a"), Hi: []byte("b"), Seqs: []base.SeqNum{4}}
	if err := w.AddRangeDelete(del); err != nil {
		t.Fatal(err)
	}
	estimate := w.EstimatedBytes()
	p, err := w.Finish(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if off := estimate - int64(p.SizeBytes); off*100 > estimate || -off*100 > estimate {
		t.Fatalf("estimated %d, true %d", estimate, p.SizeBytes)
	}
}

// TestEntryChecksumIsOfTheRecords compares the checksum with a sum made apart
// from any file, in another order.
func TestEntryChecksumIsOfTheRecords(t *testing.T) {
	m := model{set("a", 3, "x"), set("a", 2, "y"), set("b", 3, "z"), set("c", 1, "")}
	_, p := build(t, WriterOptions{}, m, nil)
	var sum uint64
	for i := range m {
		e := m[len(m)-1-i]
		sum += entrySum(base.Hash(e.key), e.tr, e.value)
	}
	if sum != p.EntryChecksum {
		t.Fatalf("%x, want %x", p.EntryChecksum, sum)
	}
	m[1].value, m[2].value = m[2].value, m[1].value
	if _, q := build(t, WriterOptions{}, m, nil); q.EntryChecksum == p.EntryChecksum {
		t.Fatal("swapped values have the same checksum")
	}
}

// A close that fails may be how a file system reports a write that failed: the
// table is not to be used.
func TestFailedCloseFailsTheTable(t *testing.T) {
	f := &memFile{failClose: errors.New("late write error")}
	w := newTestWriter(f)
	if err := w.Add([]byte("a"), base.MakeTrailer(1, base.KindSet), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(nil, nil); !errors.Is(err, f.failClose) || f.closes != 1 {
		t.Errorf("finish of a file that cannot be closed: %v, closed %d times", err, f.closes)
	}
}

// A temporary table is a table, but not a durable one.
func TestTemporaryTable(t *testing.T) {
	m := model{set("a", 1, "x")}
	f, _ := build(t, WriterOptions{Temporary: true}, m, nil)
	if f.syncs != 0 || f.closes != 1 {
		t.Errorf("%d syncs, %d closes", f.syncs, f.closes)
	}
	m.checkScan(t, open(t, f, 0).NewIter(IterOptions{}))
}

// Blocks that give nothing back are soon stored without a try, and a change of the data within
// a table is noticed.
func TestWriterLearns(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	noise := make([]byte, 200)
	text := bytes.Repeat([]byte("text that a codec makes smaller. "), 6)
	const half = 5000
	for _, o := range []WriterOptions{
		{Compression: compress.Fast}, {Compression: compress.Small}, {Compression: compress.Fast, OrSmall: true},
	} {
		file := &memFile{}
		o.DBID, o.FileNum = testID, testFile
		w := NewWriter(file, o)
		noiseEnd := int64(0)
		for i := range 2 * half {
			value := text
			if i < half {
				for j := range noise {
					noise[j] = byte(rng.Uint32())
				}
				value = noise
			}
			if i == half {
				noiseEnd = w.offset()
				c, tries := w.chooser, 0 // a copy
				for range 32 {
					if c.Next() != compress.None {
						tries++
					}
				}
				if tries > 2 {
					t.Errorf("%v: would compress %d of 32 blocks after %d bytes that do not compress", o, tries, noiseEnd)
				}
			}
			if err := w.Add(fmt.Appendf(nil, "\x01%08d", i), base.MakeTrailer(1, base.KindSet), value); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Finish(nil, nil); err != nil {
			t.Fatal(err)
		}
		missed := 0
		r := open(t, file, 0)
		for _, b := range allBlocks(t, r) {
			if b.kind == kindData && b.ref.offset >= noiseEnd && !b.ref.compressed() {
				missed++
			}
		}
		if missed > 17 { // one of both sorts, and those up to the next try
			t.Errorf("%v: %d blocks of text are not compressed", o, missed)
		}
		if _, err := r.Verify(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// Blocks for a strong codec are larger, unless somebody says how large they are, and packed.
func TestBlocksOfSmallTables(t *testing.T) {
	for _, c := range []struct {
		o    WriterOptions
		most uint32
	}{
		{WriterOptions{}, defaultBlockBytes},
		{WriterOptions{Compression: compress.Fast, OrSmall: true}, defaultBlockBytes},
		{WriterOptions{Compression: compress.Small}, smallBlockBytes},
		{WriterOptions{Compression: compress.Small, BlockSizeBytes: 1 << 10}, 1 << 10},
	} {
		var m model
		for i := range 1000 {
			m = append(m, set(fmt.Sprintf("%08d", i), 1, "a value of some bytes, always the same"))
		}
		file, _ := build(t, c.o, m, nil)
		largest := uint32(0)
		for _, b := range allBlocks(t, open(t, file, 0)) {
			if b.kind == kindData {
				largest = max(largest, b.ref.rawBytes)
				codec := compress.Codec(file.data[b.ref.offset+int64(b.ref.diskBytes)])
				if c.o.Compression == compress.Small && codec != codecPacked {
					t.Fatalf("%+v: a block has codec %d", c.o, codec)
				}
			}
		}
		if largest > c.most || largest < c.most*9/10 {
			t.Errorf("%+v: the largest block has %d bytes, not about %d", c.o, largest, c.most)
		}
	}
}
