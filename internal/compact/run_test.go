package compact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// records is a base.Iterator over a sorted slice.
type records struct {
	rows []base.Record
	pos  int
	err  error // returned after the last row
}

func (r *records) at(pos int) *base.Record {
	r.pos = min(max(pos, -1), len(r.rows))
	if r.pos < 0 || r.pos == len(r.rows) {
		return nil
	}
	return &r.rows[r.pos]
}

func (r *records) seek(key []byte) int {
	i, _ := slices.BinarySearchFunc(r.rows, key, func(a base.Record, key []byte) int {
		if bytes.Compare(a.Key, key) < 0 {
			return -1
		}
		return 1
	})
	return i
}

func (r *records) First() *base.Record            { return r.at(0) }
func (r *records) Last() *base.Record             { return r.at(len(r.rows) - 1) }
func (r *records) Next() *base.Record             { return r.at(r.pos + 1) }
func (r *records) Prev() *base.Record             { return r.at(r.pos - 1) }
func (r *records) SeekGE(key []byte) *base.Record { return r.at(r.seek(key)) }
func (r *records) SeekLT(key []byte) *base.Record { return r.at(r.seek(key) - 1) }
func (r *records) Err() error                     { return r.err }
func (r *records) Close() error                   { return nil }

// input is a random history: versions of few keys and range tombstones, each
// with a sequence number of its own.
type input struct {
	rows       []base.Record
	tombstones []rangedel.Tombstone
	snapshots  []base.SeqNum
}

const lastSeq = 80

// randomInput makes expiring records of every second key and operands of the
// others.
func randomInput(rng *rand.Rand) input {
	var in input
	for seq := base.SeqNum(1); seq <= lastSeq; seq++ {
		n := rng.IntN(15)
		key := fmt.Appendf(nil, "k%02d", n)
		switch rng.IntN(8) {
		case 0:
			hi := fmt.Appendf(nil, "k%02d", rng.IntN(16))
			if bytes.Compare(key, hi) < 0 {
				in.tombstones = append(in.tombstones, rangedel.Tombstone{Lo: key, Hi: hi, Seq: seq})
			}
		case 1, 2:
			in.rows = append(in.rows, base.Record{Key: key, Trailer: base.MakeTrailer(seq, base.KindDelete)})
		case 3, 4:
			kind, value := base.KindMerge, base.AppendReach(nil, seq, seq)
			if n%2 == 0 {
				kind, value = base.KindSetExpiring, base.AppendExpiry(nil, base.Instant(1+rng.IntN(2*lastSeq)))
			}
			value = fmt.Append(value, seq)
			in.rows = append(in.rows, base.Record{Key: key, Trailer: base.MakeTrailer(seq, kind), Value: value})
		default:
			in.rows = append(in.rows, base.Record{
				Key: key, Trailer: base.MakeTrailer(seq, base.KindSet), Value: fmt.Append(nil, seq),
			})
		}
		if rng.IntN(12) == 0 {
			in.snapshots = append(in.snapshots, seq)
		}
	}
	slices.SortFunc(in.rows, func(a, b base.Record) int {
		return base.Compare(a.Key, a.Trailer, b.Key, b.Trailer)
	})
	return in
}

// momentOf is the moment at which a reader at seq lives.
func momentOf(seq base.SeqNum) base.Instant { return base.Instant(min(seq, lastSeq)) }

func (in *input) readTimes() []base.Instant {
	var out []base.Instant
	for _, seq := range in.snapshots {
		out = append(out, momentOf(seq))
	}
	return append(out, lastSeq)
}

// listing is an operator that shows in which order operands were applied.
type listing struct {
	merge.Operator
	unlucky bool // it fails on a value
}

func newListing(rng *rand.Rand) *listing {
	l := &listing{unlucky: rng.IntN(3) == 0}
	l.Operator = merge.Operator{
		Name: "listing",
		Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			if l.unlucky && string(value) == "13" {
				return dst, errors.New("unlucky")
			}
			if value == nil {
				value = []byte("absent")
			}
			dst = append(dst, value...)
			for _, op := range operands {
				dst = append(append(dst, '+'), op...)
			}
			return dst, nil
		},
	}
	if rng.IntN(2) == 0 {
		l.Combine = func(dst []byte, operands [][]byte) ([]byte, bool) {
			return append(dst, bytes.Join(operands, []byte("+"))...), true
		}
	}
	return l
}

func (l *listing) MergeOperator([]byte) *merge.Operator { return &l.Operator }

// workshop is where outputs are written and read back.
type workshop struct {
	t      *testing.T
	fs     *memfs.FS
	epochs epoch.Domain
	next   base.FileNum
	id     base.DBID
}

func newWorkshop(t *testing.T) *workshop { return &workshop{t: t, fs: memfs.New()} }

func (w *workshop) newWriter([]byte) (base.FileNum, *sstable.Writer, error) {
	w.next++
	f, err := w.fs.Create(w.next.String())
	if err != nil {
		return 0, nil, err
	}
	return w.next, sstable.NewWriter(f, sstable.WriterOptions{
		DBID: w.id, FileNum: w.next, BlockSizeBytes: 256,
	}), nil
}

// open returns the sources and tombstones of tables.
func (w *workshop) open(files []*manifest.FileMeta) (sources []iterate.Source, tombstones []rangedel.Tombstone) {
	w.t.Helper()
	for _, meta := range files {
		f, err := w.fs.Open(meta.Num.String())
		if err != nil {
			w.t.Fatal(err)
		}
		r, err := sstable.OpenReader(f, sstable.ReaderOptions{
			Name: meta.Num.String(), DBID: w.id, FileNum: meta.Num,
			SizeBytes: int64(meta.SizeBytes), Epochs: &w.epochs,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		own := w.tombstones(r.RangeDeletes())
		w.checkSpan(meta, own)
		tombstones = append(tombstones, own...)
		sources = append(sources, iterate.Source{
			Iter: r.NewIter(sstable.IterOptions{}), MaxSeq: base.SeqNumMax,
		})
	}
	return sources, tombstones
}

// tombstones reads fragments as tombstones.
func (w *workshop) tombstones(it rangedel.Iterator) (all []rangedel.Tombstone) {
	w.t.Helper()
	for {
		f, err := it.Next()
		if err != nil {
			w.t.Fatal(err)
		}
		if f == nil {
			return all
		}
		for _, seq := range f.Seqs {
			all = append(all, rangedel.Tombstone{Lo: bytes.Clone(f.Lo), Hi: bytes.Clone(f.Hi), Seq: seq})
		}
	}
}

// checkSpan checks that the description of a table says where its tombstones are.
func (w *workshop) checkSpan(meta *manifest.FileMeta, own []rangedel.Tombstone) {
	w.t.Helper()
	var lo, hi []byte
	if len(own) > 0 {
		lo, hi = own[0].Lo, own[len(own)-1].Hi
	}
	if !bytes.Equal(meta.DeletesLo, lo) || !bytes.Equal(meta.DeletesHi, hi) {
		w.t.Fatalf("tombstones in %q..%q, the description says %q..%q", lo, hi, meta.DeletesLo, meta.DeletesHi)
	}
}

// view returns what a reader at seq sees.
func view(sources []iterate.Source, deletes []rangedel.Tombstone, seq base.SeqNum, operators *listing) []string {
	v := iterate.NewUserIter(iterate.NewMerging(sources), iterate.Options{
		Seq: seq, RangeDeletes: []rangedel.Source{rangedel.Build(deletes)}, At: momentOf(seq), Operators: operators,
	})
	var out []string
	for n := range 15 { // one by one, because a key whose operator fails ends a walk
		key := fmt.Appendf(nil, "k%02d", n)
		if v.SeekGE(key) && bytes.Equal(v.Key(), key) {
			out = append(out, fmt.Sprintf("%s=%s until %d", v.Key(), v.Value(), v.Expiry()))
		} else if v.Err() != nil {
			out = append(out, fmt.Sprintf("%s: %v", key, v.Err()))
		}
	}
	return out
}

// TestRunKeepsWhatReadersSee compacts random histories and compares what each
// snapshot and a new reader see before and after.
func TestRunKeepsWhatReadersSee(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 0))
		in := randomInput(rng)
		w := newWorkshop(t)
		operators := newListing(rng)
		cfg := Config{
			Snapshots: in.snapshots, RangeDeletes: rangedel.Build(in.tombstones).Iter(), Bottom: rng.IntN(2) == 0,
			ReadTimes: in.readTimes(), Operators: operators,
			FileBytes: int64(rng.IntN(2) * 600),
			SplitBefore: func(prev, next []byte, _ int64) bool {
				return prev[2] != next[2] && next[2] == '5'
			},
			NewWriter: w.newWriter,
		}
		files, stats, err := Run(context.Background(), &records{rows: in.rows}, cfg)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		checkFiles(t, files, stats, cfg.SplitBefore)
		sources, after := w.open(files)
		for _, seq := range append(in.snapshots, lastSeq, base.SeqNumMax) {
			want := view([]iterate.Source{{Iter: &records{rows: in.rows}, MaxSeq: base.SeqNumMax}}, in.tombstones, seq, operators)
			if got := view(sources, after, seq, operators); !slices.Equal(got, want) {
				t.Fatalf("seed %d, bottom %v: at %d readers see\n%v instead of\n%v", seed, cfg.Bottom, seq, got, want)
			}
		}
		if cfg.Bottom && len(in.snapshots) == 0 && !operators.unlucky {
			checkNoGarbage(t, files)
		}
	}
}

// Tombstones of one number, as a transaction past the log has them, become one where they
// touch, and stay two where they do not. Without a record among them they end files too.
func TestRunOfTombstonesAlone(t *testing.T) {
	tombstone := func(lo, hi string) rangedel.Tombstone {
		return rangedel.Tombstone{Lo: []byte(lo), Hi: []byte(hi)}
	}
	w := newWorkshop(t)
	run := func(fileBytes int64, it rangedel.Iterator) []*manifest.FileMeta {
		files, _, err := Run(context.Background(), &records{}, Config{
			RangeDeletes: it, FileBytes: fileBytes, NewWriter: w.newWriter,
			SplitBefore: func(_, _ []byte, _ int64) bool { return false },
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	files := run(0, rangedel.Build([]rangedel.Tombstone{tombstone("a", "c"), tombstone("c", "d"), tombstone("e", "f")}).Iter())
	if _, own := w.open(files); len(files) != 1 || fmt.Sprint(own) != fmt.Sprint([]rangedel.Tombstone{tombstone("a", "d"), tombstone("e", "f")}) {
		t.Errorf("%d files with %v", len(files), own)
	}
	var many []rangedel.Tombstone
	for i := range 200 {
		many = append(many, tombstone(fmt.Sprintf("key%04d", i), fmt.Sprintf("key%04d5", i)))
	}
	files = run(1000, rangedel.Build(many).Iter())
	if _, own := w.open(files); len(files) < 5 || len(own) != len(many) {
		t.Errorf("%d files with %d tombstones", len(files), len(own))
	}
	for i, f := range files[1:] {
		if bytes.Compare(files[i].Hi, f.Lo) > 0 {
			t.Errorf("file %d ends at %q, the next one begins at %q", i, files[i].Hi, f.Lo)
		}
	}
}

// TestRunCutsLongBounds merges long keys between two neighbours, and sees that the files
// hold their records, stay apart and within their room, and have short bounds where keys
// differ early.
func TestRunCutsLongBounds(t *testing.T) {
	var rows []base.Record
	add := func(key []byte) {
		rows = append(rows, base.Record{Key: key, Trailer: base.MakeTrailer(5, base.KindSet)})
	}
	alike := bytes.Repeat([]byte("a"), 3*base.BoundBytes)
	for i := range 40 {
		add(fmt.Appendf(alike[:len(alike):len(alike)], "%02d", i))
	}
	for i := range 40 {
		add(bytes.Repeat([]byte{'c' + byte(i/4), byte(i)}, 2*base.BoundBytes))
	}
	w := newWorkshop(t)
	lo := fmt.Appendf(alike[:len(alike):len(alike)], "%02d", 0)
	hi := bytes.Repeat([]byte{'l', 40}, base.BoundBytes+7)
	files, _, err := Run(context.Background(), &records{rows: rows}, Config{
		Lo: lo, Hi: hi, FileBytes: 5000, NewWriter: w.newWriter,
		SplitBefore: func(prev, next []byte, fileBytes int64) bool { return fileBytes > 2000 },
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	short, end := 0, lo
	for i, f := range files {
		if bytes.Compare(f.Lo, end) < 0 {
			t.Errorf("file %d begins at %q, before the end of what is before it, %q", i, f.Lo, end)
		}
		end = f.Hi
		short += min(1, base.BoundBytes/len(f.Lo)) + min(1, base.BoundBytes/len(f.Hi))
	}
	if bytes.Compare(end, hi) > 0 {
		t.Errorf("the last file ends at %q, behind its neighbour", end)
	}
	if short < len(files) {
		t.Errorf("%d bounds of %d are short", short, 2*len(files))
	}
	sources, _ := w.open(files)
	at := 0
	for i, source := range sources {
		for rec := source.Iter.First(); rec != nil; rec = source.Iter.Next() {
			if !bytes.Equal(rec.Key, rows[at].Key) || bytes.Compare(rec.Key, files[i].Lo) < 0 || bytes.Compare(rec.Key, files[i].Hi) >= 0 {
				t.Fatalf("record %d of file %d is %q", at, i, rec.Key)
			}
			at++
		}
	}
	if at != len(rows) {
		t.Errorf("%d of %d records", at, len(rows))
	}
}

// TestRunHidesWhatLiesBelow compacts the newer part of random histories while
// the older part stays in a level below, and compares what readers see of both
// together: deletes and range deletes must go on hiding what they hid there, and
// records must stay above it.
func TestRunHidesWhatLiesBelow(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		in := randomInput(rng)
		border := base.SeqNum(1 + rng.IntN(lastSeq))
		var above, below []base.Record
		for _, rec := range in.rows {
			if rec.Trailer.Seq() > border {
				above = append(above, rec)
			} else {
				below = append(below, rec)
			}
		}
		var deletesAbove, deletesBelow []rangedel.Tombstone
		for _, d := range in.tombstones {
			if d.Seq > border {
				deletesAbove = append(deletesAbove, d)
			} else {
				deletesBelow = append(deletesBelow, d)
			}
		}
		w, operators := newWorkshop(t), newListing(rng)
		files, _, err := Run(context.Background(), &records{rows: above}, Config{
			Snapshots: in.snapshots, ReadTimes: in.readTimes(), Operators: operators,
			RangeDeletes: rangedel.Build(deletesAbove).Iter(), FileBytes: int64(rng.IntN(2) * 300),
			SplitBefore: func(_, _ []byte, _ int64) bool { return false },
			NewWriter:   w.newWriter,
		})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		source := func(rows []base.Record) iterate.Source {
			return iterate.Source{Iter: &records{rows: rows}, MaxSeq: base.SeqNumMax}
		}
		sources, after := w.open(files)
		sources = append(sources, source(below))
		after = append(after, deletesBelow...)
		for _, seq := range append(in.snapshots, lastSeq, base.SeqNumMax) {
			want := view([]iterate.Source{source(in.rows)}, in.tombstones, seq, operators)
			if got := view(sources, after, seq, operators); !slices.Equal(got, want) {
				t.Fatalf("seed %d, older than %d below: at %d readers see\n%v instead of\n%v", seed, border, seq, got, want)
			}
		}
	}
}

// checkFiles sees that outputs are in order, disjoint and end at borders.
func checkFiles(t *testing.T, files []*manifest.FileMeta, stats Stats, border func(a, b []byte, n int64) bool) {
	t.Helper()
	var records uint64
	for i, f := range files {
		records += f.Count
		if i > 0 && bytes.Compare(files[i-1].Hi, f.Lo) > 0 {
			t.Fatalf("file %d ends at %q, file %d begins at %q", i-1, files[i-1].Hi, i, f.Lo)
		}
	}
	if records != stats.RecordsOut {
		t.Fatalf("files hold %d records, %d were written", records, stats.RecordsOut)
	}
}

// checkNoGarbage sees that a bottom run that nobody looks into the past of
// leaves only live rows, all with sequence number zero.
func checkNoGarbage(t *testing.T, files []*manifest.FileMeta) {
	t.Helper()
	for _, f := range files {
		if f.Deletes+f.RangeDeletes > 0 || f.LargestSeq != 0 {
			t.Fatalf("garbage at the bottom: %+v", f)
		}
	}
}

func TestRunDropsOnlyWhatItMay(t *testing.T) {
	row := func(key string, seq base.SeqNum, kind base.Kind) base.Record {
		return base.Record{Key: []byte(key), Trailer: base.MakeTrailer(seq, kind)}
	}
	rows := []base.Record{
		row("a", 9, base.KindDelete), row("a", 5, base.KindSet),
		row("b", 8, base.KindSet), row("b", 4, base.KindSet), row("b", 3, base.KindSet),
	}
	cases := []struct {
		name      string
		bottom    bool
		snapshots []base.SeqNum
		want      uint64
	}{
		{"middle", false, nil, 2},                          // the delete and the newest b
		{"bottom", true, nil, 1},                           // the newest b
		{"middle, snapshot 5", false, []base.SeqNum{5}, 4}, // all but b@3
		{"bottom, snapshot 5", true, []base.SeqNum{5}, 4},
		{"bottom, snapshot 9", true, []base.SeqNum{9}, 1},
		{"bottom, snapshots 3 and 4", true, []base.SeqNum{3, 4}, 4}, // a@5 is seen by nobody
	}
	for _, c := range cases {
		w := newWorkshop(t)
		_, stats, err := Run(context.Background(), &records{rows: rows}, Config{
			Bottom: c.bottom, Snapshots: c.snapshots, NewWriter: w.newWriter,
			SplitBefore: func(_, _ []byte, _ int64) bool { return false },
		})
		if err != nil || stats.RecordsOut != c.want {
			t.Errorf("%s: %d records, want %d (%v)", c.name, stats.RecordsOut, c.want, err)
		}
	}
}

func TestRunStops(t *testing.T) {
	w := newWorkshop(t)
	broken := errors.New("broken input")
	cfg := Config{NewWriter: w.newWriter, SplitBefore: func(_, _ []byte, _ int64) bool { return false }}
	rows := randomInput(rand.New(rand.NewPCG(1, 1))).rows
	if _, _, err := Run(context.Background(), &records{rows: rows, err: broken}, cfg); !errors.Is(err, broken) {
		t.Errorf("error of the input: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var many []base.Record
	for i := range 2 * yieldRecords {
		many = append(many, base.Record{
			Key: fmt.Appendf(nil, "%06d", i), Trailer: base.MakeTrailer(1, base.KindSet),
		})
	}
	if _, _, err := Run(ctx, &records{rows: many}, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled run: %v", err)
	}
	full := errors.New("disk full")
	cfg.NewWriter = func([]byte) (base.FileNum, *sstable.Writer, error) { return 0, nil, full }
	if _, _, err := Run(context.Background(), &records{rows: rows}, cfg); !errors.Is(err, full) {
		t.Errorf("no output file: %v", err)
	}
}

func BenchmarkRun(b *testing.B) {
	rows := make([]base.Record, 100_000)
	for i := range rows {
		rows[i] = base.Record{
			Key: fmt.Appendf(nil, "%016d", i), Trailer: base.MakeTrailer(1, base.KindSet),
			Value: make([]byte, 100),
		}
	}
	w := &workshop{fs: memfs.New()}
	b.SetBytes(int64(len(rows) * 116))
	b.ReportAllocs()
	for b.Loop() {
		_, _, err := Run(context.Background(), &records{rows: rows}, Config{
			NewWriter: w.newWriter, Bottom: true,
			SplitBefore: func(_, _ []byte, _ int64) bool { return false },
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// Files with long keys are larger than they should be, rather than many: the bounds of
// all files are in memory.
func TestRunKeepsBoundsFew(t *testing.T) {
	rows := &records{}
	const keyBytes = 20 << 10
	for i := range 500 {
		key := append(bytes.Repeat([]byte{'k'}, keyBytes), fmt.Sprintf("%06d", i)...)
		rows.rows = append(rows.rows, base.Record{Key: key, Trailer: base.MakeTrailer(5, base.KindSet)})
	}
	w := newWorkshop(t)
	files, _, err := Run(t.Context(), rows, Config{
		FileBytes: 100 << 10, NewWriter: w.newWriter,
		SplitBefore: func(_, _ []byte, _ int64) bool { return false },
	})
	if err != nil {
		t.Fatal(err)
	}
	var rawBytes, bounds uint64
	for _, f := range files {
		rawBytes += f.RawBytes
		bounds += uint64(len(f.Lo) + len(f.Hi))
	}
	if len(files) < 2 || bounds > rawBytes/(boundsShare/2) {
		t.Errorf("%d bytes of bounds of %d files for %d bytes", bounds, len(files), rawBytes)
	}
}

// Where files may grow there are few, however much there is.
func TestRunGrowsFiles(t *testing.T) {
	rows := &records{}
	for i := range 40_000 {
		rows.rows = append(rows.rows, base.Record{
			Key: fmt.Appendf(nil, "%06d", i), Trailer: base.MakeTrailer(5, base.KindSet), Value: make([]byte, 100),
		})
	}
	run := func(growTo int64) (files []*manifest.FileMeta, told int) {
		files, _, err := Run(t.Context(), rows, Config{
			FileBytes: 16 << 10, GrowToBytes: growTo, NewWriter: newWorkshop(t).newWriter,
			SplitBefore: func(_, _ []byte, _ int64) bool { return false },
			Finished:    func(*manifest.FileMeta) error { told++; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return files, told
	}
	many, told := run(0)
	if told != len(many) {
		t.Errorf("told of %d of %d files", told, len(many))
	}
	few, _ := run(128 << 10)
	count := uint64(0)
	for i, f := range few[:len(few)-1] {
		count += f.Count
		limit := uint64(16<<10) << min(i/growFiles, 3)
		if f.SizeBytes < limit*7/8 || f.SizeBytes > limit*9/8 {
			t.Errorf("file %d has %d bytes, should have %d", i, f.SizeBytes, limit)
		}
	}
	if count+few[len(few)-1].Count != uint64(len(rows.rows)) || len(few) > len(many)/3 {
		t.Errorf("%d files instead of %d", len(few), len(many))
	}
}
