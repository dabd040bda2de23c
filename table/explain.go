package table

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lightningdb/lightning/internal/catalogue"
)

// Plan says how a query is run and why. Its estimates come from statistics,
// which may be old.
type Plan struct {
	Table string
	// Query is the conditions, the order and the limit, in words.
	Query string
	// TableRows and ResultRows are estimates.
	TableRows, ResultRows int64
	// Candidates are all ways to the rows, the cheapest first, which is the
	// one that is taken. Those with Unusable come last.
	Candidates []Candidate
}

// Candidate is a way to the rows of a query.
type Candidate struct {
	// Access is "all rows", "primary key", or "index" and a name; where one of several
	// conditions must hold, one of these for each, in the order in which they are taken.
	// "index a and index b" are the rows that both lead to.
	Access string
	// Range is the conditions that bound what is read, Check those that are
	// left to be looked up in each row; both in words.
	Range, Check string
	// Reads is how many rows, or entries and their rows, are read if there is
	// no limit; where indexes are intersected, the entries. An estimate.
	Reads int64
	// Sorts says that the rows do not come in the order asked for, and are
	// collected and sorted.
	Sorts bool
	// Cost is compared with that of the others. 1 is about a row of a scan.
	Cost float64
	// Unusable says why it cannot be taken, if so; all but Access is then empty.
	Unusable string
}

// Explain returns the plan of the query, without running it.
func (q Query[R]) Explain() (*Plan, error) {
	var plan *Plan
	err := q.reading(func(q *Query[R], v *view) error {
		p := q.plan(v)
		plan = &Plan{
			Table: q.core.name, Query: q.words(), TableRows: catalogue.Ceil(p.rows), ResultRows: catalogue.Ceil(p.result),
		}
		for i := range p.paths {
			plan.Candidates = append(plan.Candidates, q.candidate(&p.paths[i]))
		}
		return nil
	})
	return plan, err
}

func (q *Query[R]) candidate(p *path[R]) Candidate {
	c := Candidate{Access: p.access(), Unusable: p.unusable}
	if p.unusable != "" {
		return c
	}
	var bounds, checks []string
	for i, cond := range q.conds {
		if p.used[i] {
			bounds = append(bounds, cond.text)
		} else {
			checks = append(checks, cond.text)
		}
	}
	for range q.filters {
		checks = append(checks, "a function")
	}
	c.Range, c.Check = strings.Join(bounds, " and "), strings.Join(checks, " and ")
	c.Reads, c.Sorts, c.Cost = catalogue.Ceil(p.entries), !p.ordered, p.cost
	return c
}

func (p *path[R]) access() string {
	switch {
	case p.meets != nil:
		return accessOfAll(p.meets)
	case p.either != nil:
		parts := make([]string, len(p.either))
		for i := range p.either {
			parts[i] = p.either[i].access()
		}
		return strings.Join(parts, ", then ")
	case p.index != nil:
		return "index " + p.index.name
	case slices.Contains(p.used, true):
		return "primary key"
	}
	return "all rows"
}

// words describes the query.
func (q *Query[R]) words() string {
	var parts []string
	for i, cond := range q.conds {
		parts = append(parts, [...]string{"where ", "and "}[min(i, 1)]+cond.text)
	}
	for i, a := range q.order {
		parts = append(parts, [...]string{"order by ", "then "}[min(i, 1)]+a.name)
	}
	if q.reverse {
		parts = append(parts, "reversed")
	}
	if q.from != nil {
		parts = append(parts, "after "+formatElements(q.from.Key))
	}
	if q.limit > 0 {
		parts = append(parts, fmt.Sprintf("limit %d", q.limit))
	}
	if q.offset > 0 {
		parts = append(parts, fmt.Sprintf("offset %d", q.offset))
	}
	return strings.Join(parts, " ")
}

// String shows the plan to people.
func (p *Plan) String() string {
	var text strings.Builder
	text.WriteString(strings.TrimSpace(p.Table + " " + p.Query))
	fmt.Fprintf(&text, ": about %d of %d rows\n", p.ResultRows, p.TableRows)
	usable := 0
	for _, c := range p.Candidates {
		if c.Unusable == "" {
			usable++
		}
	}
	reason := "nothing else is usable"
	if usable > 1 {
		reason = fmt.Sprintf("cost %.1f, the next best %.1f", p.Candidates[0].Cost, p.Candidates[1].Cost)
	}
	fmt.Fprintf(&text, "uses %s: %s\n", p.Candidates[0].Access, reason)
	for _, c := range p.Candidates {
		fmt.Fprintf(&text, "  %s\n", c)
	}
	return text.String()
}

// String shows the candidate on one line.
func (c Candidate) String() string {
	if c.Unusable != "" {
		return c.Access + ": not usable, " + c.Unusable
	}
	text := c.Access
	if c.Range != "" {
		text += " with " + c.Range
	}
	text += fmt.Sprintf(": reads %d", c.Reads)
	if c.Check != "" {
		text += ", checks " + c.Check
	}
	if c.Sorts {
		text += ", sorts"
	}
	return text + fmt.Sprintf(", cost %.1f", c.Cost)
}
