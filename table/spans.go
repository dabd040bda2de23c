package table

import (
	"bytes"
	"slices"
)

// interval is the encoded elements e with lo <= e, and e < hi unless hi is nil.
// No element is the beginning of another one, so PrefixEnd of an element is
// after it and before every greater element, and the same holds behind a
// common prefix.
type interval struct {
	lo, hi []byte
	point  bool // lo is an element, and the only one
}

func (i interval) holds(element []byte) bool {
	return bytes.Compare(element, i.lo) >= 0 && (i.hi == nil || bytes.Compare(element, i.hi) < 0)
}

// meet returns what is in both intervals.
func (i interval) meet(o interval) interval {
	out := i
	if bytes.Compare(o.lo, out.lo) > 0 {
		out.lo = o.lo
	}
	if out.hi == nil || o.hi != nil && bytes.Compare(o.hi, out.hi) < 0 {
		out.hi = o.hi
	}
	out.point = i.point && o.holds(i.lo) || o.point && i.holds(o.lo)
	return out
}

func (i interval) empty() bool { return i.hi != nil && bytes.Compare(i.lo, i.hi) >= 0 }

// endsBefore reports whether i ends before o does.
func (i interval) endsBefore(o interval) bool {
	return i.hi != nil && (o.hi == nil || bytes.Compare(i.hi, o.hi) < 0)
}

// spans are intervals, none of them empty, that ascend and have nothing in common. One
// interval without ends is all elements.
type spans []interval

// sorted returns the spans of points in any order, each once.
func (s spans) sorted() spans {
	slices.SortFunc(s, func(a, b interval) int { return bytes.Compare(a.lo, b.lo) })
	return slices.CompactFunc(s, func(a, b interval) bool { return bytes.Equal(a.lo, b.lo) })
}

func (s spans) hold(element []byte) bool {
	after, found := slices.BinarySearchFunc(s, element, func(i interval, element []byte) int {
		return bytes.Compare(i.lo, element)
	})
	if found { // an interval that begins there
		return true
	}
	return after > 0 && s[after-1].holds(element)
}

// meet returns what is in both.
func (s spans) meet(o spans) spans {
	out := spans{}
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

// points reports whether the spans are single elements.
func (s spans) points() bool {
	return !slices.ContainsFunc(s, func(i interval) bool { return !i.point })
}

// single reports whether they are one element.
func (s spans) single() bool { return len(s) == 1 && s[0].point }
