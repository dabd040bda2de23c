package sstable

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// wantAll puts the blocks of every step-th key of a long table on a list, having read
// the index partitions.
func wantAll(t *testing.T, p *Prefetch, r *Reader, m model, step int) {
	t.Helper()
	wantOnce(t, p, r, m, step)
	if len(p.wanted) > 0 && p.wanted[0].kind == kindIndex {
		for _, w := range p.wanted {
			if w.kind != kindIndex {
				t.Fatal("a block whose index was not read is known")
			}
		}
		if !p.Run() {
			t.Fatal("there were no index partitions")
		}
		wantOnce(t, p, r, m, step)
	}
}

func wantOnce(t *testing.T, p *Prefetch, r *Reader, m model, step int) {
	t.Helper()
	for i := 0; i < len(m); i += step {
		may, err := p.Want(r, m[i].key, base.Hash(m[i].key), 9)
		if err != nil || !may {
			t.Fatalf("%q: %v, %v", m[i].key, may, err)
		}
	}
}

func TestPrefetch(t *testing.T) {
	f, m, r := openLong(t)
	g := r.o.Epochs.Enter()
	defer g.Exit()
	var p Prefetch
	wantAll(t, &p, r, m, 7)
	blocks := len(p.wanted)
	if blocks != r.blockCount() {
		t.Errorf("%d of %d blocks are wanted", blocks, r.blockCount())
	}
	if n := readsOf(f, func() { p.Run() }); n != blocks {
		t.Errorf("%d reads for %d blocks", n, blocks)
	}
	for _, w := range p.wanted[:cap(p.wanted)] {
		if w.reader != nil {
			t.Fatal("an empty list still holds a reader")
		}
	}
	n := readsOf(f, func() {
		wantAll(t, &p, r, m, 7)
		for i := range m {
			_, value, found, err := r.Get(m[i].key, base.Hash(m[i].key), 9)
			if err != nil || !found || string(value) != string(m[i].value) {
				t.Fatalf("%q: %q, %v, %v", m[i].key, value, found, err)
			}
		}
	})
	if n != 0 || len(p.wanted) != 0 {
		t.Errorf("%d reads and %d wanted blocks after all were fetched", n, len(p.wanted))
	}
	absent := []byte("key000003x")
	if may, err := p.Want(r, absent, base.Hash(absent), 9); may || err != nil {
		t.Errorf("the filter was not asked: %v, %v", may, err)
	}
	if _, err := p.Want(r, []byte("z"), base.Hash([]byte("z")), 9); err != nil || len(p.wanted) != 0 {
		t.Errorf("behind the last key: %v", err)
	}
}

// The blocks in which seeks land are those that an iterator reads.
func TestPrefetchOfSeeks(t *testing.T) {
	f, m, r := openLong(t)
	keys := [][]byte{[]byte("a"), m[0].key, m[len(m)/2].key, append(m[len(m)/3].key[:len(m[0].key):len(m[0].key)], 'x')}
	g := r.o.Epochs.Enter()
	defer g.Exit()
	var p Prefetch
	for range 2 {
		for _, key := range keys {
			if err := p.WantSeek(r, key); err != nil {
				t.Fatal(err)
			}
		}
		p.Run()
	}
	if err := p.WantSeek(r, []byte("z")); err != nil || len(p.wanted) > 0 {
		t.Errorf("behind the last key: %d blocks, %v", len(p.wanted), err)
	}
	it := r.NewIter(IterOptions{})
	defer it.Close()
	for _, key := range keys {
		if n := readsOf(f, func() { it.SeekGE(key) }); n != 0 {
			t.Errorf("%q: %d reads", key, n)
		}
	}
}

// What cannot be read is the business of the get that needs it; the others have
// their blocks.
func TestPrefetchWithFaults(t *testing.T) {
	f, m, r := openLong(t)
	g := r.o.Epochs.Enter()
	defer g.Exit()
	var p Prefetch
	wantAll(t, &p, r, m, 7)
	bad := p.wanted[17].ref
	f.readFault = func(offset int64, _ int) error {
		if offset == bad.offset {
			return errDisk
		}
		return nil
	}
	damaged := p.wanted[40].ref
	f.data[damaged.offset] ^= 1
	p.Run()
	failed, corrupted := 0, 0
	for i := range m {
		_, _, _, err := r.Get(m[i].key, base.Hash(m[i].key), 9)
		switch {
		case err == nil:
		case errors.Is(err, base.ErrCorrupted):
			corrupted++
		default:
			wantDisk(t, fmt.Sprintf("get %q", m[i].key), err)
			failed++
		}
	}
	perBlock := len(m) / r.blockCount()
	if failed == 0 || failed > 2*perBlock || corrupted == 0 || corrupted > 2*perBlock {
		t.Errorf("%d gets failed and %d met damage, about %d are in a block", failed, corrupted, perBlock)
	}
}

// Long blocks are left to the gets.
func TestPrefetchOfLargeValues(t *testing.T) {
	var m model
	for i := range 5 {
		m = append(m, set(fmt.Sprint(i), 1, string(make([]byte, 100<<10))))
	}
	f, _ := build(t, WriterOptions{BlockSizeBytes: 1024, FilterBitsPerKey: 10}, m, nil)
	cache := newTestCache(t, 8<<20)
	r, err := OpenReader(f, cache.options())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	g := cache.epochs.Enter()
	defer g.Exit()
	var p Prefetch
	wantAll(t, &p, r, m, 1)
	if len(p.wanted) != 0 {
		t.Errorf("%d blocks are wanted", len(p.wanted))
	}
}
