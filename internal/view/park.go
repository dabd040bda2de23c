package view

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/iterate"
)

// Memtables that were flushed are not kept for iterators. An iterator is told that its
// read state is old; at its next move it takes the current one, seeks the row on which
// it stands, and goes on: flushes and compactions keep what it sees, since they are told
// of its read point as of those of snapshots.
//
// An iterator that nobody moves is parked by the janitor: all that it holds is given
// back, but for the source of the row on which it stands, whose key and value are lent
// to its user. If they lie in a memtable, that one keeps the pages they are in and gives
// back all others.
//
// Who moves an iterator enters its word, and looks at stale then; the janitor sets stale,
// and looks at the word then. So either the janitor sees that somebody is in, and leaves
// the iterator to him, or who comes sees that it is stale, and waits for Iterator.mu,
// which the janitor has meanwhile. An iterator without a word is left to its own moves.

// residue is what a parked iterator shows of a part of memory, on which it has a
// reference.
type residue struct {
	part       *Flushable // nil: the row is not in memory, or there is none
	key, value []byte
}

// parkOld tells the iterators with parts of memory that are not in the current read
// state, parks those that nobody is in, and has such parts give back what no row needs.
// It is for the janitor.
func (r *Reader) parkOld() {
	iterators := r.handles.iterators()
	if len(iterators) == 0 {
		return
	}
	g := r.Epochs.Enter()
	defer g.Exit()
	for part, parked := range parkAll(iterators, r.current.Load()) {
		part.shrinkUnder(parked)
	}
}

// parkAll parks the iterators whose state is old, and returns those that were parked on
// each part of memory: their users may have moved them on since.
func parkAll(iterators []*Iterator, current *State) map[*Flushable][]*Iterator {
	shown := map[*Flushable][]*Iterator{}
	for _, it := range iterators {
		if part := it.park(current).part; part != nil {
			shown[part] = append(shown[part], it)
		}
	}
	return shown
}

// hasOld reports whether a state has a part of memory that another one lacks.
func (s *State) hasOld(current *State) (old bool) {
	s.flushables(func(m *Flushable) bool {
		found := false
		current.flushables(func(other *Flushable) bool { found = m == other; return !found })
		old = !found
		return !old
	})
	return old
}

// park tells the iterator that its state is old, if it is, and gives up what is not
// shown, if nobody is in. It returns what is shown of memory.
func (it *Iterator) park(current *State) residue {
	if !it.mu.TryLock() {
		return residue{} // it is being closed, or moves on
	}
	defer it.mu.Unlock()
	core := it.core
	switch {
	case core == nil:
		return residue{}
	case core.state == nil:
		return core.rest
	case !core.state.hasOld(current):
		return residue{}
	}
	it.stale.Store(true)
	if core.options.Word == nil || core.options.Word.Busy() {
		return residue{}
	}
	core.park(it.reader)
	return core.rest
}

// park gives up everything but the source of the row.
func (c *iteratorCore) park(r *Reader) {
	shown := c.visible.ShownBy()
	for i, s := range c.sources {
		if i != shown {
			_ = s.Iter.Close() // reads alone: nothing is lost
		}
	}
	if shown < 0 {
		c.sources = c.sources[:0]
	} else {
		if shown < len(c.memories) {
			c.rest = residue{c.memories[shown], c.visible.Key(), c.visible.StoredValue()}
			c.rest.part.refs.Add(1)
		}
		c.sources = append(c.sources[:0], c.sources[shown])
	}
	r.Release(c.state)
	c.state = nil
}

// unpark gives up what is left of a parked iterator, or all of one that is not.
func (c *iteratorCore) unpark(r *Reader) (err error) {
	for _, s := range c.sources {
		if closeErr := s.Iter.Close(); err == nil {
			err = closeErr
		}
	}
	clear(c.sources[:cap(c.sources)])
	clear(c.memories)
	clear(c.deletes)
	c.sources, c.memories, c.deletes = c.sources[:0], c.memories[:0], c.deletes[:0]
	for i := range c.tableDeletes {
		c.tableDeletes[i].Forget()
	}
	for i := range c.levels {
		c.levels[i].files.Tables = nil
	}
	if c.state != nil {
		r.Release(c.state)
		c.state = nil
	}
	if c.rest.part != nil {
		r.releaseParts(c.rest.part)
	}
	c.rest = residue{}
	return err
}

// moveOn has a stale iterator show the current state, from where it stands or, for a
// move that goes anywhere, from its beginning. Its caller is in.
func (it *Iterator) moveOn(stay bool) bool {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.expired.Load() {
		return it.failExpired()
	}
	core := it.core
	var mark iterate.Mark
	if stay {
		mark = core.visible.Mark(core.buf[:0])
	}
	err := core.unpark(it.reader)
	if err == nil {
		walk := it.reader.Dead.NewWalk(it.reader.VisibleSeq())
		if s := it.reader.acquire(); s == nil {
			err = base.ErrClosed
		} else {
			err = it.open(s, walk)
		}
	}
	if err != nil {
		core.visible.Fail(err) // what it has shown is gone; the next move tries again
		return false
	}
	it.stale.Store(false)
	if it.expired.Load() { // meanwhile: the state may lack what it saw
		it.stale.Store(true)
		return it.failExpired()
	}
	return !stay || core.visible.Resume(mark)
}

// releaseParts gives back references on parts of memory; the janitor frees those that
// had their last.
func (r *states) releaseParts(parts ...*Flushable) {
	var unused []*Flushable
	for _, m := range parts {
		if m.refs.Add(-1) == 0 {
			unused = append(unused, m)
		}
	}
	if len(unused) > 0 {
		r.cfg.Janitor.Add(func() { r.free(unused) })
	}
}

// free frees parts of memory that nobody reads.
func (r *states) free(parts []*Flushable) {
	for _, m := range parts {
		m.Free()
	}
	if len(parts) > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cfg.Freed(r.current.Load())
	}
}

// shrinkUnder gives back the memory of a part, but for what iterators show of it that are
// parked on it, if nobody else holds it: then nothing else of it will be looked at. None
// of them can move meanwhile, or their references would be counted that are given back
// already, in place of those of others, who read all of it.
func (m *Flushable) shrinkUnder(iterators []*Iterator) {
	var rests []residue
	for _, it := range iterators {
		if !it.mu.TryLock() {
			continue // it is moving on
		}
		defer it.mu.Unlock()
		if it.core != nil && it.core.rest.part == m {
			rests = append(rests, it.core.rest)
		}
	}
	if int(m.refs.Load()) <= len(rests) {
		m.shrinkTo(rests)
	}
}

// shrinkTo gives back the memory of a part, but for what is shown of it.
func (m *Flushable) shrinkTo(rests []residue) {
	var keep [][]byte
	for _, rest := range rests {
		keep = append(keep, rest.key, rest.value)
	}
	if m.Table != nil {
		m.Table.Shrink(keep)
		return
	}
	m.sorted.shrink(keep)
}
