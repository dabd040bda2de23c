package writer

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

// held makes the next sync of the log wait, and fail with err, until what is returned is
// called.
func (r *room) held(err error) (release func()) {
	gate := make(chan struct{})
	r.fs.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Err: err, Before: func(vfs.Op) { <-gate }})
	return sync.OnceFunc(func() { close(gate) })
}

// started starts a commit, as far as it gets.
func (r *room) started(b *batch.Batch, d commit.Durability) chan error {
	done := make(chan error, 1)
	go func() { done <- r.Commit(context.Background(), b, d, nil) }()
	synctest.Wait()
	return done
}

func one(t testing.TB, key, value string) *batch.Batch {
	t.Helper()
	var b batch.Batch
	must(t, b.Set(nil, []byte(key), []byte(value)))
	return &b
}

// While one sync is under way the next groups go to the log, and all of them are in the
// memtable after one more.
func TestGroupsFlyBehindASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		syncs := r.fs.Count(vfs.OpSyncData)
		release := r.held(nil)
		defer release()
		a := r.started(one(t, "\x00a", "1"), commit.Sync)
		before := r.segments.CurrentBytes()
		b := r.started(one(t, "\x00a", "2"), commit.Sync)
		c := r.started(one(t, "\x00c", "3"), commit.Async)
		if r.segments.CurrentBytes() <= before {
			t.Error("nothing was appended during a sync")
		}
		if r.get("\x00a") != "-" || r.reads.VisibleSeq() != 0 || r.published != 0 {
			t.Error("a group is visible before its sync")
		}
		release()
		must(t, <-a)
		must(t, <-b)
		must(t, <-c)
		if r.get("\x00a") != "2" || r.get("\x00c") != "3" || r.published != 2 {
			t.Errorf("found %q and %q; published %d times", r.get("\x00a"), r.get("\x00c"), r.published)
		}
		if n := r.fs.Count(vfs.OpSyncData) - syncs; n != 2 {
			t.Errorf("%d syncs", n)
		}
		if seq := r.segments.Log().DurableSeq(); seq != 3 {
			t.Errorf("durable up to %d", seq)
		}
	})
}

// After a sync that fails nothing of what is in flight is visible.
func TestFailedSyncWithGroupsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		release := r.held(errInjected)
		defer release()
		a := r.started(one(t, "\x00a", "1"), commit.Sync)
		b := r.started(one(t, "\x00b", "2"), commit.Async)
		release()
		wantErr(t, <-a, errInjected)
		wantErr(t, <-b, errInjected)
		wantErr(t, r.health.Err(), errInjected)
		wantErr(t, r.set("\x00c", "3"), errInjected)
		if r.get("\x00a") != "-" || r.get("\x00b") != "-" || r.published != 0 {
			t.Errorf("found %q and %q; published %d times", r.get("\x00a"), r.get("\x00b"), r.published)
		}
		if seq := r.segments.Log().DurableSeq(); seq != 0 {
			t.Errorf("durable up to %d", seq)
		}
	})
}

// The room of groups in flight is theirs, though the memtable does not have them yet: what
// does not fit behind them waits for them, and for a new memtable.
func TestRoomOfGroupsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		release := r.held(nil)
		defer release()
		a := r.started(sized(t, 60), commit.Sync)
		b := r.started(sized(t, 60), commit.Sync)
		before := r.segments.CurrentBytes()
		if before < 110<<10 {
			t.Errorf("the log has %d bytes", before)
		}
		c := r.started(sized(t, 100), commit.Sync)
		if r.segments.CurrentBytes() != before {
			t.Error("a group was appended for which there is no room")
		}
		release()
		must(t, <-a)
		must(t, <-b)
		must(t, <-c)
		r.expectParts("M9 M9")
		if n := r.reads.State().Immutables[0].LastSeq; n != 120 {
			t.Errorf("the first memtable ends at %d", n)
		}
	})
}

// A large group does not fly: it changes the read state.
func TestLargeGroupsDoNotFly(t *testing.T) {
	r := newRoom(t)
	large := group(sized(t, tooLarge), 1)
	if must(t, r.makeRoom(large)); !large.Large {
		t.Error("a group that goes into no memtable is not called so")
	}
	must(t, r.set("\x00a", "1"))
	must(t, r.Commit(context.Background(), sized(t, tooLarge), commit.Sync, nil))
	must(t, r.Commit(context.Background(), one(t, "\x00b", "2"), commit.Sync, nil))
	r.expectParts("M1 L9 M1")
}

// A group joins those in flight where there is nothing to do but to count.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		prepare := func() {
			first := group(one(t, "\x00a", "1"), 1)
			first.Durability = commit.Sync
			must(t, r.makeRoom(first))
		}
		joins := func(b *batch.Batch) bool { return r.join(group(b, 2)) }
		prepare()
		if !joins(one(t, "\x00b", "2")) || r.timeline.ReadTime() != 0 {
			t.Error("a small group does not join")
		}
		var expiring batch.Batch
		must(t, expiring.SetExpiring(nil, []byte("\x00c"), nil, base.InstantMax))
		if !joins(&expiring) || r.timeline.ReadTime() == 0 {
			t.Error("an expiring group does not join, or without the clock")
		}
		n := 0
		for r.heldBytes = 0; n < 100 && joins(sized(t, 20)); r.heldBytes = 0 {
			n++
		}
		if n < 6 || n > 12 {
			t.Errorf("%d groups of 20 KiB fit", n)
		}
		if joins(sized(t, tooLarge)) {
			t.Error("a large group joins")
		}

		prepare()
		b := one(t, "\x00b", "2")
		r.heldBytes = r.reserve.CoveredBytes() - view.TableBytes(1, int64(b.SizeBytes()))*3/2
		if !joins(b) || joins(b) {
			t.Error("a group joins that the reserve does not cover")
		}

		prepare()
		r.pace.full.Store(true)
		if joins(one(t, "\x00b", "2")) {
			t.Error("a group joins that owes a pause")
		}
		r.pace.full.Store(false)
		if !joins(one(t, "\x00b", "2")) {
			t.Error("a small group does not join any more")
		}
		_ = r.health.Poison("test", errInjected)
		if joins(one(t, "\x00b", "2")) {
			t.Error("a group joins where nothing may be written")
		}
		time.Sleep(time.Second)
	})
}
