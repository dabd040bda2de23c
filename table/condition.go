package table

import (
	"bytes"
	"fmt"

	"github.com/lightningdb/lightning/keyenc"
)

// Cond is a condition on an attribute: one of its values lies in an interval,
// in the order of package keyenc. Attributes make conditions, as in
// age.Ge(18); Query.Where takes them.
type Cond[R any] struct {
	attribute *attribute[R]
	interval
	text string
	err  error // of the encoding of a value
}

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

// holdsIn reports whether a record meets the condition.
func (c *Cond[R]) holdsIn(rec R) (bool, error) {
	if c.attribute.many == nil {
		var stack [64]byte
		element, err := c.attribute.one(stack[:0], rec)
		return err == nil && c.holds(element), err
	}
	elements, err := c.attribute.many(rec)
	for _, element := range elements {
		if c.holds(element) {
			return true, err
		}
	}
	return false, err
}

// Eq is the condition that the attribute equals value.
func (a Attr[R, V]) Eq(value V) Cond[R] {
	c, element := a.cond("=", value)
	c.interval = interval{element, keyenc.PrefixEnd(element), true}
	return c
}

// Lt is the condition that the attribute is less than value.
func (a Attr[R, V]) Lt(value V) Cond[R] {
	c, element := a.cond("<", value)
	c.hi = element
	return c
}

// Le is the condition that the attribute is at most value.
func (a Attr[R, V]) Le(value V) Cond[R] {
	c, element := a.cond("<=", value)
	c.hi = keyenc.PrefixEnd(element)
	return c
}

// Gt is the condition that the attribute is greater than value.
func (a Attr[R, V]) Gt(value V) Cond[R] {
	c, element := a.cond(">", value)
	c.lo = keyenc.PrefixEnd(element)
	return c
}

// Ge is the condition that the attribute is at least value.
func (a Attr[R, V]) Ge(value V) Cond[R] {
	c, element := a.cond(">=", value)
	c.lo = element
	return c
}

// Between is the condition that the attribute is at least first and at most
// last. Of an attribute made with Many, it is one value that is both.
func (a Attr[R, V]) Between(first, last V) Cond[R] {
	from, to := a.Ge(first), a.Le(last)
	if from.err == nil {
		from.err = to.err
	}
	from.interval = from.meet(to.interval)
	from.text += " and" + to.text[len(a.label()):]
	return from
}

// Exists is the condition that the attribute has a value: always so if it was
// made with One.
func (a Attr[R, V]) Exists() Cond[R] {
	return Cond[R]{attribute: a.attribute, text: a.label() + " exists"}
}

// HasPrefix is the condition that a string or []byte begins with prefix, or a
// tuple with its elements.
func HasPrefix[R any, V ~string | ~[]byte | keyenc.Tuple](a Attr[R, V], prefix V) Cond[R] {
	c, element := a.cond("begins with", prefix)
	if c.err == nil {
		c.lo = element[:len(element)-1] // without what ends it
		c.hi = keyenc.PrefixEnd(c.lo)
	}
	return c
}

// label is the name for people, also of the zero Attr.
func (a *attribute[R]) label() string {
	if a == nil {
		return "no attribute"
	}
	return a.name
}

// cond returns a condition with a text and, yet, all elements.
func (a Attr[R, V]) cond(operator string, value V) (c Cond[R], element []byte) {
	c = Cond[R]{attribute: a.attribute, text: a.label() + " " + operator}
	if a.attribute == nil {
		c.err = fmt.Errorf("condition on the zero Attr")
		return c, nil
	}
	element, c.err = a.encode(nil, value)
	if c.err != nil {
		c.err = fmt.Errorf("condition on %s: %w", a.name, c.err)
		return c, nil
	}
	c.text += " " + formatElements(element)
	return c, element
}

// formatElements shows encoded elements without the parentheses around them.
func formatElements(encoded []byte) string {
	text := keyenc.Format(encoded)
	return text[1 : len(text)-1]
}
