// Package ledger keeps the books of the torture suites: a Tally counts what one
// round of a suite did, and a Ledger is the file that a campaign writes, one
// line of JSON for each round, so that every published total can be added up
// again from the seeds.
package ledger

import (
	"maps"
	"sync"
)

// What the suites count. A suite may use several.
const (
	States     = "crash states"
	Faults     = "faults"
	Kills      = "kills"
	PowerCuts  = "power cuts"
	Flips      = "flipped bits"
	Astray     = "files astray"
	Histories  = "histories"
	Operations = "operations"
)

// Tally counts by name. The zero Tally is ready for use, and all its methods
// are safe for concurrent use.
type Tally struct {
	mu     sync.Mutex
	counts map[string]int64
}

// Add adds n to the count of what.
func (t *Tally) Add(what string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int64{}
	}
	t.counts[what] += n
}

// Count returns the count of what.
func (t *Tally) Count(what string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[what]
}

// Counts returns a copy of all counts.
func (t *Tally) Counts() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}
