package iterate

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/merge"
)

// lateIter leaves the values out of some of the records of an iterator, until Load.
type lateIter struct {
	base.Iterator
	rng    *rand.Rand
	failAt *int // as that of sliceIter; nil: Load does not fail
	from   *base.Record
	rec    base.Record
	err    error
}

func (it *lateIter) show(rec *base.Record) *base.Record {
	it.from, it.err = rec, nil
	if rec == nil {
		return nil
	}
	if it.rec = *rec; it.rng.IntN(2) == 0 {
		it.rec.Value = nil
	}
	return &it.rec
}

func (it *lateIter) First() *base.Record            { return it.show(it.Iterator.First()) }
func (it *lateIter) Last() *base.Record             { return it.show(it.Iterator.Last()) }
func (it *lateIter) SeekGE(key []byte) *base.Record { return it.show(it.Iterator.SeekGE(key)) }
func (it *lateIter) SeekLT(key []byte) *base.Record { return it.show(it.Iterator.SeekLT(key)) }
func (it *lateIter) Next() *base.Record             { return it.show(it.Iterator.Next()) }
func (it *lateIter) Prev() *base.Record             { return it.show(it.Iterator.Prev()) }

func (it *lateIter) Err() error {
	if it.err != nil {
		return it.err
	}
	return it.Iterator.Err()
}

func (it *lateIter) Unloaded() bool {
	return it.from != nil && len(it.rec.Value) == 0 && len(it.from.Value) > 0
}

func (it *lateIter) Load() error {
	if !it.Unloaded() {
		return nil
	}
	if it.failAt != nil {
		if *it.failAt--; *it.failAt == 0 {
			it.err = errInjected
			return it.err
		}
	}
	it.rec.Value = it.from.Value
	return nil
}

// A Merging loads for the source of its current record, and for no other; a Level for the
// file that is open.
func TestMergingLoadsTheCurrentRecord(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var iters []*lateIter
		var sources []Source
		for range 1 + rng.IntN(3) {
			records := randomRecords(rng, 20, ascendingSeqs())
			late := &lateIter{Iterator: newSliceIter(records, true), rng: rng}
			iters, sources = append(iters, late), append(sources, Source{Iter: late, MaxSeq: base.SeqNumMax})
		}
		m := NewMerging(sources)
		for rec := m.First(); rec != nil; rec = m.Next() {
			unloaded := func() (n int) {
				for _, it := range iters {
					if it.Unloaded() {
						n++
					}
				}
				return n
			}
			before, was := unloaded(), m.Unloaded()
			if was && len(rec.Value) > 0 {
				t.Fatalf("unloaded: %v, with a value of %d bytes", was, len(rec.Value))
			}
			if err := m.Load(); err != nil || m.Unloaded() || was && len(rec.Value) == 0 {
				t.Fatalf("after Load: %v, unloaded: %v, %d bytes", err, m.Unloaded(), len(rec.Value))
			}
			if after := unloaded(); was && after != before-1 || !was && after != before {
				t.Fatalf("%d sources had a value left out, now %d", before, after)
			}
		}
	}
}

// appending is an operator that appends its operands to the value.
type appending struct{}

func (appending) MergeOperator([]byte) *merge.Operator {
	return &merge.Operator{Name: "append", Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
		return append(append(dst, value...), bytes.Join(operands, nil)...), nil
	}}
}

// Operands are applied to a value that was left out.
func TestOperandsOverALateValue(t *testing.T) {
	key := []byte("k")
	operand := base.Record{Key: key, Trailer: base.MakeTrailer(2, base.KindMerge), Value: append(base.AppendReach(nil, 0, 0), "+"...)}
	under := &lateIter{
		Iterator: newSliceIter([]base.Record{{Key: key, Trailer: base.MakeTrailer(1, base.KindSet), Value: []byte("value")}}, true),
		rng:      rand.New(rand.NewPCG(1, 1)),
	}
	for range 10 { // in some of which the value is left out
		m := NewMerging([]Source{{Iter: newSliceIter([]base.Record{operand}, true), MaxSeq: 2}, {Iter: under, MaxSeq: 1}})
		v := NewUserIter(m, Options{Seq: base.SeqNumMax, Late: true, Operators: appending{}})
		if !v.First() || string(v.Value()) != "value+" {
			t.Errorf("the row is %q, %v", v.Value(), v.Err())
		}
	}
}
