package iterate

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/block"
	"github.com/lightningdb/lightning/internal/invariant"
)

// This file is the short way over rows that have nothing special about them. A walk that has
// gone on for a while asks its source how many such records follow in its block, with nothing
// of another source between them, and then takes them from the block, past all that lies
// between that and itself. The sources always stand where they would without it.

// Blocks is a source whose records lie in blocks.
type Blocks interface {
	// Block returns the walk over the block in which the current record lies, in which one
	// may step on; an empty one, or nil, where there is none.
	Block() *block.Iter
}

// plainRetry is how many steps are made the long way where nothing was plain.
const plainRetry = 8

// plainAfter is how many steps a walk begins with the long way: one that is short looks at
// nothing in vain. The checks want what is rare to happen often.
func plainAfter() int {
	if invariant.Enabled {
		return 1
	}
	return 4
}

// plain is the records behind the row that are plain.
type plain struct {
	block  *block.Iter // in which the row lies
	left   int         // how many there are
	to     direction   // in which they follow
	steps  int         // the long way, until the next look
	wanted block.Plain // here, so that it need not be on the heap
}

// begin is for a walk that starts.
func (p *plain) begin() { p.block, p.left, p.steps = nil, 0, plainAfter() }

// isDue counts a step and reports whether it is time to look.
func (p *plain) isDue() bool {
	p.steps--
	return p.steps < 0
}

// lookForPlain notes what is plain behind the row, at which the source stands, and takes the
// first of it.
func (v *UserIter) lookForPlain(to direction) bool {
	p := &v.plain
	p.steps = plainRetry
	p.wanted = block.Plain{Newest: v.seq, Bound: v.upper.key}
	if to == backward {
		p.wanted.Oldest, p.wanted.Bound = v.newest, v.lower.key
	}
	source, ok := v.current(&p.wanted, to).(Blocks)
	if !ok {
		return false
	}
	p.block, p.to = source.Block(), to
	if p.block == nil || !v.mask.isClearFor(&p.wanted, v.rec.Key, to) {
		return false
	}
	if p.left = p.block.Plain(&p.wanted, block.PlainMax, to == forward); p.left == 0 {
		return false
	}
	p.steps = 0 // behind them comes the next look
	return v.stepPlain()
}

// current returns the source of the current record, nil if there is none, and tightens p to
// what comes before the records of others.
func (v *UserIter) current(p *block.Plain, to direction) base.Iterator {
	m := v.merging
	if m.single() {
		return v.source
	}
	if m.top < 0 || m.direction != to {
		return nil
	}
	if len(m.heap) > 0 {
		p.Tighten(m.slots[m.heap[0].index].rec.Key, to == forward)
	}
	return m.slots[m.top].iter
}

// stepPlain takes the next plain record. There is one.
func (v *UserIter) stepPlain() bool {
	p := &v.plain
	p.left--
	if p.to == forward {
		v.rec = p.block.Next()
	} else {
		v.rec = p.block.Prev()
	}
	return true
}

// PassPlain passes the rows behind the current one that are known to be plain, in the
// direction of the walk, to yield, and stands at the last one that it has passed. It returns
// false if yield did. Keys are passed without their first cut bytes.
func (v *UserIter) PassPlain(cut int, yield func(key, value []byte) bool) bool {
	p := &v.plain
	n := p.left
	if n == 0 {
		return true
	}
	p.left = 0
	return p.block.Pass(n, p.to == forward, cut, yield)
}

// isClearFor tightens p to keys that nothing hides, from key on. It returns false where the
// key itself is under a tombstone, or that cannot be told.
func (s *mask) isClearFor(p *block.Plain, key []byte, to direction) bool {
	if s.empty() {
		return true
	}
	if s.covering(key) != 0 {
		s.restart() // the step that follows meets the error, if that is why
		return false
	}
	edge := s.hi.key
	if to == backward {
		edge = s.lo.key
	}
	if edge != nil {
		p.Tighten(edge, to == forward)
	}
	return true
}

// Block implements Blocks.
func (l *Level) Block() *block.Iter {
	source, ok := l.iter.(Blocks)
	if !ok || l.at != l.open || l.err != nil {
		return nil
	}
	return source.Block()
}
