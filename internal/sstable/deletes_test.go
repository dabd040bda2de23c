package sstable

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// readDeletes walks over the range deletes of a table.
func readDeletes(r *Reader) (fs []rangedel.Fragment, err error) {
	it := r.RangeDeletes()
	for {
		f, err := it.Next()
		if f == nil || err != nil {
			return fs, err
		}
		fs = append(fs, rangedel.Fragment{Lo: bytes.Clone(f.Lo), Hi: bytes.Clone(f.Hi), Seqs: slices.Clone(f.Seqs)})
	}
}

// covering is Covering inside an epoch guard.
func covering(r *Reader, key []byte, seq base.SeqNum) (base.SeqNum, error) {
	if r.o.Epochs != nil {
		defer r.o.Epochs.Enter().Exit()
	}
	return r.Covering(key, seq)
}

// around is Around inside an epoch guard.
func around(r *Reader, key []byte, seq base.SeqNum, b *PieceBuffer) (rangedel.Piece, error) {
	if r.o.Epochs != nil {
		defer r.o.Epochs.Enter().Exit()
	}
	return r.Around(key, seq, b)
}

// manyDeletes are fragments over many blocks, with gaps of one key between some.
func manyDeletes(rng *rand.Rand, count int) (fs []rangedel.Fragment) {
	for i := range count {
		f := rangedel.Fragment{Lo: fmt.Appendf(nil, "key%06d", 10*i), Hi: fmt.Appendf(nil, "key%06d", 10*i+9)}
		if i%3 == 0 {
			f.Hi = fmt.Appendf(nil, "key%06d", 10*i+10)
		}
		for seq := 900; seq > 0; seq -= 1 + rng.IntN(800) {
			f.Seqs = append(f.Seqs, base.SeqNum(seq))
		}
		fs = append(fs, f)
	}
	return fs
}

// What covers a key, and between which bounds, is what the fragments say, with every
// codec, with and without a cache, from a base, over blocks.
func TestDeletesOverManyBlocks(t *testing.T) {
	const count, seqBase = 300, 5000
	rng := rand.New(rand.NewPCG(1, 2))
	dels := manyDeletes(rng, count)
	list := rangedel.Build(tombstonesOf(dels))
	for _, codec := range []compress.Codec{compress.None, compress.Fast} {
		f, p := build(t, WriterOptions{BlockSizeBytes: 512, Compression: codec}, nil, dels)
		if p.DeleteBlocks < 10 {
			t.Fatalf("the test needs more than %d blocks", p.DeleteBlocks)
		}
		checkVerified(t, open(t, f, 0), p)
		for _, capacityBytes := range []int64{0, 1 << 20} {
			r := openRaised(t, f, capacityBytes, seqBase)
			var b PieceBuffer
			for range 2000 {
				key, seq := fmt.Appendf(nil, "key%06d", rng.IntN(10*count+20)-10), base.SeqNum(rng.IntN(1000))
				want, _ := list.Around(key, seq)
				if want.Seq > 0 {
					want.Seq += seqBase
				}
				got, err := covering(r, key, seq+seqBase)
				if got != want.Seq || err != nil {
					t.Fatalf("%s at %d is covered by %d, %v, want %d", key, seq, got, err, want.Seq)
				}
				piece, err := around(r, key, seq+seqBase, &b)
				if fmt.Sprint(piece) != fmt.Sprint(want) || err != nil {
					t.Fatalf("around %s at %d: %v, %v, want %v", key, seq, piece, err, want)
				}
			}
			if got, err := covering(r, dels[0].Lo, seqBase-1); got != 0 || err != nil {
				t.Fatalf("before the base: %d, %v", got, err)
			}
		}
	}
}

func tombstonesOf(fs []rangedel.Fragment) (ts []rangedel.Tombstone) {
	for _, f := range fs {
		for _, seq := range f.Seqs {
			ts = append(ts, rangedel.Tombstone{Lo: f.Lo, Hi: f.Hi, Seq: seq})
		}
	}
	return ts
}

// However many range deletes a table has, to open it reads none, and a question one
// block and its index; a second one in the same place nothing, and no memory.
func TestCoveringReadsOneBlock(t *testing.T) {
	for _, count := range []int{1_000, 50_000} {
		f, p := build(t, WriterOptions{}, nil, manyDeletes(rand.New(rand.NewPCG(1, 2)), count))
		before := f.reads.Load()
		r := open(t, f, 64<<20)
		opened := f.reads.Load() - before
		key := fmt.Appendf(nil, "key%06d", 10*(count/2)+3)
		for i, most := range []int64{2, 0} {
			before = f.reads.Load()
			if seq, err := covering(r, key, base.SeqNumMax); seq == 0 || err != nil {
				t.Fatal(seq, err)
			}
			if got := f.reads.Load() - before; got > most || opened > 3 {
				t.Errorf("%d blocks: question %d has read %d times, opening %d times", p.DeleteBlocks, i, got, opened)
			}
		}
		guard := r.o.Epochs.Enter()
		var b PieceBuffer
		allocations := testing.AllocsPerRun(100, func() {
			r.Covering(key, base.SeqNumMax)
			r.Around(key, base.SeqNumMax, &b)
		})
		guard.Exit()
		if allocations > 0 {
			t.Errorf("%d blocks: %.1f allocations", p.DeleteBlocks, allocations)
		}
	}
}

// FuzzDeleteBlock takes any bytes for a range-delete block: either they are refused, or
// every question has an answer that goes together with the others.
func FuzzDeleteBlock(f *testing.F) {
	var index block.Builder
	index.Add([]byte("b"), block.SettledTrailer, nil, 0)
	index.Add([]byte("m"), block.SettledTrailer, nil, 0)
	entries := block.Trusted(slices.Clone(index.Finish()))
	var good block.Builder
	for _, d := range []rangedel.Fragment{
		{Lo: []byte("b"), Hi: []byte("c"), Seqs: []base.SeqNum{7, 3}}, {Lo: []byte("c"), Hi: []byte("m"), Seqs: []base.SeqNum{5}},
	} {
		good.Add(d.Lo, base.MakeTrailer(d.Seqs[0], base.KindRangeDelete), d.AppendValue(nil), 0)
	}
	f.Add(slices.Clone(good.Finish()))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var fs []rangedel.Fragment
		err := checkDeletes(payload, &entries, 0, func(f *rangedel.Fragment, _ []byte) {
			fs = append(fs, rangedel.Fragment{Lo: bytes.Clone(f.Lo), Hi: bytes.Clone(f.Hi), Seqs: slices.Clone(f.Seqs)})
		})
		if err != nil {
			return
		}
		v := block.Trusted(payload)
		for i, d := range fs {
			slot := v.SeekLE(d.Lo)
			hi, newest, found := rangedel.Newest(v.Value(slot), base.SeqNumMax)
			if slot != i || !bytes.Equal(hi, d.Hi) || newest != d.Seqs[0] || !found {
				t.Fatalf("%v is in slot %d, which says %q, %d", d, slot, hi, newest)
			}
			if i > 0 && bytes.Compare(fs[i-1].Hi, d.Lo) > 0 || bytes.Compare(d.Hi, []byte("m")) > 0 {
				t.Fatalf("%v is out of place", d)
			}
		}
	})
}

// Range-delete blocks and their index are refused where they are not as they were
// written, though their checksums are.
func TestMalformedDeletesAreRefused(t *testing.T) {
	fragment := func(lo, hi string, seqs ...base.SeqNum) rangedel.Fragment {
		return rangedel.Fragment{Lo: []byte(lo), Hi: []byte(hi), Seqs: seqs}
	}
	pack := func(fs ...rangedel.Fragment) []byte {
		var b block.Builder
		for _, f := range fs {
			b.Add(f.Lo, base.MakeTrailer(f.Seqs[0], base.KindRangeDelete), f.AppendValue(nil), 0)
		}
		return slices.Clone(b.Finish())
	}
	var index, data block.Builder
	index.Add([]byte("b"), block.SettledTrailer, nil, 0)
	index.Add([]byte("m"), block.SettledTrailer, nil, 0)
	entries := block.Trusted(slices.Clone(index.Finish()))
	data.Add([]byte("b"), base.MakeTrailer(7, base.KindSet), fragment("b", "c", 7).AppendValue(nil), 0)
	for name, c := range map[string]struct {
		payload []byte
		at      int
		fine    bool
	}{
		"well formed":              {pack(fragment("b", "c", 7, 3), fragment("c", "m", 5)), 0, true},
		"well formed, the last":    {pack(fragment("m", "z", 7, 3)), 1, true},
		"fragments overlap":        {pack(fragment("b", "d", 7), fragment("c", "e", 5)), 0, false},
		"begins elsewhere":         {pack(fragment("bb", "c", 7)), 0, false},
		"reaches into the next":    {pack(fragment("b", "mm", 7)), 0, false},
		"ends before it begins":    {pack(fragment("b", "a", 7)), 0, false},
		"numbers ascend":           {pack(fragment("b", "c", 7, 9)), 0, false},
		"nothing in it":            {pack(), 0, false},
		"a record of another kind": {data.Finish(), 0, false},
		"no block":                 {[]byte("nonsense"), 0, false},
	} {
		if err := checkDeletes(c.payload, &entries, c.at, nil); (err == nil) != c.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
	f, _ := build(t, WriterOptions{BlockSizeBytes: 512}, nil, manyDeletes(rand.New(rand.NewPCG(1, 2)), 100))
	r := open(t, f, 0)
	whole, err := r.deleteIndex()
	if err != nil {
		t.Fatal(err)
	}
	edited := func(edit func(i int, key []byte, ref blockRef) ([]byte, blockRef, bool)) *block.View {
		var b block.Builder
		for i := range whole.Len() {
			if key, ref, ok := edit(i, whole.AppendKey(nil, i), dataRef(&whole, i)); ok {
				b.Add(key, block.SettledTrailer, ref.appendTo(nil), 0)
			}
		}
		v := block.Trusted(slices.Clone(b.Finish()))
		return &v
	}
	last := whole.Len() - 1
	for name, edit := range map[string]func(i int, key []byte, ref blockRef) ([]byte, blockRef, bool){
		"a block less":    func(i int, key []byte, ref blockRef) ([]byte, blockRef, bool) { return key, ref, i < last },
		"the first is no": func(i int, key []byte, ref blockRef) ([]byte, blockRef, bool) { return key, ref, i > 0 },
		"a gap": func(i int, key []byte, ref blockRef) ([]byte, blockRef, bool) {
			if i == 2 {
				ref.offset += 8
			}
			return key, ref, true
		},
		"ends early": func(i int, key []byte, ref blockRef) ([]byte, blockRef, bool) {
			if i == last {
				ref.diskBytes, ref.rawBytes = ref.diskBytes-16, ref.rawBytes-16
			}
			return key, ref, true
		},
	} {
		if err := r.checkDeleteIndex(edited(edit)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := r.checkDeleteIndex(edited(func(_ int, key []byte, ref blockRef) ([]byte, blockRef, bool) { return key, ref, true })); err != nil {
		t.Errorf("as it is: %v", err)
	}
}
