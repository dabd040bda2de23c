package sstable

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

// TestConcurrent has readers of all sorts use one table through a cache far
// smaller than it, that shrinks and grows meanwhile.
func TestConcurrent(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	m := randomModel(rng, 3000)
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		f, p := build(t, WriterOptions{BlockSizeBytes: 1024, FilterBitsPerKey: 10, Compression: codec}, m, nil)
		cache := newTestCache(t, 64<<10)
		r, err := OpenReader(f, cache.options())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(9, uint64(worker)))
				for round := range 8 {
					switch (worker + round) % 4 {
					case 0:
						m.checkGets(t, rng, r, 300)
					case 1, 2:
						it := r.NewIter(IterOptions{NoFill: (worker+round)%4 == 1})
						m.checkWalk(t, rng, it, 500)
						it.Close()
					case 3:
						cache.SetCapacity(int64(8+rng.IntN(64)) << 10)
						it := r.NewIter(IterOptions{})
						m.checkScan(t, it)
						it.Close()
					}
				}
			})
		}
		wg.Wait()
		checkVerified(t, r, p)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIteratorOutlivesEviction parks iterators on their records and evicts
// everything under them.
func TestIteratorOutlivesEviction(t *testing.T) {
	var m model
	for i := range 3000 {
		m = append(m, set(fmt.Sprintf("key%06d", i), 3, fmt.Sprintf("value %d", i)))
	}
	f, _ := build(t, WriterOptions{BlockSizeBytes: 1024}, m, nil)
	cache := newTestCache(t, 256<<10)
	r, err := OpenReader(f, cache.options())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for round := range 20 {
		it := r.NewIter(IterOptions{})
		at := round * 130
		rec := it.SeekGE(m[at].key)
		cache.SetCapacity(0)
		for range 100 { // into the next blocks, with the first still shown
			if !m[at].is(rec) {
				t.Fatalf("record %d is %v", at, rec)
			}
			at++
			rec = it.Next()
		}
		cache.SetCapacity(256 << 10)
		m.checkGets(t, rand.New(rand.NewPCG(1, uint64(round))), r, 100)
		it.Close()
	}
}
