package engine

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"weak"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// closeDuring begins job, lets it come as far as making a table, begins Close,
// lets both go on, and returns what they return.
func closeDuring(t *testing.T, prepare func(db *DB), job func(db *DB) error) (jobErr, closeErr error) {
	t.Helper()
	faulty := faultfs.New(memfs.New())
	db := openTest(t, testOptions(faulty))
	prepare(db)
	reached, release := make(chan struct{}), make(chan struct{})
	faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Before: func(vfs.Op) {
		close(reached)
		<-release
	}})
	jobDone, closeDone := make(chan error), make(chan error)
	go func() { jobDone <- job(db) }()
	<-reached
	go func() { closeDone <- db.Close() }()
	<-db.stopped.Done()
	close(release)
	return <-jobDone, <-closeDone
}

// commit.Buffered and Compact that are overtaken by Close say ErrClosed. They said that
// the context was cancelled, which was the engine's own and not the caller's.
func TestCloseOvertakes(t *testing.T) {
	ctx := context.Background()
	for range 20 { // what goes wrong depends on who wakes up first
		jobErr, err := closeDuring(t,
			func(db *DB) { fill(t, db, "a", 200) },
			func(db *DB) error { return db.Flush(ctx) })
		if err != nil || !errors.Is(jobErr, base.ErrClosed) && jobErr != nil {
			t.Fatalf("flush: %v, close: %v", jobErr, err)
		}
		jobErr, err = closeDuring(t,
			func(db *DB) {
				fillFile(t, db, "a", 600)
				fillFile(t, db, "a", 600)
			},
			func(db *DB) error { return db.Compact(ctx, nil, nil) })
		if err != nil || !errors.Is(jobErr, base.ErrClosed) && jobErr != nil {
			t.Fatalf("compact: %v, close: %v", jobErr, err)
		}
	}
}

// A sync of the log, or the delayed flush of an Async commit, that finds the
// log closed must not count as a failed write. It poisoned the database in the
// middle of Close, which then failed and left the log behind.
func TestLateSyncDoesNotFailClose(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	fill(t, db, "a", 1)
	must(t, db.segments.Log().Close()) // as far as Close has come when SyncLog, begun before, goes on
	if err := db.SyncLog(context.Background()); !errors.Is(err, base.ErrClosed) {
		t.Errorf("late sync: %v", err)
	}
	if err := db.health.Err(); err != nil {
		t.Errorf("poisoned: %v", err)
	}
	must(t, db.Close())
}

// A keyspace that is asked for while Close waits for its turn is refused. It
// was made, or not, on a manifest that was being closed.
func TestKeyspaceBehindClose(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	var closed, late chan error
	err := db.commits.Alone(context.Background(), func() error {
		begin := func(waiting int, call func() error) chan error {
			done := make(chan error, 1)
			go func() { done <- call() }()
			waitForQueue(db, waiting)
			return done
		}
		closed = begin(1, db.Close)
		late = begin(2, func() error { _, err := db.Keyspace(context.Background(), "late", keyspace.Settings{}); return err })
		return nil
	})
	must(t, err)
	if err := <-late; !errors.Is(err, base.ErrClosed) {
		t.Errorf("keyspace behind close: %v", err)
	}
	must(t, <-closed)
}

// TestClosedDatabaseIsForgotten lets the garbage collector find a database that
// was used and closed. The runtime keeps pools of objects, and whatever they are
// a part of, for two collections more, so that a program which opened many
// databases, one after the other, grew by gigabytes between collections.
func TestClosedDatabaseIsForgotten(t *testing.T) {
	use := func() weak.Pointer[DB] {
		db, err := Open("db", testOptions(memfs.New()))
		must(t, err)
		must(t, db.Commits().Set(nil, []byte{0}, []byte("k"), []byte("v"), commit.Sync))
		must(t, db.Flush(context.Background()))
		it, err := db.Reads().NewIterator(view.IterOptions{})
		must(t, err)
		for ok := it.First(); ok; ok = it.Next() {
		}
		must(t, it.Close())
		must(t, db.Close())
		return weak.Make(db)
	}
	closed := use()
	runtime.GC()
	runtime.GC() // what happens to lie in a pool of the runtime or a library is gone now
	if closed.Value() != nil {
		t.Error("a closed database is still in memory")
	}
}
