package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// survivors opens what a crash leaves and returns which keys are there.
func survivors(t *testing.T, disk *memfs.FS, keep memfs.Policy, keys ...string) string {
	t.Helper()
	db, err := lightning.Open("db", small(disk.Crash(memfs.CrashOptions{Keep: keep})))
	must(t, err)
	out := ""
	for _, key := range keys {
		ok, err := db.Has([]byte(key))
		must(t, err)
		if ok {
			out += key
		}
	}
	must(t, db.Close())
	return out
}

// TestWhatEachDurabilityPromises commits at each level and looks at what is
// left when only synced bytes survive (power loss) and when all that the
// operating system has survives (the process was killed).
func TestWhatEachDurabilityPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		opts := small(disk)
		opts.Log.AsyncDelay = 20 * time.Millisecond
		db := open(t, opts)
		commit := func(key string, d lightning.Durability) {
			b := db.NewBatch()
			must(t, b.Put([]byte(key), nil))
			must(t, b.CommitWith(d))
		}
		expect := func(when, powerLoss, killed string) {
			t.Helper()
			if got := survivors(t, disk, memfs.KeepNone, "a", "f", "s"); got != powerLoss {
				t.Errorf("%s: power loss leaves %q, want %q", when, got, powerLoss)
			}
			if got := survivors(t, disk, memfs.KeepAll, "a", "f", "s"); got != killed {
				t.Errorf("%s: a kill leaves %q, want %q", when, got, killed)
			}
		}
		commit("a", lightning.DurabilityAsync)
		synctest.Wait()
		expect("after Async", "", "")
		time.Sleep(opts.Log.AsyncDelay)
		synctest.Wait()
		expect("after the delay of Async", "", "a")
		commit("f", lightning.DurabilityBuffered)
		expect("after Flush", "", "af")
		commit("s", lightning.DurabilitySync)
		expect("after Sync", "afs", "afs")
		must(t, db.Close())
	})
}

// TestSyncedWriteIsInvisibleUntilDurable holds a sync back and reads meanwhile:
// nobody may see a synced write that a crash could take back.
func TestSyncedWriteIsInvisibleUntilDurable(t *testing.T) {
	disk := memfs.New()
	db := open(t, small(disk))
	must(t, db.Put([]byte("a"), []byte("old")))
	inSync, goOn := make(chan bool), make(chan bool)
	var once sync.Once
	disk.SetHook(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData || op.Kind == vfs.OpSync {
			once.Do(func() {
				inSync <- true
				<-goOn
			})
		}
		return nil
	})
	done := make(chan error)
	go func() { done <- db.Put([]byte("a"), []byte("new")) }()
	<-inSync
	if v, err := db.Get([]byte("a")); err != nil || string(v) != "old" {
		t.Errorf("during the sync a reader sees %q, %v", v, err)
	}
	close(goOn)
	must(t, <-done)
	if v, err := db.Get([]byte("a")); err != nil || string(v) != "new" {
		t.Errorf("after the sync a reader sees %q, %v", v, err)
	}
}

// TestGroupCommit holds the first sync back until all other committers wait:
// they must share the next one.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		db := open(t, &lightning.Options{FS: disk, MemoryBudget: 16 << 20})
		synctest.Wait()
		const committers = 50
		var syncs atomic.Int32
		waiting := make(chan bool)
		disk.SetHook(func(op vfs.Op) error {
			if op.Kind == vfs.OpSyncData && syncs.Add(1) == 1 {
				<-waiting
			}
			return nil
		})
		var wg sync.WaitGroup
		for i := range committers {
			wg.Go(func() {
				if err := db.Put(fmt.Appendf(nil, "k%d", i), nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(waiting)
		wg.Wait()
		if n := syncs.Load(); n != 2 {
			t.Errorf("%d syncs for %d concurrent commits, want 2", n, committers)
		}
		for i := range committers {
			if ok, err := db.Has(fmt.Appendf(nil, "k%d", i)); !ok || err != nil {
				t.Errorf("k%d is missing: %v", i, err)
			}
		}
		must(t, db.Close())
	})
}

// TestFullDiskHeals fills the disk, sees typed errors, frees space and goes on
// in the same database.
func TestFullDiskHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		opts := small(disk)
		opts.Durability = lightning.DurabilityBuffered
		db := open(t, opts)
		disk.SetCapacity(1 << 20)
		value := make([]byte, 1000)
		written := 0
		var err error
		for ; written < 10_000 && err == nil; written++ {
			err = db.Put(fmt.Appendf(nil, "k%05d", written), value)
		}
		wantErr(t, err, lightning.ErrNoSpace)
		written-- // the last one was refused
		for i := range written {
			if ok, err := db.Has(fmt.Appendf(nil, "k%05d", i)); !ok || err != nil {
				t.Fatalf("key %d of %d is missing on the full disk: %v", i, written, err)
			}
		}
		disk.SetCapacity(1 << 30)
		time.Sleep(time.Minute) // background work tries again
		for i := range 100 {
			if err := db.Put(fmt.Appendf(nil, "after%d", i), value); err != nil {
				t.Fatalf("after space came back: %v", err)
			}
		}
		must(t, db.Close())
		db = open(t, opts)
		for i := range written {
			if ok, err := db.Has(fmt.Appendf(nil, "k%05d", i)); !ok || err != nil {
				t.Fatalf("key %d is missing after reopen: %v", i, err)
			}
		}
		must(t, db.Close())
	})
}

func TestSyncAfterFailureIsNotBelieved(t *testing.T) {
	for _, mode := range []memfs.SyncFailure{memfs.FailKeep, memfs.FailRevert} {
		disk := memfs.New()
		disk.SetSyncFailure(mode)
		db := open(t, small(disk))
		must(t, db.Put([]byte("a"), nil))
		device := errors.New("device error")
		var failed atomic.Bool
		disk.SetHook(func(op vfs.Op) error {
			// The log's own sync, not that of a worker's edit of the manifest.
			if op.Kind == vfs.OpSyncData && filepath.Ext(op.Name) == ".wal" && failed.CompareAndSwap(false, true) {
				return device
			}
			return nil
		})
		wantErr(t, db.Put([]byte("b"), nil), device)
		wantErr(t, db.Put([]byte("c"), nil), device)
		wantErr(t, db.SyncLog(context.Background()), device)
		if got := survivors(t, disk, memfs.KeepNone, "a", "c"); got != "a" {
			t.Errorf("mode %v: %q survived, want what was acknowledged", mode, got)
		}
		if err := db.Close(); !errors.Is(err, device) {
			t.Errorf("mode %v: close says %v", mode, err)
		}
	}
}

// A log that somebody made shorter used to open with what was left of it: of 200
// synced puts none, 25 or 62 were there, and nothing said that any were missing.
func TestShortenedLogIsDamage(t *testing.T) {
	disk := memfs.New()
	db := open(t, &lightning.Options{FS: disk})
	for i := range 200 {
		must(t, db.Put(fmt.Appendf(nil, "key%06d", i), make([]byte, 100)))
	}
	killed := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	must(t, db.Close())
	names, err := killed.List("db")
	must(t, err)
	cut := 0
	for _, name := range names {
		if filepath.Ext(name) != ".wal" {
			continue
		}
		for _, size := range []int64{0, 64, 4096, 10_000, 262_143} {
			disk := killed.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
			f, err := disk.OpenReadWrite(filepath.Join("db", name))
			must(t, err)
			must(t, errors.Join(f.Truncate(size), f.Close()))
			db, err := lightning.Open("db", &lightning.Options{FS: disk})
			if !errors.Is(err, lightning.ErrCorrupted) {
				t.Errorf("%s cut to %d bytes: %v", name, size, err)
			}
			if err == nil {
				must(t, db.Close())
			}
			cut++
		}
	}
	if cut < 5 {
		t.Errorf("the log was cut %d times", cut)
	}
}
