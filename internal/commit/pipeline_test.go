package commit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/view"
)

var errFake = errors.New("fake failure")

func TestOneCommitTakesItsSteps(t *testing.T) {
	f := newFake(t)
	must(t, f.Commit(context.Background(), batchOf(t, "a", "b"), Async, nil))
	f.expectSteps("room a+b", "log a+b", "apply a+b")
	must(t, f.Commit(context.Background(), batchOf(t, "c"), Async, &view.ReadSet{}))
	f.expectSteps("validate c behind []", "room c", "log c", "apply c")
	f.expectSpans("1-2", "3-3")
	if f.LastSeq() != 3 {
		t.Errorf("the last number is %d", f.LastSeq())
	}
	f.expectIdle()
}

// Who comes while a group is written goes into the next one, in the order in which
// they came; and who has led one group is not kept for the next.
func TestGroupsFormInQueueOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("log a")
		a := f.commit(Async, "a")
		b := f.commit(Buffered, "b")
		c := f.commit(Async, "c", "d")
		e := f.commit(Async, "e")
		f.expectWaiting(3)
		f.expectSteps("room a", "log a")

		release2 := f.holdAt("log b c+d e")
		release()
		synctest.Wait()
		if !a.returned() {
			t.Error("the leader of the first group is kept for the second")
		}
		if b.returned() || c.returned() || e.returned() {
			t.Error("a commit returned before its group was in the log")
		}
		f.expectSteps("apply a", "room b c+d e", "log b c+d e")
		g := f.commit(Async, "g")
		h := f.commit(Async, "h")
		f.expectWaiting(2)

		release3 := f.holdAt("apply g h")
		release2()
		synctest.Wait()
		if !b.returned() || !c.returned() || !e.returned() || g.returned() || h.returned() {
			t.Error("not exactly the second group has returned")
		}
		f.expectSteps("apply b c+d e", "room g h", "log g h", "apply g h")
		release3()
		for _, commit := range []*committer{a, b, c, e, g, h} {
			f.expect(commit, nil)
		}
		f.expectSpans("1-1", "2-5", "6-7")
		f.expectIdle()
	})
}

// A group asks for what its members ask for together, and for the most durable of
// it.
func TestGroupIsTheSumOfItsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		plain, expiring, merging := batchOf(t, "a", "b"), new(batch.Batch), new(batch.Batch)
		must(t, expiring.SetExpiring(nil, []byte("c"), []byte("value"), 1))
		must(t, merging.Merge(nil, []byte("d"), []byte("operand")))
		for i, order := range [][]Durability{
			{Async, Async, Async}, {Async, Buffered, Async}, {Sync, Buffered, Async}, {Async, Async, Sync},
		} {
			release := f.holdAt("room first")
			commits := []*committer{f.commit(Async, "first")}
			for j, b := range []*batch.Batch{plain, expiring, merging} {
				commits = append(commits, start(func() error { return f.Commit(context.Background(), b, order[j], nil) }))
			}
			release()
			for _, c := range commits {
				f.expect(c, nil)
			}
			g := f.groups[2*i+1]
			want := max(order[0], order[1], order[2])
			if g.Durability != want || g.Records != 4 || !g.Merges || !g.Expires || len(g.Payloads) != 3 {
				t.Errorf("%v: the group is %+v", order, g)
			}
			size := plain.SizeBytes() + expiring.SizeBytes() + merging.SizeBytes()
			memory := plain.MemtableBytes() + expiring.MemtableBytes() + merging.MemtableBytes()
			if g.SizeBytes != int64(size) || g.MemtableBytes != memory {
				t.Errorf("the group has %d bytes, %d in memory; want %d, %d", g.SizeBytes, g.MemtableBytes, size, memory)
			}
			if first := f.groups[2*i]; first.Durability != Async || first.Merges || first.Expires || first.Records != 1 {
				t.Errorf("a group has something of the one before it: %+v", first)
			}
		}
		f.expectIdle()
	})
}

// What goes wrong with a group is told to its members and to nobody else, and the
// next group goes on. A number whose record may be in the log is never given out
// again.
func TestErrorsReachTheGroup(t *testing.T) {
	for _, c := range []struct {
		step  string
		steps []string
		after string // the numbers of the next group
	}{
		{"room b c", []string{"room b c"}, "2-3"},
		{"log b c", []string{"room b c", "log b c"}, "2-3"},
		{"apply b c", []string{"room b c", "log b c", "apply b c"}, "4-5"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			release, release2 := f.holdAt("log a"), f.holdAt("room b c")
			a := f.commit(Async, "a")
			b := f.commit(Buffered, "b")
			other := f.commit(Async, "c")
			f.fail[c.step] = errFake
			release()
			synctest.Wait()
			d := f.commit(Async, "d")
			e := f.commit(Async, "e")
			release2()
			f.expect(a, nil)
			f.expect(b, errFake)
			f.expect(other, errFake)
			f.expect(d, nil)
			f.expect(e, nil)
			f.expectSteps(append(append([]string{"room a", "log a", "apply a"}, c.steps...),
				"room d e", "log d e", "apply d e")...)
			if got := span(f.groups[2]); got != c.after {
				t.Errorf("after a failure at %q the next group has the numbers %s, want %s", c.step, got, c.after)
			}
			f.expectIdle()
		})
	}
}

// A request that is refused takes nobody with it. Those behind it are validated
// against the ones that are written, not against it.
func TestConflictRefusesOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.fail["validate c"] = errFake
		release := f.holdAt("log a")
		a := f.commit(Async, "a")
		b := f.commit(Async, "b")
		c := f.commitReading("c")
		d := f.commitReading("d")
		e := f.commitReading("e")
		release()
		f.expect(a, nil)
		f.expect(b, nil)
		f.expect(c, errFake)
		f.expect(d, nil)
		f.expect(e, nil)
		f.expectSteps("room a", "log a", "apply a",
			"validate c behind [b]", "validate d behind [b]", "validate e behind [b d]",
			"room b d e", "log b d e", "apply b d e")
		f.expectSpans("1-1", "2-4")
		f.expectIdle()
	})
}

// Where all of a group are refused nothing is asked of the log.
func TestRefusedGroupIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.fail["validate b"], f.fail["validate c"] = errFake, errFake
		release := f.holdAt("log a")
		a := f.commit(Async, "a")
		b := f.commitReading("b")
		c := f.commitReading("c")
		release()
		f.expect(a, nil)
		f.expect(b, errFake)
		f.expect(c, errFake)
		f.expectSteps("room a", "log a", "apply a", "validate b behind []", "validate c behind []")
		must(t, f.Commit(context.Background(), batchOf(t, "d"), Async, nil))
		f.expectSpans("1-1", "2-2")
		f.expectIdle()
	})
}

func TestDroppedKeyspaceIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		registry := keyspace.NewRegistry(keyspace.Config{})
		space := func(id uint64, name string) *keyspace.Info {
			must(t, registry.Apply(keyspace.Act{ID: id, Keyspace: &manifest.Keyspace{ID: id, Name: name}}))
			return registry.ByName(name)
		}
		kept, dropped := space(1, "kept"), space(2, "dropped")
		touch := func(b *batch.Batch, spaces ...*keyspace.Info) *batch.Batch {
			for _, k := range spaces {
				b.Touch(k)
			}
			return b
		}
		release := f.holdAt("log a")
		a := f.commit(Async, "a")
		// Alone in the pipeline, ahead of those that find the keyspace gone.
		drop := start(func() error {
			return f.Alone(context.Background(), func() error { return registry.Apply(keyspace.Act{ID: 2}) })
		})
		b := start(func() error { return f.Commit(context.Background(), touch(batchOf(t, "b"), kept), Async, nil) })
		c := start(func() error {
			return f.Commit(context.Background(), touch(batchOf(t, "c"), kept, dropped), Async, &view.ReadSet{})
		})
		d := start(func() error { return f.Set(dropped, nil, []byte("d"), nil, Async) })
		release()
		f.expect(a, nil)
		f.expect(drop, nil)
		f.expect(b, nil)
		f.expect(c, keyspace.ErrDropped)
		f.expect(d, keyspace.ErrDropped)
		f.expectSteps("room a", "log a", "apply a", "room b", "log b", "apply b")
		f.expectIdle()
	})
}

// What is alone has its turn, and nobody else's commit is under way meanwhile.
func TestAloneIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		alone := func(name string, err error) *committer {
			return start(func() error {
				return f.Alone(context.Background(), func() error { _ = f.step(name, name); return err })
			})
		}
		release := f.holdAt("log a")
		release2 := f.holdAt("first alone")
		a := f.commit(Async, "a")
		b := f.commit(Async, "b")
		first := alone("first alone", nil)
		second := alone("second alone", errFake)
		c := f.commit(Async, "c")
		f.expectWaiting(4)
		release()
		synctest.Wait()
		f.expectSteps("room a", "log a", "apply a", "room b", "log b", "apply b", "first alone")
		f.expectWaiting(2)
		d := f.commit(Async, "d")
		release2()
		f.expect(first, nil)
		f.expect(second, errFake)
		for _, commit := range []*committer{a, b, c, d} {
			f.expect(commit, nil)
		}
		f.expectSteps("second alone", "room c d", "log c d", "apply c d")
		f.expectSpans("1-1", "2-2", "3-4")
		f.expectIdle()

		// In a pipeline that is free too, and with no step of a commit.
		f.expect(alone("last alone", errFake), errFake)
		f.expectSteps("last alone")
		f.expectIdle()
	})
}

// Numbers that were given out past the pipeline are not given out again.
func TestAdvance(t *testing.T) {
	f := newFake(t)
	f.Advance(10)
	must(t, f.Commit(context.Background(), batchOf(t, "a"), Async, nil))
	must(t, f.Alone(context.Background(), func() error { f.Advance(f.LastSeq() + 5); return nil }))
	must(t, f.Commit(context.Background(), batchOf(t, "b"), Async, nil))
	f.expectSpans("11-11", "17-17")
}

func TestSeqNumsAreUsedUp(t *testing.T) {
	f := newFake(t)
	f.Advance(base.SeqNumMax - 2)
	for range 2 {
		if err := f.Commit(context.Background(), batchOf(t, "a", "b", "c"), Async, nil); err != ErrSeqNumsUsedUp {
			t.Errorf("three numbers where two are left: %v", err)
		}
	}
	f.expectSteps()
	must(t, f.Commit(context.Background(), batchOf(t, "a", "b"), Async, nil))
	f.expectSpans(fmt.Sprintf("%d-%d", base.SeqNumMax-1, base.SeqNumMax))
	if err := f.Set(nil, nil, []byte("a"), nil, Async); err != ErrSeqNumsUsedUp {
		t.Errorf("a number where none is left: %v", err)
	}
	f.expectIdle()
}

// A group ends before it gets too large, unless it is one request; those left out
// come first in the next.
func TestGroupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sized := func(name string, sizeBytes int) *batch.Batch {
			b := new(batch.Batch)
			must(t, b.Set(nil, []byte(name), make([]byte, sizeBytes-16)))
			value := make([]byte, sizeBytes-16+sizeBytes-b.SizeBytes())
			b.Reset()
			must(t, b.Set(nil, []byte(name), value))
			if b.SizeBytes() != sizeBytes {
				t.Fatalf("a batch of %d bytes, want %d", b.SizeBytes(), sizeBytes)
			}
			return b
		}
		small := batchOf(t, "x").SizeBytes()
		release := f.holdAt("log first")
		commits := []*committer{f.commit(Async, "first")}
		for _, b := range []*batch.Batch{
			sized("a", groupMaxBytes/2), sized("b", groupMaxBytes/2), // just fit together
			sized("c", groupMaxBytes-small+1), batchOf(t, "d"), // just do not
			sized("e", groupMaxBytes+1000), batchOf(t, "f"), // too large for any company
		} {
			commits = append(commits, start(func() error { return f.Commit(context.Background(), b, Async, nil) }))
		}
		release()
		for _, c := range commits {
			f.expect(c, nil)
		}
		var got []string
		for _, g := range f.groups {
			names := make([]string, len(g.Payloads))
			for i, p := range g.Payloads {
				names[i] = string(p)
			}
			got = append(got, strings.Join(names, " "))
		}
		want := "first|a b|c|d|e|f"
		if strings.Join(got, "|") != want {
			t.Errorf("groups %q, want %q", strings.Join(got, "|"), want)
		}
		f.expectIdle()
	})
}

// An empty batch takes no number, and has its turn all the same.
func TestEmptyBatch(t *testing.T) {
	f := newFake(t)
	must(t, f.Commit(context.Background(), new(batch.Batch), Sync, nil))
	must(t, f.Commit(context.Background(), batchOf(t, "a"), Sync, nil))
	f.expectSpans("1-0", "1-1")
}

// The writes of one key need no batch of the caller's, and are what a batch of one
// is.
func TestSingleWrites(t *testing.T) {
	f := newFake(t)
	space := &keyspace.Info{ID: 5}
	prefix, key, value := []byte{5}, []byte("key"), []byte("value")
	for name, c := range map[string]struct {
		write func() error
		fill  func(b *batch.Batch) error
	}{
		"set":    {func() error { return f.Set(space, prefix, key, value, Buffered) }, func(b *batch.Batch) error { return b.Set(prefix, key, value) }},
		"expire": {func() error { return f.SetExpiring(space, prefix, key, value, 7, Buffered) }, func(b *batch.Batch) error { return b.SetExpiring(prefix, key, value, 7) }},
		"merge":  {func() error { return f.Merge(space, prefix, key, value, Buffered) }, func(b *batch.Batch) error { return b.Merge(prefix, key, value) }},
		"delete": {func() error { return f.Delete(space, prefix, key, Buffered) }, func(b *batch.Batch) error { return b.Delete(prefix, key) }},
		"range":  {func() error { return f.DeleteRange(space, key, value, Buffered) }, func(b *batch.Batch) error { return b.DeleteRange(key, value) }},
	} {
		var want batch.Batch
		must(t, c.fill(&want))
		var got []byte
		var group Group
		f.env.WriteLog = func(g *Group) error {
			got, group = append(got[:0], g.Payloads[0]...), *g
			return nil
		}
		must(t, c.write())
		if string(got) != string(want.Bytes()) {
			t.Errorf("%s: wrote %q, want %q", name, got, want.Bytes())
		}
		if group.Durability != Buffered || group.Records != 1 || group.Expires != want.Expires() || group.Merges != want.Merges() {
			t.Errorf("%s: the group is %+v", name, group)
		}
	}
	// One that cannot even be encoded does not come to the queue.
	f.steps = nil
	if err := f.commitSingle(f.single(space), Sync, batch.ErrTooLarge); err != batch.ErrTooLarge {
		t.Errorf("a batch that is too large: %v", err)
	}
	f.expectSteps()
	f.expectIdle()
}

// Who was refused keeps the reason where the rest of the group fails.
func TestRefusalIsKeptWhenTheGroupFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.fail["validate b"], f.fail["log c"] = errConflict, errFake
		release := f.holdAt("log a")
		a := f.commit(Async, "a")
		b := f.commitReading("b")
		c := f.commit(Async, "c")
		release()
		f.expect(a, nil)
		f.expect(b, errConflict)
		f.expect(c, errFake)
	})
}

// Requests are used again, and no commit has the conditions of another one.
func TestConditionsAreNotKept(t *testing.T) {
	f := newFake(t)
	f.fail["validate a"], f.fail["validate b"] = errFake, errConflict
	for range 100 {
		if err := f.Commit(context.Background(), batchOf(t, "a"), Async, &view.ReadSet{}); err != errFake {
			t.Fatal(err)
		}
		must(t, f.Set(nil, nil, []byte("b"), nil, Async))
		must(t, f.Alone(context.Background(), func() error { return nil }))
		must(t, f.Commit(context.Background(), batchOf(t, "a"), Async, nil))
	}
}

// Whoever waits in line and is not wanted any more leaves it, and nothing of it is
// written; whose turn has come goes on to the end.
func TestContextEndsWaitingInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("log a")
		leading, stopLeader := context.WithCancelCause(t.Context())
		waiting, stopWaiting := context.WithCancelCause(t.Context())
		a := start(func() error { return f.Commit(leading, batchOf(t, "a"), Buffered, nil) })
		b := start(func() error { return f.Commit(waiting, batchOf(t, "b"), Buffered, nil) })
		alone := start(func() error { return f.Alone(waiting, func() error { t.Error("run"); return nil }) })
		c := start(func() error { return f.Commit(t.Context(), batchOf(t, "c"), Buffered, nil) })
		synctest.Wait()
		stopLeader(errors.New("too late"))
		stopWaiting(errFake)
		f.expect(b, errFake)
		f.expect(alone, errFake)
		release()
		f.expect(a, nil)
		f.expect(c, nil)
		f.expectSteps("room a", "log a", "apply a", "room c", "log c", "apply c")
		f.expectSpans("1-1", "2-2")
		f.expectIdle()
	})
}

// Who waits for the group that is under way waits for no other one, and holds nobody up.
func TestAwaitGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		must(t, f.AwaitGroup(t.Context())) // there is none
		releaseA, releaseB := f.holdAt("apply a"), f.holdAt("apply b")
		a := f.commit(Async, "a")
		first := start(func() error { return f.AwaitGroup(t.Context()) })
		b := f.commit(Async, "b")
		second := start(func() error { return f.AwaitGroup(t.Context()) })
		if first.returned() || second.returned() {
			t.Error("nobody has waited for the group")
		}
		releaseA()
		synctest.Wait()
		if !first.returned() || !second.returned() || !a.returned() || b.returned() {
			t.Errorf("returned: %v, %v; the commits %v, %v", first.returned(), second.returned(), a.returned(), b.returned())
		}
		f.expect(first, nil)
		f.expect(second, nil)

		ctx, cancel := context.WithCancel(t.Context())
		impatient := start(func() error { return f.AwaitGroup(ctx) })
		cancel()
		f.expect(impatient, context.Canceled)
		third := start(func() error { return f.AwaitGroup(t.Context()) })
		releaseB()
		f.expect(b, nil)
		f.expect(third, nil)
		f.expectIdle()
		must(t, f.AwaitGroup(t.Context()))
		f.expect(f.commit(Async, "c"), nil)
		f.expectIdle()
	})
}

// Where much waits for a worker, who has committed lets it have the processor.
func TestLeaderLetsWorkersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	f := newFake(t)
	var worked atomic.Bool
	f.behind = func() bool {
		must(t, f.AwaitGroup(t.Context())) // the turn has been given away, so this does not wait
		go worked.Store(true)
		return true
	}
	must(t, f.Commit(nil, batchOf(t, "a"), Async, nil))
	if !worked.Load() {
		t.Error("the worker has not run")
	}
}
