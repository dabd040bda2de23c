package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// These tests run in bubbles of testing/synctest, where time passes only when
// everybody waits: so what takes time takes exactly as long as it says, and a
// goroutine that is left behind fails the test.

// timerClock counts the timers that are running.
type timerClock struct {
	clock.Clock
	running atomic.Int64
}

type countedTimer struct {
	clock.Timer
	running *atomic.Int64
}

func (c *timerClock) AfterFunc(d time.Duration, fn func()) clock.Timer {
	c.running.Add(1)
	return countedTimer{c.Clock.AfterFunc(d, func() {
		c.running.Add(-1)
		fn()
	}), &c.running}
}

func (t countedTimer) Stop() bool {
	stopped := t.Timer.Stop()
	if stopped {
		t.running.Add(-1)
	}
	return stopped
}

func (db *DB) setString(t *testing.T, key, value string, d commit.Durability) {
	t.Helper()
	must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte(value), d))
}

// TestAsyncReachesTheSystemAfterItsDelay: not before, so that commits share
// writes, and not after, which is the promise. Commits in between go along and
// do not push it back.
func TestAsyncReachesTheSystemAfterItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		opts := testOptions(disk)
		opts.AsyncDelay = 30 * time.Millisecond
		db := openTest(t, opts)
		synctest.Wait()
		var writes atomic.Int64
		disk.SetHook(func(op vfs.Op) error {
			if op.Kind == vfs.OpWrite {
				writes.Add(1)
			}
			return nil
		})
		expect := func(when string, want int64) {
			t.Helper()
			synctest.Wait()
			if got := writes.Load(); got != want {
				t.Errorf("%s: %d writes, want %d", when, got, want)
			}
		}
		for round := range int64(3) {
			db.setString(t, "a", "1", commit.Async)
			time.Sleep(opts.AsyncDelay / 2)
			db.setString(t, "b", "2", commit.Async)
			time.Sleep(opts.AsyncDelay/2 - 1)
			expect("just before the delay is over", round)
			time.Sleep(1)
			expect("when the delay is over", round+1)
			time.Sleep(time.Hour)
			expect("an hour later", round+1)
		}
		must(t, db.Close())
	})
}

// TestIdleDatabaseDoesNothing: when all that was begun is done, no timer runs
// and no file is touched, however long it takes.
func TestIdleDatabaseDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		opts := testOptions(disk)
		timers := &timerClock{Clock: opts.Clock}
		opts.Clock = timers
		db := openTest(t, opts)
		fillFile(t, db, "a", 100)
		db.setString(t, "b", "1", commit.Async)
		if n := timers.running.Load(); n != 2 {
			t.Errorf("%d timers wait, want one for the delay of an Async commit and one for the next look at the lock", n)
		}
		time.Sleep(opts.AsyncDelay)
		synctest.Wait()
		for _, d := range []commit.Durability{commit.Buffered, commit.Sync} {
			db.setString(t, "b", "2", d)
		}
		synctest.Wait()
		before := disk.Ops()
		time.Sleep(time.Hour)
		if n := timers.running.Load(); n != 0 {
			t.Errorf("%d timers run in an idle database", n)
		}
		if n := disk.Ops() - before; n != 0 {
			t.Errorf("%d operations in an idle hour", n)
		}
		must(t, db.Close())
	})
}

// Close stops the timer of an Async commit. It ran on after Close, up to
// AsyncDelay, and held the closed database in memory.
func TestCloseEndsTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := testOptions(memfs.New())
		opts.AsyncDelay = time.Minute
		timers := &timerClock{Clock: opts.Clock}
		opts.Clock = timers
		db := openTest(t, opts)
		db.setString(t, "a", "1", commit.Async)
		start := time.Now()
		must(t, db.Close())
		if n, took := timers.running.Load(), time.Since(start); n != 0 || took != 0 {
			t.Errorf("after Close, which took %v, %d timers run", took, n)
		}
	})
}

// TestFailedFlushIsTriedAgain: after a second, and a Close that comes earlier
// does not wait for it.
func TestFailedFlushIsTriedAgain(t *testing.T) {
	for _, closeEarly := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			files := faultfs.New(memfs.New())
			opts := testOptions(files)
			timers := &timerClock{Clock: opts.Clock}
			opts.Clock = timers
			db := openTest(t, opts)
			files.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Err: errors.New("injected")})
			db.setString(t, "a", "1", commit.Sync)
			start := time.Now()
			go func() {
				if err := db.Flush(context.Background()); err == nil {
					t.Error("the flush that failed was reported as done")
				}
			}()
			time.Sleep(retryDelay - 1)
			synctest.Wait()
			if n := db.Metrics().Flushes; n != 0 {
				t.Errorf("%d flushes before the delay is over", n)
			}
			if !closeEarly {
				time.Sleep(1)
				synctest.Wait()
				if n := db.Metrics().Flushes; n != 1 {
					t.Errorf("%d flushes when the delay is over", n)
				}
			}
			took := time.Since(start)
			must(t, db.Close())
			if n := timers.running.Load(); n != 0 || time.Since(start) != took {
				t.Errorf("after Close, which took %v, %d timers run", time.Since(start)-took, n)
			}
		})
	}
}

// TestPauseTakesWhatIsOwed: commits that background work cannot follow wait, for
// as long as their bytes cost, but not for less than a millisecond at a time
// and not for more than ten.
func TestPauseTakesWhatIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, testOptions(memfs.New()))
		rs := &view.State{Tree: &store.Tree{Runs: paceEnd * db.opts.L0Files}} // as slow as it gets
		var b batch.Batch
		must(t, b.Set([]byte{0}, []byte("a"), make([]byte, 400)))
		owed := time.Duration(slowestNSPerByte * float64(b.SizeBytes()))
		var want, gathered time.Duration
		start := time.Now()
		for range 50 {
			db.writer.Installed(rs)
			must(t, db.Commit(t.Context(), &b, commit.Async))
			if gathered += owed; gathered >= sleepMin {
				want += gathered
				gathered = 0
			}
			if took := time.Since(start); took != want {
				t.Fatalf("commits of %v each took %v, want %v", owed, took, want)
			}
		}
		if stalled := db.Metrics().StallTime; stalled != want {
			t.Errorf("a stall of %v is reported, want %v", stalled, want)
		}
		start = time.Now()
		must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), make([]byte, 40_000), commit.Async))
		if took := time.Since(start); took != sleepMax {
			t.Errorf("a large commit took %v, want %v", took, sleepMax)
		}
		must(t, db.Close())
	})
}

// TestCloseEndsAPause: nobody sleeps in a database that is being closed. The
// commit that has begun goes on and is there.
func TestCloseEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := testOptions(memfs.New())
		db := openTest(t, opts)
		rs := &view.State{Tree: &store.Tree{Runs: paceEnd * db.opts.L0Files}}
		db.writer.Installed(rs)
		start := time.Now()
		go func() {
			err := db.Commits().Set(nil, []byte{0}, []byte("a"), make([]byte, 40_000), commit.Sync)
			if took := time.Since(start); err != nil || took > sleepMax {
				t.Errorf("the commit in progress took %v: %v", took, err)
			}
		}()
		synctest.Wait()
		must(t, db.Close())
		if took := time.Since(start); took > sleepMax {
			t.Errorf("Close took %v", took)
		}
		db = openTest(t, opts)
		if _, err := db.Reads().AppendGet(nil, []byte{0, 'a'}); err != nil {
			t.Errorf("the commit in progress: %v", err)
		}
		must(t, db.Close())
	})
}

// TestJanitorWaitsForReaders: a memtable that was flushed lives while a reader
// that may see it is inside, and goes when it has left, without anybody asking.
func TestJanitorWaitsForReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, testOptions(memfs.New()))
		fill(t, db, "a", 100)
		used := func() int64 {
			time.Sleep(time.Minute) // the janitor looks again and again
			synctest.Wait()
			return db.memory.Bytes(offheap.OwnerMemtable)
		}
		one := used()
		err := db.Reads().GetFunc([]byte("\x00a00001"), func([]byte) error {
			must(t, db.Flush(context.Background()))
			if n := used(); n < one {
				t.Errorf("%d bytes of memtables while a reader is inside, want at least the old one's %d", n, one)
			}
			return nil
		})
		must(t, err)
		if n := used(); n >= one {
			t.Errorf("%d bytes of memtables after the reader has left, want only an empty one's", n)
		}
		must(t, db.Close())
	})
}
