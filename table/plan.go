package table

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/lightningdb/lightning/keyenc"
)

// The planner makes a path for each way to the rows of a query: all rows, the
// primary key, and each index. It estimates what each costs and takes the
// cheapest. Every path gives the same rows, as all conditions are checked
// against each row; and in the same order if one is asked for, as a path that
// does not give it is followed by a sort.

// path is one way to the rows.
type path[R any] struct {
	index    *index[R] // nil: the rows themselves
	keys     keyRange
	used     []bool // conditions that bound keys
	ordered  bool   // the rows come in the order asked for
	repeats  bool   // a row may come more than once
	entries  float64
	cost     float64
	unusable string // why it cannot be taken, or is not worth a thought
}

// Costs, in units of reading and decoding a row that lies next to the one
// before.
const (
	costOfStart  = 1
	costOfRow    = 1
	costOfEntry  = 0.3
	costOfLookup = 3 // of a row that an entry leads to
	costOfSort   = 0.3
)

// planned is what the planner knows of a query.
type planned[R any] struct {
	stats  *statistics
	rows   float64 // of the table
	result float64 // rows that meet all conditions
	paths  []path[R]
}

// plan returns the paths, the usable ones first, and of these the cheapest
// first.
func (q *Query[R]) plan(v *view) *planned[R] {
	c := q.core
	p := &planned[R]{stats: c.now()}
	p.rows = p.stats.rowCount()
	p.result = q.estimate(p.stats)
	byKey := path[R]{}
	byKey.keys, byKey.used = q.bind([]*attribute[R]{c.key})
	if slices.Contains(byKey.used, true) {
		byKey.ordered = q.inOrder([]*attribute[R]{c.key}, byKey.keys.equal, true)
		p.paths = append(p.paths, byKey)
	}
	for i, x := range c.indexes {
		p.paths = append(p.paths, q.through(x, v.ready[i]))
	}
	all := path[R]{used: make([]bool, len(q.conds)), ordered: q.inOrder([]*attribute[R]{c.key}, 0, true)}
	p.paths = append(p.paths, all)
	for i := range p.paths {
		p.result = min(p.result, p.paths[i].reads(p.stats))
	}
	for i := range p.paths {
		p.paths[i].cost = p.paths[i].estimate(p.result, q.limit)
	}
	slices.SortStableFunc(p.paths, func(a, b path[R]) int {
		if usable := a.unusable == ""; usable != (b.unusable == "") {
			if usable {
				return -1
			}
			return 1
		}
		if a.unusable != "" {
			return 0
		}
		return cmp.Compare(a.cost, b.cost)
	})
	return p
}

// through returns the path through an index.
func (q *Query[R]) through(x *index[R], ready bool) path[R] {
	p := path[R]{index: x}
	if !ready {
		p.unusable = "is being built"
		return p
	}
	p.keys, p.used = q.bind(x.columns)
	p.ordered = q.inOrder(x.columns, p.keys.equal, x.unique)
	for i, column := range x.columns {
		if column.many == nil {
			continue
		}
		p.repeats = p.repeats || i >= p.keys.equal
		if !slices.ContainsFunc(q.conds, func(c Cond[R]) bool { return c.attribute == column }) {
			p.unusable = "lacks rows without " + column.name
			return p
		}
	}
	if !slices.Contains(p.used, true) && (len(q.order) == 0 || !p.ordered) {
		p.unusable = "no condition on " + x.columns[0].name
	}
	return p
}

// bind returns the range of keys that conditions leave in something sorted by
// columns, and which of them do. Conditions on a column with one value are
// joined; of those on a column with many, which may be met by different
// values, it uses one.
func (q *Query[R]) bind(columns []*attribute[R]) (keys keyRange, used []bool) {
	used = make([]bool, len(q.conds))
	var prefix []byte
	for _, column := range columns {
		joined, found := q.joined(column, used)
		if found && joined.point {
			prefix = append(prefix, joined.lo...)
			keys.equal++
			continue
		}
		keys.lo = append(slices.Clip(prefix), joined.lo...)
		keys.hi = keyenc.PrefixEnd(prefix)
		if joined.hi != nil {
			keys.hi = append(slices.Clip(prefix), joined.hi...)
			keys.ends++
		}
		if len(joined.lo) > 0 {
			keys.ends++
		}
		return keys, used
	}
	keys.lo, keys.hi = prefix, keyenc.PrefixEnd(prefix)
	return keys, used
}

// joined returns the interval that is left of a column, and marks the
// conditions that make it.
func (q *Query[R]) joined(column *attribute[R], used []bool) (joined interval, found bool) {
	chosen := -1
	for i, cond := range q.conds {
		switch {
		case cond.attribute != column:
			continue
		case !found:
			joined = cond.interval
		case column.many == nil:
			joined = joined.meet(cond.interval)
		case cond.point && !joined.point:
			joined = cond.interval
			used[chosen] = false
		default:
			continue
		}
		found, chosen = true, i
		used[i] = true
	}
	return joined, found
}

// inOrder reports whether something that is sorted by columns and then by the
// primary key gives the order asked for, with the first equal columns fixed.
// determined says that no two rows have the same columns.
func (q *Query[R]) inOrder(columns []*attribute[R], equal int, determined bool) bool {
	if len(q.order) == 0 || determined && equal == len(columns) {
		return true
	}
	return slices.Equal(q.essential(columns[equal:]), q.essential(q.order))
}

// essential returns what matters of an order that ends with the primary key:
// without attributes that have one value in all rows of the result, without
// repetitions, and nothing after the primary key.
func (q *Query[R]) essential(order []*attribute[R]) []*attribute[R] {
	var out []*attribute[R]
	for _, a := range order {
		if a == q.core.key {
			break
		}
		fixed := a.many == nil && slices.ContainsFunc(q.conds, func(c Cond[R]) bool {
			return c.attribute == a && c.point
		})
		if !fixed && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// reads estimates how many entries or rows the path reads, and remembers it.
func (p *path[R]) reads(s *statistics) float64 {
	if p.unusable != "" {
		return s.rowCount()
	}
	p.entries = s.rowsIn(p.keys)
	if p.index != nil {
		p.entries = s.entriesIn(p.index.id, p.index.unique, len(p.index.columns), p.keys)
	}
	if p.keys.none() {
		p.entries = 0
	}
	return p.entries
}

// none reports whether there cannot be a key in the range.
func (r keyRange) none() bool { return r.hi != nil && bytes.Compare(r.lo, r.hi) >= 0 }

// estimate returns the cost of a path that leads to so many rows in the end.
func (p *path[R]) estimate(result float64, limit int) float64 {
	work := p.entries * costOfRow
	if p.index != nil {
		work = p.entries * (costOfEntry + costOfLookup)
	}
	if !p.ordered {
		work += result * costOfSort
	} else if limit > 0 && float64(limit) < result {
		work *= float64(limit) / result
	}
	return costOfStart + work
}

// estimate returns how many rows meet all conditions, if those on different
// attributes have nothing to do with each other.
func (q *Query[R]) estimate(s *statistics) float64 {
	rows := s.rowCount()
	if rows == 0 {
		return 0
	}
	result := rows
	for i, cond := range q.conds {
		same := func(c Cond[R]) bool { return c.attribute == cond.attribute }
		if !slices.ContainsFunc(q.conds[:i], same) {
			result *= min(1, q.rowsWith(s, cond.attribute)/rows)
		}
	}
	return result
}

// rowsWith estimates how many rows meet the conditions on an attribute.
func (q *Query[R]) rowsWith(s *statistics, a *attribute[R]) float64 {
	keys, _ := q.bind([]*attribute[R]{a})
	if keys.none() {
		return 0
	}
	if a == q.core.key {
		return s.rowsIn(keys)
	}
	for _, x := range q.core.indexes {
		if x.columns[0] == a && s.indexes[x.id].counted > 0 {
			return s.entriesIn(x.id, x.unique, len(x.columns), keys)
		}
	}
	rows := s.rowCount()
	if keys.equal > 0 {
		return rows * shareOfEqual
	}
	return share(rows, rows, nil, keys)
}
