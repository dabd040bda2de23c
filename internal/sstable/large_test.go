package sstable

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/offheap"
)

// largeModel has values that are written where they lie, alone and in a row, with
// several versions, among small ones.
func largeModel() model {
	rng := rand.New(rand.NewPCG(7, 7))
	value := make([]byte, packedMaxBytes+100)
	for i := 0; i < len(value); i += 16 {
		value[i] = byte(rng.UintN(256))
	}
	var m model
	add := func(key string, seq base.SeqNum, valueBytes int) {
		value[0]++
		m = append(m, set(key, seq, string(value[:valueBytes])))
	}
	add("a", 9, packedMaxBytes+50)
	for i := range 300 {
		add(fmt.Sprintf("b%03d", i), 5, 100)
	}
	add("c", 8, packedMaxBytes+1)
	add("c", 7, 10)
	add("c", 6, packedMaxBytes+100)
	add("d", 8, directBytes)
	add("e", 8, directBytes-1)
	add("f", 8, packedMaxBytes)
	add("g", 9, packedMaxBytes+70)
	return m
}

// Values that are too large for the cache are read, walked, verified and given back.
func TestLargeValues(t *testing.T) {
	m := largeModel()
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		f, p := build(t, WriterOptions{Compression: codec, FilterBitsPerKey: 10}, m, nil)
		if p.Count != uint64(len(m)) {
			t.Fatalf("%d records", p.Count)
		}
		cache := newTestCache(t, 2<<20)
		var tasks []func()
		o := cache.options()
		o.Memory, o.Later = cache.memory, func(task func()) { tasks = append(tasks, task) }
		r, err := OpenReader(f, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range m {
			tr, value, found, err := get(r, e.key, e.tr.Seq())
			if err != nil || !found || tr != e.tr || !bytes.Equal(value, e.value) {
				t.Fatalf("%s: found %v, %v", e.key, found, err)
			}
		}
		if n := cache.memory.Bytes(offheap.OwnerLarge); n > 5*packedMaxBytes {
			t.Errorf("%d bytes of values are kept", n)
		}
		for _, noFill := range []bool{false, true} {
			it := r.NewIter(IterOptions{NoFill: noFill})
			m.checkScan(t, it)
			if err := it.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		for ; len(tasks) > 0; tasks = tasks[1:] {
			tasks[0]()
		}
		if n := cache.memory.Bytes(offheap.OwnerLarge); n != 0 {
			t.Errorf("%d bytes were not given back", n)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Damage anywhere in a large value is found by whoever reads it, and by Verify, which
// goes on behind it.
func TestLargeValueDamaged(t *testing.T) {
	m := largeModel()
	f, _ := build(t, WriterOptions{}, m, nil)
	r := open(t, f, 64<<20)
	part, err := r.partition(0)
	if err != nil {
		t.Fatal(err)
	}
	ref := dataRef(&part, 0)
	if ref.rawBytes < packedMaxBytes {
		t.Fatal("the first block is no large value")
	}
	end := r.layout.end(ref)
	for _, at := range []int64{ref.offset, ref.offset + 30, ref.offset + 1000, end - 4<<20, end - 600<<10, end - 1} {
		f.data[at] ^= 0x10
		fresh := open(t, f, 64<<20)
		summary, err := fresh.Verify(context.Background())
		wantCorruption(t, fmt.Sprintf("verify, byte %d", at-ref.offset), err)
		if summary.BlockCount == 0 {
			t.Error("the other blocks are not verified")
		}
		if at < end-1 { // which is padding
			_, _, _, err = get(fresh, m[0].key, base.SeqNumMax)
			wantCorruption(t, "get", err)
		}
		f.data[at] ^= 0x10
	}
}
