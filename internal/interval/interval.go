// Package interval has the encoded elements that a condition lets through: what package
// table binds the keys of indexes with. Values are not changed once they are made.
package interval

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/keyenc"
)

// One is the encoded elements e with lo <= e, and e < hi unless hi is nil.
// No element is the beginning of another one, so PrefixEnd of an element is
// after it and before every greater element, and the same holds behind a
// common prefix.
type One struct {
	Lo, Hi []byte
	point  bool // Lo is an element, and the only one
}

// Point returns the interval of one element.
func Point(element []byte) One { return One{element, keyenc.PrefixEnd(element), true} }

func (i One) holds(element []byte) bool {
	return bytes.Compare(element, i.Lo) >= 0 && (i.Hi == nil || bytes.Compare(element, i.Hi) < 0)
}

// Meet returns what is in both intervals.
func (i One) meet(o One) One {
	out := i
	if bytes.Compare(o.Lo, out.Lo) > 0 {
		out.Lo = o.Lo
	}
	if out.Hi == nil || o.Hi != nil && bytes.Compare(o.Hi, out.Hi) < 0 {
		out.Hi = o.Hi
	}
	out.point = i.point && o.holds(i.Lo) || o.point && i.holds(o.Lo)
	return out
}

func (i One) empty() bool { return i.Hi != nil && bytes.Compare(i.Lo, i.Hi) >= 0 }

// endsBefore reports whether i ends before o does.
func (i One) endsBefore(o One) bool {
	return i.Hi != nil && (o.Hi == nil || bytes.Compare(i.Hi, o.Hi) < 0)
}

// Set are intervals, none of them empty, that ascend and have nothing in common. One
// One without ends is all elements.
type Set []One

// Sorted returns the spans of points in any order, each once.
func (s Set) Sorted() Set {
	slices.SortFunc(s, func(a, b One) int { return bytes.Compare(a.Lo, b.Lo) })
	return slices.CompactFunc(s, func(a, b One) bool { return bytes.Equal(a.Lo, b.Lo) })
}

// Hold reports whether an element is in one of the intervals.
func (s Set) Hold(element []byte) bool {
	after, found := slices.BinarySearchFunc(s, element, func(i One, element []byte) int {
		return bytes.Compare(i.Lo, element)
	})
	if found { // an interval that begins there
		return true
	}
	return after > 0 && s[after-1].holds(element)
}

// Meet returns what is in both.
func (s Set) Meet(o Set) Set {
	out := Set{}
	for len(s) > 0 && len(o) > 0 {
		if both := s[0].meet(o[0]); !both.empty() {
			out = append(out, both)
		}
		if s[0].endsBefore(o[0]) {
			s = s[1:]
		} else {
			o = o[1:]
		}
	}
	return out
}

// Points reports whether the spans are single elements.
func (s Set) Points() bool {
	return !slices.ContainsFunc(s, func(i One) bool { return !i.point })
}

// Single reports whether they are one element.
func (s Set) Single() bool { return len(s) == 1 && s[0].point }
