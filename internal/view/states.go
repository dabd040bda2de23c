package view

import (
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/store"
)

// states is the current read state and the newest visible sequence number, and what
// becomes of old states. It is safe for concurrent use.
//
// Invariant: the number follows the data. Whoever loads the state after the number
// sees everything up to it.
type states struct {
	cfg    *Config
	epochs *epoch.Domain

	replaced func() // called by the janitor when a part of memory is not current any more

	visible atomic.Uint64 // the newest sequence number that readers may see
	flushed atomic.Uint64 // the newest one that is in a table
	current atomic.Pointer[State]

	// mu makes a change of the state, and of the visible number with it, one step
	// for those who list the snapshots. Readers do not take it.
	mu ranked.Mutex[ranked.State]
}

// State returns the current read state. It stays as it is only for its user in
// a guard, and current only for those who alone may replace it.
func (r *states) State() *State { return r.current.Load() }

// Pin returns the current read state with a reference, which the caller gives
// back with Release.
func (r *states) Pin() *State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.current.Load()
	s.refs.Add(1)
	return s
}

// Change is a new read state in the making: it begins as the current one. A Tree
// that is replaced comes with a reference, which passes to the state.
type Change struct {
	Mem        *Flushable
	Immutables []*Flushable
	Tree       *store.Tree
	// Visible is the newest visible number from now on; 0: as it was.
	Visible base.SeqNum
}

// Update makes what fn makes of the current read state current. fn must not wait.
func (r *states) Update(fn func(c *Change)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.current.Load()
	c := Change{}
	if old != nil {
		c = Change{Mem: old.Mem, Immutables: old.Immutables, Tree: old.Tree}
	}
	fn(&c)
	s := &State{
		Mem: c.Mem, Immutables: c.Immutables, Tree: c.Tree,
		operators: r.cfg.Keyspaces, timeline: r.cfg.Timeline,
	}
	s.refs.Store(1)
	s.flushables(func(m *Flushable) bool { m.refs.Add(1); return true })
	if old != nil && old.Tree == s.Tree {
		s.Tree.Ref()
	}
	invariant.Yield()
	r.current.Store(s)
	invariant.Yield()
	if old != nil {
		r.cfg.Janitor.Add(func() {
			r.epochs.Synchronize()
			r.Release(old)
			if old.hasOld(s) {
				r.replaced()
			}
		})
	}
	r.cfg.Installed(s)
	if c.Visible != 0 {
		r.visible.Store(uint64(c.Visible))
	}
}

// Publish lets readers see everything up to a sequence number.
func (r *states) Publish(last base.SeqNum) { r.visible.Store(uint64(last)) }

// VisibleSeq returns the newest sequence number that readers see.
func (r *states) VisibleSeq() base.SeqNum { return base.SeqNum(r.visible.Load()) }

// readPoint returns what a new snapshot reads at, if it can be pinned in time.
func (r *states) readPoint() ReadPoint {
	at := r.cfg.Timeline.ReadTime() // before the number
	return ReadPoint{r.VisibleSeq(), at}
}

// NoteFlushed notes that everything up to a sequence number is in tables, which
// are about to be installed.
func (r *states) NoteFlushed(last base.SeqNum) { r.flushed.Store(uint64(last)) }

// FlushedSeq returns the newest sequence number that is in a table.
func (r *states) FlushedSeq() base.SeqNum { return base.SeqNum(r.flushed.Load()) }

// now returns the current read state and the newest sequence number visible
// in it. The caller is in an epoch guard. State and number belong together:
// when the state changed between the two loads, the number could lie past what
// the state holds, or the state could have dropped versions that the number
// needs, so both are loaded again.
func (r *states) now() (*State, base.SeqNum) {
	for {
		s := r.current.Load()
		invariant.Yield()
		seq := base.SeqNum(r.visible.Load())
		if s == r.current.Load() {
			return s, seq
		}
	}
}

// Release gives back a reference on a read state. What is no longer used goes
// to the janitor.
func (r *states) Release(s *State) {
	if s.refs.Add(-1) > 0 {
		return
	}
	unused := s.Tree.Unref()
	var memories []*Flushable
	s.flushables(func(m *Flushable) bool {
		if m.refs.Add(-1) == 0 {
			memories = append(memories, m)
		}
		return true
	})
	if len(memories) > 0 {
		r.cfg.Janitor.Add(func() { r.free(memories) })
	}
	for _, tab := range unused {
		r.cfg.Janitor.AddFile(func() { r.cfg.Store.Dispose([]*store.Table{tab}) })
	}
}

// GiveUp gives up the current read state, once all readers have left it. Handles
// keep what they hold.
func (r *states) GiveUp() {
	if s := r.current.Load(); s != nil {
		r.cfg.Janitor.Add(func() {
			r.epochs.Synchronize()
			r.Release(s)
		})
	}
}
