package table

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lightningdb/lightning"
)

// Rows that meet several conditions, each with an index of its own, can be found by the
// primary keys that are in all of these indexes: many short entries are read there, and
// only few rows. The keys of the index with the fewest entries are collected, and those
// of each further one leave some of them. What is left is looked up in the order of the
// primary key. The rows are checked as those of any path.
//
// It pays where each of the conditions leaves many rows and all of them few. All entries
// are read before the first row is given, so a small limit makes it dear.

// intersection returns the path along several indexes whose conditions must all hold,
// as far as the planner thinks that each of them pays. ok says that there are two at least.
func (q *Query[R]) intersection(whole *planned[R]) (m path[R], ok bool) {
	var parts []path[R]
	for _, p := range whole.paths {
		if p.index != nil && p.unusable == "" && slices.Contains(p.used, true) {
			parts = append(parts, p)
		}
	}
	if len(parts) < 2 || whole.rows == 0 {
		return m, false
	}
	slices.SortStableFunc(parts, func(a, b path[R]) int { return cmp.Compare(a.entries, b.entries) })
	m.used = make([]bool, len(q.conds))
	left := whole.rows
	for _, p := range parts {
		share := min(1, p.entries/whole.rows)
		saved, paid := left*(1-share)*costOfLookup, p.entries*costOfEntry
		if len(m.meets) > 0 && (saved <= paid || !adds(m.used, p.used)) {
			continue
		}
		for i, used := range p.used {
			m.used[i] = m.used[i] || used
		}
		left *= share
		m.meets = append(m.meets, p)
		m.entries += p.entries
		m.cost += p.entries*costOfEntry + costOfRange*float64(len(p.keys)-1)
	}
	m.ordered = q.inOrder([]*attribute[R]{q.core.key}, 0, false)
	m.covers = q.bare && q.from == nil && len(q.filters) == 0 && !slices.Contains(m.used, false)
	m.cost += costOfStart + q.costOfMet(&m, left)
	return m, len(m.meets) > 1
}

// costOfMet estimates what is to be done with the primary keys that are left.
func (q *Query[R]) costOfMet(m *path[R], left float64) float64 {
	if m.covers {
		return 0
	}
	lookups := left * costOfLookup
	if wanted := float64(q.limit + q.offset); !m.ordered {
		lookups += left * costOfSort
	} else if q.limit > 0 && wanted < left {
		lookups *= wanted / left
	}
	return lookups
}

// adds reports whether there is a condition in more that is not in used.
func adds(used, more []bool) bool {
	for i := range more {
		if more[i] && !used[i] {
			return true
		}
	}
	return false
}

// errTooManyToMeet says that the primary keys of an index do not fit in memory; no row has
// been given then.
var errTooManyToMeet = errors.New("too many rows to intersect")

// throughAll gives the rows that all parts of a path lead to.
func (w *walk[R]) throughAll(p *path[R]) error {
	var met map[string]struct{}
	for i := range p.meets {
		next, sizeBytes := map[string]struct{}{}, 0
		w.collect = func(primary []byte) error {
			if _, ok := met[string(primary)]; i > 0 && !ok {
				return nil
			}
			if _, ok := next[string(primary)]; !ok {
				next[string(primary)] = struct{}{}
				sizeBytes += len(primary) + heldOverheadBytes
			}
			if bounded(sizeBytes) != nil {
				return errTooManyToMeet
			}
			return nil
		}
		if err := w.along(&p.meets[i]); err != nil {
			return err
		}
		met = next
	}
	w.collect = nil
	primaries := make([]string, 0, len(met))
	for primary := range met {
		primaries = append(primaries, primary)
	}
	slices.Sort(primaries)
	if w.query.reverse {
		slices.Reverse(primaries)
	}
	for _, primary := range primaries {
		if err := w.metRow(p, primary); err != nil {
			return err
		}
	}
	return nil
}

// metRow gives the row with a primary key that all parts of a path have led to. In a
// transaction that changes rows it may be gone by now.
func (w *walk[R]) metRow(p *path[R], primary string) error {
	if p.covers {
		return w.passBare()
	}
	return w.lookup([]byte(primary), func() error {
		if w.query.changes || !w.query.alone {
			return nil
		}
		return fmt.Errorf("entries of %s have no row: %w", p.access(), lightning.ErrCorrupted)
	})
}

// accessOfAll names what is intersected.
func accessOfAll[R any](parts []path[R]) string {
	names := make([]string, len(parts))
	for i := range parts {
		names[i] = parts[i].access()
	}
	return strings.Join(names, " and ")
}
