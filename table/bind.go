package table

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/interval"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning/keyenc"
)

// What conditions, and the position after which a page begins, leave of the keys of
// something that is sorted by columns: of an index, or of the rows by their primary key.

// rangesMax bounds the combinations of values of several columns. A single column may
// have more: so many values were given.
const rangesMax = 1024

// bind finds the ranges of keys that the conditions leave, and which of the conditions
// do that. Conditions on a column with one value are joined; of those on a column with
// many, which may be met by different values, it uses one.
func (q *Query[R]) bind(p *path[R], columns []*attribute[R]) {
	p.used = make([]bool, len(q.conds))
	p.fixed = 0
	prefixes := [][]byte{nil}
	for at, column := range columns {
		joined, by := q.joined(column)
		points := len(by) > 0 && joined.Points()
		if points && len(prefixes) > 1 && len(prefixes)*len(joined) > rangesMax {
			joined, by, points = interval.Set{{}}, nil, false
		}
		for _, i := range by {
			p.used[i] = true
		}
		if !points {
			p.keys = rangesBehind(prefixes, at, joined)
			return
		}
		if p.fixed == at && len(joined) == 1 {
			p.fixed++
		}
		prefixes = extended(prefixes, joined)
	}
	p.keys = rangesBehind(prefixes, len(columns), interval.Set{{}})
}

// joined returns the spans that are left of a column, and the conditions that make
// them.
func (q *Query[R]) joined(column *attribute[R]) (joined interval.Set, by []int) {
	joined = interval.Set{{}}
	for i := range q.conds {
		cond := &q.conds[i]
		switch {
		case cond.attribute != column:
			continue
		case len(by) == 0:
			joined, by = cond.spans, []int{i}
		case column.many == nil:
			joined, by = joined.Meet(cond.spans), append(by, i)
		case cond.spans.Points() && (!joined.Points() || len(cond.spans) < len(joined)):
			joined, by = cond.spans, []int{i}
		}
	}
	return joined, by
}

// extended returns each prefix with each of the points behind it.
func extended(prefixes [][]byte, points interval.Set) [][]byte {
	out := make([][]byte, 0, len(prefixes)*len(points))
	for _, prefix := range prefixes {
		for _, point := range points {
			out = append(out, append(slices.Clip(prefix), point.Lo...))
		}
	}
	return out
}

// rangesBehind returns the ranges of keys that begin with one of the prefixes, which are
// values of so many columns, and have the next column in one of the spans.
func rangesBehind(prefixes [][]byte, equal int, next interval.Set) []catalogue.KeyRange {
	ranges := make([]catalogue.KeyRange, 0, len(prefixes)*len(next))
	for _, prefix := range prefixes {
		for _, span := range next {
			keys := catalogue.KeyRange{Lo: append(slices.Clip(prefix), span.Lo...), Hi: keyenc.PrefixEnd(prefix), Equal: equal}
			if span.Hi != nil {
				keys.Hi = append(slices.Clip(prefix), span.Hi...)
				keys.Ends++
			}
			if len(span.Lo) > 0 {
				keys.Ends++
			}
			ranges = append(ranges, keys)
		}
	}
	return ranges
}

// narrow leaves out keys that come before the position of the query. The path gives
// the order of the query, so its columns are those of the order, and others that have
// one value in all rows of the result.
func (q *Query[R]) narrow(p *path[R], columns []*attribute[R]) {
	place := q.placeAlong(columns, p.index != nil && !p.index.unique)
	if len(place) == 0 {
		return
	}
	if q.reverse {
		end := keyenc.PrefixEnd(place)
		p.trim(func(keys *catalogue.KeyRange) {
			if keys.Hi == nil || bytes.Compare(end, keys.Hi) < 0 {
				keys.Hi, keys.Ends = end, max(1, keys.Ends)
			}
		})
		return
	}
	p.trim(func(keys *catalogue.KeyRange) {
		if bytes.Compare(place, keys.Lo) > 0 {
			keys.Lo, keys.Ends = place, max(1, keys.Ends)
		}
	})
}

// placeAlong returns the beginning of the key that a row at the position would have
// among those sorted by columns, and by the primary key if primaryLast. It is nil where
// the position is of a row that does not meet the conditions, so that what they fix says
// nothing about it.
func (q *Query[R]) placeAlong(columns []*attribute[R], primaryLast bool) []byte {
	at := map[*attribute[R]][]byte{q.core.key: q.from.Primary}
	for i, a := range q.order {
		at[a] = q.from.Elements[i]
	}
	for a, element := range at {
		if value := q.valueOf(a); value != nil && !bytes.Equal(value, element) {
			return nil
		}
	}
	var place []byte
	for _, column := range columns {
		element := at[column]
		if element == nil {
			element = q.valueOf(column)
		}
		if element == nil {
			return place
		}
		place = append(place, element...)
	}
	if primaryLast {
		place = append(place, q.from.Primary...)
	}
	return place
}

// trim changes all ranges, and drops those of which nothing is left.
func (p *path[R]) trim(change func(keys *catalogue.KeyRange)) {
	kept := p.keys[:0]
	for _, keys := range p.keys {
		if change(&keys); keys.Hi == nil || bytes.Compare(keys.Lo, keys.Hi) < 0 {
			kept = append(kept, keys)
		}
	}
	p.keys = kept
}
