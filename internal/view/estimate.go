package view

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/store"
)

// This file estimates what there is in a range, and divides it, by looking at a bounded number
// of records in memory and of index entries of tables.

// memorySamples is how many keys of a memtable are looked at.
const memorySamples = 1024

// EstimateRange estimates the rows in [lo, hi), and what all records there take, in memory and in
// tables.
func EstimateRange(r *Reader, lo, hi []byte) (store.Estimate, error) {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return store.Estimate{}, base.ErrClosed
	}
	at := r.cfg.Timeline.ReadTime()
	s, seq := r.now()
	var deletes []*Flushable
	s.flushables(func(m *Flushable) bool {
		if m.deletesWithin(lo, hi, seq) {
			deletes = append(deletes, m)
		}
		return true
	})
	covering := func(key []byte) (newest base.SeqNum) {
		for _, m := range deletes {
			newest = max(newest, m.Covering(key, seq))
		}
		return newest
	}
	var hidden func(key []byte) bool
	if len(deletes) > 0 {
		hidden = func(key []byte) bool { return covering(key) > 0 }
	}
	e := s.Tree.Estimate(lo, hi, at, hidden)
	s.flushables(func(m *Flushable) bool {
		m.sample(lo, hi, memorySamples, func(rec *base.Record, weight float64) {
			e.SizeBytes += weight * float64(len(rec.Key)+len(rec.Value))
			switch {
			case rec.Trailer.Kind() == base.KindDelete:
				e.Rows -= weight
			case !rec.Dead(at) && covering(rec.Key) <= rec.Trailer.Seq():
				e.Rows += weight
			}
		})
		return true
	})
	e.Rows = max(e.Rows, 0)
	return e, nil
}

// sample calls fn with records in [lo, hi), in the order of their keys, and with how many each
// stands for.
func (m *Flushable) sample(lo, hi []byte, most int, fn func(rec *base.Record, weight float64)) {
	if m.Table != nil {
		memtable.Sample(m.Table, lo, hi, most, fn)
		return
	}
	first, end := m.sorted.seekGE(lo), len(m.sorted.entries)
	if hi != nil {
		end = m.sorted.seekGE(hi)
	}
	every := max((end-first)/most, 1)
	it := sortedIter{batches: m.sorted, pos: -1}
	for i := first; i < end; i += every {
		fn(it.at(i), float64(min(every, end-i)))
	}
}

// splitSamples is how many samples of each source there are for each part, so that the parts
// differ by some of these.
const splitSamples = 16

// Split returns up to parts-1 keys, ascending, that divide [lo, hi) into parts of about the
// same size. They are copies.
func Split(r *Reader, lo, hi []byte, parts int) ([][]byte, error) {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return nil, base.ErrClosed
	}
	s, _ := r.now()
	type sample struct {
		key       []byte
		sizeBytes float64
	}
	var samples []sample
	all := 0.0
	add := func(key []byte, sizeBytes float64) {
		if bytes.Compare(key, lo) > 0 && (hi == nil || bytes.Compare(key, hi) < 0) {
			samples = append(samples, sample{bytes.Clone(key), sizeBytes})
			all += sizeBytes
		}
	}
	s.flushables(func(m *Flushable) bool {
		m.sample(lo, hi, splitSamples*parts, func(rec *base.Record, weight float64) {
			add(rec.Key, weight*float64(len(rec.Key)+len(rec.Value)))
		})
		return true
	})
	err := s.Tree.Samples(lo, hi, splitSamples*parts, add)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(samples, func(a, b sample) int { return bytes.Compare(a.key, b.key) })
	var keys [][]byte
	passed := 0.0
	for _, x := range samples {
		want := all * float64(len(keys)+1) / float64(parts)
		if passed += x.sizeBytes; passed >= want && len(keys) < parts-1 &&
			(len(keys) == 0 || !bytes.Equal(keys[len(keys)-1], x.key)) {
			keys = append(keys, x.key)
		}
	}
	return keys, nil
}
