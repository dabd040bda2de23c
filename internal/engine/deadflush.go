package engine

import (
	"errors"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/view"
)

// This file is how a flush writes one range tombstone where all rows of a range were
// deleted one by one. It says the same, and replaces the tombstones that the flush would
// write; scans pass it at once; and tables that lie under it go unread.
//
// Where to look is told by the dead ranges that scans know of, which are only a hint:
// they were found in memory that users can reach. The proof is a scan of the immutable
// memtables and of the tables past the cache. That the memtables are what was added is
// seen when the flush walks over all of them; if they are not, the proof is not used.

// deadScanShare bounds the scan of a range: it is not done where tables have more in it
// than so many times what is flushed.
const deadScanShare = 8

// deadWorthBytes is what tables must have in a range for a range tombstone to be worth
// it; less where the whole tree is small: one of deadWorthShare.
const (
	deadWorthBytes = 1 << 20
	deadWorthShare = 32
)

// deadRangesIn returns tombstones over ranges in which nobody who sees what the
// immutable memtables have sees a row.
func (f *flusher) deadRangesIn(s *view.State) (proven []rangedel.Tombstone) {
	var flushed int64
	for _, m := range s.Immutables {
		flushed += m.TableBytes()
	}
	for _, hint := range f.reads.Dead.Active() {
		t := rangedel.Tombstone{Lo: hint.Lo, Hi: hint.Hi, Seq: s.Immutables[0].LastSeq}
		hidden := s.Tree.BytesWithin(t.Lo, t.Hi)
		if hidden < min(deadWorthBytes, treeBytes(s.Tree)/deadWorthShare) || hidden > uint64(deadScanShare*flushed) {
			continue
		}
		if t.Hi = f.deadUntil(s, hint, t.Seq); t.Hi != nil {
			proven = append(proven, t)
		}
	}
	return proven
}

// deadUntil returns up to where there is no row in a range as of seq, which is the
// newest number in the immutable memtables, whatever the time is; nil if that cannot be
// told, or is nothing.
func (f *flusher) deadUntil(s *view.State, r *deadrange.Range, seq base.SeqNum) []byte {
	tables, err := s.Tree.Sources(r.Lo, r.Hi)
	if err != nil {
		return nil
	}
	var sources []iterate.Source
	var deletes []rangedel.Source
	for _, m := range s.Immutables {
		sources = append(sources, iterate.Source{Iter: m.NewIter(), MaxSeq: base.SeqNumMax})
		deletes = append(deletes, m)
	}
	ofTables := s.Tree.AppendDeletes(nil, r.Lo, r.Hi)
	for i := range ofTables {
		deletes = append(deletes, &ofTables[i])
	}
	it := iterate.NewUserIter(iterate.NewMerging(append(sources, tables...)), iterate.Options{
		Seq: seq, Lower: r.Lo, Upper: r.Hi, Operators: f.keyspaces,
		RangeDeletes: deletes,
	})
	end := r.Hi
	if it.First() {
		end = append([]byte{}, it.Key()...)
	}
	if err := errors.Join(it.Err(), it.Close()); err != nil || string(end) <= string(r.Lo) {
		return nil
	}
	return end
}
