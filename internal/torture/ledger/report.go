package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report adds ledgers up. The zero Report is empty; it is for one goroutine.
type Report struct {
	Campaigns   int
	CutShort    int // of the campaigns: interrupted, killed or ended by a hang
	First, Last time.Time
	Programs    []string // versions, systems and architectures, in order of appearance
	Suites      []*SuiteReport
	Failures    []Round
}

// SuiteReport is what a suite did in all campaigns.
type SuiteReport struct {
	Name string
	Totals
	Seeds    Seeds
	Repeated int64 // rounds whose seed another round had before
}

// Add takes the next line of a ledger, as Read gives it.
func (r *Report) Add(e Entry) {
	switch {
	case e.Campaign != nil:
		r.begin(e.Campaign)
	case e.Round != nil:
		suite := r.suite(e.Round.Suite)
		suite.Totals.Add(e.Round)
		if !suite.Seeds.Add(e.Round.Seed) {
			suite.Repeated++
		}
		if e.Round.Error != "" {
			r.Failures = append(r.Failures, *e.Round)
		}
	case e.End.Complete:
		r.CutShort-- // after all
	}
}

func (r *Report) begin(c *Campaign) {
	r.Campaigns++
	r.CutShort++ // until its end is seen
	if r.First.IsZero() || c.Started.Before(r.First) {
		r.First = c.Started
	}
	if c.Started.After(r.Last) {
		r.Last = c.Started
	}
	program := fmt.Sprintf("%s, %s, %s", c.Program, c.Go, c.System)
	if !slices.Contains(r.Programs, program) {
		r.Programs = append(r.Programs, program)
	}
	for _, name := range c.Suites {
		r.suite(name)
	}
}

// suite returns the suite of that name, which it makes if it is new.
func (r *Report) suite(name string) *SuiteReport {
	for _, s := range r.Suites {
		if s.Name == name {
			return s
		}
	}
	s := &SuiteReport{Name: name}
	r.Suites = append(r.Suites, s)
	return s
}

// Totals adds up all suites.
func (r *Report) Totals() Totals {
	var all Totals
	for _, s := range r.Suites {
		all.Merge(s.Totals)
	}
	return all
}

// Sorted returns the names of what was counted, those that matter most first.
func Sorted(counts map[string]int64) []string {
	order := []string{States, Faults, Kills, PowerCuts, Flips, Astray, Histories}
	rank := func(what string) int {
		switch i := slices.Index(order, what); {
		case i >= 0:
			return i
		case what == Operations:
			return len(order) + 1 // every suite has them, and they say least
		}
		return len(order)
	}
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

// Seeds is a set of seeds. Campaigns use seeds in a row, so it keeps ranges: in
// ascending order, with a gap between any two.
type Seeds struct{ ranges []seedRange }

type seedRange struct{ first, last uint64 }

// Add adds a seed and reports whether it is new.
func (s *Seeds) Add(seed uint64) bool {
	// The range at i is the first that ends at the seed or after it.
	i, _ := slices.BinarySearchFunc(s.ranges, seed, func(r seedRange, seed uint64) int {
		return cmp.Compare(r.last, seed)
	})
	if i < len(s.ranges) && s.ranges[i].first <= seed {
		return false
	}
	// Here the seed is below the range at i, and above the one before it, so
	// neither sum overflows.
	joinsNext := i < len(s.ranges) && seed+1 == s.ranges[i].first
	joinsLast := i > 0 && s.ranges[i-1].last+1 == seed
	switch {
	case joinsNext && joinsLast:
		s.ranges[i-1].last = s.ranges[i].last
		s.ranges = slices.Delete(s.ranges, i, i+1)
	case joinsNext:
		s.ranges[i].first = seed
	case joinsLast:
		s.ranges[i-1].last = seed
	default:
		s.ranges = slices.Insert(s.ranges, i, seedRange{seed, seed})
	}
	return true
}

// String lists the ranges: 1..200, 500. Where there are many it gives the ends.
func (s *Seeds) String() string {
	const listed = 4
	if len(s.ranges) > listed {
		all := seedRange{s.ranges[0].first, s.ranges[len(s.ranges)-1].last}
		return fmt.Sprintf("%v in %d ranges", all, len(s.ranges))
	}
	var texts []string
	for _, r := range s.ranges {
		texts = append(texts, r.String())
	}
	return strings.Join(texts, ", ")
}

func (r seedRange) String() string {
	if r.first == r.last {
		return fmt.Sprint(r.first)
	}
	return fmt.Sprintf("%d..%d", r.first, r.last)
}
