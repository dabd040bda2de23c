package writer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

// A memtable takes groups as long as they fit, and ends where one does not.
func TestMemtableEndsWhereAGroupDoesNotFit(t *testing.T) {
	r := newRoom(t)
	must(t, r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil)) // empty: whatever is not large fits
	r.expectParts("M9")
	must(t, r.Commit(context.Background(), sized(t, 2), commit.Async, nil))
	r.expectParts("M9")
	before := r.reads.State().Mem
	must(t, r.Commit(context.Background(), sized(t, 100), commit.Async, nil))
	r.expectParts("M9 M9")
	s := r.reads.State()
	if s.Immutables[0] != before || before.LastSeq != nearlyFull+2 {
		t.Errorf("the full memtable has numbers up to %d", before.LastSeq)
	}
	if s.Mem.FirstLog <= before.FirstLog || s.Mem.FirstPosition <= before.FirstPosition ||
		r.segments.CurrentBytes() < 98<<10 || r.segments.CurrentBytes() > 101<<10 {
		t.Errorf("the new memtable begins in segment %d at %d, which has %d bytes",
			s.Mem.FirstLog, s.Mem.FirstPosition, r.segments.CurrentBytes())
	}
}

// Range deletes end a memtable when it is full and not before, and the one that does
// goes into the next: what they may have to copy counts.
func TestRangeDeletesFillAMemtable(t *testing.T) {
	r := newRoom(t)
	for i := 0; len(r.reads.State().Immutables) == 0; i++ {
		key := func(at int) []byte { return fmt.Appendf(nil, "\x00%06d", at) }
		at := 10 * (i * 7919 % 10_000)
		must(t, r.DeleteRange(nil, key(at), key(at+5), commit.Async))
	}
	full := r.reads.State().Immutables[0].Table
	if n := full.RangeDeletes().Count(); n < 150 || full.UsedBytes() < r.cfg.MemtableBytes*3/4 {
		t.Errorf("a memtable ends with %d range deletes, in %d bytes", n, full.UsedBytes())
	}
	if n := r.reads.State().Mem.Table.RangeDeletes().Count(); n != 1 {
		t.Errorf("the next one begins with %d", n)
	}
}

// A large group is a part of its own, behind all that came before it. Where large
// groups alone have filled a segment, that is left.
func TestLargeGroups(t *testing.T) {
	r := newRoom(t)
	must(t, r.set("\x00\x00\x00", "before"))
	large := sized(t, tooLarge)
	must(t, r.Commit(context.Background(), large, commit.Async, nil))
	r.expectParts("M0 L9 M1")
	s := r.reads.State()
	if s.Immutables[0].LastSeq != tooLarge+1 || s.Immutables[0].FirstLog != s.Mem.FirstLog || r.reads.VisibleSeq() != tooLarge+1 {
		t.Errorf("the large group ends at %d in segment %d; %d is visible",
			s.Immutables[0].LastSeq, s.Immutables[0].FirstLog, r.reads.VisibleSeq())
	}
	// Its bytes are its own.
	clear(large.Bytes())
	if got := r.get("\x00\x00\x00"); got != strings.Repeat("v", 1004) {
		t.Errorf("the value is %.20q with %d bytes", got, len(got))
	}
	r.forget()
	r.forget()
	r.expectParts("M0")
	must(t, r.changed.Wait(context.Background(), func() bool { return r.segments.Prepared() != 0 }))
	first := r.reads.State().Mem.FirstLog
	must(t, r.Commit(context.Background(), sized(t, tooLarge), commit.Async, nil)) // the segment is full of the one before
	r.expectParts("M0 L9")
	if next := r.reads.State().Mem.FirstLog; next == first {
		t.Error("the segment that large groups have filled is not left")
	}
}

// Commits wait while as many memtables as may wait for their flush, and for a log
// segment; the time is noted.
func TestCommitsWaitForFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		for range maxImmutables + 1 {
			must(t, r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil))
		}
		r.expectParts("M9 M9 M9")
		for forgets, b := range []*batch.Batch{sized(t, nearlyFull), sized(t, tooLarge)} {
			done := make(chan error, 1)
			go func() { done <- r.Commit(context.Background(), b, commit.Async, nil) }()
			time.Sleep(time.Second)
			synctest.Wait()
			select {
			case err := <-done:
				t.Errorf("the commit did not wait: %v", err)
			default:
			}
			stalled := r.StallTime()
			for range forgets + 1 {
				r.forget()
			}
			must(t, <-done)
			if got := r.StallTime() - stalled; got != time.Second {
				t.Errorf("a wait of %v was noted", got)
			}
			if len(r.reads.State().Immutables) > maxImmutables {
				r.forget()
			}
		}
	})
}

// Also a large group waits that needs neither memtable nor segment.
func TestLargeGroupsWaitForFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		for range maxImmutables {
			must(t, r.set("\x00a", "1"))
			must(t, r.Rotate(r.LastSeq()))
		}
		done := make(chan error, 1)
		go func() { done <- r.Commit(context.Background(), sized(t, tooLarge), commit.Async, nil) }()
		synctest.Wait()
		r.expectParts("M0 M1 M1")
		r.forget()
		must(t, <-done)
		r.expectParts("M0 L9 M1")
		// With it, all that waits would be more than memtables may take.
		for _, parts := range []string{"M0 L9 M1", "M0 L9"} {
			go func() { done <- r.Commit(context.Background(), sized(t, tooLarge), commit.Async, nil) }()
			synctest.Wait()
			r.expectParts(parts)
			r.forget()
			synctest.Wait()
			if parts == "M0 L9 M1" {
				r.expectParts("M0 L9")
				r.forget()
			}
			must(t, <-done)
			r.expectParts("M0 L9")
		}
	})
}

// A group that cannot be applied is in the log already: nothing may follow it.
func TestApplyThatFailsPoisons(t *testing.T) {
	r := newRoom(t)
	r.expect(&commit.Group{Payloads: [][]byte{{1, 0, 0, 0, 99}}})
	err := r.applyGroup(&commit.Group{First: 1, Last: 1, Records: 1})
	wantErr(t, err, batch.ErrEncoding)
	wantErr(t, r.health.Err(), batch.ErrEncoding)
	if r.published != 0 || r.reads.VisibleSeq() != 0 {
		t.Errorf("published %d times, up to %d", r.published, r.reads.VisibleSeq())
	}
	wantErr(t, r.set("\x00a", "1"), batch.ErrEncoding)
}

// Who waits for what will not come soon is told why.
func TestWaitsEndWithAReason(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(r *room)
		want    error
		text    string
	}{
		"a flush fails": {func(r *room) {
			r.mu.Lock()
			r.flushErr = errInjected
			r.mu.Unlock()
			r.changed.Notify()
		}, errInjected, "wait for a flush"},
		"the database refuses writes": {func(r *room) { r.health.Poison("manifest", errInjected) }, errInjected, "writes are refused"},
		"the database closes":         {func(r *room) { r.stop() }, base.ErrClosed, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRoom(t)
			for range maxImmutables + 1 {
				must(t, r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil))
			}
			done := make(chan error, 1)
			go func() { done <- r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil) }()
			synctest.Wait()
			visible := r.reads.VisibleSeq()
			c.happens(r)
			err := <-done
			wantErr(t, err, c.want)
			if !strings.Contains(err.Error(), c.text) || r.reads.VisibleSeq() != visible {
				t.Errorf("%s: %v; visible is %d", name, err, r.reads.VisibleSeq())
			}
			r.expectParts("M9 M9 M9")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		r.fs.Add(faultfs.Rule{Kinds: vfs.OpCreate, Err: errInjected, Sticky: true})
		must(t, r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil))
		must(t, r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil)) // takes the segment that was ready
		r.forget()
		must(t, r.set("\x00a", "1")) // needs none
		var err error
		for i := 0; err == nil && i < 10*segmentMemtables; i++ { // in the segment that is there
			place := r.reads.State().Mem
			if err = r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil); err == nil {
				next := r.reads.State().Mem
				if next.FirstLog != place.FirstLog || next.FirstPosition <= place.FirstPosition {
					t.Fatalf("a memtable begins at %d in segment %d, the one before at %d in %d",
						next.FirstPosition, next.FirstLog, place.FirstPosition, place.FirstLog)
				}
				r.forget()
			}
		}
		wantErr(t, err, errInjected)
		if n := r.segments.CurrentBytes(); n < segmentMemtables*memtableBytes || n > (segmentMemtables+1)*memtableBytes {
			t.Errorf("a segment took %d bytes", n)
		}
		if !strings.Contains(err.Error(), "wait for a log segment") {
			t.Error(err)
		}
		r.reads.Update(func(c *view.Change) {
			c.Mem, err = view.NewMemtable(&r.memory, memtableBytes)
			must(t, err)
		})
		must(t, r.waitForFlushes(wait{parts: maxImmutables})) // as a large group does
		r.fs.Reset()
		time.Sleep(time.Second)
		synctest.Wait()
		must(t, r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil))
	})
}

// What is not writable takes no group, and one that fails in the log is not applied.
func TestRefusedGroups(t *testing.T) {
	r := newRoom(t)
	r.fs.Add(faultfs.Rule{Kinds: vfs.OpAnySync, Err: errInjected})
	must(t, r.set("\x00a", "1"))
	wantErr(t, r.Set(nil, nil, []byte("\x00a"), []byte("2"), commit.Sync), errInjected)
	if r.get("\x00a") != "1" || r.published != 1 {
		t.Errorf("the value is %q; published %d times", r.get("\x00a"), r.published)
	}
	wantErr(t, r.set("\x00a", "3"), errInjected)
	wantErr(t, r.health.Err(), errInjected)

	r = newRoom(t)
	r.reads.Close()
	wantErr(t, r.set("\x00a", "1"), base.ErrClosed)
	r.reads.GiveUp()
}

// Each durability asks of the log what it needs, and no more.
func TestDurability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		for _, c := range []struct {
			durability    commit.Durability
			writes, syncs int64
		}{{commit.Async, 0, 0}, {commit.Buffered, 1, 0}, {commit.Sync, 1, 1}} {
			writes, syncs := r.fs.Count(vfs.OpWrite), r.fs.Count(vfs.OpAnySync)
			must(t, r.Set(nil, nil, []byte("\x00a"), nil, c.durability))
			writes, syncs = r.fs.Count(vfs.OpWrite)-writes, r.fs.Count(vfs.OpAnySync)-syncs
			if writes != c.writes || syncs != c.syncs {
				t.Errorf("durability %d: %d writes, %d syncs", c.durability, writes, syncs)
			}
			time.Sleep(time.Second)
		}
		writes := r.fs.Count(vfs.OpWrite)
		must(t, r.Set(nil, nil, []byte("\x00a"), nil, commit.Async))
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if r.fs.Count(vfs.OpWrite) != writes+1 {
			t.Error("an asynchronous commit is not written within its delay")
		}
	})
}

// The clock is looked at from the first expiring record on, before it is visible.
func TestExpiringGroupsUseTheTimeline(t *testing.T) {
	r := newRoom(t)
	must(t, r.set("\x00a", "1"))
	if r.timeline.ReadTime() != 0 {
		t.Error("the clock is used where nothing expires")
	}
	must(t, r.SetExpiring(nil, nil, []byte("\x00a"), []byte("2"), base.InstantMax, commit.Async))
	if r.timeline.ReadTime() == 0 {
		t.Error("the clock is not used")
	}
}

// Commits are slowed down by what background work owes, a sleep at a time.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		start := time.Now()
		must(t, r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil))
		if time.Since(start) != 0 || r.StallTime() != 0 {
			t.Errorf("a pause of %v where nothing is owed", time.Since(start))
		}
		for range maxImmutables {
			must(t, r.Commit(context.Background(), sized(t, nearlyFull), commit.Async, nil))
		}
		r.Flushed(1<<10, 1<<10*500) // half a microsecond a byte
		start = time.Now()
		must(t, r.Commit(context.Background(), sized(t, 2), commit.Async, nil)) // into a memtable that is nearly full
		if took := time.Since(start); took < sleepMin || took > 2*sleepMin || r.StallTime() != took {
			t.Errorf("a pause of %v, of which %v were noted", took, r.StallTime())
		}
		start = time.Now()
		must(t, r.set("\x00a", "1"))
		if took := time.Since(start); took != 0 {
			t.Errorf("a pause of %v for a few bytes", took)
		}
	})
}

// A request is validated against those ahead of it, and against what is visible.
func TestValidate(t *testing.T) {
	r := newRoom(t)
	must(t, r.set("\x00a", "1"))
	var reads txn.Reads
	reads.AddPoint([]byte("\x00b"))
	reads.Freeze()
	set := &view.ReadSet{Since: 1, Reads: &reads}
	request := func(key string) *commit.Request {
		var b batch.Batch
		must(t, b.Set(nil, []byte(key), nil))
		return &commit.Request{Batch: &b, Reads: set}
	}
	must(t, r.validate(request("\x00x"), nil))
	must(t, r.validate(request("\x00x"), []*commit.Request{request("\x00a"), request("\x00c")}))
	wantErr(t, r.validate(request("\x00x"), []*commit.Request{request("\x00a"), request("\x00b")}), txn.ErrConflict)
	must(t, r.set("\x00b", "2"))
	wantErr(t, r.validate(request("\x00x"), nil), txn.ErrConflict)
}

func TestSealInPlace(t *testing.T) {
	r := newRoom(t)
	before := r.reads.State()
	must(t, r.SealInPlace(0))
	if r.reads.State() != before {
		t.Error("an empty memtable was sealed")
	}
	must(t, r.set("\x00a", "1"))
	must(t, r.SealInPlace(r.LastSeq()))
	r.expectParts("M0 M1")
	s := r.reads.State()
	if s.Mem.FirstLog != before.Mem.FirstLog || s.Mem.FirstPosition != before.Mem.FirstPosition ||
		s.Immutables[0].LastSeq != 1 || r.get("\x00a") != "1" {
		t.Errorf("the new memtable begins in segment %d at %d", s.Mem.FirstLog, s.Mem.FirstPosition)
	}
}
