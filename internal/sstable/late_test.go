package sstable

import (
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/offheap"
)

// loading is an iterator that is asked for the value of each record that it shows.
type loading struct {
	t *testing.T
	*Iter
	late int // records whose value was left out
}

func (it *loading) load(rec *base.Record) *base.Record {
	if rec == nil {
		return nil
	}
	if it.Unloaded() {
		it.late++
		if n := it.r.o.Memory.Bytes(offheap.OwnerLarge); len(rec.Value) > 0 || n > 0 {
			it.t.Fatalf("a value of %d bytes was left out, and %d are in memory", len(rec.Value), n)
		}
	}
	if err := it.Load(); err != nil || it.Unloaded() {
		it.t.Fatalf("load: %v", err)
	}
	return rec
}

func (it *loading) First() *base.Record            { return it.load(it.Iter.First()) }
func (it *loading) Last() *base.Record             { return it.load(it.Iter.Last()) }
func (it *loading) SeekGE(key []byte) *base.Record { return it.load(it.Iter.SeekGE(key)) }
func (it *loading) SeekLT(key []byte) *base.Record { return it.load(it.Iter.SeekLT(key)) }
func (it *loading) Next() *base.Record             { return it.load(it.Iter.Next()) }
func (it *loading) Prev() *base.Record             { return it.load(it.Iter.Prev()) }

// Large values are left out until they are asked for, and are given back when the iterator
// goes on, at both ends of the table too.
func TestLateValues(t *testing.T) {
	m := largeModel()
	m = append(m, expiringLarge("h", 9))
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		for _, noFill := range []bool{false, true} {
			t.Run(fmt.Sprint(codec, noFill), func(t *testing.T) {
				f, _ := build(t, WriterOptions{Compression: codec}, m, nil)
				cache := newTestCache(t, 1<<20)
				o := cache.options()
				o.Memory, o.Later = cache.memory, func(task func()) { task() }
				r, err := OpenReader(f, o)
				if err != nil {
					t.Fatal(err)
				}
				it := &loading{t: t, Iter: r.NewIter(IterOptions{NoFill: noFill, Late: true})}
				m.checkScan(t, it)
				if it.late == 0 {
					t.Error("no value was left out")
				}
				for it.Last(); it.Next() != nil; {
				}
				if n := cache.memory.Bytes(offheap.OwnerLarge); n != 0 {
					t.Errorf("%d bytes are kept behind the end", n)
				}
				for it.First(); it.Prev() != nil; {
				}
				if n := cache.memory.Bytes(offheap.OwnerLarge); n != 0 {
					t.Errorf("%d bytes are kept before the begin", n)
				}
				if err := it.Close(); err != nil {
					t.Error(err)
				}
				if n := cache.memory.Bytes(offheap.OwnerLarge) + cache.memory.Bytes(offheap.OwnerBuffers); n != 0 {
					t.Errorf("%d bytes are kept by a closed iterator", n)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// expiringLarge is a large record that expires.
func expiringLarge(key string, seq base.SeqNum) entry {
	value := base.AppendExpiry(nil, 1<<40)
	return entry{[]byte(key), base.MakeTrailer(seq, base.KindSetExpiring), append(value, make([]byte, 5<<20)...)}
}

// Damage in a value that is left out, or in the key before it, is found at once, and with
// NoFill by who loads it.
func TestLateValueDamaged(t *testing.T) {
	m := largeModel()
	f, _ := build(t, WriterOptions{}, m, nil)
	r := open(t, f, 1<<20)
	for _, noFill := range []bool{false, true} {
		it := r.NewIter(IterOptions{NoFill: noFill, Late: true})
		f.data[headerBytes+3<<20] ^= 1
		rec := it.First()
		err := it.Err()
		if noFill {
			if rec == nil || !it.Unloaded() || len(rec.Value) > 0 {
				t.Fatalf("the first record is %v: %v", rec, err)
			}
			err = it.Load()
		}
		wantCorruption(t, "load", err)
		if it.Err() != err || it.Next() != nil {
			t.Errorf("after the damage was found: %v", it.Err())
		}
		f.data[headerBytes+3<<20] ^= 1
		if rec := it.First(); rec == nil || it.Load() != nil || !m[0].is(rec) {
			t.Errorf("the intact record: %v", it.Err())
		}
		if err := it.Close(); err != nil {
			t.Error(err)
		}
	}
}
