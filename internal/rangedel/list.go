// Package rangedel holds range tombstones: deletes of every older version of
// every key in [Lo, Hi).
//
// Tombstones may overlap in any way. A List cuts them at each other's ends
// into fragments that are sorted and disjoint, each carrying the sequence
// numbers of all tombstones over it, so that the question "what covers this
// key" is one search. A List never changes once it is built and may be shared
// by any number of goroutines; neither it nor anything it hands out may be
// written to. It is for few tombstones, those of a transaction: memtables and tables
// have structures of their own (internal/memtable, internal/sstable), which are asked
// as a Source, or walked over with an Iterator; Union makes one of several.
//
// A tombstone at sequence number s hides records with a sequence number
// smaller than s; a record at s itself is not hidden.
package rangedel

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/lightningdb/lightning/internal/base"
)

// Tombstone is one range delete as it was written. It is empty, and ignored,
// unless Lo < Hi.
type Tombstone struct {
	Lo, Hi []byte
	Seq    base.SeqNum
}

// Fragment says that the tombstones at Seqs cover [Lo, Hi). Seqs is
// descending, without duplicates and not empty.
type Fragment struct {
	Lo, Hi []byte
	Seqs   []base.SeqNum
}

// Newest returns the largest sequence number of the fragment that is <= seq,
// or 0 if there is none.
func (f *Fragment) Newest(seq base.SeqNum) base.SeqNum {
	// A reader at the newest state, by far the most frequent one, is served by
	// the first entry.
	if f.Seqs[0] <= seq {
		return f.Seqs[0]
	}
	i := sort.Search(len(f.Seqs), func(i int) bool { return f.Seqs[i] <= seq })
	if i == len(f.Seqs) {
		return 0
	}
	return f.Seqs[i]
}

// List is an immutable set of range tombstones in fragments. A nil *List is
// the empty one.
type List struct {
	// fragments is sorted, disjoint and not empty. Neighbours that touch
	// differ in Seqs, so equal coverage has one form only.
	fragments []Fragment
}

// check tells what is wrong with the fragment by itself.
func (f *Fragment) check() error {
	if bytes.Compare(f.Lo, f.Hi) >= 0 {
		return fmt.Errorf("range delete ends at or before its begin")
	}
	if len(f.Seqs) == 0 {
		return fmt.Errorf("range delete without a sequence number")
	}
	for i, s := range f.Seqs {
		if s > base.SeqNumMax {
			return fmt.Errorf("range delete sequence number %d is too large", s)
		}
		if i > 0 && f.Seqs[i-1] <= s {
			return fmt.Errorf("range delete sequence numbers are not descending")
		}
	}
	return nil
}

// Fragments returns the fragments in order. They may not be written to.
func (l *List) Fragments() []Fragment {
	if l == nil {
		return nil
	}
	return l.fragments
}

// Empty reports whether the list covers nothing.
func (l *List) Empty() bool { return l == nil }

// Covering returns the sequence number of the newest tombstone over key that
// is not newer than seq, or 0 if there is none.
func (l *List) Covering(key []byte, seq base.SeqNum) base.SeqNum {
	if l == nil {
		return 0
	}
	i := l.firstEndingAfter(key)
	if i == len(l.fragments) || bytes.Compare(l.fragments[i].Lo, key) > 0 {
		return 0
	}
	return l.fragments[i].Newest(seq)
}

// firstEndingAfter returns the index of the first fragment whose Hi is > key.
func (l *List) firstEndingAfter(key []byte) int {
	return sort.Search(len(l.fragments), func(i int) bool {
		return bytes.Compare(l.fragments[i].Hi, key) > 0
	})
}
