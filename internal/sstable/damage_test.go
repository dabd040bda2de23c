package sstable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// smallTable is a table of all kinds of blocks in few bytes.
func smallTable(tb testing.TB, codec compress.Codec) (*memFile, model, []rangedel.Fragment) {
	var m model
	for i := range 40 {
		for seq := range 1 + i%3 {
			value := fmt.Sprintf("value %d of %d ....", seq, i)
			m = append(m, set(fmt.Sprintf("key%03d", i), base.SeqNum(9-seq), value))
		}
	}
	dels := []rangedel.Fragment{{Lo: []byte("key01"), Hi: []byte("key02"), Seqs: []base.SeqNum{7, 2}}}
	for i := range 15 { // more than a block of them
		lo, hi := fmt.Appendf(nil, "key%03d", 20+i), fmt.Appendf(nil, "key%03d5", 20+i)
		dels = append(dels, rangedel.Fragment{Lo: lo, Hi: hi, Seqs: []base.SeqNum{base.SeqNum(i)}})
	}
	f, _ := build(tb, WriterOptions{BlockSizeBytes: 400, FilterBitsPerKey: 8, Compression: codec}, m, dels)
	return f, m, dels
}

// wantCorruption fails unless err is corruption that names the file.
func wantCorruption(t *testing.T, doing string, err error) *base.CorruptionError {
	t.Helper()
	var c *base.CorruptionError
	if !errors.As(err, &c) || !errors.Is(err, base.ErrCorrupted) || c.File != "000042.sst" {
		t.Fatalf("%s: %v is not corruption of the file", doing, err)
	}
	return c
}

// readAll reads everything in every way. Each answer is right or corruption;
// it reports whether there was any.
func (m model) readAll(t *testing.T, doing string, r *Reader, dels []rangedel.Fragment) (damaged bool) {
	t.Helper()
	for _, e := range m {
		tr, value, found, err := get(r, e.key, e.tr.Seq())
		switch {
		case err != nil:
			wantCorruption(t, doing, err)
			damaged = true
		case !found || tr != e.tr || !bytes.Equal(value, e.value):
			t.Fatalf("%s: get %q gives %v %q %v", doing, e.key, tr, value, found)
		}
		if !mayContain(r, e.key) {
			t.Fatalf("%s: filter misses %q", doing, e.key)
		}
	}
	for _, noFill := range []bool{false, true} {
		it := r.NewIter(IterOptions{NoFill: noFill})
		i := 0
		for rec := it.First(); rec != nil; rec = it.Next() {
			if i == len(m) || !m[i].is(rec) {
				t.Fatalf("%s: record %d is %v", doing, i, rec)
			}
			i++
		}
		if err := it.Err(); err != nil {
			wantCorruption(t, doing, err)
			damaged = true
			if it.Next() != nil || it.Prev() != nil || it.Err() != err {
				t.Fatalf("%s: iterator goes on after %v", doing, err)
			}
		} else if i != len(m) {
			t.Fatalf("%s: scan ends at %d", doing, i)
		}
		it.Close()
	}
	read, err := readDeletes(r)
	if err != nil {
		wantCorruption(t, doing, err)
		damaged = true
	} else if !sameFragments(read, dels) {
		t.Fatalf("%s: range deletes %v", doing, read)
	}
	for _, d := range dels {
		for key, want := range map[string]base.SeqNum{string(d.Lo): d.Seqs[0], string(d.Lo) + "\x00": d.Seqs[0]} {
			got, err := covering(r, []byte(key), base.SeqNumMax)
			if err != nil {
				wantCorruption(t, doing, err)
				damaged = true
			} else if got != want {
				t.Fatalf("%s: %q is covered by %d, want %d", doing, key, got, want)
			}
		}
	}
	return damaged
}

// TestEveryFlippedByte damages every byte of a file in turn. Reads give the
// right answer or corruption, and Verify finds each of them.
func TestEveryFlippedByte(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		f, m, dels := smallTable(t, codec)
		cache := newTestCache(t, 1<<20)
		whole := f.data
		opened, read := 0, 0
		for at := 0; at < len(whole); at += thin() {
			for _, mask := range []byte{1 << (at % 8), 0xff} {
				data := bytes.Clone(whole)
				data[at] ^= mask
				doing := fmt.Sprintf("%v, byte %d of %d ^ %#x", codec, at, len(data), mask)
				r, err := OpenReader(&memFile{data: data}, cache.options())
				if err != nil {
					wantCorruption(t, doing, err)
					continue
				}
				opened++
				if m.readAll(t, doing, r, dels) {
					read++
				}
				_, err = r.Verify(t.Context())
				wantCorruption(t, doing+", verify", err)
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if opened < len(whole)/thin() || read < opened/2 {
			t.Fatalf("of %d files %d opened and %d showed damage", 2*len(whole), opened, read)
		}
	}
}

// readAround gets every key of a table with one damaged place. It returns how many
// cannot be read; each must be told with that place, and with a span that it lies
// in.
func readAround(t *testing.T, r *Reader, m model, offset int64, kind string) (hits int) {
	t.Helper()
	for _, e := range m {
		_, _, found, err := get(r, e.key, 9)
		if err == nil {
			if !found {
				t.Fatalf("%q is gone", e.key)
			}
			continue
		}
		hits++
		c := wantCorruption(t, string(e.key), err)
		if c.Offset != offset || c.Kind != kind ||
			bytes.Compare(e.key, c.Lo) < 0 || bytes.Compare(e.key, c.Hi) >= 0 {
			t.Fatalf("%q: %+v", e.key, c)
		}
	}
	return hits
}

// TestDamageIsLocal damages one data block and expects every key outside of
// the reported range to be readable, by get and by iterator.
func TestDamageIsLocal(t *testing.T) {
	var m model
	for i := range 2000 {
		m = append(m, set(fmt.Sprintf("key%06d", 10*i), 5, strings.Repeat("v", i%50)))
	}
	f, _ := build(t, WriterOptions{BlockSizeBytes: 500}, m, nil)
	pristine := open(t, f, 0)
	blocks := allBlocks(t, pristine)
	victim := blocks[pristine.blockCount()/2]
	data := bytes.Clone(f.data)
	data[victim.ref.offset+5] ^= 4
	r := open(t, &memFile{data: data}, 1<<20)
	hits := readAround(t, r, m, victim.ref.offset, "data block")
	if hits == 0 || hits > 40 {
		t.Fatalf("%d keys hit", hits)
	}
	it := r.NewIter(IterOptions{})
	defer it.Close()
	seen := 0
	for rec := it.First(); ; rec = it.Next() {
		if rec == nil {
			if it.Err() == nil {
				break
			}
			// Step over the damage.
			rec = it.SeekGE(wantCorruption(t, "scan", it.Err()).Hi)
		}
		if rec == nil {
			t.Fatal(it.Err())
		}
		seen++
	}
	if seen != len(m)-hits {
		t.Fatalf("scan shows %d of %d records, gets miss %d", seen, len(m), hits)
	}
	if _, err := r.Verify(t.Context()); err != nil {
		wantCorruption(t, "verify", err)
	} else {
		t.Fatal("verify finds nothing")
	}
}

// TestDamagedPartition does the same for an index partition.
func TestDamagedPartition(t *testing.T) {
	var m model
	for i := range 5000 {
		m = append(m, set(fmt.Sprintf("%06d of many keys", i), 5, "value"))
	}
	f, _ := build(t, WriterOptions{BlockSizeBytes: 100}, m, nil)
	parts := open(t, f, 0).parts
	if len(parts) < 3 {
		t.Fatalf("only %d partitions", len(parts))
	}
	data := bytes.Clone(f.data)
	data[parts[1].ref.offset]++
	r := open(t, &memFile{data: data}, 1<<20)
	hits := readAround(t, r, m, parts[1].ref.offset, "index block")
	if hits < 100 || hits > len(m)/2 {
		t.Fatalf("%d of %d keys hit", hits, len(m))
	}
	for _, noFill := range []bool{false, true} {
		it := r.NewIter(IterOptions{NoFill: noFill})
		seen := 0
		for rec := it.First(); rec != nil; rec = it.Next() {
			seen++
		}
		c := wantCorruption(t, "scan", it.Err())
		for rec := it.SeekGE(c.Hi); rec != nil; rec = it.Next() {
			seen++
		}
		if it.Err() != nil || seen != len(m)-hits {
			t.Fatalf("scan shows %d of %d records, gets miss %d: %v", seen, len(m), hits, it.Err())
		}
		it.Close()
	}
	_, err := r.Verify(t.Context())
	wantCorruption(t, "verify", err)
}

// TestVerifyGivesUp damages more blocks than Verify lists.
func TestVerifyGivesUp(t *testing.T) {
	var m model
	for i := range 1000 {
		m = append(m, set(fmt.Sprintf("%06d", i), 5, "value"))
	}
	f, _ := build(t, WriterOptions{BlockSizeBytes: 100}, m, nil)
	for _, b := range allBlocks(t, open(t, f, 0)) {
		if b.kind == kindData {
			f.data[b.ref.offset]++
		}
	}
	_, err := open(t, f, 0).Verify(t.Context())
	wantCorruption(t, "verify", err)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != findingsMax+1 || !errors.Is(err, errManyFinds) {
		t.Fatal(err)
	}
}

// TestVerifyFindsAll damages several blocks and wants each of them listed.
func TestVerifyFindsAll(t *testing.T) {
	f, _, _ := smallTable(t, compress.None)
	r := open(t, f, 0)
	blocks := allBlocks(t, r)
	want := make(map[int64]bool)
	data := bytes.Clone(f.data)
	for _, b := range []stored{blocks[1], blocks[3], blocks[r.filterSlot()]} {
		data[b.ref.offset]++
		want[b.ref.offset] = true
	}
	_, err := open(t, &memFile{data: data}, 0).Verify(t.Context())
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != len(want) {
		t.Fatal(err)
	}
	for _, err := range joined.Unwrap() {
		delete(want, wantCorruption(t, "verify", err).Offset)
	}
	if len(want) > 0 {
		t.Fatalf("not found: %v", want)
	}
}

// stored is a block of a file.
type stored struct {
	kind blockKind
	ref  blockRef
}

// allBlocks lists the blocks of a table: data blocks, partitions, sections.
func allBlocks(tb testing.TB, r *Reader) []stored {
	var data, index, rest []stored
	for p, part := range r.parts {
		v, err := r.partition(p)
		if err != nil {
			tb.Fatal(err)
		}
		index = append(index, stored{kindIndex, part.ref})
		for entry := range v.Len() {
			data = append(data, stored{kindData, dataRef(&v, entry)})
		}
	}
	if r.footer.deleteIndex != (blockRef{}) {
		v, err := r.deleteIndex()
		if err != nil {
			tb.Fatal(err)
		}
		for i := range v.Len() {
			rest = append(rest, stored{kindRangeDelete, dataRef(&v, i)})
		}
	}
	for _, s := range []stored{
		{kindFilter, r.footer.filter}, {kindDeleteIndex, r.footer.deleteIndex},
		{kindProperties, r.footer.properties}, {kindTopIndex, r.footer.topIndex},
	} {
		if s.ref != (blockRef{}) {
			rest = append(rest, s)
		}
	}
	return slices.Concat(data, index, rest)
}

// TestSwappedBlocks exchanges intact blocks of the same length.
func TestSwappedBlocks(t *testing.T) {
	var m model
	for i := range 500 {
		m = append(m, set(fmt.Sprintf("key%06d", i), 5, "equal"))
	}
	f, _ := build(t, WriterOptions{BlockSizeBytes: 500}, m, nil)
	blocks := allBlocks(t, open(t, f, 0))
	a, b := blocks[3].ref, blocks[5].ref
	if a.diskBytes != b.diskBytes {
		t.Fatal("the test needs blocks of the same length")
	}
	data := bytes.Clone(f.data)
	copy(data[a.offset:], f.data[b.offset:newest.end(b)])
	copy(data[b.offset:], f.data[a.offset:newest.end(a)])
	r := open(t, &memFile{data: data}, 1<<20)
	if !m.readAll(t, "swapped blocks", r, nil) {
		t.Fatal("swapped blocks are not noticed")
	}
}

// TestBlocksOfOtherTable puts an intact block of another table of the same
// database into the place that it has there, as a disk does that writes to, or
// reads from, the wrong file.
func TestBlocksOfOtherTable(t *testing.T) {
	var m model
	for i := range 500 {
		m = append(m, set(fmt.Sprintf("key%06d", i), 5, "equal"))
	}
	f, _ := build(t, WriterOptions{BlockSizeBytes: 500}, m, nil)
	other := &memFile{}
	w := NewWriter(other, WriterOptions{DBID: testID, FileNum: testFile + 1, BlockSizeBytes: 500})
	for _, e := range m {
		if err := w.Add(e.key, e.tr, []byte("other")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(nil, nil); err != nil || len(other.data) != len(f.data) {
		t.Fatalf("the test needs tables of one layout: %d and %d bytes, %v", len(f.data), len(other.data), err)
	}
	for _, b := range allBlocks(t, open(t, f, 0)) {
		data := bytes.Clone(f.data)
		copy(data[b.ref.offset:newest.end(b.ref)], other.data[b.ref.offset:])
		if _, err := verifyAll(data); !errors.Is(err, base.ErrCorrupted) {
			t.Errorf("%v at %d of another table: %v", b.kind, b.ref.offset, err)
		}
	}
}

func verifyAll(data []byte) (Summary, error) {
	r, err := OpenReader(&memFile{data: data}, ReaderOptions{Name: "000042.sst", DBID: testID, FileNum: testFile})
	if err != nil {
		return Summary{}, err
	}
	return r.Verify(context.Background())
}

// TestWrongFile opens files that are cut, longer, of another database or under
// another number.
func TestWrongFile(t *testing.T) {
	f, _, _ := smallTable(t, compress.None)
	size := int64(len(f.data))
	o := ReaderOptions{Name: "000042.sst", DBID: testID, FileNum: testFile}
	try := func(doing string, data []byte, o ReaderOptions) {
		t.Helper()
		file := &memFile{data: data}
		_, err := OpenReader(file, o)
		wantCorruption(t, doing, err)
		if file.closes != 1 {
			t.Fatalf("%s: file closed %d times", doing, file.closes)
		}
	}
	for n := 0; n < len(f.data); n += thin() {
		try(fmt.Sprintf("cut to %d", n), f.data[:n], o)
		known := o
		known.SizeBytes = size
		try(fmt.Sprintf("cut to %d, size known", n), f.data[:n], known)
	}
	try("longer", append(bytes.Clone(f.data), 0), o)
	try("twice", append(bytes.Clone(f.data), f.data...), o)
	try("shifted", append(make([]byte, 8), f.data...), o)
	foreign, renamed, other := o, o, o
	foreign.DBID[3]++
	try("foreign", f.data, foreign)
	renamed.FileNum++
	try("renamed", f.data, renamed)
	other.SizeBytes = size + 8
	try("other size", f.data, other)
}

func TestUnsupportedVersion(t *testing.T) {
	f, _, _ := smallTable(t, compress.None)
	reseal := func(at int) error {
		data := bytes.Clone(f.data)
		data[at] = 2
		sealHeader(data)
		_, err := OpenReader(&memFile{data: data}, ReaderOptions{Name: "x", DBID: testID, FileNum: testFile})
		return err
	}
	var u *base.FormatError
	if err := reseal(8); !errors.As(err, &u) || u.Version != 2 || errors.Is(err, base.ErrCorrupted) {
		t.Fatal(err)
	}
	if err := reseal(12); !errors.As(err, &u) || u.KeyID != 2 {
		t.Fatal(err)
	}
}

// TestDamagedFilter is asked twice: it answers "maybe" and is read once.
func TestDamagedFilter(t *testing.T) {
	f, m, _ := smallTable(t, compress.None)
	data := bytes.Clone(f.data)
	pristine := open(t, f, 0)
	data[pristine.footer.filter.offset+20] ^= 1
	for _, capacityBytes := range []int64{0, 1 << 20} {
		file := &memFile{data: data}
		r := open(t, file, capacityBytes)
		reads := file.reads.Load()
		for _, e := range m {
			if !mayContain(r, e.key) || !mayContain(r, append(e.key, 1)) {
				t.Fatal("a damaged filter says no")
			}
		}
		if n := file.reads.Load() - reads; n != 1 {
			t.Fatalf("%d reads", n)
		}
	}
}

func TestIsOrphan(t *testing.T) {
	f, _, _ := smallTable(t, compress.None)
	other := testID
	other[0]++
	junk := bytes.Repeat([]byte("junk"), 100)
	for name, c := range map[string]struct {
		data []byte
		want bool
	}{
		"whole": {f.data, true}, "cut": {f.data[:300], true}, "header only": {f.data[:headerBytes], true},
		"empty": {nil, true}, "torn header": {f.data[:20], true}, "zeroes": {make([]byte, 500), true},
		"junk": {junk, false},
	} {
		if got := IsOrphan(&memFile{data: c.data}, testID, testFile); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if IsOrphan(f, other, testFile) || IsOrphan(f, testID, testFile+1) {
		t.Error("a foreign table is taken for an orphan")
	}
}

// TestCorruptionOwnsItsKeys writes into the keys of an error, which go to users:
// they were the reader's own, and every later error would tell others.
func TestCorruptionOwnsItsKeys(t *testing.T) {
	f, m, _ := smallTable(t, compress.None)
	data := bytes.Clone(f.data)
	data[headerBytes+1] ^= 1
	r, err := OpenReader(&memFile{data: data}, newTestCache(t, 1<<20).options())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := func() *base.CorruptionError {
		_, _, _, err := get(r, m[0].key, m[0].tr.Seq())
		return wantCorruption(t, "get", err)
	}
	c := first()
	lo, hi := string(c.Lo), string(c.Hi)
	clear(c.Lo)
	clear(c.Hi)
	if again := first(); lo == "" || string(again.Lo) != lo || string(again.Hi) != hi {
		t.Errorf("[%q, %q) is damaged, and before it was [%q, %q)", again.Lo, again.Hi, lo, hi)
	}
}
