package sstable

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// TestModel compares tables of random content and options with a sorted
// slice, through no cache, one that holds next to nothing and one that holds
// everything.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range 60 / min(thin(), 6) {
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		m := randomModel(rng, 1+rng.IntN(1<<rng.IntN(12)))
		dels := randomDeletes(rng)
		o := randomOptions(rng)
		f, p := build(t, o, m, dels)
		checkProperties(t, m, dels, p)
		seqBase := base.SeqNum(0) // else what is read is raised by it
		if round%2 == 1 {
			seqBase = base.SeqNum(rng.IntN(500))
			for i := range m {
				m[i].tr += base.MakeTrailer(seqBase, 0)
			}
			for _, d := range dels {
				for i := range d.Seqs {
					d.Seqs[i] += seqBase
				}
			}
		}
		for _, capacityBytes := range []int64{0, 32 << 10, 64 << 20} {
			name := fmt.Sprintf("round%d/%d/%+v", round, capacityBytes, o)
			r := openRaised(t, f, capacityBytes, seqBase)
			m.checkGets(t, rng, r, 200)
			for _, noFill := range []bool{false, true} {
				it := r.NewIter(IterOptions{NoFill: noFill})
				m.checkWalk(t, rng, it, 300)
				m.checkScan(t, it)
				if err := it.Close(); err != nil {
					t.Fatal(err)
				}
			}
			checkVerified(t, r, p)
			read, err := readDeletes(r)
			if err != nil || !sameFragments(read, dels) {
				t.Fatalf("%s: range deletes %v, %v", name, read, err)
			}
		}
	}
}

func checkVerified(t *testing.T, r *Reader, p Properties) {
	t.Helper()
	s, err := r.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(s.Properties) != fmt.Sprint(p) {
		t.Fatalf("written %+v\nverified %+v", p, s.Properties)
	}
	p.DeletesLo, p.DeletesHi = nil, nil
	if fmt.Sprint(*r.Properties()) != fmt.Sprint(p) {
		t.Fatalf("written %+v\nstored %+v\nverified %+v", p, *r.Properties(), s.Properties)
	}
	if s.BytesRead != int64(p.SizeBytes) {
		t.Fatalf("verified %d of %d bytes", s.BytesRead, p.SizeBytes)
	}
}

// checkProperties counts the records anew.
func checkProperties(t *testing.T, m model, dels []rangedel.Fragment, p Properties) {
	t.Helper()
	var want Properties
	want.SmallestSeq = base.SeqNumMax
	for _, e := range m {
		want.Count++
		if e.tr.Kind() == base.KindDelete {
			want.Deletes++
		}
		want.RawKeyBytes += uint64(len(e.key))
		want.RawValueBytes += uint64(len(e.value))
		want.SmallestSeq = min(want.SmallestSeq, e.tr.Seq())
		want.LargestSeq = max(want.LargestSeq, e.tr.Seq())
	}
	want.Lo, want.Hi = base.CutLow(m[0].key, nil), base.CutHigh(nil, m[len(m)-1].key, nil)
	for _, d := range dels {
		want.RangeDeletes++
		want.SmallestSeq = min(want.SmallestSeq, d.Seqs[len(d.Seqs)-1])
		want.LargestSeq = max(want.LargestSeq, d.Seqs[0])
		if bytes.Compare(d.Lo, want.Lo) < 0 {
			want.Lo = d.Lo
		}
		if bytes.Compare(d.Hi, want.Hi) > 0 {
			want.Hi = d.Hi
		}
		want.DeletesLo, want.DeletesHi = dels[0].Lo, d.Hi
	}
	want.DeleteBlocks, want.DeleteBytes = p.DeleteBlocks, p.DeleteBytes
	want.SizeBytes, want.DataBytes, want.IndexBytes = p.SizeBytes, p.DataBytes, p.IndexBytes
	want.FilterBytes, want.BlockCount, want.EntryChecksum = p.FilterBytes, p.BlockCount, p.EntryChecksum
	if fmt.Sprint(want) != fmt.Sprint(p) {
		t.Fatalf("properties %+v\nwant %+v", p, want)
	}
}

// randomDeletes returns up to a few sorted fragments.
func randomDeletes(rng *rand.Rand) []rangedel.Fragment {
	var ts []rangedel.Tombstone
	for range max(0, rng.IntN(12)-4) {
		ts = append(ts, rangedel.Tombstone{
			Lo: randomBytes(rng, 1+rng.IntN(4)), Hi: randomBytes(rng, 1+rng.IntN(4)),
			Seq: base.SeqNum(rng.IntN(1000)),
		})
	}
	return rangedel.Build(ts).Fragments()
}

func sameFragments(a, b []rangedel.Fragment) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// TestVersionsOverManyBlocks puts thousands of versions of a few keys into
// small blocks and reads at every sequence number.
func TestVersionsOverManyBlocks(t *testing.T) {
	var m model
	for _, key := range []string{"a", "k", "k\x00", "z"} {
		for seq := base.SeqNum(3000); seq > 0; seq -= 3 {
			m = append(m, set(key, seq, fmt.Sprint(key, seq)))
		}
		m = append(m, set(key+"~", 7, "lone"))
	}
	m = sorted(m)
	f, p := build(t, WriterOptions{BlockSizeBytes: 300}, m, nil)
	if p.BlockCount < 100 {
		t.Fatalf("only %d blocks", p.BlockCount)
	}
	r := open(t, f, 64<<20)
	for _, key := range []string{"a", "k", "k\x00", "z"} {
		for seq := base.SeqNum(0); seq < 3003; seq += base.SeqNum(thin()) {
			want, wantFound := m.get([]byte(key), seq)
			tr, _, found, err := get(r, []byte(key), seq)
			if err != nil || found != wantFound || tr != want.tr {
				t.Fatalf("get %q at %d: %v %v %v, want %v", key, seq, tr, found, err, want.tr)
			}
		}
	}
	checkVerified(t, r, p)
	it := r.NewIter(IterOptions{})
	defer it.Close()
	m.checkScan(t, it)
	m.checkWalk(t, rand.New(rand.NewPCG(1, 2)), it, 20000/thin())
}

// TestOldVersionReadsOneBlock shows that the index leads a reader of an old
// version to its block, without passing through those of newer ones.
func TestOldVersionReadsOneBlock(t *testing.T) {
	var m model
	for seq := base.SeqNum(2000); seq > 0; seq-- {
		m = append(m, set("key", seq, "some value"))
	}
	f, _ := build(t, WriterOptions{BlockSizeBytes: 300}, m, nil)
	r := open(t, f, 64<<20)
	before := f.reads.Load()
	if tr, _, found, err := get(r, []byte("key"), 5); !found || err != nil || tr.Seq() != 5 {
		t.Fatal(tr, found, err)
	}
	if reads := f.reads.Load() - before; reads != 2 {
		t.Fatalf("%d reads, want one of the partition and one of the block", reads)
	}
}

// TestHugeRecords stores records larger than blocks, buffers and windows.
func TestHugeRecords(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 3<<20/min(thin(), 4))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	longKey := bytes.Repeat([]byte("k"), maxKeyBytes)
	m := sorted(model{
		set("a", 1, "small"),
		{[]byte("b"), base.MakeTrailer(2, base.KindSet), noise},
		{[]byte("c"), base.MakeTrailer(2, base.KindSet), noise[:directBytes-100]},
		{[]byte("d"), base.MakeTrailer(2, base.KindSet), bytes.Repeat([]byte("zero"), 1<<20)},
		{longKey, base.MakeTrailer(9, base.KindSet), noise[:70<<10]},
		{longKey, base.MakeTrailer(8, base.KindDelete), nil},
		{append(longKey[:maxKeyBytes-1:maxKeyBytes-1], 'l'), base.MakeTrailer(8, base.KindSet), nil},
		set("z", 1, "small"),
	})
	for codec := range 3 {
		o := WriterOptions{FilterBitsPerKey: 10, Compression: compress.Codec(codec)}
		f, p := build(t, o, m, nil)
		for _, capacityBytes := range []int64{0, 1 << 20, 64 << 20} {
			r := open(t, f, capacityBytes)
			m.checkGets(t, rng, r, 50/thin())
			for _, noFill := range []bool{false, true} {
				it := r.NewIter(IterOptions{NoFill: noFill})
				m.checkScan(t, it)
				m.checkWalk(t, rng, it, 100/thin())
				it.Close()
			}
			checkVerified(t, r, p)
		}
	}
}

// TestLongSharedPrefixes makes the common prefix of blocks collapse when the
// block is nearly full; blocks must stay near their size all the same.
func TestLongSharedPrefixes(t *testing.T) {
	var m model
	for i := range 300 {
		key := append(bytes.Repeat([]byte{byte(i / 25)}, 1000), fmt.Sprintf("%04d", i)...)
		m = append(m, entry{key, base.MakeTrailer(1, base.KindSet), []byte("v")})
	}
	f, p := build(t, WriterOptions{}, m, nil)
	r := open(t, f, 0)
	for i := range r.parts {
		v, err := r.partition(i)
		if err != nil {
			t.Fatal(err)
		}
		if n := r.parts[i].ref.rawBytes; n > indexBlockBytes {
			t.Errorf("partition %d has %d bytes", i, n)
		}
		for entry := range v.Len() {
			if n := dataRef(&v, entry).rawBytes; n > defaultBlockBytes {
				t.Errorf("block %d of partition %d has %d bytes", entry, i, n)
			}
		}
	}
	checkVerified(t, r, p)
}

// TestOnlyRangeDeletes is a table without a data block.
func TestOnlyRangeDeletes(t *testing.T) {
	dels := []rangedel.Fragment{
		{Lo: []byte("a"), Hi: []byte("c"), Seqs: []base.SeqNum{9, 3}},
		{Lo: []byte("c"), Hi: []byte("f"), Seqs: []base.SeqNum{4}},
	}
	f, p := build(t, WriterOptions{FilterBitsPerKey: 10}, nil, dels)
	if string(p.Lo) != "a" || string(p.Hi) != "f" || p.SmallestSeq != 3 || p.LargestSeq != 9 {
		t.Fatalf("%+v", p)
	}
	r := open(t, f, 1<<20)
	if _, _, found, err := get(r, []byte("b"), base.SeqNumMax); found || err != nil {
		t.Fatal(found, err)
	}
	it := r.NewIter(IterOptions{})
	defer it.Close()
	for _, rec := range []*base.Record{
		it.Next(), it.Prev(), it.First(), it.Last(), it.SeekGE([]byte("b")), it.SeekLT([]byte("b")),
		it.Next(), it.Prev(),
	} {
		if rec != nil || it.Err() != nil {
			t.Fatal(rec, it.Err())
		}
	}
	for range 2 {
		reads := f.reads.Load()
		if seq, err := covering(r, []byte("b"), base.SeqNumMax); seq != 9 || err != nil {
			t.Fatal(seq, err)
		}
		if got := f.reads.Load() - reads; reads > 3 && got > 0 {
			t.Fatal("range deletes are read again")
		}
	}
	checkVerified(t, r, p)
}
