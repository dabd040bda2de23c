package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// queue begins call while a commit pipeline is held, and returns when it waits
// as the n-th in the queue.
func queue(db *DB, n int, call func() error) chan error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	waitForQueue(db, n)
	return done
}

// A group of commits is made as durable as its strictest member asks, wherever
// in the group that stands.
func TestGroupIsAsDurableAsItsStrictestMember(t *testing.T) {
	for strict := range 3 {
		fs := memfs.New()
		db := openTest(t, testOptions(fs))
		var waiting []chan error
		must(t, db.commits.Alone(context.Background(), func() error {
			for i := range 3 {
				d := commit.Async
				if i == strict {
					d = commit.Sync
				}
				waiting = append(waiting, queue(db, i+1, func() error {
					return db.Commits().Set(nil, []byte{0}, fmt.Append(nil, i), []byte("1"), d)
				}))
			}
			return nil
		}))
		must(t, <-waiting[strict])
		crashed := openTest(t, testOptions(fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})))
		expectRows(t, "after a power loss", crashed.Reads().AppendGet, map[string]string{fmt.Sprint(strict): "1"})
		must(t, crashed.Close())
		for i, w := range waiting {
			if i != strict {
				must(t, <-w)
			}
		}
		must(t, db.Close())
	}
}

// A batch that was made before its keyspace was dropped, and comes to the front
// of the queue after that, is refused: it would leave keys that nobody can
// reach.
func TestBatchBehindDropIsRefused(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	info, err := db.Keyspace(context.Background(), "k", keyspace.Settings{})
	must(t, err)
	prefix := keyspace.AppendPrefix(nil, info.ID)
	b := new(batch.Batch)
	must(t, b.Set(prefix, []byte("a"), []byte("1")))
	b.Touch(info)
	must(t, db.DropKeyspace(context.Background(), "k"))
	if err := db.Commit(t.Context(), b, commit.Async); !errors.Is(err, keyspace.ErrDropped) {
		t.Errorf("commit behind the drop: %v", err)
	}
	if _, err := db.Reads().AppendGet(nil, append(prefix, 'a')); !errors.Is(err, base.ErrNotFound) {
		t.Errorf("the key of a dropped keyspace: %v", err)
	}
	must(t, db.Close())
}

// The keys of a dropped keyspace are durably gone together with its name: after a
// power loss nothing is left that nobody can reach.
func TestDropIsDurable(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	info, err := db.Keyspace(context.Background(), "k", keyspace.Settings{})
	must(t, err)
	prefix := keyspace.AppendPrefix(nil, info.ID)
	must(t, db.Commits().Set(info, prefix, []byte("a"), []byte("1"), commit.Sync))
	must(t, db.DropKeyspace(context.Background(), "k"))
	crashed := openTest(t, testOptions(fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})))
	if crashed.keyspaces.ByName("k") != nil {
		t.Error("the keyspace is back")
	}
	if _, err := crashed.Reads().AppendGet(nil, append(prefix, 'a')); !errors.Is(err, base.ErrNotFound) {
		t.Errorf("the key of a dropped keyspace after a power loss: %v", err)
	}
	must(t, crashed.Close())
	must(t, db.Close())
}

// A crash leaves a prefix of what was done, keyspaces included: one that was made
// after commits which are lost is lost with them, and one that was dropped is never
// there without its keys. Making one used to be an edit of the manifest, which
// survived where earlier commits did not; dropping one took two steps, and a kill
// between them left an empty keyspace.
func TestKeyspacesCrashInOrder(t *testing.T) {
	for crashAfter := range 60 {
		fs := memfs.New()
		db := openTest(t, testOptions(fs))
		var crashed *memfs.FS
		var ops, made atomic.Int64
		wasMade := false
		fs.SetHook(func(vfs.Op) error {
			if ops.Add(1) == int64(crashAfter) {
				wasMade = made.Load() > 0
				crashed = fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
			}
			return nil
		})
		must(t, db.Commits().Set(nil, []byte{0}, []byte("before"), nil, commit.Async))
		info, err := db.Keyspace(context.Background(), "k", keyspace.Settings{TTL: time.Hour})
		must(t, err)
		made.Store(1)
		prefix := keyspace.AppendPrefix(nil, info.ID)
		must(t, db.Commits().Set(info, prefix, []byte("a"), []byte("1"), commit.Sync))
		must(t, db.SetKeyspace(context.Background(), "k", keyspace.Settings{TTL: time.Minute}))
		if crashAfter%2 == 0 {
			must(t, db.Flush(t.Context()))
		}
		must(t, db.DropKeyspace(context.Background(), "k"))
		fs.SetHook(nil)
		must(t, db.Close())
		if crashed == nil {
			continue
		}
		db = openTest(t, testOptions(crashed))
		_, beforeErr := db.Reads().AppendGet(nil, []byte("\x00before"))
		_, keyErr := db.Reads().AppendGet(nil, append(prefix, 'a'))
		k := db.keyspaces.ByName("k")
		if k != nil && beforeErr != nil {
			t.Errorf("crash at %d: the keyspace is there, the commit before it is not", crashAfter)
		}
		if k == nil && keyErr == nil {
			t.Errorf("crash at %d: a key without its keyspace", crashAfter)
		}
		if k != nil && keyErr != nil && k.Settings().TTL == time.Minute {
			t.Errorf("crash at %d: changed, and empty", crashAfter)
		}
		again, err := db.Keyspace(context.Background(), "other", keyspace.Settings{})
		must(t, err)
		if wasMade && again.ID == info.ID {
			t.Errorf("crash at %d: number %d is used again", crashAfter, again.ID)
		}
		must(t, db.Close())
	}
}

// No reader sees a part of a batch, and none sees less than what was
// acknowledged before it began: neither from the memtable nor from the
// hot-record cache, which all readers here fill as fast as they can.
func TestReadersSeeWholeBatches(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.HotCacheBytes = 64 << 10
	opts.MemtableBytes = 1 << 20
	db := openTest(t, opts)
	const keys = 300
	key := func(i int) []byte { return fmt.Appendf([]byte{0}, "%05d", i) }
	commit := func(n int) {
		b := new(batch.Batch)
		for i := range keys {
			must(t, b.Set(nil, key(i), fmt.Appendf(nil, "%07d", n)))
		}
		must(t, db.Commit(t.Context(), b, commit.Async))
	}
	commit(0)
	var acknowledged atomic.Int64
	var stop atomic.Bool
	var readers sync.WaitGroup
	fail := func(format string, args ...any) {
		if !stop.Swap(true) {
			t.Errorf(format, args...)
		}
	}
	number := func(v []byte) (n int64) {
		for _, digit := range v {
			n = n*10 + int64(digit-'0')
		}
		return n
	}
	readers.Go(func() {
		pair := [][]byte{key(0), key(keys - 1)}
		for !stop.Load() {
			least := acknowledged.Load()
			var seen [2]int64
			err := db.Reads().MultiGet(pair, func(i int, v []byte, err error) error {
				seen[i] = number(v)
				return err
			})
			if err != nil || seen[0] != seen[1] || seen[0] < least {
				fail("first and last of a batch are of commits %d and %d (%v); %d was acknowledged", seen[0], seen[1], err, least)
			}
		}
	})
	readers.Go(func() {
		var dst []byte
		for !stop.Load() {
			least := acknowledged.Load()
			v, err := db.Reads().AppendGet(dst[:0], key(0))
			if err != nil || number(v) < least {
				fail("a get says %q (%v); %d was acknowledged", v, err, least)
			}
			dst = v
		}
	})
	for n := 1; n <= 1500 && !stop.Load(); n++ {
		commit(n)
		acknowledged.Store(int64(n))
	}
	stop.Store(true)
	readers.Wait()
	must(t, db.Close())
}

// After a failed write of the manifest no commit is accepted, although the log
// is well: what the log grew by could never be let go.
func TestFailedManifestRefusesCommits(t *testing.T) {
	faulty := faultfs.New(memfs.New())
	db := openTest(t, testOptions(faulty))
	must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), []byte("1"), commit.Sync))
	rule := faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.manifest", Err: syscall.EIO})
	if err := db.Flush(t.Context()); !errors.Is(err, syscall.EIO) && rule.Fired() > 0 {
		t.Errorf("flush on a failed manifest: %v", err)
	}
	for _, d := range []commit.Durability{commit.Async, commit.Buffered, commit.Sync} {
		if err := db.Commits().Set(nil, []byte{0}, []byte("b"), []byte("2"), d); !errors.Is(err, syscall.EIO) {
			t.Errorf("durability %d after a failed manifest: %v", d, err)
		}
	}
	expectRows(t, "after the failure", db.Reads().AppendGet, map[string]string{"a": "1", "b": ""})
	if err := db.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v", err)
	}
}

// The lock is given up last: as long as Close changes anything, nobody else can
// have the database.
func TestLockIsGivenUpLast(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	fill(t, db, "a", 100)
	changes := 0
	fs.SetHook(func(op vfs.Op) error {
		if !vfs.OpMutations.Has(op.Kind) || op.Kind == vfs.OpLock {
			return nil
		}
		changes++
		if lock, err := fs.Lock("db/" + directory.LockName); err == nil {
			lock.Close()
			t.Errorf("the lock is free before %v", op)
		}
		return nil
	})
	must(t, db.Close())
	if changes == 0 {
		t.Error("Close changed nothing")
	}
}

// After a failed sync of the directory no later one is believed, whoever asks:
// the names that the failed one took with it would pass for durable.
func TestDirectoryIsNotSyncedAgain(t *testing.T) {
	faulty := faultfs.New(memfs.New())
	db := openTest(t, testOptions(faulty))
	faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncDir, Err: syscall.EIO})
	for range 3 { // the first may be that of a worker
		if err := db.opts.FS.SyncDir("db"); !errors.Is(err, syscall.EIO) {
			t.Errorf("sync of the directory: %v", err)
		}
	}
	if err := db.Commits().Set(nil, []byte{0}, []byte("a"), nil, commit.Sync); !errors.Is(err, syscall.EIO) {
		t.Errorf("put after a failed sync of the directory: %v", err)
	}
	db.Close() // refuses to flush
}
