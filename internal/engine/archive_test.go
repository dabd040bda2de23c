package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// fillSegments makes n segments of 100 commits each.
func fillSegments(t testing.TB, db *DB, n int) {
	t.Helper()
	for i := range n {
		fillFile(t, db, fmt.Sprint("s", i), 100)
		settleHistory(db)
	}
}

// Retention by size deletes whole segments, the oldest first, and nothing that
// fits. A consumer that was too slow is told.
func TestHistoryBySize(t *testing.T) {
	fs := memfs.New()
	opts := historyTestOptions(fs)
	db := openTest(t, opts)
	fillSegments(t, db, 2)
	one := db.Metrics().Archive.SizeBytes / 2
	opts.Archive.SizeBytes = 3*one + one/2
	must(t, db.Close())
	db = openTest(t, opts)
	f, err := db.Feed(1)
	must(t, err)
	_, err = f.Next(t.Context())
	must(t, err)
	for i := range 5 {
		fillSegments(t, db, 1)
		m := db.Metrics().Archive
		kept := min(i+3, 3)
		if m.Segments != kept || m.SizeBytes > opts.Archive.SizeBytes || m.Feeds != 1 ||
			m.OldestSeq != base.SeqNum((i+3-kept)*100+1) {
			t.Errorf("after %d segments: %+v", i+3, m)
		}
	}
	if names := fileNames(t, fs, ".archive"); len(names) != 3 {
		t.Errorf("files: %v", names)
	}
	for want := base.SeqNum(2); ; want++ {
		c, err := f.Next(t.Context())
		if err != nil {
			expectGap(t, err, want, 401)
			break
		}
		if c.First != want || want > 100 {
			t.Fatalf("got %d, want %d or the gap", c.First, want)
		}
	}
	must(t, f.Close())
	if lines := mustReadFeed(t, db, 401); len(lines) != 300 {
		t.Errorf("%d commits from where it goes on, want 300", len(lines))
	}
	must(t, db.Close())
}

// Retention by age needs no work to go on: it comes by itself, also after a
// reopen. A segment stays as long as it may.
func TestHistoryByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		opts := testOptions(fs)
		opts.Archive.Age = time.Hour
		timers := &timerClock{Clock: opts.Clock}
		opts.Clock = timers
		db := openTest(t, opts)
		expect := func(segments int) {
			t.Helper()
			synctest.Wait()
			m := db.Metrics().Archive
			if m.Segments != segments || len(fileNames(t, fs, ".archive")) != segments {
				t.Errorf("%+v, want %d segments", m, segments)
			}
		}
		fillSegments(t, db, 1)
		time.Sleep(30 * time.Minute)
		fillSegments(t, db, 1)
		expect(2)
		time.Sleep(30*time.Minute - 1)
		expect(2)
		time.Sleep(1)
		expect(1)
		must(t, db.Close())
		if n := timers.running.Load(); n != 0 {
			t.Errorf("%d timers run after Close", n)
		}
		time.Sleep(time.Minute)
		db = openTest(t, opts)
		expect(1)
		time.Sleep(29*time.Minute - 1)
		expect(1)
		time.Sleep(1)
		expect(0)
		_, err := readFeed(t, db, 1)
		expectGap(t, err, 1, 201)
		must(t, db.Close())
	})
}

// The janitor cannot archive for a while. Nothing is lost by it: what is obsolete
// is read under its old name, and archived later or at the next open.
func TestHistoryWithFaults(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpRename, vfs.OpTruncate, vfs.OpSync} {
		for _, reopen := range []bool{false, true} {
			inBubble(t, fmt.Sprint(kind, reopen), func(t *testing.T) {
				fs := memfs.New()
				faulty := faultfs.New(fs)
				db := openTest(t, historyTestOptions(faulty))
				must(t, db.changed.Wait(t.Context(), func() bool { return db.segments.Prepared() != 0 }))
				rule := faulty.Add(faultfs.Rule{Kinds: kind, Name: "*.wal", Sticky: true, Err: syscall.EIO})
				fill(t, db, "a", 100)
				must(t, db.commits.Alone(context.Background(), db.rotate))
				must(t, db.changed.Wait(t.Context(), func() bool { return len(db.reads.State().Immutables) == 0 }))
				settleHistory(db)
				if m := db.Metrics().Archive; rule.Fired() == 0 || m.Segments != 1 {
					t.Fatalf("fired %d times: %+v", rule.Fired(), m)
				}
				if names := fileNames(t, fs, ".archive"); len(names) != 0 {
					t.Errorf("archived all the same: %v", names)
				}
				want := mustReadFeed(t, db, 1)
				faulty.Reset()
				if reopen {
					fs = fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
					must(t, db.Close())
					db = openTest(t, historyTestOptions(fs))
				} else {
					must(t, db.changed.Wait(t.Context(), func() bool { return db.segments.Prepared() != 0 }))
					fillFile(t, db, "b", 10)
				}
				settleHistory(db)
				if names := fileNames(t, fs, ".archive"); len(names) == 0 {
					t.Error("not archived later")
				}
				if lines := mustReadFeed(t, db, 1); len(lines) < 100 || !slices.Equal(lines[:100], want) {
					t.Errorf("%d commits", len(lines))
				}
				must(t, db.Close())
			})
		}
	}
}

// A history file that cannot be deleted now is deleted later.
func TestHistoryThatStays(t *testing.T) {
	fs := memfs.New()
	faulty := faultfs.New(fs)
	opts := historyTestOptions(faulty)
	opts.Archive.SizeBytes = 1
	faulty.Add(faultfs.Rule{Kinds: vfs.OpRemove, Name: "*.archive", Sticky: true, Err: syscall.EIO})
	db := openTest(t, opts)
	fillSegments(t, db, 2)
	if names := fileNames(t, fs, ".archive"); len(names) != 2 {
		t.Fatalf("files: %v", names)
	}
	_, err := readFeed(t, db, 1)
	expectGap(t, err, 1, 201)
	must(t, db.Close())
	faulty.Reset()
	db = openTest(t, opts)
	settleHistory(db)
	if names := fileNames(t, fs, ".archive"); len(names) != 0 {
		t.Errorf("files: %v", names)
	}
	must(t, db.Close())
}

// A file that cannot be read now is no gap, and no reason not to open.
func TestHistoryThatCannotBeRead(t *testing.T) {
	faulty := faultfs.New(memfs.New())
	db := openTest(t, historyTestOptions(faulty))
	fillSegments(t, db, 2)
	for _, kind := range []vfs.OpKind{vfs.OpOpen, vfs.OpRead} {
		rule := faulty.Add(faultfs.Rule{Kinds: kind, Name: "*.archive", Err: syscall.EIO})
		if _, err := readFeed(t, db, 1); !errors.Is(err, syscall.EIO) || errors.Is(err, feed.ErrGap) {
			t.Errorf("%v: %v, fired %d times", kind, err, rule.Fired())
		}
		if lines := mustReadFeed(t, db, 1); len(lines) != 200 {
			t.Errorf("%d commits afterwards", len(lines))
		}
	}
	must(t, db.Close())
	faulty.Add(faultfs.Rule{Kinds: vfs.OpOpen, Name: "*.archive", Err: syscall.EIO})
	db = openTest(t, historyTestOptions(faulty))
	_, err := readFeed(t, db, 0)
	if err == nil {
		_, err = readFeed(t, db, 1)
	}
	if !errors.Is(err, feed.ErrGap) || !errors.Is(err, syscall.EIO) {
		t.Errorf("after an open that could not read: %v", err)
	}
	must(t, db.Close())
	db = openTest(t, historyTestOptions(faulty))
	if lines := mustReadFeed(t, db, 1); len(lines) != 200 {
		t.Errorf("%d commits after another open", len(lines))
	}
	must(t, db.Close())
}

// TestHistoryDamaged flips bytes all over a history segment. A feed delivers what
// is before the damage, says what is damaged, and goes on behind it; nothing is
// left out without a word, and nothing wrong is delivered. The database itself
// does not mind.
func TestHistoryDamaged(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, historyTestOptions(fs))
	fillSegments(t, db, 3)
	want := mustReadFeed(t, db, 1)
	must(t, db.Close())
	name := fileNames(t, fs, ".archive")[1]
	content := readFile(t, fs, name)
	reported := 0
	for at := 0; at < len(content); at += 1 + len(content)/150 {
		damaged := slices.Clone(content)
		damaged[at] ^= 0x10
		judgeDamage(t, fs, name, damaged, want, "s100050", fmt.Sprint("byte ", at), &reported)
	}
	for _, size := range []int{0, 10, 64, 70, 127, 128, 3000, len(content) - 64, len(content) - 1} {
		judgeDamage(t, fs, name, content[:size], want, "s100050", fmt.Sprint("cut to ", size), &reported)
	}
	if reported < 100 {
		t.Errorf("only %d times was the damage reported", reported)
	}
}

func judgeDamage(t *testing.T, fs *memfs.FS, name string, damaged []byte, want []string, row, what string, reported *int) {
	t.Helper()
	fs = fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	putFile(t, fs, name, damaged)
	db := openTest(t, historyTestOptions(fs))
	_, err := db.Reads().AppendGet(nil, []byte("\x00"+row))
	must(t, err)
	var got []string
	for from := base.SeqNum(1); ; {
		lines, err := readFeed(t, db, from)
		got = append(got, lines...)
		if err == nil {
			break
		}
		var gap *feed.GapError
		var damage *base.CorruptionError
		if !errors.As(err, &gap) || !errors.As(err, &damage) || damage.File != name {
			t.Fatalf("%s: %v", what, err)
		}
		if gap.From != uint64(from)+uint64(len(lines)) || gap.Oldest <= gap.From {
			t.Fatalf("%s: after %d commits from %d: %v", what, len(lines), from, err)
		}
		*reported++
		got = append(got, want[gap.From-1:gap.Oldest-1]...) // which we are told is missing
		from = base.SeqNum(gap.Oldest)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %d commits, want %d", what, len(got), len(want))
	}
	must(t, db.Close())
}

// A history file that is taken away is missed: at once where it was known, and
// as a gap where it was not.
func TestHistoryFileTakenAway(t *testing.T) {
	for _, reopen := range []bool{false, true} {
		fs := memfs.New()
		db := openTest(t, historyTestOptions(fs))
		fillSegments(t, db, 3)
		must(t, fs.Remove(filepath.Join("db", fileNames(t, fs, ".archive")[1])))
		if reopen {
			must(t, db.Close())
			db = openTest(t, historyTestOptions(fs))
		}
		lines, err := readFeed(t, db, 1)
		expectGap(t, err, 101, 201)
		if len(lines) != 100 || errors.Is(err, base.ErrCorrupted) == reopen {
			t.Errorf("reopen %v: %d commits, %v", reopen, len(lines), err)
		}
		if lines := mustReadFeed(t, db, 201); len(lines) != 100 {
			t.Errorf("%d commits behind the gap", len(lines))
		}
		must(t, db.Close())
	}
}

// On a full disk history goes before writes fail for good.
func TestFullDiskTakesHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		db := openTest(t, historyTestOptions(fs))
		fs.SetCapacity(3 << 20)
		value, refused, gone := make([]byte, 1000), 0, false
		for i := range 12_000 {
			err := db.Commits().Set(nil, []byte{0}, fmt.Appendf(nil, "%03d", i%100), value, commit.Async)
			for ; errors.Is(err, vfs.ErrNoSpace); refused++ {
				if refused > 1000 {
					t.Fatalf("write %d is refused again and again: %v", i, err)
				}
				time.Sleep(retryDelay)
				err = db.Commits().Set(nil, []byte{0}, fmt.Appendf(nil, "%03d", i%100), value, commit.Async)
			}
			must(t, err)
			gone = gone || db.archive.OldestSeq() > 1
		}
		fs.SetCapacity(1 << 30) // Close does not try again
		if !gone {
			t.Error("no history was given up")
		}
		must(t, db.Close())
	})
}

// Positions and numbers of a log that recovery has cut short are given out
// again. What lay behind the cut stays dropped, also where it could not be
// deleted: the rest of the segment, and the one after it.
func TestHistoryOfALogThatWasCut(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, historyTestOptions(fs))
	prepared := func() {
		must(t, db.changed.Wait(t.Context(), func() bool { return db.segments.Prepared() != 0 }))
	}
	must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), []byte("kept"), commit.Sync))
	prepared()
	release := make(chan struct{})
	fs.SetHook(func(op vfs.Op) error {
		if op.Kind == vfs.OpSyncData && strings.HasSuffix(op.Name, ".wal") {
			<-release // or what follows would say that what is cut was durable
		}
		return nil
	})
	must(t, db.Commits().Set(nil, []byte{0}, []byte("b"), []byte("lost"), commit.Buffered))
	start := int64(db.segments.Log().Appended()) + 128
	must(t, db.Commits().Set(nil, []byte{0}, []byte("c"), []byte("lost"), commit.Buffered))
	must(t, db.commits.Alone(context.Background(), db.rotate))
	must(t, db.Commits().Set(nil, []byte{0}, []byte("d"), []byte("lost"), commit.Buffered))
	crashed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	close(release)
	must(t, db.Close())
	log := fileNames(t, crashed, ".wal")[0]
	content := readFile(t, crashed, log)
	content[start-10] ^= 1 // in the first of the three
	putFile(t, crashed, log, content)

	faulty := faultfs.New(crashed)
	faulty.Add(faultfs.Rule{Kinds: vfs.OpRemove, Name: "*.wal", Sticky: true, Err: syscall.EIO})
	db = openTest(t, historyTestOptions(faulty))
	fill(t, db, "e", 20)
	must(t, db.SyncLog(context.Background()))
	want := mustReadFeed(t, db, 1)
	if len(want) != 21 || want[0] != "1..1 1 /61-=4:6b657074" || !strings.HasPrefix(want[1], "2..2 1 /65") {
		t.Errorf("got %v", want)
	}
	for range 2 {
		must(t, db.Close())
		if len(fileNames(t, crashed, ".wal")) == 0 {
			t.Error("what was cut is gone: the test needs it")
		}
		db = openTest(t, historyTestOptions(faulty))
		extents := db.archive.Extents()
		for i, e := range extents[1:] {
			if before := extents[i]; e.First != before.Last+1 {
				t.Errorf("%+v follows %+v", e, before)
			}
		}
		if lines := mustReadFeed(t, db, 1); !slices.Equal(lines, want) {
			t.Errorf("got %v, want %v", lines, want)
		}
	}
	must(t, db.Close())
}

// A history segment costs what it holds, not what was prepared for it.
func TestHistoryIsCutToSize(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, historyTestOptions(fs))
	must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), nil, commit.Sync))
	must(t, db.Close())
	names := fileNames(t, fs, ".archive")
	if len(names) != 1 || len(fileNames(t, fs, ".wal")) != 0 {
		t.Fatalf("files: %v %v", names, fileNames(t, fs, ".wal"))
	}
	info, err := fs.Stat(filepath.Join("db", names[0]))
	must(t, err)
	if info.Size() > 300 {
		t.Errorf("%d bytes", info.Size())
	}
	for range 5 { // sessions without a write leave nothing
		db = openTest(t, historyTestOptions(fs))
		must(t, db.Close())
	}
	if after := fileNames(t, fs, ".archive"); !slices.Equal(after, names) {
		t.Errorf("files: %s", strings.Join(after, " "))
	}
}

// renamedFS tells of each segment that has just got the name of a history
// segment.
type renamedFS struct {
	vfs.FS
	renamed func()
}

func (fs *renamedFS) Rename(from, to string) error {
	err := fs.FS.Rename(from, to)
	if err == nil && strings.HasSuffix(to, ".archive") {
		fs.renamed()
	}
	return err
}

// A feed that comes between the new name of a segment and the note of it reads
// the segment all the same.
func TestHistoryBetweenTwoNames(t *testing.T) {
	fs := &renamedFS{FS: memfs.New()}
	var db *DB
	var read []int
	fs.renamed = func() {
		lines, err := readFeed(t, db, 1)
		if err != nil {
			t.Error(err)
		}
		read = append(read, len(lines))
	}
	db = openTest(t, historyTestOptions(fs))
	fillSegments(t, db, 2)
	if want := []int{100, 200}; !slices.Equal(read, want) {
		t.Errorf("read %v commits, want %v", read, want)
	}
	must(t, db.Close())
}

// A segment that a backup holds by a second name is archived as a copy. Whenever a
// crash ends that, one of the two is taken for the segment, and it is whole.
func TestHistoryOfALinkedSegment(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		fs := memfs.New()
		db := openTest(t, historyTestOptions(fs))
		fill(t, db, "a", 100)
		must(t, db.SyncLog(context.Background()))
		must(t, fs.MkdirAll("backup"))
		for _, name := range fileNames(t, fs, ".wal") {
			must(t, fs.Link(filepath.Join("db", name), filepath.Join("backup", name)))
		}
		var crashes []*memfs.FS
		fs.SetHook(func(op vfs.Op) error {
			if strings.HasSuffix(op.Name, ".archive") || op.Kind == vfs.OpRemove {
				for seed := range uint64(20) {
					o := memfs.CrashOptions{Keep: memfs.Policy(min(seed, 2)), Seed: seed}
					crashes = append(crashes, fs.Crash(o))
				}
			}
			return nil
		})
		want := mustReadFeed(t, db, 1)
		must(t, db.commits.Alone(context.Background(), db.rotate))
		must(t, db.changed.Wait(t.Context(), func() bool { return len(db.reads.State().Immutables) == 0 }))
		settleHistory(db)
		fs.SetHook(nil)
		if names := fileNames(t, fs, ".archive"); len(names) != 1 || len(crashes) < 100 {
			t.Fatalf("archived %v, %d crashes", names, len(crashes))
		}
		must(t, db.Close())
		for _, fs := range append(crashes, fs) {
			db := openTest(t, historyTestOptions(fs))
			if lines := mustReadFeed(t, db, 1); !slices.Equal(lines, want) {
				t.Errorf("%d commits, want %d", len(lines), len(want))
			}
			settleHistory(db)
			if lines := mustReadFeed(t, db, 1); !slices.Equal(lines, want) {
				t.Errorf("archived again, %d commits, want %d", len(lines), len(want))
			}
			must(t, db.Close())
		}
	})
}
