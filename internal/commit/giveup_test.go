package commit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

var errTired = errors.New("waited long enough")

// crowded has groups wait for room until there is some, or a member gives up.
func crowded(f *fake) (free func()) {
	room := make(chan struct{})
	makeRoom := f.env.MakeRoom
	f.env.MakeRoom = func(g *Group) error {
		if err := makeRoom(g); err != nil {
			return err
		}
		ctx, stop := g.Until(context.Background())
		defer stop()
		select {
		case <-room:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return func() { close(room) }
}

// commitWithin starts a commit of one who gives up when give is called.
func (f *fake) commitWithin(key string) (c *committer, give func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	b := batchOf(f.t, key)
	return start(func() error { return f.Commit(ctx, b, Async, nil) }), func() { cancel(errTired) }
}

// Who is alone gives up, and the next one takes his number.
func TestLeaderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		free := crowded(f)
		a, give := f.commitWithin("a")
		synctest.Wait()
		give()
		f.expect(a, errTired)
		b := f.commit(Async, "b")
		synctest.Wait()
		if b.returned() {
			t.Error("a commit did not wait for room")
		}
		free()
		f.expect(b, nil)
		f.expectSteps("room a", "room b", "log b", "apply b")
		f.expectIdle()
	})
}

// crowd starts commits that go as one group, which waits for room: those in within may give up.
func (f *fake) crowd(t *testing.T, keys string, within string) (commits map[string]*committer, give map[string]func()) {
	t.Helper()
	release := f.holdAt("log first")
	first := f.commit(Async, "first")
	commits, give = map[string]*committer{}, map[string]func(){}
	for i, r := range keys {
		key := string(r)
		if strings.Contains(within, key) {
			commits[key], give[key] = f.commitWithin(key)
		} else {
			commits[key] = f.commit(Async, key)
		}
		f.expectWaiting(i + 1)
	}
	release()
	f.expect(first, nil)
	synctest.Wait()
	f.steps = nil
	return commits, give
}

// crowdedAfterFirst is crowded for all groups but the first.
func crowdedAfterFirst(f *fake) (free func()) {
	open, calls := f.env.MakeRoom, 0
	free = crowded(f)
	waits := f.env.MakeRoom
	f.env.MakeRoom = func(g *Group) error {
		if calls++; calls == 1 {
			return open(g)
		}
		return waits(g)
	}
	return free
}

// A member that gives up is let go, and the leader goes on with the others.
func TestMemberGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		free := crowdedAfterFirst(f)
		commits, give := f.crowd(t, "abc", "bc")
		give["b"]()
		synctest.Wait()
		f.expect(commits["b"], errTired)
		if commits["a"].returned() || commits["c"].returned() {
			t.Error("others returned as well")
		}
		free()
		f.expect(commits["a"], nil)
		f.expect(commits["c"], nil)
		f.expectSteps("room a c", "log a c", "apply a c")
		f.expectIdle()
	})
}

// A leader that gives up is not kept for the others: the first of them leads, and nobody who came
// later goes before them.
func TestLeaderGivesUpAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		free := crowdedAfterFirst(f)
		commits, give := f.crowd(t, "abcd", "ac")
		late := f.commit(Async, "late")
		synctest.Wait()
		give["a"]()
		f.expect(commits["a"], errTired)
		synctest.Wait()
		give["c"]()
		f.expect(commits["c"], errTired)
		if commits["b"].returned() || commits["d"].returned() || late.returned() {
			t.Error("others returned as well")
		}
		free()
		f.expect(commits["b"], nil)
		f.expect(commits["d"], nil)
		f.expect(late, nil)
		f.expectSteps("room b c d late", "room b d late", "log b d late", "apply b d late")
		f.expectIdle()
	})
}

// All who wait give up at once, and nobody is left in line.
func TestAllGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		free := crowdedAfterFirst(f)
		commits, give := f.crowd(t, "abc", "abc")
		for _, g := range give {
			g()
		}
		for _, c := range commits {
			f.expect(c, errTired)
		}
		free()
		f.expect(f.commit(Async, "z"), nil)
		f.expectIdle()
	})
}

// What a decision rested on is not written, so it is made once more, on what is there then.
func TestDecisionBehindWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		free := crowdedAfterFirst(f)
		release := f.holdAt("log first")
		first := f.commit(Async, "first")
		a, give := f.commitWithin("a")
		f.expectWaiting(1)
		d := f.decide(decision("d", 'p'))
		f.expectWaiting(2)
		release()
		f.expect(first, nil)
		synctest.Wait()
		f.steps = nil
		give()
		f.expect(a, errTired)
		free()
		f.expect(d, nil)
		f.expectSteps("validate  behind []", "room d", "log d", "apply d")
		f.expectIdle()
	})
}
