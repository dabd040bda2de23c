package rangedel

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// This file turns overlapping ranges into fragments: a sweep over all ends in
// key order that keeps the sequence numbers active at the current place. The
// work is O(n log n) plus the size of the result, which for n ranges that all
// overlap, with ends that all differ, is n*n sequence numbers.

// span is one input range of the sweep with the sequence numbers it carries.
type span struct {
	lo, hi []byte
	seqs   []base.SeqNum
}

// Build fragments the tombstones, which may overlap and come in any order. It
// copies the keys it keeps. It returns nil if no tombstone covers anything.
func Build(ts []Tombstone) *List {
	spans := make([]span, 0, len(ts))
	seqs := make([]base.SeqNum, len(ts))
	for i, t := range ts {
		if bytes.Compare(t.Lo, t.Hi) < 0 {
			seqs[i] = t.Seq
			spans = append(spans, span{lo: t.Lo, hi: t.Hi, seqs: seqs[i : i+1]})
		}
	}
	l := fragment(spans)
	l.ownKeys()
	return l
}

// fragment sweeps over the spans. The result aliases their keys.
func fragment(spans []span) *List {
	if len(spans) == 0 {
		return nil
	}
	ends := slices.Clone(spans)
	slices.SortFunc(ends, func(a, b span) int { return bytes.Compare(a.hi, b.hi) })
	begins := spans
	slices.SortFunc(begins, func(a, b span) int { return bytes.Compare(a.lo, b.lo) })

	var out []Fragment
	var active activeSet
	var memory []base.SeqNum
	var previous []byte
	for len(ends) > 0 {
		at := ends[0].hi
		if len(begins) > 0 && bytes.Compare(begins[0].lo, at) < 0 {
			at = begins[0].lo
		}
		if len(active) > 0 {
			var seqs []base.SeqNum
			seqs, memory = active.seqs(memory)
			out = append(out, Fragment{Lo: previous, Hi: at, Seqs: seqs})
		}
		for len(ends) > 0 && bytes.Equal(ends[0].hi, at) {
			active.remove(ends[0].seqs)
			ends = ends[1:]
		}
		for len(begins) > 0 && bytes.Equal(begins[0].lo, at) {
			active.add(begins[0].seqs)
			begins = begins[1:]
		}
		previous = at
	}
	return &List{fragments: coalesce(out)}
}

// coalesce joins, in place, fragments that touch and carry the same sequence
// numbers.
func coalesce(fs []Fragment) []Fragment {
	kept := fs[:1]
	for _, f := range fs[1:] {
		last := &kept[len(kept)-1]
		if bytes.Equal(last.Hi, f.Lo) && slices.Equal(last.Seqs, f.Seqs) {
			last.Hi = f.Hi
			continue
		}
		kept = append(kept, f)
	}
	clear(fs[len(kept):])
	return kept
}

// seqsChunk is how many sequence numbers are allocated at once.
const seqsChunk = 64

// activeSet counts the ranges over the current place of the sweep by sequence
// number, descending.
type activeSet []activeSeq

type activeSeq struct {
	seq   base.SeqNum
	count int
}

func (a activeSet) find(seq base.SeqNum) (int, bool) {
	low, high := 0, len(a)
	for low < high {
		if middle := (low + high) / 2; a[middle].seq > seq {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < len(a) && a[low].seq == seq
}

func (a *activeSet) add(seqs []base.SeqNum) {
	for _, seq := range seqs {
		i, found := a.find(seq)
		if !found {
			*a = slices.Insert(*a, i, activeSeq{seq: seq})
		}
		(*a)[i].count++
	}
}

func (a *activeSet) remove(seqs []base.SeqNum) {
	for _, seq := range seqs {
		i, _ := a.find(seq)
		if (*a)[i].count--; (*a)[i].count == 0 {
			*a = slices.Delete(*a, i, i+1)
		}
	}
}

// seqs returns the sequence numbers in a piece of memory, and the memory that
// remains: one allocation serves many small fragments.
func (a activeSet) seqs(memory []base.SeqNum) (seqs, rest []base.SeqNum) {
	if len(memory) < len(a) {
		memory = make([]base.SeqNum, max(len(a), seqsChunk))
	}
	for i := range a {
		memory[i] = a[i].seq
	}
	return memory[:len(a):len(a)], memory[len(a):]
}

// ownKeys moves the keys of the list into memory of its own. Where fragments
// touch, the shared key is stored once.
func (l *List) ownKeys() {
	if l == nil {
		return
	}
	sizeBytes := 0
	for i, f := range l.fragments {
		sizeBytes += len(f.Hi)
		if i == 0 || !bytes.Equal(l.fragments[i-1].Hi, f.Lo) {
			sizeBytes += len(f.Lo)
		}
	}
	memory := make([]byte, 0, sizeBytes)
	own := func(key []byte) []byte {
		begin := len(memory)
		memory = append(memory, key...)
		return memory[begin:len(memory):len(memory)]
	}
	for i := range l.fragments {
		f := &l.fragments[i]
		if i > 0 && bytes.Equal(l.fragments[i-1].Hi, f.Lo) {
			f.Lo = l.fragments[i-1].Hi
		} else {
			f.Lo = own(f.Lo)
		}
		f.Hi = own(f.Hi)
	}
}
