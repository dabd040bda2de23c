package sstable

import (
	"fmt"
	"testing"
)

// How many reads of the file it takes to do something. These are promises
// about speed that no result would show.

// longTable has some 300 blocks of 1 KiB in two index partitions.
func longTable(t *testing.T) (*memFile, model) {
	var m model
	for i := range 10_000 {
		m = append(m, set(fmt.Sprintf("key%06d", i), 3, fmt.Sprintf("value %d", i)))
	}
	f, p := build(t, WriterOptions{BlockSizeBytes: 1024, FilterBitsPerKey: 10}, m, nil)
	if p.BlockCount < 200 {
		t.Fatalf("only %d blocks", p.BlockCount)
	}
	return f, m
}

// openLong opens a long table, with a cache that has room for all of it.
func openLong(t *testing.T) (*memFile, model, *Reader) {
	t.Helper()
	f, m := longTable(t)
	r := open(t, f, 8<<20)
	return f, m, r
}

// readsOf counts the reads while fn runs.
func readsOf(f *memFile, fn func()) int {
	before := f.reads.Load()
	fn()
	return int(f.reads.Load() - before)
}

func TestScanReadsAheadAndFills(t *testing.T) {
	f, m, r := openLong(t)
	scan := func() {
		it := r.NewIter(IterOptions{})
		defer it.Close()
		m.checkScan(t, it)
	}
	if n := readsOf(f, scan); n > 14 {
		t.Errorf("first scan of %d blocks took %d reads", r.blockCount(), n)
	}
	if n := readsOf(f, scan); n != 0 {
		t.Errorf("second scan took %d reads", n)
	}
	if n := r.o.Cache.Metrics().Frames; n != r.blockCount()+len(r.parts) {
		t.Errorf("%d frames for %d blocks", n, r.blockCount())
	}
}

func TestNoFillLeavesTheCacheAlone(t *testing.T) {
	f, _ := longTable(t)
	cache := newTestCache(t, 8<<20)
	r, err := OpenReader(f, cache.options())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	reads := readsOf(f, func() {
		it := r.NewIter(IterOptions{NoFill: true})
		defer it.Close()
		for rec := it.First(); rec != nil; rec = it.Next() {
		}
	})
	if most := len(r.parts) + 1 + len(f.data)/bulkReadBytes; reads > most {
		t.Errorf("%d reads, want at most %d", reads, most)
	}
	if n := r.o.Cache.Metrics().Frames; n != 0 {
		t.Errorf("%d frames in the cache", n)
	}
}

// TestSeeksDoNotReadAhead jumps about: each miss reads its block only.
func TestSeeksDoNotReadAhead(t *testing.T) {
	f, m := longTable(t)
	r := open(t, f, 8<<20)
	total := 0
	f.readFault = func(_ int64, n int) error { total += n; return nil }
	it := r.NewIter(IterOptions{})
	defer it.Close()
	for i := 0; i < len(m); i += 997 {
		if rec := it.SeekGE(m[i].key); !m[i].is(rec) {
			t.Fatal(rec, it.Err())
		}
	}
	partitions := len(r.parts) * (indexBlockBytes + newest.trailerBytes)
	if most := partitions + (len(m)/997+1)*(1024+newest.trailerBytes); total > most {
		t.Errorf("%d bytes read, want at most %d", total, most)
	}
}

// TestFilterWithoutRoom asks a filter that the cache cannot hold: it is not
// read, since that would cost more than what it saves.
func TestFilterWithoutRoom(t *testing.T) {
	f, m := longTable(t)
	r := open(t, f, 4<<10)
	reads := readsOf(f, func() {
		for _, e := range m[:100] {
			if !mayContain(r, e.key) || !mayContain(r, append(e.key, 'x')) {
				t.Fatal("a filter that is not there says no")
			}
		}
	})
	if reads != 0 {
		t.Errorf("%d reads", reads)
	}
}

// TestFilterFilters counts the keys it lets through.
func TestFilterFilters(t *testing.T) {
	f, m := longTable(t)
	for _, capacityBytes := range []int64{0, 8 << 20} {
		r := open(t, f, capacityBytes)
		passed := 0
		reads := readsOf(f, func() {
			for _, e := range m {
				if mayContain(r, append(e.key, 'x')) {
					passed++
				}
			}
		})
		if passed > len(m)/20 || reads != 1 {
			t.Errorf("%d of %d absent keys pass, %d reads", passed, len(m), reads)
		}
	}
}
