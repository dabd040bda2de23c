package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// These tests are about the history of what was committed past the log: its tables
// are kept, and a feed delivers them like any other commit.

// putPastLog commits a transaction past the log that puts n values of a kilobyte.
func putPastLog(t testing.TB, db *DB, prefix string, n int) {
	t.Helper()
	commitPastLog(t, db, func(w *txn.Writes) {
		for i := range n {
			w.Put(fmt.Appendf(nil, "\x00%s%05d", prefix, i), make([]byte, 1000))
		}
	})
}

// tableNames are the tables in the directory.
func tableNames(t testing.TB, fs *memfs.FS) []string {
	t.Helper()
	return fileNames(t, fs, ".sst")
}

func loadState(t testing.TB, disk vfs.FS) *manifest.State {
	t.Helper()
	names, err := disk.List("db")
	must(t, err)
	state, err := manifest.Load(disk, "db", names)
	must(t, err)
	return state
}

// keptNames are the tables that are kept for the feed.
func keptNames(t testing.TB, disk vfs.FS) (names []string) {
	t.Helper()
	state := loadState(t, disk)
	for _, c := range state.Ingests {
		for _, m := range c.Tables {
			names = append(names, store.TableName(m.Num))
		}
	}
	return names
}

// withAppend registers an operator whose operands do not commute.
func withAppend(opts Options) Options {
	opts.Keyspaces.Operators = merge.Registry{"append": {
		Name: "append",
		Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			return slices.Concat(append([][]byte{dst, value}, operands...)...), nil
		},
	}}
	return opts
}

// Everything that a transaction can write is delivered, in an order in which it comes
// to the same, also when the tables have left the tree, after a reopen, after a crash,
// and read-only.
func TestFeedOfCommitsPastTheLog(t *testing.T) {
	disk := memfs.New()
	db := openTest(t, withAppend(historyTestOptions(disk)))
	var prefixes [2][]byte
	for i, s := range []keyspace.Settings{{Merge: "append"}, {TTL: 5}} {
		k, err := db.Keyspace(context.Background(), fmt.Sprint("k", i), s)
		must(t, err)
		prefixes[i] = keyspace.AppendPrefix(nil, k.ID)
	}
	fill(t, db, "a", 1)
	key := func(i int, user string) []byte { return append(slices.Clone(prefixes[i]), user...) }
	commitPastLog(t, db, func(w *txn.Writes) {
		w.Put([]byte("\x00gone"), []byte("x"))
		w.DeleteRange([]byte("\x00b"), []byte("\x00h"))
		for i := range prefixes { // neighbours, as a whole
			w.DeleteRange(prefixes[i], keyspace.PrefixEnd(prefixes[i]))
		}
		w.PutExpiring(key(1, "e"), []byte("v"), 1<<62)
		w.Put([]byte("\x00c"), []byte("new"))
		w.Delete([]byte("\x00d"))
		for n := range 3 {
			w.Merge([]byte("\x00m"), fmt.Append(nil, n)) // no operator: they stay apart
		}
		for n := range 400 {
			w.Put(key(0, fmt.Sprintf("%05d", n)), make([]byte, 300))
		}
	})
	fill(t, db, "z", 1)
	must(t, db.SyncLog(context.Background()))
	lines := mustReadFeed(t, db, 1)
	want := "4..6 3 /62-68=0: 3 k0/-=0: 3 k1/-=0: 1 /63-=3:6e6577 2 /64-=0: 5 /6d-=1:30 5 /6d-=1:31 5 /6d-=1:32"
	for n := range 400 {
		want += fmt.Sprintf(" 1 k0/%x-=300:%016x", fmt.Sprintf("%05d", n), 0)
	}
	want += " 1 k1/65-=1:76"
	if len(lines) != 5 || lines[3] != want || feedEnd(lines) != 7 {
		t.Fatalf("got %d commits, and for that one\n%s\nwant\n%s", len(lines), lines[min(3, len(lines)-1)], want)
	}
	kept := keptNames(t, disk)
	if len(kept) < 3 {
		t.Errorf("only %d tables: the test needs more", len(kept))
	}
	check := func(when string) {
		t.Helper()
		if again := mustReadFeed(t, db, 1); !slices.Equal(again, lines) {
			t.Errorf("%s: got\n%v\nwant\n%v", when, again, lines)
		}
		for from := base.SeqNum(4); from <= 6; from++ { // as a whole
			if again := mustReadFeed(t, db, from); !slices.Equal(again, lines[3:]) {
				t.Errorf("%s: from %d got %d commits", when, from, len(again))
			}
		}
		for _, name := range kept {
			if !slices.Contains(tableNames(t, disk), name) {
				t.Errorf("%s: %s is gone", when, name)
			}
		}
	}
	must(t, db.Compact(t.Context(), nil, nil))
	settleHistory(db)
	for _, files := range db.reads.State().Tree.Version.Levels {
		for _, m := range files {
			if slices.Contains(kept, store.TableName(m.Num)) {
				t.Errorf("%s is in the tree still: the test needs another compaction", m.Num)
			}
		}
	}
	check("after a compaction")
	crashed := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
	for range 2 {
		must(t, db.Close())
		db = openTest(t, withAppend(historyTestOptions(disk)))
		check("after a reopen")
	}
	must(t, db.Close())
	for name, on := range map[string]*memfs.FS{"": disk, " after a crash": crashed} {
		opts := withAppend(testOptions(on))
		opts.ReadOnly = true
		db = openTest(t, opts)
		check("read-only" + name)
		must(t, db.Close())
	}
	db = openTest(t, withAppend(historyTestOptions(crashed)))
	check("after a crash")
	must(t, db.Close())
	// Without a log archive what was kept goes.
	db = openTest(t, withAppend(testOptions(disk)))
	settleHistory(db)
	if names := keptNames(t, disk); len(names) > 0 {
		t.Errorf("the manifest names %v still", names)
	}
	must(t, db.Close())
	expectNoOrphans(t, disk, "without a log archive")
}

// edit makes an edit of the manifest, which forgets what is not kept any more.
func edit(t testing.TB, db *DB) {
	t.Helper()
	settleHistory(db)
	must(t, db.versions.edit(&manifest.Edit{}, func(*manifest.Version) {}))
}

// expectNoOrphans looks whether the directory has the tables of the tree, and none that
// nobody keeps. What was kept and is retired goes before the next edit forgets it, so it
// may be gone already. The database is closed, or does nothing.
func expectNoOrphans(t *testing.T, disk *memfs.FS, where string) {
	t.Helper()
	live := treeNames(t, disk)
	kept := keptNames(t, disk)
	got := tableNames(t, disk)
	for _, name := range live {
		if !slices.Contains(got, name) {
			t.Errorf("%s: %s is missing among %v", where, name, got)
		}
	}
	for _, name := range got {
		if !slices.Contains(live, name) && !slices.Contains(kept, name) {
			t.Errorf("%s: %s belongs to nobody; there are %v, and kept are %v", where, name, live, kept)
		}
	}
}

// treeNames returns the names of the tables of the tree.
func treeNames(t *testing.T, disk *memfs.FS) (names []string) {
	t.Helper()
	for _, files := range loadState(t, disk).Version.Levels {
		for _, m := range files {
			names = append(names, store.TableName(m.Num))
		}
	}
	return names
}

// A feed that waits gets the commit when it is there, and so do several at once.
func TestFeedsThatWaitForACommitPastTheLog(t *testing.T) {
	db := openTest(t, historyTestOptions(memfs.New()))
	got := make(chan string)
	for range 3 {
		go func() {
			f, err := db.Feed(1)
			if err == nil {
				defer f.Close()
				var c *feed.Commit
				if c, err = f.Next(t.Context()); err == nil {
					got <- fmt.Sprintf("%d..%d with %d, %d", c.First, c.Last, c.Len(), len(slices.Collect(c.Changes())))
					return
				}
			}
			got <- err.Error()
		}()
	}
	putPastLog(t, db, "a", 200)
	for range 3 {
		if text := <-got; text != "1..1 with 200, 200" {
			t.Errorf("got %s", text)
		}
	}
	must(t, db.Close())
}

// What is kept is bounded with the segments: by size, the oldest first, but not the
// newest before the log has gone on. The metrics tell.
func TestCommitsPastTheLogAreTrimmed(t *testing.T) {
	disk := memfs.New()
	opts := historyTestOptions(disk)
	opts.Archive.SizeBytes = 500 << 10
	db := openTest(t, opts)
	for i := range 6 {
		putPastLog(t, db, fmt.Sprint("a", i), 200)
		settleHistory(db)
		m := db.Metrics().Archive
		if want := min(i+1, 3); m.Ingests != want || m.SizeBytes < int64(want)*200_000 {
			t.Fatalf("after %d: %+v", i+1, m)
		}
		if m.OldestSeq != base.SeqNum(max(i-1, 1)) {
			t.Errorf("after %d the oldest is %d", i+1, m.OldestSeq)
		}
	}
	if lines := mustReadFeed(t, db, 0); len(lines) != 3 {
		t.Errorf("%d commits are left", len(lines))
	}
	_, err := readFeed(t, db, 1)
	expectGap(t, err, 1, 4)
	putPastLog(t, db, "b", 2000) // more than all that may be kept
	settleHistory(db)
	if lines := mustReadFeed(t, db, 7); len(lines) != 1 {
		t.Errorf("of the newest there are %d", len(lines))
	}
	must(t, db.Compact(t.Context(), nil, nil))
	fillFile(t, db, "c", 10)
	edit(t, db)
	_, err = readFeed(t, db, 7)
	expectGap(t, err, 7, 8)
	if names := keptNames(t, disk); len(names) > 0 {
		t.Errorf("%v are kept", names)
	}
	must(t, db.Close())
	expectNoOrphans(t, disk, "after all of it")
}

// Large batches hold no segment, and with it all that was committed past the log since,
// for ever.
func TestLargeBatchesHoldNoCommitPastTheLog(t *testing.T) {
	opts := historyTestOptions(memfs.New())
	opts.Archive.SizeBytes = 500 << 10
	db := openTest(t, opts)
	must(t, db.Commits().Set(nil, []byte{0}, []byte("large"), make([]byte, 100<<10), commit.Async))
	for i := range 9 {
		putPastLog(t, db, fmt.Sprint(i), 200)
	}
	settleHistory(db)
	if m := db.Metrics().Archive; m.Ingests > 3 || m.Segments > 0 {
		t.Errorf("%d commits past the log are kept, and %d segments", m.Ingests, m.Segments)
	}
	must(t, db.Close())
}

// Without a log archive such a commit is a gap, and no more than that: what was written
// before and behind it comes, whether somebody has synced the log or not.
func TestCommitPastALogThatIsNotKept(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	fill(t, db, "a", 10)
	putPastLog(t, db, "b", 100)
	// The memtable ends where such a commit comes. Once it is flushed, maybe now, the log goes.
	lines, err := readFeed(t, db, 1)
	if read := base.SeqNum(len(lines)); read < 10 {
		expectGap(t, err, read+1, 11)
	} else {
		expectGap(t, err, 11, 12)
	}
	fill(t, db, "c", 10)
	_, err = readFeed(t, db, 11)
	expectGap(t, err, 11, 12)
	must(t, db.SyncLog(context.Background()))
	if lines := mustReadFeed(t, db, 12); len(lines) != 10 {
		t.Errorf("%d commits behind the gap", len(lines))
	}
	must(t, db.Close())
}

// Where no log is kept, who follows gets such a commit nevertheless. Its tables stay until
// the log goes on, there is another one, or nobody follows any more.
func TestFeedFollowsPastALogThatIsNotKept(t *testing.T) {
	for name, end := range map[string]func(db *DB, f *feed.Feed) error{
		"the log goes on": func(db *DB, f *feed.Feed) error {
			fillFile(t, db, "x", 10)
			return nil
		},
		"another":           func(db *DB, f *feed.Feed) error { putPastLog(t, db, "c", 1); return nil },
		"no feed":           func(_ *DB, f *feed.Feed) error { return f.Close() },
		"no feed, no crash": func(db *DB, f *feed.Feed) error { return errors.Join(f.Close(), db.Close()) },
		"closed":            func(db *DB, _ *feed.Feed) error { return db.Close() },
	} {
		disk := memfs.New()
		db := openTest(t, testOptions(disk))
		f, err := db.Feed(1)
		must(t, err)
		fill(t, db, "a", 1)
		_, err = f.Next(t.Context()) // the log may be used again at once
		must(t, err)
		putPastLog(t, db, "b", 100)
		must(t, db.Compact(t.Context(), nil, nil))
		settleHistory(db)
		c, err := f.Next(t.Context())
		if err != nil || c.Len() != 100 || c.First != 2 {
			t.Fatalf("%s: got %v, %v", name, c, err)
		}
		kept := db.archive.Metrics().Ingests
		must(t, end(db, f))
		settleHistory(db)
		if m := db.archive.Metrics(); kept != 1 || m.Ingests > 0 && name != "another" {
			t.Errorf("%s: %d commits were kept, and are %d", name, kept, m.Ingests)
		}
		_ = f.Close()
		if err := db.Close(); err != nil && err != base.ErrClosed {
			t.Error(err)
		}
		expectNoOrphans(t, disk, name)
	}
}

// What is damaged in a kept table is told before anything of the commit is delivered,
// and the feed goes on behind it. The database does not mind.
func TestKeptTableDamaged(t *testing.T) {
	disk := memfs.New()
	db := openTest(t, historyTestOptions(disk))
	fill(t, db, "a", 3)
	putPastLog(t, db, "b", 20)
	name := keptNames(t, disk)[0]
	putPastLog(t, db, "c", 20)
	fill(t, db, "d", 3)
	must(t, db.Compact(t.Context(), nil, nil))
	want := mustReadFeed(t, db, 1)
	must(t, db.Close())
	content := readFile(t, disk, name)
	reported := 0
	for at := 0; at < len(content); at += 1 + len(content)/100 {
		damaged := slices.Clone(content)
		damaged[at] ^= 0x10
		judgeDamage(t, disk, name, damaged, want, "a00000", fmt.Sprint("byte ", at), &reported)
	}
	for _, size := range []int{0, 10, 64, 3000, len(content) - 1} {
		judgeDamage(t, disk, name, content[:size], want, "a00000", fmt.Sprint("cut to ", size), &reported)
	}
	if reported < 80 {
		t.Errorf("only %d times was the damage reported", reported)
	}
}

// A kept table that is taken away is missed: at once where it was known, and as a gap
// where it was not.
func TestKeptTableTakenAway(t *testing.T) {
	for _, reopen := range []bool{false, true} {
		disk := memfs.New()
		db := openTest(t, historyTestOptions(disk))
		fill(t, db, "a", 2)
		putPastLog(t, db, "b", 100)
		kept := keptNames(t, disk)
		fill(t, db, "c", 2)
		must(t, db.Compact(t.Context(), nil, nil))
		settleHistory(db)
		must(t, disk.Remove(filepath.Join("db", kept[1])))
		if reopen {
			must(t, db.Close())
			db = openTest(t, historyTestOptions(disk))
		}
		lines, err := readFeed(t, db, 1)
		expectGap(t, err, 3, 4)
		if len(lines) != 2 || errors.Is(err, base.ErrCorrupted) == reopen {
			t.Errorf("reopen %v: %d commits, %v", reopen, len(lines), err)
		}
		if lines := mustReadFeed(t, db, 4); len(lines) != 2 {
			t.Errorf("%d commits behind the gap", len(lines))
		}
		must(t, db.Close())
		if reopen {
			expectNoOrphans(t, disk, "after a reopen")
		}
	}
}

// Where a table cannot be read to its end the commit says so, and the feed too, which
// then begins with it again.
func TestKeptTableThatCannotBeReadAgain(t *testing.T) {
	faulty := faultfs.New(memfs.New())
	db := openTest(t, historyTestOptions(faulty))
	putPastLog(t, db, "a", 1000)
	f, err := db.Feed(1)
	must(t, err)
	c, err := f.Next(t.Context())
	must(t, err)
	rule := faulty.Add(faultfs.Rule{Kinds: vfs.OpRead, Name: "*.sst", Sticky: true, Err: syscall.EIO})
	if n := len(slices.Collect(c.Changes())); n == 1000 || !errors.Is(c.Err(), syscall.EIO) {
		t.Errorf("%d changes, and then %v", n, c.Err())
	}
	for range 2 { // at the second time it does not get as far
		if _, err := f.Next(t.Context()); !errors.Is(err, syscall.EIO) || f.NextSeq() != 1 {
			t.Fatalf("goes on at %d with %v", f.NextSeq(), err)
		}
	}
	rule.Disarm()
	c, err = f.Next(t.Context())
	must(t, err)
	if n := len(slices.Collect(c.Changes())); n != 1000 || c.Err() != nil {
		t.Errorf("%d changes, and then %v", n, c.Err())
	}
	for range c.Changes() {
		break // is no error
	}
	must(t, c.Err())
	must(t, f.Close())
	must(t, db.Close())
}

// A feed reads on in tables that are deleted meanwhile, and when the database is
// closed.
func TestKeptTablesAreReadToTheirEnd(t *testing.T) {
	disk := memfs.New()
	opts := historyTestOptions(disk)
	opts.Archive.SizeBytes = 1
	db := openTest(t, opts)
	putPastLog(t, db, "a", 1000)
	f, err := db.Feed(1)
	must(t, err)
	c, err := f.Next(t.Context())
	must(t, err)
	must(t, db.Compact(t.Context(), nil, nil))
	fillFile(t, db, "b", 1)
	edit(t, db)
	if names := keptNames(t, disk); len(names) > 0 {
		t.Errorf("%v are kept", names)
	}
	n := 0
	for range c.Changes() {
		if n++; n == 500 {
			must(t, db.Close())
		}
	}
	if n != 1000 || c.Err() != nil {
		t.Errorf("%d changes, %v", n, c.Err())
	}
	if _, err := f.Next(t.Context()); err != base.ErrClosed {
		t.Errorf("then comes %v", err)
	}
	must(t, f.Close())
	expectNoOrphans(t, disk, "after Close")
}

// On a full disk what is kept for feeds goes, also where the newest is all there is.
func TestFullDiskTakesKeptTables(t *testing.T) {
	disk := memfs.New()
	db := openTest(t, historyTestOptions(disk))
	putPastLog(t, db, "a", 100)
	must(t, db.Compact(t.Context(), nil, nil))
	settleHistory(db)
	kept := keptNames(t, disk)
	db.archive.MakeSpace(vfs.ErrNoSpace)
	settleHistory(db)
	for _, name := range kept {
		if _, err := disk.Stat(filepath.Join("db", name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	crashed := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll}) // the manifest names them still
	must(t, db.Close())
	db = openTest(t, historyTestOptions(crashed))
	_, err := readFeed(t, db, 1)
	expectGap(t, err, 1, 2)
	must(t, db.Close())
	expectNoOrphans(t, crashed, "after a crash")
}

// pastLogLife is a short life with commits past the log in every neighbourhood.
func pastLogLife(t *testing.T, db *DB) {
	small := func(key string) {
		must(t, db.Commits().Set(nil, []byte{0}, []byte(key), make([]byte, 100), commit.Sync))
	}
	settled := func(prefix string, n int) {
		putPastLog(t, db, prefix, n)
		settleHistory(db)
	}
	small("a")
	settled("b", 30)
	small("b00003")
	must(t, db.Flush(t.Context()))
	must(t, db.Compact(t.Context(), nil, nil))
	settled("c", 30)
	settled("b", 20)
	must(t, db.Commits().Set(nil, []byte{0}, []byte("large"), make([]byte, 70<<10), commit.Buffered))
	settled("d", 60)
	must(t, db.Compact(t.Context(), nil, nil))
	small("e")
	must(t, db.Flush(t.Context()))
	settled("f", 5)
	small("g")
	must(t, db.Close())
}

// A crash at any operation, and another one in some of the recoveries, leaves a feed
// without a hole, up to the newest that is visible, from where retention lets it begin;
// and no file that nobody needs.
func TestCrashAroundCommitsPastTheLog(t *testing.T) {
	const all, some = 1 << 30, 70 << 10
	disk := memfs.New()
	db := openTest(t, historyTestOptions(disk))
	pastLogLife(t, db)
	db = openTest(t, historyTestOptions(disk))
	want := mustReadFeed(t, db, 1)
	must(t, db.Close())
	if len(want) != 10 {
		t.Fatalf("%d commits", len(want))
	}
	for _, sizeBytes := range []int64{all, some} {
		opts := func(on vfs.FS) Options {
			o := historyTestOptions(on)
			o.Archive.SizeBytes = sizeBytes
			return o
		}
		judged, trimmed := 0, 0
		var judge func(disk *memfs.FS, where string, deep bool)
		judge = func(disk *memfs.FS, where string, deep bool) {
			judged++
			states := &crashStates{}
			if deep {
				states.take(disk, 7)
			}
			db, err := Open("db", opts(disk))
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			for range 2 {
				lines := expectHistory(t, db, want, where)
				if missing := int(db.reads.VisibleSeq()) - lines; missing > 0 {
					trimmed++
					if sizeBytes == all {
						t.Fatalf("%s: %d commits are missing", where, missing)
					}
				}
				must(t, db.Close())
				expectNoOrphans(t, disk, where)
				db = openTest(t, opts(disk))
			}
			must(t, db.Close())
			disk.SetHook(nil)
			for _, s := range states.states {
				judge(s.fs, where+", then "+s.where, false)
			}
		}
		disk := memfs.New()
		states := &crashStates{}
		states.take(disk, 1)
		pastLogLife(t, openTest(t, opts(disk)))
		disk.SetHook(nil)
		for i, s := range states.states {
			judge(s.fs, fmt.Sprintf("%d bytes, %s", sizeBytes, s.where), i%40 == 0)
		}
		if judged < 300 || (trimmed > 0) != (sizeBytes == some) {
			t.Errorf("%d states, of %d of which something was trimmed", judged, trimmed)
		}
	}
}

// expectHistory reads all that a feed can deliver, which must be what there was, up to
// the newest that is visible, and returns how many commits that are. Each of them has one
// number. Gaps are no damage.
func expectHistory(t *testing.T, db *DB, want []string, where string) (count int) {
	t.Helper()
	visible := db.reads.VisibleSeq()
	for next := db.archive.OldestSeq(); next <= visible; {
		lines, err := readFeed(t, db, next)
		end := int(next) - 1 + len(lines)
		if !slices.Equal(lines, want[next-1:end]) {
			t.Fatalf("%s: got\n%.300v\nwant\n%.300v", where, lines, want[next-1:end])
		}
		count += len(lines)
		next = base.SeqNum(end + 1)
		var gap *feed.GapError
		switch {
		case err == nil && next == visible+1:
		case errors.As(err, &gap) && gap.Err == nil && gap.From == uint64(next) && gap.Oldest > gap.From:
			next = base.SeqNum(gap.Oldest)
		default:
			t.Fatalf("%s: at %d of %d: %v", where, next, visible, err)
		}
	}
	return count
}

// take takes what crashes would leave, at each so many-th operation.
func (c *crashStates) take(disk *memfs.FS, stride int64) {
	disk.SetHook(func(op vfs.Op) error {
		if !vfs.OpMutations.Has(op.Kind) || op.N%stride != 0 {
			return nil
		}
		keep := []memfs.Policy{memfs.KeepNone, memfs.KeepAll, memfs.KeepRandom}[op.N/stride%3]
		c.add(crashState{
			fs: disk.Crash(memfs.CrashOptions{Keep: keep, Seed: uint64(op.N)}), where: fmt.Sprintf("%v, keep %d", op, keep),
		})
		return nil
	})
}
