package rangedel

import (
	"bytes"
	"sort"

	"github.com/lightningdb/lightning/internal/base"
)

// Cursor answers Covering for a series of keys. It remembers where the last
// key was, so that keys in order, ascending or descending, cost amortised
// constant time, and a jump costs the logarithm of its distance. The zero
// Cursor is one over the empty list.
type Cursor struct {
	fragments []Fragment
	// at is the index of the first fragment whose Hi is > the last key.
	at int
	// inside says that the last key was within fragments[at].
	inside bool
}

// Init makes the cursor look at l, from its begin.
func (c *Cursor) Init(l *List) { *c = Cursor{fragments: l.Fragments()} }

// Covering returns the sequence number of the newest tombstone over key that
// is not newer than seq, and the fragment it is in; 0 and nil if there is
// none.
func (c *Cursor) Covering(key []byte, seq base.SeqNum) (newest base.SeqNum, frag *Fragment) {
	c.move(key)
	c.inside = c.at < len(c.fragments) && bytes.Compare(c.fragments[c.at].Lo, key) <= 0
	if !c.inside {
		return 0, nil
	}
	frag = &c.fragments[c.at]
	if newest = frag.newest(seq); newest == 0 {
		return 0, nil
	}
	return newest, frag
}

// Bounds returns the range [lo, hi) around the last key in which every other
// key gets the same answer. A nil end is unbounded.
func (c *Cursor) Bounds() (lo, hi []byte) {
	if c.inside {
		return c.fragments[c.at].Lo, c.fragments[c.at].Hi
	}
	if c.at > 0 {
		lo = c.fragments[c.at-1].Hi
	}
	if c.at < len(c.fragments) {
		hi = c.fragments[c.at].Lo
	}
	return lo, hi
}

// endsAfter reports whether fragment i ends after key.
func (c *Cursor) endsAfter(i int, key []byte) bool {
	return bytes.Compare(c.fragments[i].Hi, key) > 0
}

// move sets at for key: it gallops away from the old place with doubling
// steps and then halves the last one.
func (c *Cursor) move(key []byte) {
	low, high := c.at, c.at
	switch {
	case c.at < len(c.fragments) && !c.endsAfter(c.at, key):
		for step := 1; ; step *= 2 {
			low = high + 1
			high = min(low+step, len(c.fragments))
			if high == len(c.fragments) || c.endsAfter(high, key) {
				break
			}
		}
	case c.at > 0 && c.endsAfter(c.at-1, key):
		for step := 1; ; step *= 2 {
			high = low - 1
			low = max(high-step, 0)
			if low == 0 || !c.endsAfter(low-1, key) {
				break
			}
		}
	default:
		return
	}
	c.at = low + sort.Search(high-low, func(i int) bool { return c.endsAfter(low+i, key) })
}
