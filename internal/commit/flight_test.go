package commit

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
)

// While one sync runs, what comes goes to the log; the next sync is for all of it, and its
// leader sees to that, so that nobody is kept for others. Nothing is visible before its sync.
func TestGroupsAreAppendedDuringASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("sync")
		a := f.commit(Sync, "a")
		b := f.commit(Sync, "b1", "b2")
		c := f.commit(Sync, "c")
		f.expectSteps("room a", "append a", "sync", "join b1+b2", "append b1+b2", "join c", "append c")
		f.expectWaiting(0)
		if a.returned() || b.returned() || c.returned() {
			t.Error("a commit returned before its sync")
		}
		release2 := f.holdAt("sync")
		release()
		f.expect(a, nil)
		synctest.Wait()
		if b.returned() || c.returned() {
			t.Error("a commit returned after the sync of another one")
		}
		f.expectSteps("apply a", "sync")
		d := f.commit(Sync, "d")
		f.expectSteps("join d", "append d")
		release3 := f.holdAt("sync")
		release2()
		f.expect(b, nil)
		f.expect(c, nil)
		synctest.Wait()
		if d.returned() {
			t.Error("what was appended during a sync counts as durable after it")
		}
		f.expectSteps("apply b1+b2 c", "sync")
		release3()
		f.expect(d, nil)
		f.expectSteps("apply d")
		f.expectSpans("1-1", "2-3", "4-4", "5-5")
		f.expectIdle()
	})
}

// What lands together is one group of all, for the memtable.
func TestLandingIsTheSumOfItsFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var applied []Group
		f.env.Apply = func(g *Group) error { applied = append(applied, *g); return nil }
		expiring, merging := new(batch.Batch), new(batch.Batch)
		must(t, expiring.SetExpiring(nil, []byte("c"), []byte("value"), 1))
		must(t, merging.Merge(nil, []byte("d"), []byte("operand")))
		release := f.holdAt("sync")
		commits := []*committer{f.commit(Sync, "a", "b")}
		for _, b := range []*batch.Batch{expiring, merging} {
			commits = append(commits, start(func() error { return f.Commit(context.Background(), b, Sync, nil) }))
		}
		release()
		for _, c := range commits {
			f.expect(c, nil)
		}
		first, both := applied[0], applied[1]
		if span(first) != "1-2" || !first.Flown || first.Sole == nil || first.Merges || first.Expires || first.Records != 2 {
			t.Errorf("the first group is %+v", first)
		}
		if span(both) != "3-4" || !both.Flown || both.Sole != nil || !both.Merges || !both.Expires || !both.Adds || both.Records != 2 ||
			both.Durability != Sync || both.SizeBytes != int64(expiring.SizeBytes()+merging.SizeBytes()) ||
			both.MemtableBytes != expiring.MemtableBytes()+merging.MemtableBytes() {
			t.Errorf("the second landing is %+v", both)
		}
		f.expectIdle()
	})
}

// Those who find the turn taken go together in flight as well.
func TestQueuedGroupFlies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release, release2 := f.holdAt("append a"), f.holdAt("sync")
		a := f.commit(Sync, "a")
		b := f.commit(Async, "b")
		c := f.commit(Sync, "c")
		f.expectWaiting(2)
		release()
		synctest.Wait()
		f.expectSteps("room a", "append a", "sync", "join b c", "append b c")
		release2()
		for _, commit := range []*committer{a, b, c} {
			f.expect(commit, nil)
		}
		f.expectSteps("apply a", "sync", "apply b c")
		f.expectIdle()
	})
}

// What asks for less than a sync flies behind what asks for one, and does not pass it; by
// itself it causes no sync.
func TestWeakerDurabilityBehindAFlight(t *testing.T) {
	for d, step := range map[Durability]string{Async: "wait", Buffered: "flush"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			release := f.holdAt("sync")
			a := f.commit(Sync, "a")
			b := f.commit(d, "b")
			if b.returned() {
				t.Error("a commit passes one in flight")
			}
			release()
			f.expect(a, nil)
			f.expect(b, nil)
			f.expectSteps("room a", "append a", "sync", "join b", "append b", "apply a", step, "apply b")
			f.expect(f.commit(d, "c"), nil)
			f.expectSteps("room c", "log c", "apply c")
			f.expectIdle()
		})
	}
}

// After a failure of the log or the memtable nothing that is in flight becomes visible, nor
// anything that flies later.
func TestFailureFailsAllFlights(t *testing.T) {
	for step, applied := range map[string][]string{"sync": nil, "apply a": {"apply a"}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.fail[step] = errFake
			release := f.holdAt("sync")
			a := f.commit(Sync, "a")
			b := f.commit(Sync, "b")
			c := f.commit(Async, "c")
			f.expectSteps("room a", "append a", "sync", "join b", "append b", "join c", "append c")
			release()
			f.expect(a, errFake)
			f.expect(b, errFake)
			f.expect(c, errFake)
			f.expectSteps(applied...)
			delete(f.fail, step)
			f.expect(f.commit(Sync, "d"), errFake)
			f.expectSteps("room d", "append d")
			f.expectIdle()
		})
	}
}

// A group that the log refuses does not fly and takes no number.
func TestRefusedByTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("sync")
		a := f.commit(Sync, "a")
		f.fail["append b"] = errFake
		f.expect(f.commit(Sync, "b"), errFake)
		c := f.commit(Sync, "c")
		release()
		f.expect(a, nil)
		f.expect(c, nil)
		f.expectSpans("1-1", "2-2", "2-2")
		f.expectIdle()
	})
}

// What is alone is so without anything in flight, and the commits of its own do not fly.
func TestAloneWaitsForFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("sync")
		a := f.commit(Sync, "a")
		b := f.commit(Sync, "b")
		alone := start(func() error {
			return f.Alone(t.Context(), func() error {
				if f.LastSeq() != 2 {
					t.Errorf("the last number is %d", f.LastSeq())
				}
				_ = f.step("alone", "alone")
				return f.CommitAsLeader(batchOf(t, "x"), Sync)
			})
		})
		c := f.commit(Sync, "c")
		f.expectSteps("room a", "append a", "sync", "join b", "append b")
		f.expectWaiting(1)
		release()
		for _, commit := range []*committer{a, b, alone, c} {
			f.expect(commit, nil)
		}
		f.expectSteps("apply a", "sync", "apply b", "alone", "room x", "log x", "apply x", "room c", "append c", "sync", "apply c")
		f.expectSpans("1-1", "2-2", "3-3", "4-4")
		f.expectIdle()
	})
}

// Where a group takes more than to count, it waits until nothing is in flight; and a large
// one keeps the turn.
func TestRoomIsMadeWithNothingInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.alone = true
		release := f.holdAt("sync")
		a := f.commit(Sync, "a")
		b := f.commit(Async, "b")
		f.expectSteps("room a", "append a", "sync")
		release()
		f.expect(a, nil)
		f.expect(b, nil)
		f.expectSteps("apply a", "room b", "log b", "apply b")

		f.large = true
		release = f.holdAt("log c")
		c := f.commit(Sync, "c")
		d := f.commit(Sync, "d")
		f.expectWaiting(1)
		release()
		f.expect(c, nil)
		f.expect(d, nil)
		f.expectSteps("room c", "log c", "apply c", "room d", "log d", "apply d")
		f.expectIdle()
	})
}

// Who waits for the commits under way waits for those in flight, and for no later ones.
func TestAwaitGroupWaitsForFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("sync")
		a := f.commit(Sync, "a")
		first := start(func() error { return f.AwaitGroup(t.Context()) })
		b := f.commit(Sync, "b")
		ctx, cancel := context.WithCancel(t.Context())
		impatient := start(func() error { return f.AwaitGroup(ctx) })
		if first.returned() || impatient.returned() {
			t.Error("nobody has waited for the group")
		}
		cancel()
		f.expect(impatient, context.Canceled)
		release2 := f.holdAt("sync")
		release()
		f.expect(a, nil)
		f.expect(first, nil)
		if b.returned() {
			t.Error("the second group is done")
		}
		release2()
		f.expect(b, nil)
		must(t, f.AwaitGroup(t.Context()))
		f.expectIdle()
	})
}

// readsOf is what a transaction has read.
func readsOf(keys ...string) *view.ReadSet {
	r := &view.ReadSet{Reads: new(txn.Reads)}
	for _, key := range keys {
		r.Reads.AddPoint([]byte(key))
	}
	r.Reads.Freeze()
	return r
}

// What was read must not be written in flight either. Who is refused for that comes back
// when the other write is visible: he would only meet it again before.
func TestValidationAgainstFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		release := f.holdAt("sync")
		a := f.commit(Sync, "a")
		b := f.commit(Sync, "b")
		commit := func(ctx context.Context, key string, reads ...string) *committer {
			return start(func() error { return f.Commit(ctx, batchOf(t, key), Sync, readsOf(reads...)) })
		}
		c := commit(context.Background(), "c", "a")
		d := commit(context.Background(), "d", "x", "b")
		e := commit(context.Background(), "e", "c", "x") // the one that is refused has written nothing
		if c.returned() || d.returned() {
			t.Error("a conflict was reported before what is in conflict is visible")
		}
		var conflict *txn.ConflictError
		release2 := f.holdAt("sync")
		release()
		f.expect(a, nil)
		if <-c.done; !errors.As(c.err, &conflict) || string(conflict.Key) != "a" {
			t.Errorf("got %v", c.err)
		}
		synctest.Wait()
		if d.returned() {
			t.Error("a conflict was reported before what is in conflict is visible")
		}
		release2()
		f.expect(b, nil)
		if <-d.done; !errors.As(d.err, &conflict) || string(conflict.Key) != "b" {
			t.Errorf("got %v", d.err)
		}
		f.expect(e, nil)
		f.expectSteps("room a", "append a", "sync", "join b", "append b", "validate e behind []", "join e", "append e",
			"apply a", "sync", "apply b e")
		must(t, f.Commit(t.Context(), batchOf(t, "c"), Sync, readsOf("a", "b", "e"))) // it is visible: for Validate to say
		f.expectIdle()
	})
}

// A leader that is refused itself lands its group all the same.
func TestRefusedLeaderLands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.fail["validate b"] = errFake
		release := f.holdAt("append a")
		a := f.commit(Sync, "a")
		b := f.commitReading("b")
		c := f.commit(Sync, "c")
		release()
		f.expect(a, nil)
		f.expect(b, errFake)
		f.expect(c, nil)
		f.expectSpans("1-1", "2-2")
		f.expectIdle()
	})
}

// Deletes go on where what adds finds no space, in flight too.
func TestDeletesFlyWithoutSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.fail["append b d"] = vfs.ErrNoSpace
		release, release2 := f.holdAt("append a"), f.holdAt("sync")
		a := f.commit(Sync, "a")
		b := f.commit(Sync, "b")
		d := start(func() error { return f.Delete(nil, nil, []byte("d"), Sync) })
		release()
		release2()
		f.expect(a, nil)
		f.expect(b, vfs.ErrNoSpace)
		f.expect(d, nil)
		if f.LastSeq() != 2 {
			t.Errorf("the last number is %d", f.LastSeq())
		}
		f.expectIdle()
	})
}

// Who may give up does so while the disk keeps others, and is not in the log; what has come
// there goes on to the end. Who asks to be alone gives up until he is.
func TestContextEndsBesideASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		leading, stopLeader := context.WithCancel(t.Context())
		waiting, stopWaiting := context.WithCancelCause(t.Context())
		release, release2 := f.holdAt("sync"), f.holdAt("flush")
		a := start(func() error { return f.Commit(leading, batchOf(t, "a"), Sync, nil) })
		b := start(func() error { return f.Commit(waiting, batchOf(t, "b"), Sync, nil) })
		c := start(func() error { return f.Commit(t.Context(), batchOf(t, "c"), Buffered, nil) })
		alone := start(func() error { return f.Alone(waiting, func() error { t.Error("run"); return nil }) })
		f.expectSteps("room a", "append a", "sync")
		stopLeader()
		stopWaiting(errFake)
		f.expect(b, errFake)
		f.expect(alone, errFake)
		d := f.commit(Buffered, "d")
		release()
		f.expect(a, nil)
		synctest.Wait() // c comes too late for this landing, which d has to itself
		again, stopAgain := context.WithCancelCause(t.Context())
		alone = start(func() error { return f.Alone(again, func() error { t.Error("run"); return nil }) })
		stopAgain(errFake)
		f.expect(alone, errFake)
		release2()
		f.expect(c, nil)
		f.expect(d, nil)
		f.expect(f.commit(Async, "e"), nil)
		f.expectIdle()
	})
}

// Those who were woken by a sync and come back at once go with the next one, all of them:
// with half of them in each of two syncs, each would wait for two.
func TestWhoComesBackIsWaitedFor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const committers, each = 16, 50
	var p Pipeline
	env := emptyEnv()
	syncs := 0
	now := &ticking{Clock: env.Clock}
	env.Clock = now
	env.Harden = func(Durability) error {
		syncs++
		for range 3 { // the processor is others' meanwhile
			runtime.Gosched()
		}
		now.ticks.Add(1000)
		return nil
	}
	p.Init(env)
	var wg sync.WaitGroup
	for range committers {
		wg.Go(func() {
			for range each {
				must(t, p.Set(nil, nil, []byte("key"), nil, Sync))
			}
		})
	}
	wg.Wait()
	if syncs > each*5/4 {
		t.Errorf("%d syncs for %d commits by each of %d", syncs, each, committers)
	}
}
