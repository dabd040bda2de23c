package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// longLog makes a log of some megabytes, with versions, deletes and range deletes, and
// returns what a power loss leaves and what must be there then.
func longLog(t testing.TB, opts Options, sizeBytes int) (disk *memfs.FS, rows map[string]string) {
	t.Helper()
	disk = memfs.New()
	opts.FS = disk
	db := openTest(t, opts)
	rows = map[string]string{}
	rng := rand.New(rand.NewPCG(3, 1))
	value := bytes.Repeat([]byte("v"), 2000)
	c := db.Commits()
	for written := 0; written < sizeBytes; written += len(value) {
		n := rng.IntN(3000)
		key := fmt.Sprintf("%05d", n)
		switch rng.IntN(30) {
		case 0, 1, 2:
			must(t, c.Delete(nil, []byte{0}, []byte(key), commit.Async))
			delete(rows, key)
		case 3:
			hi := fmt.Sprintf("%05d", n+5)
			must(t, c.DeleteRange(nil, []byte("\x00"+key), []byte("\x00"+hi), commit.Async))
			for i := range 5 {
				delete(rows, fmt.Sprintf("%05d", n+i))
			}
		default:
			own := fmt.Appendf(nil, "%d:%s", written, value)
			must(t, c.Set(nil, []byte{0}, []byte(key), own, commit.Async))
			rows[key] = string(own)
		}
	}
	must(t, db.SyncLog(context.Background()))
	if len(db.reads.State().Immutables) > 0 {
		t.Fatal("the log is longer than a memtable")
	}
	disk = disk.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
	must(t, db.Close())
	return disk, rows
}

// expectExactly sees that the rows are there, and no others.
func expectExactly(t *testing.T, db *DB, rows map[string]string) {
	t.Helper()
	expectRows(t, "after a power loss", db.Reads().AppendGet, rows)
	for n := range 3010 {
		key := fmt.Sprintf("%05d", n)
		if _, there := rows[key]; there {
			continue
		}
		if _, err := db.Reads().AppendGet(nil, append([]byte{0}, key...)); !errors.Is(err, base.ErrNotFound) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// What a log holds that does not fit in memory is written by several writers at once,
// each of which has a span of keys, its records and its range deletes, to itself.
func TestLongLogIsWrittenInSpans(t *testing.T) {
	opts := testOptions(nil)
	opts.MemoryBudget, opts.MemtableBytes = 64<<20, 32<<20
	opts.L0Files = 10
	disk, rows := longLog(t, opts, 20<<20)
	opts.MemtableBytes /= 2
	for _, readOnly := range []bool{true, false} {
		opts.FS, opts.ReadOnly = disk, readOnly
		db := openTest(t, opts)
		expectExactly(t, db, rows)
		files := slices.Clone(db.reads.State().Tree.Version.Levels[0])
		if readOnly && (len(files) != 0 || len(db.reads.State().Immutables) != 2) {
			t.Errorf("read-only, there are %d tables", len(files))
		}
		if !readOnly {
			if len(files) < replayWriters {
				t.Fatalf("there are %d tables", len(files))
			}
			slices.SortFunc(files, func(a, b *manifest.FileMeta) int { return cmp.Compare(a.Num, b.Num) })
			a, b := files[0], files[1] // another comes from the flush
			if bytes.Compare(a.Lo, b.Lo) > 0 {
				a, b = b, a
			}
			if bytes.Compare(a.Hi, b.Lo) > 0 || a.RangeDeletes == 0 || b.RangeDeletes == 0 || a.Count < b.Count/2 {
				t.Errorf("the tables are %+v and %+v", a, b)
			}
		}
		must(t, db.Close())
	}
}

// Where one of several writers fails, the tables of the others go as well, and the
// log is there for the next attempt.
func TestFailedSpanLeavesNothing(t *testing.T) {
	opts := testOptions(nil)
	opts.MemoryBudget, opts.MemtableBytes = 64<<20, 32<<20
	disk, rows := longLog(t, opts, 20<<20)
	opts.MemtableBytes /= 2
	faulty := faultfs.New(disk)
	faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.sst", Nth: 2, Err: syscall.EIO})
	opts.FS = faulty
	if _, err := Open("db", opts); !errors.Is(err, syscall.EIO) {
		t.Fatalf("open: %v", err)
	}
	names, err := disk.List("db")
	must(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			t.Errorf("%s is left", name)
		}
	}
	opts.FS = disk
	db := openTest(t, opts)
	expectExactly(t, db, rows)
	must(t, db.Close())
}

// What was replayed last is read and waits for its flush, while no table can be written.
// It is still there after the next crash, and after the one behind that, although the
// process that wrote it had none of it synced; and so is what is written behind it.
func TestReplayedWaitsForItsFlush(t *testing.T) {
	fs := memfs.New()
	noTables := faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO}
	faulty := faultfs.New(fs)
	opts := testOptions(faulty)
	opts.MemtableBytes *= 8
	db := openTest(t, opts)
	faulty.Add(noTables)
	faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Sticky: true, Ignore: true})
	rows := map[string]string{}
	for i := range 100 {
		key := fmt.Sprintf("%05d", i)
		must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte("first"), commit.Buffered))
		rows[key] = "first"
	}
	_ = db.Close() // leaves the log, which is written and not synced
	for round := range 3 {
		faulty = faultfs.New(fs)
		faulty.Add(noTables)
		opts.FS = faulty
		db := openTest(t, opts)
		if s := db.reads.State(); len(s.Immutables) != 1 || len(s.Tree.Version.Levels[0]) != 0 {
			t.Fatalf("round %d: %d parts wait", round, len(s.Immutables))
		}
		expectExactly(t, db, rows)
		if durable, visible := db.DurableSeq(), db.reads.VisibleSeq(); durable != visible {
			t.Errorf("round %d: %d is durable of %d", round, durable, visible)
		}
		key := fmt.Sprintf("%05d", 1000+round)
		must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte("more"), commit.Sync))
		rows[key] = "more"
		fs = fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
		_ = db.Close()
	}
	opts.FS = fs
	db = openTest(t, opts)
	expectExactly(t, db, rows)
	must(t, db.Close())
	db = openTest(t, opts)
	expectExactly(t, db, rows)
	must(t, db.Close())
}

// TestCrashAfterCrash tears the log and then loses power again and again, before what
// was replayed is in tables: what an open has shown is what the next one shows, and what
// was synced behind it is not lost with the torn end.
func TestCrashAfterCrash(t *testing.T) {
	torn, waited := 0, 0
	for seed := range uint64(60) {
		fs := memfs.New()
		opts := testOptions(fs)
		opts.MemtableBytes *= 8
		db := openTest(t, opts)
		for i := range 60 {
			durability := commit.Buffered
			if i == 10 {
				durability = commit.Sync
			}
			must(t, db.Commits().Set(nil, []byte{0}, fmt.Appendf(nil, "%05d", i), make([]byte, 300), durability))
		}
		crashed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: seed})
		must(t, db.Close())
		var shown base.SeqNum
		for round := range 3 {
			opts.FS = crashed
			db := openTest(t, opts)
			if len(db.reads.State().Immutables) > 0 {
				waited++
			}
			if db.recovered.tornBytes > 0 {
				torn++
			}
			if seq := db.reads.VisibleSeq(); round > 0 && seq != shown {
				t.Fatalf("seed %d, round %d: %d records where there were %d", seed, round, seq, shown)
			}
			must(t, db.Commits().Set(nil, []byte{0}, fmt.Appendf(nil, "%05d", 100+round), []byte("more"), commit.Sync))
			shown = db.reads.VisibleSeq()
			crashed = crashed.Crash(memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: seed})
			must(t, db.Close())
		}
		opts.FS = crashed
		db = openTest(t, opts)
		if seq := db.reads.VisibleSeq(); seq != shown {
			t.Errorf("seed %d: %d records where there were %d", seed, seq, shown)
		}
		must(t, db.Close())
	}
	if torn < 10 || waited < 10 {
		t.Errorf("%d torn logs and %d that waited for their flush: the test needs more", torn, waited)
	}
}

// Keyspaces that were made and dropped in a log of several rooms are as they were.
func TestLongLogOfActs(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, testOptions(fs))
	for i := range 2000 {
		_, err := db.Keyspace(context.Background(), fmt.Sprint("made ", i), keyspace.Settings{})
		must(t, err)
		if i%3 == 0 {
			must(t, db.DropKeyspace(context.Background(), fmt.Sprint("made ", i)))
		}
	}
	crashed := openTest(t, testOptions(fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})))
	for i := range 2000 {
		if there := crashed.keyspaces.ByName(fmt.Sprint("made ", i)) != nil; there != (i%3 != 0) {
			t.Errorf("keyspace %d: %v", i, there)
		}
	}
	must(t, crashed.Close())
	must(t, db.Close())
}
