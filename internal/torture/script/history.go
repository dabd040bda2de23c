package script

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/lightningdb/lightning/internal/torture/model"
)

// ErrState says that a database holds what it may not hold.
var ErrState = errors.New("wrong state")

// History is what a database may hold after a crash: the state after some
// prefix of its commits, not shorter than what was promised to be durable, not
// longer than what was begun. It is safe for concurrent use: the goroutine that
// takes the crash is often not the one that commits.
//
// The rows obey the order of commits. The catalogue of keyspaces does not wait
// for commits that are not synced, so it is judged apart: a keyspace whose
// making or dropping was acknowledged is there or gone.
type History struct {
	mu sync.Mutex
	// states[i] is what there may be after i commits: more than one state when
	// commits failed, of which nobody knows whether they happened.
	states  [][]model.State
	durable int
	spaces  model.State     // with the keyspaces that are there by now
	maybe   map[string]bool // keyspaces whose making or dropping has begun, or failed
	changed []string        // keyspaces whose making or dropping ever began
	copied  *Mark           // when the last checkpoint was begun; nil: there was none
	backed  *Mark           // when the oldest backup was begun that may be there; nil: there was none
	newest  *Mark           // when the last one was
	kept    bool            // a backup is complete
}

// NewHistory begins with what the database holds durably.
func NewHistory(state model.State) *History {
	return &History{states: [][]model.State{{state}}, spaces: state, maybe: map[string]bool{}}
}

// HistoryOf begins with a database that is known no better than a.
func HistoryOf(a Allowed) *History {
	h := &History{spaces: a.spaces, maybe: maps.Clone(a.maybe)}
	for _, s := range a.States {
		h.states = append(h.states, []model.State{s})
	}
	return h
}

// Begin notes that an operation is about to run. It may survive a crash from
// now on.
func (h *History) Begin(o *Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.Kind == CreateSpace || o.Kind == DropSpace {
		h.maybe[o.Space] = true
		h.changed = append(h.changed, o.Space)
	}
	if !o.Commits() {
		return
	}
	var next []model.State
	for _, s := range h.states[len(h.states)-1] {
		next = append(next, o.Apply(s))
	}
	h.states = append(h.states, next)
}

// Acknowledge notes that the operation was reported as done.
func (h *History) Acknowledge(o *Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.Syncs() {
		h.durable = len(h.states) - 1
	}
	if o.Kind == CreateSpace || o.Kind == DropSpace {
		delete(h.maybe, o.Space)
		h.spaces = o.Apply(h.spaces)
	}
}

// Fail notes that the operation was reported as failed: it may have happened
// or not.
func (h *History) Fail(o *Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !o.Commits() {
		return
	}
	last := len(h.states) - 1
	for _, before := range h.states[last-1] {
		if !slices.ContainsFunc(h.states[last], before.EqualRows) {
			h.states[last] = append(h.states[last], before)
		}
	}
}

// Mark is a moment in a history.
type Mark struct {
	durable int
	maybe   map[string]bool
	changed int
	copied  *Mark
	backed  *Mark
	kept    bool
}

// Mark returns the present moment. Who takes a crash does so between Mark and
// Since, because the history goes on meanwhile.
func (h *History) Mark() Mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Mark{h.durable, maps.Clone(h.maybe), len(h.changed), h.copied, h.backed, h.kept}
}

// BeginCopy notes that a checkpoint is about to be taken, and that there is no other.
func (h *History) BeginCopy() {
	m := h.Mark()
	m.copied, m.backed = nil, nil
	h.mu.Lock()
	defer h.mu.Unlock()
	h.copied = &m
}

// BeginBackup notes that a backup is about to be made, and EndBackup that it is complete and
// those before it were deleted.
func (h *History) BeginBackup() {
	m := h.Mark()
	m.copied, m.backed = nil, nil
	h.mu.Lock()
	defer h.mu.Unlock()
	h.newest = &m
	if h.backed == nil {
		h.backed = &m
	}
}

func (h *History) EndBackup() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.backed, h.kept = h.newest, true
}

// Since returns what may be found after a crash between m and now.
func (h *History) Since(m Mark) Allowed {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.since(m)
	if m.copied != nil {
		older := h.since(*m.copied)
		a.copies = &older
	}
	if m.backed != nil || h.backed != nil {
		from := m.backed
		if from == nil { // it was begun since
			from = &m
		}
		older := h.since(*from)
		a.backups, a.kept = &older, m.kept
	}
	return a
}

// since is Since but for checkpoints and backups. The caller holds h.mu.
func (h *History) since(m Mark) Allowed {
	a := Allowed{spaces: h.spaces, maybe: maps.Clone(m.maybe)}
	for _, states := range h.states[m.durable:] {
		a.States = append(a.States, states...)
	}
	maps.Copy(a.maybe, h.maybe)
	for _, name := range h.changed[m.changed:] { // also there and back again
		a.maybe[name] = true
	}
	return a
}

// Allowed returns what may be found after a crash at this moment, while nothing
// else goes on.
func (h *History) Allowed() Allowed { return h.Since(h.Mark()) }

// Now returns what a reader may see at this moment, while nothing else goes on.
func (h *History) Now() Allowed {
	a := h.Allowed()
	h.mu.Lock()
	defer h.mu.Unlock()
	a.States = h.states[len(h.states)-1]
	return a
}

// Allowed is a list of states, of which one must be found.
type Allowed struct {
	States []model.State // oldest first
	spaces model.State
	maybe  map[string]bool
	copies *Allowed // what a checkpoint may hold that was left; nil: the same
	// backups is what the newest backup may hold, nil: there is none; kept says that there must be
	// one.
	backups *Allowed
	kept    bool
}

// OfCopy returns what may be found in a checkpoint that somebody could not remove.
func (a Allowed) OfCopy() Allowed {
	if a.copies != nil {
		return *a.copies
	}
	return a
}

// Check returns an error if found is none of the states that are allowed.
func (a Allowed) Check(found model.State) error {
	for _, name := range found.Spaces() {
		if !a.spaces.Exists(name) && !a.maybe[name] {
			return fmt.Errorf("%w: there is a keyspace %q, which was dropped or never made", ErrState, name)
		}
	}
	for _, name := range a.spaces.Spaces() {
		if !found.Exists(name) && !a.maybe[name] {
			return fmt.Errorf("%w: the keyspace %q is gone", ErrState, name)
		}
	}
	if slices.ContainsFunc(a.States, found.EqualRows) {
		return nil
	}
	return fmt.Errorf("%w: found %v; none of the %d states that are allowed, from %v to %v", ErrState,
		found, len(a.States), a.States[0], a.States[len(a.States)-1])
}
