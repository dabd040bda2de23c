package commit

import (
	"context"
	"errors"
	"slices"
)

// This file has what becomes of a group that waits for room, or for what is in flight, when a
// member does not want to wait any longer. Nothing of the group is in the log then. Who gave
// up gets the cause of his context. The others begin again: some of them may rest on what is
// not written now. If it is the leader who gave up they stand in line, before all others, and
// the first of them leads, since nobody is kept for the sake of others.

// ErrGivenUp is the cause of the end of a context that Group.Until has returned, where a
// member of the group gave up. Env.MakeRoom returns it.
var ErrGivenUp = errors.New("a commit was given up while it waited for room")

// Until returns a context for a wait on behalf of the group, which may be nil. It ends with parent, and with
// ErrGivenUp as its cause when a member gives up. stop must be called.
func (g *Group) Until(parent context.Context) (ctx context.Context, stop func()) {
	if g == nil || len(g.patience) == 0 {
		return parent, func() {}
	}
	ctx, cancel := context.WithCancelCause(parent)
	stops := make([]func() bool, 0, len(g.patience))
	for _, member := range g.patience {
		stops = append(stops, context.AfterFunc(member, func() { cancel(ErrGivenUp) }))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}

// Waiting returns the group of one who waits for room, for no commit, until ctx ends.
func Waiting(ctx context.Context) *Group { return &Group{patience: []context.Context{ctx}} }

// drainFor has the leader wait until nothing is in flight, unless a member of the group gives up.
func (fs *flights) drainFor(g *Group) error {
	if fs.count.Load() == 0 {
		return nil
	}
	ctx, stop := g.Until(context.Background())
	defer stop()
	return fs.drain(ctx)
}

// gaveUp reports whether who made a request waits no longer.
func (r *Request) gaveUp() bool { return r.ctx != nil && r.ctx.Err() != nil }

// letGo lets go of those of the leader's group who gave up while it waited, and of all who have
// an error. It reports whether the leader is to begin again with the others.
func letGo(p *Pipeline) (again bool) {
	leader := p.group[0]
	var ended, rest []*Request
	for _, r := range p.group {
		if r.err == nil && r.gaveUp() {
			r.err = context.Cause(r.ctx)
		}
		switch {
		case r.err == nil:
			rest = append(rest, r)
		case r != leader:
			ended = append(ended, r)
		}
	}
	forget(p.group)
	p.group = append(p.group[:0], leader)
	if again = len(rest) > 0 && !leader.gaveUp(); again {
		p.group = append(p.group, slices.DeleteFunc(rest, func(r *Request) bool { return r == leader })...)
	} else {
		standInLine(p, rest)
	}
	for _, r := range ended {
		r.signal(requestDone)
	}
	return again
}

// standInLine puts requests of the leader's group before all that wait.
func standInLine(p *Pipeline, rest []*Request) {
	if len(rest) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = slices.Insert(p.queue, 0, rest...)
	p.turn.Store(turnWanted)
}
