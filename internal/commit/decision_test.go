package commit

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
)

// decision is one to put a key, or to delete it, or to decline.
func decision(key string, what byte) *Decision {
	return &Decision{
		Key: []byte(key),
		Check: func(view.Current) error {
			if what == '-' {
				return ErrDeclined
			}
			return nil
		},
		Write: func(_ view.Current, b *batch.Batch) error {
			if what == 'd' {
				return b.Delete(nil, []byte(key))
			}
			return b.Set(nil, []byte(key), nil)
		},
	}
}

// decide starts a decision.
func (f *fake) decide(x *Decision) *committer {
	return start(func() error { return f.Decide(nil, nil, x, Async) })
}

// A decision is made when its turn has come, behind those that are written; what is decided
// goes with the group, and what is declined is no part of it.
func TestDecisionIsMadeInTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		must(t, f.Decide(nil, nil, decision("a", 'p'), Async))
		if err := f.Decide(nil, nil, decision("b", '-'), Async); err != ErrDeclined {
			t.Errorf("a decision to write nothing gave %v", err)
		}
		f.expectSteps("validate  behind []", "room a", "log a", "apply a", "validate  behind []")
		release := f.holdAt("log c")
		c := f.commit(Async, "c")
		d := f.decide(decision("d", 'p'))
		e := f.decide(decision("e", '-'))
		g := f.decide(decision("g", 'd'))
		release()
		for _, commit := range []*committer{c, d, g} {
			f.expect(commit, nil)
		}
		f.expect(e, ErrDeclined)
		f.expectSteps("room c", "log c", "apply c",
			"validate  behind []", "validate  behind [d]", "validate  behind [d]", "room d g", "log d g", "apply d g")
		f.expectIdle()
		must(t, f.Set(nil, nil, []byte("h"), nil, Async)) // in a request that was used before
		f.expectSteps("room h", "log h", "apply h")
	})
}

// Where a group fails, so does what rests on its members: also a decision to decline, since
// what it was made on has not happened.
func TestDecisionFailsWithWhatItRestsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("log a")
		a := f.commit(Async, "a")
		first := f.decide(decision("x", '-')) // behind nobody
		b := f.commit(Async, "b")
		c := f.decide(decision("c", '-'))
		f.fail["log b"] = errFake
		release()
		f.expect(a, nil)
		f.expect(first, ErrDeclined)
		f.expect(b, errFake)
		f.expect(c, errFake)
		f.expectIdle()
	})
}

// Deletes go on where there is no space for the rest of their group, but not those that
// were decided on what the rest was to write.
func TestDecisionOnWhatHasNoSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("log a")
		a := f.commit(Async, "a")
		first := f.decide(decision("x", 'd')) // behind nobody
		b := f.commit(Async, "b")
		c := f.decide(decision("c", 'd'))
		d := f.decide(decision("d", '-'))
		e := start(func() error { return f.Delete(nil, nil, []byte("e"), Async) })
		noSpace := fmt.Errorf("write: %w", vfs.ErrNoSpace)
		f.fail["log x b c e"] = noSpace
		release()
		f.expect(a, nil)
		f.expect(first, nil)
		f.expect(b, noSpace)
		f.expect(c, noSpace)
		f.expect(d, noSpace)
		f.expect(e, nil)
		if last := f.groups[len(f.groups)-1].Payloads; fmt.Sprintf("%s", last) != "[x e]" {
			t.Errorf("%s were written in the end", last)
		}
		f.expectIdle()
	})
}

// What a decision will write counts for the size of its group before it is made.
func TestDecisionsBoundTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("log a")
		a := f.commit(Async, "a")
		large := decision("b", 'p')
		large.SizeBytes = groupMaxBytes
		b := f.decide(large)
		c := f.commit(Async, "c")
		release()
		for _, commit := range []*committer{a, b, c} {
			f.expect(commit, nil)
		}
		f.expectSpans("1-1", "2-2", "3-3")
	})
}

// A group waits only for what its members ask that are written.
func TestDeclinedDecisionAsksForNoSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("log a")
		a := f.commit(Async, "a")
		b := start(func() error { return f.Commit(context.Background(), batchOf(t, "b"), Async, nil) })
		c := start(func() error { return f.Decide(nil, nil, decision("c", '-'), Sync) })
		release()
		f.expect(a, nil)
		f.expect(b, nil)
		f.expect(c, ErrDeclined)
		if d := f.groups[1].Durability; d != Async {
			t.Errorf("the group is made durable as far as %v", d)
		}
	})
}
