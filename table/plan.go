package table

import (
	"cmp"
	"slices"

	"github.com/lightningdb/lightning/internal/catalogue"
)

// The planner makes a path for each way to the rows of a query: all rows, the
// primary key, each index, and several of them for conditions of which one must hold, or
// all (intersect.go).
// It estimates what each costs and takes the cheapest. Every path gives the same
// rows, as all conditions are checked against each row; and in the same order if one
// is asked for, as a path that does not give it is followed by a sort.

// path is one way to the rows.
type path[R any] struct {
	index    *index[R] // nil: the rows themselves
	keys     []catalogue.KeyRange
	fixed    int    // leading columns of which all keys have the same values
	used     []bool // conditions that bound keys
	ordered  bool   // the rows come in the order asked for
	repeats  bool   // a row may come more than once
	covers   bool   // its keys alone say how many rows there are
	entries  float64
	cost     float64
	unusable string // why it cannot be taken, or is not worth a thought

	either []path[R] // in the place of index and keys: one after the other
	meets  []path[R] // or: the rows to which all of them lead
}

// Costs, in units of reading and decoding a row that lies next to the one
// before.
const (
	costOfStart  = 1
	costOfRow    = 1
	costOfEntry  = 0.3
	costOfLookup = 3 // of a row that an entry leads to
	costOfSort   = 0.3
	costOfRange  = 0.5 // of each range after the first
)

// planned is what the planner knows of a query.
type planned[R any] struct {
	stats  *catalogue.Statistics
	rows   float64 // of the table
	result float64 // rows that meet all conditions
	paths  []path[R]
}

// plan returns the paths, the usable ones first, and of these the cheapest
// first.
func (q *Query[R]) plan(v *view) *planned[R] {
	p := q.planAlong(v, q.core.now())
	for i := range q.conds {
		if q.conds[i].attribute == nil {
			p.paths = append(p.paths, q.union(v, p, i))
		}
	}
	if m, ok := q.intersection(p); ok {
		p.paths = append(p.paths, m)
	}
	p.sort()
	return p
}

// planAlong returns the paths along one index each, and along the rows.
func (q *Query[R]) planAlong(v *view, stats *catalogue.Statistics) *planned[R] {
	c := q.core
	p := &planned[R]{stats: stats, rows: stats.RowCount(), result: q.estimate(stats)}
	byKey := path[R]{}
	q.bind(&byKey, []*attribute[R]{c.key})
	if slices.Contains(byKey.used, true) {
		q.arrange(&byKey, []*attribute[R]{c.key}, true)
		p.paths = append(p.paths, byKey)
	}
	for i, x := range c.indexes {
		p.paths = append(p.paths, q.through(x, v.ready[i]))
	}
	all := path[R]{used: make([]bool, len(q.conds)), keys: []catalogue.KeyRange{{}}}
	q.arrange(&all, []*attribute[R]{c.key}, false)
	p.paths = append(p.paths, all)
	for i := range p.paths {
		p.result = min(p.result, p.paths[i].reads(p.stats))
	}
	for i := range p.paths {
		p.paths[i].cost = q.cost(&p.paths[i], p.result)
	}
	p.sort()
	return p
}

func (p *planned[R]) sort() {
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
}

// through returns the path through an index.
func (q *Query[R]) through(x *index[R], ready bool) path[R] {
	p := path[R]{index: x}
	if !ready {
		p.unusable = "is being built"
		return p
	}
	q.bind(&p, x.columns)
	for i, column := range x.columns {
		if column.many == nil {
			continue
		}
		p.repeats = p.repeats || i >= p.fixed
		if !slices.ContainsFunc(q.conds, func(c Cond[R]) bool { return c.attribute == column }) {
			p.unusable = "lacks rows without " + column.name
			return p
		}
	}
	q.arrange(&p, x.columns, x.unique)
	if !slices.Contains(p.used, true) && (len(q.order) == 0 || !p.ordered) {
		p.unusable = "no condition on " + x.columns[0].name
	}
	return p
}

// arrange says in which order a path along columns gives its rows, and whether it
// needs them. determined says that no two rows have the same columns.
func (q *Query[R]) arrange(p *path[R], columns []*attribute[R], determined bool) {
	p.ordered = q.inOrder(columns, p.fixed, determined)
	p.covers = q.bare && !p.repeats && q.from == nil && len(q.filters) == 0 && !slices.Contains(p.used, false)
	if p.ordered && q.from != nil && p.fixed < len(columns) {
		q.narrow(p, columns)
	}
}

// union returns the path along an index for each of the lists of the condition at a
// place, one of which must hold.
func (q *Query[R]) union(v *view, whole *planned[R], at int) path[R] {
	u := path[R]{
		either: []path[R]{}, used: make([]bool, len(q.conds)), repeats: true, ordered: len(q.order) == 0,
	}
	u.used[at] = true
	for _, all := range q.conds[at].either {
		part := *q
		part.order, part.limit, part.offset, part.from, part.bare = nil, 0, 0, nil, false
		part.conds = slices.Concat(q.conds[:at], all, q.conds[at+1:])
		best := part.planAlong(v, whole.stats).paths[0]
		if !slices.Contains(best.used, true) {
			u.unusable = "nothing leads to the rows with " + joinTexts(all, " and ", "anything")
			return u
		}
		u.either = append(u.either, best)
		u.entries += best.entries
		u.cost += best.cost
	}
	if u.cost += costOfStart; !u.ordered {
		u.cost += whole.result * costOfSort
	}
	return u
}

// inOrder reports whether something that is sorted by columns and then by the
// primary key gives the order asked for, with the first fixed columns being the same
// everywhere. determined says that no two rows have the same columns.
func (q *Query[R]) inOrder(columns []*attribute[R], fixed int, determined bool) bool {
	if len(q.order) == 0 || determined && fixed == len(columns) {
		return true
	}
	return slices.Equal(q.essential(columns[fixed:]), q.essential(q.order))
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
		if q.valueOf(a) == nil && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// valueOf returns the value that an attribute has in all rows of the result, if the
// conditions say so.
func (q *Query[R]) valueOf(a *attribute[R]) []byte {
	for i := range q.conds {
		if c := &q.conds[i]; a.many == nil && c.attribute == a && c.spans.Single() {
			return c.spans[0].Lo
		}
	}
	return nil
}

// reads estimates how many entries or rows the path reads, and remembers it.
func (p *path[R]) reads(s *catalogue.Statistics) float64 {
	if p.unusable != "" {
		return s.RowCount()
	}
	p.entries = 0
	for _, keys := range p.keys {
		if p.index != nil {
			p.entries += s.EntriesIn(p.index.id, p.index.unique, len(p.index.columns), keys)
		} else {
			p.entries += s.RowsIn(keys)
		}
	}
	return p.entries
}

// cost estimates what a path costs that leads to so many rows in the end.
func (q *Query[R]) cost(p *path[R], result float64) float64 {
	perEntry := costOfRow * 1.0
	if p.index != nil {
		perEntry = costOfEntry + costOfLookup
	}
	if p.covers {
		perEntry = costOfEntry
	}
	work := p.entries*perEntry + costOfRange*float64(max(0, len(p.keys)-1))
	if wanted := float64(q.limit + q.offset); !p.ordered {
		work += result * costOfSort
	} else if q.limit > 0 && wanted < result {
		work *= wanted / result
	}
	return costOfStart + work
}

// estimate returns how many rows meet all conditions, if those on different
// attributes have nothing to do with each other.
func (q *Query[R]) estimate(s *catalogue.Statistics) float64 {
	rows := s.RowCount()
	if rows == 0 {
		return 0
	}
	result := rows
	for i := range q.conds {
		cond := &q.conds[i]
		same := func(c Cond[R]) bool { return c.attribute == cond.attribute }
		switch {
		case cond.attribute == nil:
			result *= q.shareOfEither(s, cond)
		case !slices.ContainsFunc(q.conds[:i], same):
			result *= min(1, q.rowsWith(s, cond.attribute)/rows)
		}
	}
	return result
}

// shareOfEither estimates which part of the rows meets one of the lists of a condition.
func (q *Query[R]) shareOfEither(s *catalogue.Statistics, c *Cond[R]) float64 {
	sum := 0.0
	for _, all := range c.either {
		part := Query[R]{core: q.core, conds: all}
		sum += part.estimate(s) / s.RowCount()
	}
	return min(1, sum)
}

// rowsWith estimates how many rows meet the conditions on an attribute.
func (q *Query[R]) rowsWith(s *catalogue.Statistics, a *attribute[R]) float64 {
	var p path[R]
	q.bind(&p, []*attribute[R]{a})
	indexed := slices.IndexFunc(q.core.indexes, func(x *index[R]) bool {
		return x.columns[0] == a && s.Indexes[x.id].Counted > 0
	})
	rows, sum := s.RowCount(), 0.0
	for _, keys := range p.keys {
		switch {
		case a == q.core.key:
			sum += s.RowsIn(keys)
		case indexed >= 0:
			x := q.core.indexes[indexed]
			sum += s.EntriesIn(x.id, x.unique, len(x.columns), keys)
		case keys.Equal > 0:
			sum += rows * catalogue.ShareOfEqual
		default:
			sum += catalogue.Share(rows, rows, nil, keys)
		}
	}
	return min(rows, sum)
}
