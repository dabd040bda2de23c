package engine

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// steppedClock is the system's clock with its hands moved. As those of a machine,
// they take the monotonic time along with them only within a process.
type steppedClock struct {
	clock.Clock
	by atomic.Int64
}

func (c *steppedClock) Now() time.Time {
	return c.Clock.Now().Add(time.Duration(c.by.Load()))
}

func (c *steppedClock) step(d time.Duration) { c.by.Add(int64(d)) }

func (db *DB) putFor(t *testing.T, key string, ttl time.Duration) {
	t.Helper()
	must(t, db.Commits().SetExpiring(nil, []byte{0}, []byte(key), []byte("v"), db.Now()+base.Instant(ttl), commit.Sync))
}

func (db *DB) lives(t *testing.T, key string) bool {
	t.Helper()
	_, err := db.Reads().AppendGet(nil, append([]byte{0}, key...))
	if err != nil && !errors.Is(err, base.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// What has expired stays so when the clock is set back: at once, after the
// database was closed, and after a crash, once the manifest has had its second.
func TestClockSetBackResurrectsNothing(t *testing.T) {
	for _, crash := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			disk, c := memfs.New(), &steppedClock{Clock: clock.System}
			opts := testOptions(disk)
			opts.Clock = c
			db := openTest(t, opts)
			db.putFor(t, "k", time.Minute)
			db.putFor(t, "long", 24*time.Hour)
			time.Sleep(time.Minute)
			if db.lives(t, "k") {
				t.Fatal("the key has not expired")
			}
			c.step(-30 * time.Second)
			if db.lives(t, "k") {
				t.Fatal("the key is back")
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if crash {
				opts.FS = disk.Crash(memfs.CrashOptions{})
			}
			must(t, db.Close())
			c.step(-time.Hour)
			db = openTest(t, opts)
			if db.lives(t, "k") || !db.lives(t, "long") {
				t.Errorf("after a restart (crash: %v) the key lives: %v", crash, db.lives(t, "k"))
			}
			must(t, db.Close())
		})
	}
}

// A database without expiring keys asks nobody for the time.
func TestNoExpiryNoClock(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	defer db.Close()
	db.setString(t, "k", "v", commit.Async)
	if at := db.timeline.ReadTime(); at != 0 {
		t.Errorf("the moment is %d", at)
	}
	db.putFor(t, "k", time.Hour)
	if db.timeline.ReadTime() == 0 {
		t.Error("the first expiring key went unnoticed")
	}
}

// A value that is put again in time never looks absent, however long a reader
// takes between finding it and asking for the time.
func TestRefreshedValueIsNeverAbsent(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	defer db.Close()
	const ttl = 2 * time.Millisecond
	last := db.Now()
	db.putFor(t, "k", ttl)
	stop, done := make(chan struct{}), make(chan struct{})
	var late atomic.Bool // the writer was held up, so the key did expire
	var puts atomic.Int64
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			at := db.Now()
			err := db.Commits().SetExpiring(nil, []byte{0}, []byte("k"), []byte("v"), at+base.Instant(ttl), commit.Async)
			if err != nil || db.Now()-last >= base.Instant(ttl) {
				late.Store(true)
				return
			}
			last = at
			puts.Add(1)
		}
	}()
	for range 100_000 {
		if !db.lives(t, "k") && !late.Load() {
			// The put that was under way, or the next one, knows whether it is late.
			for enough := puts.Load() + 2; puts.Load() < enough && !late.Load(); {
				runtime.Gosched()
			}
			if !late.Load() {
				t.Error("a key was absent that was put again in time")
			}
			break
		}
		if late.Load() {
			break
		}
	}
	close(stop)
	<-done
}

// slowFS takes its time to make a file.
type slowFS struct {
	vfs.FS
	delay atomic.Int64
}

func (fs *slowFS) Create(name string) (vfs.File, error) {
	time.Sleep(time.Duration(fs.delay.Load()))
	return fs.FS.Create(name)
}

// Where much expires at once, purges rest for four times as long as they work.
func TestPurgesAreSpreadOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowFS{FS: memfs.New()}
		db := openTest(t, testOptions(disk))
		value := make([]byte, 100)
		for i := range 2000 {
			key := fmt.Appendf(nil, "\x00key%05d", i)
			if i%2 == 0 {
				must(t, db.Commits().SetExpiring(nil, nil, key, value, db.Now()+base.Instant(time.Hour), commit.Async))
			} else {
				must(t, db.Commits().Set(nil, nil, key, value, commit.Async))
			}
		}
		must(t, db.Compact(t.Context(), nil, nil))
		files := 0
		for _, l := range db.Metrics().Levels {
			files += l.Files
		}
		disk.delay.Store(int64(time.Second))
		work := time.Duration(files) * time.Second
		time.Sleep(time.Hour + (1+ttlRestShare)*work/2)
		synctest.Wait()
		if n := db.Metrics().RecordsExpired; n < 300 || n > 700 {
			t.Errorf("half of the time has purged %d of 1000 records in %d files", n, files)
		}
		time.Sleep((1 + ttlRestShare) * work)
		synctest.Wait()
		if n := db.Metrics().RecordsExpired; n != 1000 {
			t.Errorf("%d of 1000 records are purged", n)
		}
		disk.delay.Store(0)
		must(t, db.Close())
	})
}
