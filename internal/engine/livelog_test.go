package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// These tests are about the live log as others leave it: cut, exchanged, or
// written over at its beginning. A log that was made shorter used to open without
// a word, with what was left, and a log whose beginning was overwritten as an
// empty one.

// fileImage is the files of a database at rest.
type fileImage map[string][]byte

func takeDirectory(t *testing.T, fs *memfs.FS) fileImage {
	t.Helper()
	names, err := fs.List("db")
	must(t, err)
	d := fileImage{}
	for _, name := range names {
		if name != "LOCK" {
			d[name] = readFile(t, fs, name)
		}
	}
	return d
}

// liveLog is a database that was killed with everything in its log.
type liveLog struct {
	files fileImage
	disk  *memfs.FS
	rows  map[string]string
	name  string // of the segment with the rows
	next  string // the prepared one
	older []byte // an older segment
}

// newLiveLog commits rows and kills the database. What it is to lose with its
// log is in there alone.
func newLiveLog(t *testing.T, crash memfs.Policy, write func(db *DB, rows map[string]string)) *liveLog {
	t.Helper()
	return newLiveLogOf(t, testOptions(memfs.New()), crash, write)
}

func newLiveLogOf(t *testing.T, opts Options, crash memfs.Policy, write func(db *DB, rows map[string]string)) *liveLog {
	t.Helper()
	fs := opts.FS.(*memfs.FS)
	opts.Archive.SizeBytes = 1 << 20
	db := openTest(t, opts)
	l := &liveLog{rows: map[string]string{}}
	must(t, db.Commits().Set(nil, []byte{0}, []byte("first"), []byte("f"), commit.Sync))
	l.older = readFile(t, fs, fileNames(t, fs, ".wal")[0])
	must(t, db.Flush(context.Background()))
	settleHistory(db)
	must(t, fs.SyncDir("db")) // nobody needs the new name of an archived segment to be durable
	must(t, db.changed.Wait(t.Context(), func() bool { return db.segments.Prepared() != 0 }))
	write(db, l.rows)
	must(t, db.changed.Wait(t.Context(), func() bool { return db.segments.Prepared() != 0 }))
	l.disk = fs.Crash(memfs.CrashOptions{Keep: crash})
	must(t, db.Close())
	l.files = takeDirectory(t, l.disk)
	logs := fileNames(t, l.disk, ".wal")
	l.name, l.next = logs[len(logs)-2], logs[len(logs)-1]
	return l
}

// syncedPuts commits rows one by one.
func syncedPuts(t *testing.T, n int) func(db *DB, rows map[string]string) {
	return func(db *DB, rows map[string]string) {
		for i := range n {
			key, value := fmt.Sprintf("key%04d", i), strings.Repeat("v", 60)
			must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte(value), commit.Sync))
			rows[key] = value
		}
	}
}

// asyncPuts commits rows and syncs the log once, so that nothing in it says that
// anything was durable.
func asyncPuts(t *testing.T, n int) func(db *DB, rows map[string]string) {
	return func(db *DB, rows map[string]string) {
		for i := range n {
			key := fmt.Sprintf("key%04d", i)
			must(t, db.Commits().Set(nil, []byte{0}, []byte(key), []byte("v"), commit.Async))
			rows[key] = "v"
		}
		must(t, db.SyncLog(context.Background()))
	}
}

// open opens the database with a file of other content; nil removes it. Either
// all rows are there, or it is refused as damaged and nothing was changed.
func (l *liveLog) open(t *testing.T, what, name string, content []byte) (refused error) {
	t.Helper()
	disk := l.disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	if content == nil {
		must(t, disk.Remove(filepath.Join("db", name)))
	} else {
		putFile(t, disk, name, content)
	}
	before := takeDirectory(t, disk)
	db, err := Open("db", testOptions(disk))
	if err == nil {
		expectRows(t, what, db.Reads().AppendGet, l.rows)
		must(t, db.Close())
		return nil
	}
	if !errors.Is(err, base.ErrCorrupted) {
		t.Fatalf("%s: %v is not typed as damage", what, err)
	}
	if !strings.Contains(err.Error(), name) {
		t.Errorf("%s: %v does not name the file", what, err)
	}
	after := takeDirectory(t, disk)
	for file := range before {
		if !bytes.Equal(before[file], after[file]) {
			t.Fatalf("%s: the refused open has changed %s", what, file)
		}
	}
	if len(after) != len(before) {
		t.Fatalf("%s: the refused open has left %d files of %d", what, len(after), len(before))
	}
	return err
}

var crashes = map[string]memfs.Policy{"killed": memfs.KeepAll, "power cut": memfs.KeepNone}

func TestShortenedLogIsReported(t *testing.T) {
	for when, keep := range crashes {
		for how, write := range map[string]func(*DB, map[string]string){
			"synced one by one": syncedPuts(t, 200), "synced once": asyncPuts(t, 200), "one commit": syncedPuts(t, 1),
		} {
			l := newLiveLog(t, keep, write)
			for _, name := range []string{l.name, l.next} {
				content := l.files[name]
				step := 512
				if testing.Short() {
					step = 16 << 10
				}
				for size := 0; size < len(content); size += step {
					what := fmt.Sprintf("%s, %s, %s cut to %d bytes", when, how, name, size)
					err := l.open(t, what, name, content[:size])
					if err == nil {
						t.Fatalf("%s: not reported", what)
					}
					if !strings.Contains(err.Error(), "may be lost") {
						t.Errorf("%s: %v does not say what may be lost", what, err)
					}
				}
				for _, size := range []int{1, 63, 64, 127, 128, 10_000, len(content) - 8, len(content) - 1} {
					what := fmt.Sprintf("%s, %s, %s cut to %d bytes", when, how, name, size)
					if l.open(t, what, name, content[:size]) == nil {
						t.Errorf("%s: not reported", what)
					}
				}
				if err := l.open(t, "whole", name, content); err != nil {
					t.Errorf("%s, %s: undamaged: %v", when, how, err)
				}
			}
		}
	}
}

// The finding says from where on commits may be lost: those before are intact.
func TestShortenedLogSaysWhatMayBeLost(t *testing.T) {
	l := newLiveLog(t, memfs.KeepAll, syncedPuts(t, 200))
	err := l.open(t, "cut", l.name, l.files[l.name][:4096])
	var damage *base.CorruptionError
	if !errors.As(err, &damage) || damage.File != l.name || damage.Offset != 4096 ||
		damage.Length != int64(len(l.files[l.name])-4096) || damage.Kind != "wal segment" {
		t.Errorf("got %v", err)
	}
	kept := bytes.Count(l.files[l.name][:4096], []byte(strings.Repeat("v", 60)))
	want := fmt.Sprintf("it has 4096 bytes, %d were reserved: commits after number %d may be lost",
		len(l.files[l.name]), 1+kept)
	if err == nil || kept < 20 || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestReplacedLogIsReported(t *testing.T) {
	for when, keep := range crashes {
		l := newLiveLog(t, keep, syncedPuts(t, 200))
		size := len(l.files[l.name])
		noise := make([]byte, size)
		source := rand.NewChaCha8([32]byte{7})
		_, err := io.ReadFull(source, noise)
		must(t, err)
		find := func(suffix string) []byte {
			for name, content := range l.files {
				if strings.HasSuffix(name, suffix) {
					return content
				}
			}
			t.Fatalf("no file %s", suffix)
			return nil
		}
		other := newLiveLog(t, keep, syncedPuts(t, 200))
		for what, content := range map[string][]byte{
			"an older log": l.older, "an archived segment": find(".archive"), "a table": find(".sst"),
			"the manifest": find(".manifest"), "CURRENT": l.files["CURRENT"], "random bytes": noise,
			"zeroes": make([]byte, size), "nothing": {}, "its absence": nil, "the prepared log": l.files[l.next],
			"that of another database": other.files[other.name],
		} {
			long := slices.Concat(content, make([]byte, max(0, size-len(content))))
			for _, name := range []string{l.name, l.next} {
				if content != nil && bytes.Equal(content, l.files[name]) {
					continue
				}
				what := fmt.Sprintf("%s, %s replaced by %s", when, name, what)
				if l.open(t, what, name, content) == nil {
					t.Errorf("%s: not reported", what)
				}
				if content != nil && l.open(t, what+", made as long", name, long) == nil {
					t.Errorf("%s, made as long: not reported", what)
				}
			}
		}
	}
}

// Nothing says of commits that were synced once, at the end, that they were
// durable. Noise over the beginning of their log once made an empty one of it.
func TestNoiseOverTheBeginningOfTheLog(t *testing.T) {
	for when, keep := range crashes {
		for how, write := range map[string]func(*DB, map[string]string){
			"synced one by one": syncedPuts(t, 200), "synced once": asyncPuts(t, 200),
		} {
			l := newLiveLog(t, keep, write)
			rng := rand.New(rand.NewPCG(1, 2))
			for _, to := range []int{1, 8, 64, 128} {
				for from := range to {
					content := bytes.Clone(l.files[l.name])
					for i := from; i < to; i++ {
						content[i] ^= byte(1 + rng.IntN(255))
					}
					what := fmt.Sprintf("%s, %s, noise over [%d, %d)", when, how, from, to)
					err := l.open(t, what, l.name, content)
					if from < 64 && err == nil {
						t.Errorf("%s: not reported", what)
					}
					if from >= 64 && err != nil {
						t.Errorf("%s: everything is there, and it is refused: %v", what, err)
					}
				}
			}
		}
	}
}

// A read-only open reports the same.
func TestShortenedLogIsReportedReadOnly(t *testing.T) {
	l := newLiveLog(t, memfs.KeepAll, syncedPuts(t, 20))
	disk := l.disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	putFile(t, disk, l.name, l.files[l.name][:4096])
	opts := testOptions(disk)
	opts.ReadOnly = true
	db, err := Open("db", opts)
	if err == nil {
		must(t, db.Close())
	}
	if !errors.Is(err, base.ErrCorrupted) {
		t.Errorf("got %v", err)
	}
}

// A later segment that is damaged is found before anything is done with the
// earlier ones, of which a long log fills tables.
func TestDamageInALaterSegmentChangesNothing(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes *= 8
	l := newLiveLogOf(t, opts, memfs.KeepAll, asyncPuts(t, 3000))
	if err := l.open(t, "cut", l.next, l.files[l.next][:512]); err == nil {
		t.Error("not reported")
	}
	if err := l.open(t, "whole", l.next, l.files[l.next]); err != nil {
		t.Errorf("undamaged: %v", err)
	}
}

// A segment grows when what was prepared is not enough; the manifest knows its
// size then soon.
func TestCutOfAGrownLogIsReported(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes *= 16
	l := newLiveLogOf(t, opts, memfs.KeepNone, func(db *DB, rows map[string]string) {
		asyncPuts(t, 6000)(db, rows)
		must(t, db.changed.Wait(t.Context(), func() bool {
			logs := db.versions.log.State().Logs
			info, err := opts.FS.Stat(filepath.Join("db", wal.FileName(logs[0].Num)))
			return err == nil && info.Size() == logs[0].SizeBytes && info.Size() > 256<<10
		}))
	})
	content := l.files[l.name]
	for size := 0; size < len(content); size += len(content) / 30 {
		what := fmt.Sprintf("%s of %d bytes cut to %d", l.name, len(content), size)
		if l.open(t, what, l.name, content[:size]) == nil {
			t.Errorf("%s: not reported", what)
		}
	}
	if err := l.open(t, "whole", l.name, content); err != nil {
		t.Errorf("undamaged: %v", err)
	}
}

// A live log under another name is found, and the finding says which file to put
// back where.
func TestRenamedLogIsFound(t *testing.T) {
	l := newLiveLog(t, memfs.KeepAll, syncedPuts(t, 20))
	for _, name := range []string{l.name, l.next} {
		disk := l.disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
		must(t, disk.Rename(filepath.Join("db", name), filepath.Join("db", "000777.wal")))
		_, err := Open("db", testOptions(disk))
		var damage *base.CorruptionError
		if !errors.As(err, &damage) || damage.File != "000777.wal" ||
			!strings.Contains(err.Error(), "it holds what belongs into "+name) {
			t.Errorf("%s renamed: %v", name, err)
		}
	}
}
