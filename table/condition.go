package table

import (
	"fmt"
	"strings"

	"github.com/lightningdb/lightning/internal/interval"

	"github.com/lightningdb/lightning/keyenc"
)

// Cond is a condition on the values of attributes, in the order of package keyenc.
// Attributes make conditions, as in age.Ge(18); Or and And join them; Query.Where
// takes them. The zero Cond is none.
type Cond[R any] struct {
	attribute *attribute[R] // has a value in one of the spans
	spans     interval.Set
	// either is, in the place of an attribute, lists of conditions: all those of one
	// list hold.
	either [][]Cond[R]
	text   string
	err    error // of the encoding of a value
}

// invalid says why there is nothing to look for.
func (c *Cond[R]) invalid() error {
	if c.attribute == nil && c.either == nil && c.err == nil {
		return errZeroAttr
	}
	return c.err
}

// checkAttributes says which attribute a table does not know.
func (c *Cond[R]) checkAttributes(table *core[R]) error {
	if c.attribute != nil {
		if err := table.checkAttribute(c.attribute); err != nil {
			return fmt.Errorf("condition on %s: %w", c.attribute.name, err)
		}
	}
	for _, all := range c.either {
		for i := range all {
			if err := all[i].checkAttributes(table); err != nil {
				return err
			}
		}
	}
	return nil
}

// holdsIn reports whether a record meets the condition.
func (c *Cond[R]) holdsIn(rec R) (bool, error) {
	if c.attribute == nil {
		return c.oneHoldsIn(rec)
	}
	if c.attribute.many == nil {
		var stack [64]byte
		element, err := c.attribute.one(stack[:0], rec)
		return err == nil && c.spans.Hold(element), err
	}
	elements, err := c.attribute.many(rec)
	for _, element := range elements {
		if c.spans.Hold(element) {
			return true, err
		}
	}
	return false, err
}

// oneHoldsIn reports whether a record meets one of the lists of conditions.
func (c *Cond[R]) oneHoldsIn(rec R) (bool, error) {
	for _, all := range c.either {
		if ok, err := holdIn(all, rec); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// holdIn reports whether a record meets all of these conditions.
func holdIn[R any](all []Cond[R], rec R) (bool, error) {
	for i := range all {
		if ok, err := all[i].holdsIn(rec); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Eq is the condition that the attribute equals value.
func (a Attr[R, V]) Eq(value V) Cond[R] {
	c, element := a.cond("=", value)
	return c.in(interval.Point(element))
}

// Lt is the condition that the attribute is less than value.
func (a Attr[R, V]) Lt(value V) Cond[R] {
	c, element := a.cond("<", value)
	return c.in(interval.One{Hi: element})
}

// Le is the condition that the attribute is at most value.
func (a Attr[R, V]) Le(value V) Cond[R] {
	c, element := a.cond("<=", value)
	return c.in(interval.One{Hi: keyenc.PrefixEnd(element)})
}

// Gt is the condition that the attribute is greater than value.
func (a Attr[R, V]) Gt(value V) Cond[R] {
	c, element := a.cond(">", value)
	return c.in(interval.One{Lo: keyenc.PrefixEnd(element)})
}

// Ge is the condition that the attribute is at least value.
func (a Attr[R, V]) Ge(value V) Cond[R] {
	c, element := a.cond(">=", value)
	return c.in(interval.One{Lo: element})
}

// Between is the condition that the attribute is at least first and at most
// last. Of an attribute made with Many, it is one value that is both.
func (a Attr[R, V]) Between(first, last V) Cond[R] {
	from, to := a.Ge(first), a.Le(last)
	if from.err == nil {
		from.err = to.err
	}
	from.spans = from.spans.Meet(to.spans)
	from.text += " and" + to.text[len(a.label()):]
	return from
}

// Exists is the condition that the attribute has a value: always so if it was
// made with One.
func (a Attr[R, V]) Exists() Cond[R] {
	c := Cond[R]{attribute: a.attribute, text: a.label() + " exists"}
	return c.in(interval.One{})
}

// HasPrefix is the condition that a string or []byte begins with prefix, or a
// tuple with its elements.
func HasPrefix[R any, V ~string | ~[]byte | keyenc.Tuple](a Attr[R, V], prefix V) Cond[R] {
	c, element := a.cond("begins with", prefix)
	if c.err != nil {
		return c
	}
	lo := element[:len(element)-1] // without what ends it
	return c.in(interval.One{Lo: lo, Hi: keyenc.PrefixEnd(lo)})
}

// In is the condition that the attribute has one of these values. Each of them costs a
// step of its own in an index. Without values no row meets it.
func (a Attr[R, V]) In(values ...V) Cond[R] {
	c := Cond[R]{attribute: a.attribute, spans: interval.Set{}}
	texts := make([]string, len(values))
	for i, value := range values {
		one, element := a.cond("=", value)
		if one.err != nil {
			return one
		}
		texts[i] = formatElements(element)
		c.spans = append(c.spans, interval.Point(element))
	}
	c.spans = c.spans.Sorted()
	if len(texts) > inShownMax {
		texts = append(texts[:inShownMax], fmt.Sprintf("and %d more", len(values)-inShownMax))
	}
	c.text = a.label() + " in (" + strings.Join(texts, ", ") + ")"
	return c
}

// inShownMax is how many values of a condition are shown to people.
const inShownMax = 5

// Or is the condition that one of these holds. Where each of them has an index, the
// query goes along all those indexes and gives each row once, for which it remembers
// the primary keys that it has given, up to MaxQueryBytes. For the values of one
// attribute use In.
func Or[R any](conds ...Cond[R]) Cond[R] {
	c := Cond[R]{either: [][]Cond[R]{}}
	for i := range conds {
		if c.err = conds[i].invalid(); c.err != nil {
			return c
		}
		if one := &conds[i]; one.attribute == nil {
			c.either = append(c.either, one.either...)
		} else {
			c.either = append(c.either, conds[i:i+1:i+1])
		}
	}
	c.text = joinTexts(conds, " or ", "nothing")
	return c
}

// And is the condition that all of these hold. Query.Where says the same of conditions
// side by side; And is for those inside of an Or.
func And[R any](conds ...Cond[R]) Cond[R] {
	c := Cond[R]{either: [][]Cond[R]{conds}}
	for i := range conds {
		if c.err = conds[i].invalid(); c.err != nil {
			return c
		}
	}
	c.text = joinTexts(conds, " and ", "anything")
	return c
}

func joinTexts[R any](conds []Cond[R], word, none string) string {
	texts := make([]string, len(conds))
	for i := range conds {
		texts[i] = conds[i].text
	}
	switch len(texts) {
	case 0:
		return none
	case 1:
		return texts[0]
	}
	return "(" + strings.Join(texts, word) + ")"
}

// label is the name for people, also of the zero Attr.
func (a *attribute[R]) label() string {
	if a == nil {
		return "no attribute"
	}
	return a.name
}

// in returns the condition with its only span.
func (c Cond[R]) in(one interval.One) Cond[R] {
	if c.err == nil {
		c.spans = interval.Set{one}
	}
	return c
}

// cond returns a condition with a text and, yet, no spans.
func (a Attr[R, V]) cond(operator string, value V) (c Cond[R], element []byte) {
	c = Cond[R]{attribute: a.attribute, text: a.label() + " " + operator}
	if a.attribute == nil {
		c.err = errZeroAttr
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
