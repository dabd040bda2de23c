package sstable

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// longKeys have what tells them apart at their end, so that no separator is short.
func longKeys(count int) model {
	var m model
	prefix := bytes.Repeat([]byte("long"), 8<<10)
	for i := range count {
		head := fmt.Sprintf("%d", i%4) // so that blocks have no prefix in common
		m = append(m, set(head+string(prefix)+fmt.Sprintf("%06d", i), 3, fmt.Sprint("value ", i)))
	}
	return sorted(m)
}

// The top index of a table with long keys is not kept in Go memory: it comes from the
// cache, and where that is too small from the file. It has far fewer entries than the
// table has blocks.
func TestLargeTopIndexIsCached(t *testing.T) {
	m := longKeys(200)
	f, p := build(t, WriterOptions{}, m, nil)
	for _, capacityBytes := range []int64{64 << 20, 1 << 20} {
		r := open(t, f, capacityBytes)
		if !r.topLarge || r.top.Len() != 0 {
			t.Fatalf("the top index of %d bytes is kept", r.footer.topIndex.rawBytes)
		}
		if most := int(p.BlockCount)/minPartitionEntries + 1; len(r.parts) > most {
			t.Errorf("%d partitions for %d blocks", len(r.parts), p.BlockCount)
		}
		for i := range m {
			tr, value, found, err := get(r, m[i].key, base.SeqNumMax)
			if err != nil || !found || tr != m[i].tr || !bytes.Equal(value, m[i].value) {
				t.Fatalf("record %d: found %v, %v", i, found, err)
			}
		}
		it := r.NewIter(IterOptions{})
		m.checkScan(t, it)
		for i := range m {
			if rec := it.SeekGE(m[i].key); rec == nil || !bytes.Equal(rec.Key, m[i].key) {
				t.Fatalf("record %d is not found: %v", i, it.Err())
			}
		}
		if err := it.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A large top index that rots after the table was opened is reported.
func TestLargeTopIndexDamaged(t *testing.T) {
	m := longKeys(200)
	f, _ := build(t, WriterOptions{}, m, nil)
	r := open(t, f, 64<<20)
	f.data[r.footer.topIndex.offset+100] ^= 1
	_, _, _, err := get(r, m[7].key, base.SeqNumMax)
	wantCorruption(t, "get", err)
	it := r.NewIter(IterOptions{})
	defer it.Close()
	if it.SeekGE(m[7].key) != nil {
		t.Error("a seek lands")
	}
	wantCorruption(t, "seek", it.Err())
}

// Scans at once share what there is for reading ahead; those that get none of it read
// block by block.
func TestReadingAheadIsBounded(t *testing.T) {
	f, m := longTable(t)
	cache := newTestCache(t, 1<<20)
	r, err := OpenReader(f, cache.options())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var windows int
	its := make([]*Iter, 64)
	for i := range its {
		its[i] = r.NewIter(IterOptions{})
		its[i].First()
	}
	for range len(m) - 1 {
		for i, it := range its {
			if it.Next() == nil {
				t.Fatalf("scan %d ends: %v", i, it.Err())
			}
		}
	}
	for _, it := range its {
		windows += cap(it.window.memory)
		if err := it.Close(); err != nil {
			t.Error(err)
		}
	}
	if windows == 0 || windows > 1<<20/8 {
		t.Errorf("%d bytes of windows", windows)
	}
	if !cache.Ahead.Borrow(1 << 20 / 8) {
		t.Error("what was borrowed has not come back")
	}
	cache.Ahead.Return(1 << 20 / 8)
}
