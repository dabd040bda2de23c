package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func historyTestOptions(fs vfs.FS) Options {
	opts := testOptions(fs)
	opts.Archive.SizeBytes = 1 << 30
	return opts
}

// commitText is a commit as a line, for comparing.
func commitText(c *feed.Commit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d..%d", c.First, c.Last)
	for change := range c.Changes() {
		fmt.Fprintf(&b, " %d %s/%x-%x=%d:%x", change.Kind, change.Keyspace, change.Key, change.End,
			len(change.Value), change.Value[:min(len(change.Value), 8)])
	}
	return b.String()
}

// readFeed returns the commits from a number to the newest that is durable. They
// must join.
func readFeed(t testing.TB, db *DB, from base.SeqNum) (lines []string, err error) {
	t.Helper()
	f, err := db.Feed(from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for f.NextSeq() <= db.archive.Horizon() {
		want := f.NextSeq()
		c, err := f.Next(t.Context())
		if err != nil {
			return lines, err
		}
		if c.First != want && len(lines) > 0 {
			t.Fatalf("%d..%d follows what ends before %d", c.First, c.Last, want)
		}
		lines = append(lines, commitText(c))
		must(t, c.Err())
	}
	return lines, nil
}

func mustReadFeed(t testing.TB, db *DB, from base.SeqNum) []string {
	t.Helper()
	lines, err := readFeed(t, db, from)
	must(t, err)
	return lines
}

func expectGap(t testing.TB, err error, from, oldest base.SeqNum) {
	t.Helper()
	var gap *feed.GapError
	if !errors.As(err, &gap) || gap.From != uint64(from) || gap.Oldest != uint64(oldest) {
		t.Fatalf("got %v, want a gap from %d to %d", err, from, oldest)
	}
}

// fileNames lists the files with a suffix.
func fileNames(t testing.TB, fs *memfs.FS, suffix string) []string {
	t.Helper()
	names, err := fs.List("db")
	must(t, err)
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, suffix) })
}

// settleHistory waits until the janitor has done what it was told, and what followed from it.
func settleHistory(db *DB) {
	for range 2 {
		for _, add := range []func(func()){db.janitor.Add, db.janitor.AddFile} {
			done := make(chan struct{})
			add(func() { close(done) })
			<-done
		}
	}
}

// crashWriter commits at random and reads the feed behind itself.
type crashWriter struct {
	t         *testing.T
	rng       *rand.Rand
	db        *DB
	delivered []string
}

func (w *crashWriter) step() {
	w.t.Helper()
	d := commit.Durability(w.rng.IntN(3))
	key := fmt.Appendf(nil, "%02d", w.rng.IntN(20))
	switch w.rng.IntN(13) {
	case 10, 11:
		commitPastLog(w.t, w.db, func(tx *txn.Writes) {
			tx.DeleteRange([]byte("\x0005"), append([]byte{0}, key...))
			for i := range 1 + w.rng.IntN(40) {
				tx.Put(fmt.Appendf(nil, "\x00%02d", i), make([]byte, 1000))
			}
		})
	case 12:
		must(w.t, w.db.Compact(w.t.Context(), nil, nil))
	case 0:
		must(w.t, w.db.Flush(w.t.Context()))
	case 1:
		must(w.t, w.db.Commits().DeleteRange(nil, append([]byte{0}, key...), []byte{1}, d))
	case 2:
		var b batch.Batch // more than a memtable
		for range 300 {
			must(w.t, b.Set([]byte{0}, key, make([]byte, 300)))
		}
		must(w.t, w.db.Commit(w.t.Context(), &b, d))
	case 3:
		must(w.t, w.db.SyncLog(context.Background()))
	default:
		var b batch.Batch
		for i := range 1 + w.rng.IntN(3) {
			must(w.t, b.Set([]byte{0}, key, make([]byte, 10+w.rng.IntN(2000)*i)))
		}
		must(w.t, w.db.Commit(w.t.Context(), &b, d))
	}
	w.delivered = append(w.delivered, mustReadFeed(w.t, w.db, feedEnd(w.delivered)+1)...)
}

// feedEnd is the last number in the lines of a feed.
func feedEnd(lines []string) (last base.SeqNum) {
	if n := len(lines); n > 0 {
		_, numbers, _ := strings.Cut(strings.Fields(lines[n-1])[0], "..")
		_, _ = fmt.Sscan(numbers, &last)
	}
	return last
}

// crashStates are the states that crashes would have left. The workers of the
// database reach the file system side by side, so they are judged later.
type crashStates struct {
	mu     sync.Mutex
	states []crashState
}

type crashState struct {
	fs        *memfs.FS
	delivered []string // before the crash
	where     string
}

func (c *crashStates) add(s crashState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, s)
}

func (c *crashStates) judge(t *testing.T) (n int) {
	t.Helper()
	c.mu.Lock()
	states := c.states
	c.states = nil
	c.mu.Unlock()
	for _, s := range states {
		judgeCrash(t, s.fs, s.delivered, s.where)
	}
	return len(states)
}

// TestFeedAfterCrash cuts the power at many operations. What a feed has
// delivered must be there again under the same numbers, nothing may be missing
// behind it, and what is written next must follow.
func TestFeedAfterCrash(t *testing.T) {
	judged := 0
	for seed := range uint64(4) {
		fs := memfs.New()
		w := &crashWriter{t: t, rng: rand.New(rand.NewPCG(seed, 2)), db: openTest(t, historyTestOptions(fs))}
		var crashes crashStates
		var delivered atomic.Pointer[[]string]
		delivered.Store(new([]string))
		fs.SetHook(func(op vfs.Op) error {
			if !vfs.OpMutations.Has(op.Kind) || op.N%5 != int64(seed) {
				return nil
			}
			o := memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: uint64(op.N)}
			switch op.N / 5 % 3 {
			case 0:
				o.Keep = memfs.KeepNone
			case 1:
				o.Keep = memfs.KeepAll
			}
			before := *delivered.Load()
			crashes.add(crashState{fs.Crash(o), before, fmt.Sprintf("seed %d, %v", seed, op)})
			return nil
		})
		for range 25 {
			w.step()
			lines := slices.Clone(w.delivered)
			delivered.Store(&lines)
			judged += crashes.judge(t)
		}
		must(t, w.db.Close())
		fs.SetHook(nil)
		judged += crashes.judge(t)
		judgeCrash(t, fs, w.delivered, "after Close")
	}
	if judged < 100 {
		t.Errorf("only %d states were judged", judged)
	}
}

func judgeCrash(t *testing.T, fs *memfs.FS, delivered []string, where string) {
	t.Helper()
	db, err := Open("db", historyTestOptions(fs))
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	lines, err := readFeed(t, db, 1)
	if err != nil && (db.reads.VisibleSeq() > 0 || !errors.Is(err, feed.ErrGap)) {
		t.Fatalf("%s: %v", where, err)
	}
	if len(lines) < len(delivered) || !slices.Equal(lines[:len(delivered)], delivered) {
		t.Fatalf("%s: %d commits were delivered, %d are there\n%v\n%v",
			where, len(delivered), len(lines), delivered, lines)
	}
	if last := feedEnd(lines); last != db.reads.VisibleSeq() {
		t.Fatalf("%s: the feed ends at %d, the database at %d", where, last, uint64(db.reads.VisibleSeq()))
	}
	must(t, db.Commits().Set(nil, []byte{0}, []byte("next"), nil, commit.Sync))
	next := mustReadFeed(t, db, feedEnd(lines)+1)
	if len(next) != 1 {
		t.Fatalf("%s: one more commit shows as %v", where, next)
	}
	must(t, db.Close())
	db = openTest(t, historyTestOptions(fs))
	if again := mustReadFeed(t, db, 1); !slices.Equal(again, append(lines, next...)) {
		t.Fatalf("%s: after a reopen the feed is\n%v\nand was\n%v", where, again, lines)
	}
	must(t, db.Close())
}

// A flush makes data durable that the log has not synced. History must not end
// before it.
func TestFlushedDataIsInTheHistory(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, historyTestOptions(fs))
	fill(t, db, "a", 100)
	must(t, db.Flush(t.Context()))
	crashed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
	must(t, db.Close())
	db = openTest(t, historyTestOptions(crashed))
	defer db.Close()
	if visible := uint64(db.reads.VisibleSeq()); visible != 100 {
		t.Fatalf("%d writes survived the crash", visible)
	}
	if lines := mustReadFeed(t, db, 1); len(lines) != 100 {
		t.Errorf("%d of them are in the history", len(lines))
	}
}

// Without history the log is used again. A consumer that was reading there gets
// what is still intact, and then the gap.
func TestFeedOfALogThatIsUsedAgain(t *testing.T) {
	db := openTest(t, testOptions(memfs.New()))
	defer db.Close()
	must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), nil, commit.Sync))
	f, err := db.Feed(1)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	_, err = f.Next(t.Context())
	must(t, err)
	for range 6 {
		fill(t, db, "b", 1000)
		must(t, db.SyncLog(context.Background()))
		must(t, db.Flush(t.Context()))
		must(t, db.changed.Wait(t.Context(), func() bool { return db.segments.Prepared() != 0 }))
	}
	want := base.SeqNum(2)
	for {
		c, err := f.Next(t.Context())
		if err != nil {
			expectGap(t, err, want, db.archive.OldestSeq())
			break
		}
		if c.First != want || want > 1000 {
			t.Fatalf("got %d, want %d or a gap", c.First, want)
		}
		want = c.Last + 1
	}
	must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), nil, commit.Sync))
	lines := mustReadFeed(t, db, 0)
	if oldest := fmt.Sprint(db.archive.OldestSeq(), ".."); len(lines) == 0 || !strings.HasPrefix(lines[0], oldest) {
		t.Errorf("from the oldest on there are %d commits", len(lines))
	}
}

// A dropped keyspace keeps its name in the history, over reopens, also when
// another one has the name now; and no longer than that.
func TestFeedOfDroppedKeyspaces(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, historyTestOptions(fs))
	for i := range 3 {
		k, err := db.Keyspace(context.Background(), "k", keyspace.Settings{})
		must(t, err)
		prefix := keyspace.AppendPrefix(nil, k.ID)
		must(t, db.Commits().Set(k, prefix, fmt.Appendf(nil, "%d", i), nil, commit.Async))
		if i < 2 {
			must(t, db.Commits().DeleteRange(k, append(prefix, 'a'), keyspace.PrefixEnd(prefix), commit.Async))
			must(t, db.DropKeyspace(context.Background(), "k"))
		}
	}
	want := []string{
		"1..1 6 k/-=0:", "2..2 1 k/30-=0:", "3..3 3 k/61-=0:", "4..5 3 k/-=0: 4 k/-=0:",
		"6..6 6 k/-=0:", "7..7 1 k/31-=0:", "8..8 3 k/61-=0:", "9..10 3 k/-=0: 4 k/-=0:",
		"11..11 6 k/-=0:", "12..12 1 k/32-=0:",
	}
	for range 3 {
		must(t, db.SyncLog(context.Background()))
		if lines := mustReadFeed(t, db, 1); !slices.Equal(lines, want) {
			t.Fatalf("got\n%v\nwant\n%v", lines, want)
		}
		must(t, db.Close())
		db = openTest(t, historyTestOptions(fs))
	}
	if dropped := db.versions.log.State().Dropped; len(dropped) != 2 || dropped[1].Name != "k" || dropped[1].LastSeq != 10 {
		t.Errorf("dropped keyspaces: %+v", dropped)
	}
	must(t, db.Close())
	db = openTest(t, testOptions(fs))
	if dropped := db.versions.log.State().Dropped; len(dropped) != 0 {
		t.Errorf("dropped keyspaces without history: %+v", dropped)
	}
	if names := fileNames(t, fs, ".archive"); len(names) != 0 {
		t.Errorf("%v are left when history is switched off", names)
	}
	must(t, db.Close())
}

// History that is switched on begins where the database is.
func TestHistorySwitchedOn(t *testing.T) {
	for _, crash := range []bool{false, true} {
		fs := memfs.New()
		faulty := faultfs.New(fs) // the tables survive the crash and the log does not
		faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Sticky: true, Ignore: crash})
		db := openTest(t, testOptions(faulty))
		fill(t, db, "a", 10)
		must(t, db.Flush(t.Context()))
		crashed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
		must(t, db.Close())
		if crash {
			fs = crashed
		}
		db = openTest(t, historyTestOptions(fs))
		_, err := readFeed(t, db, 1)
		var gap *feed.GapError
		if !errors.As(err, &gap) || gap.Oldest != 11 || errors.Is(err, base.ErrCorrupted) {
			t.Errorf("crash %v: %v", crash, err)
		}
		fill(t, db, "b", 10)
		must(t, db.SyncLog(context.Background()))
		if lines := mustReadFeed(t, db, 11); len(lines) != 10 {
			t.Errorf("crash %v: %d commits", crash, len(lines))
		}
		must(t, db.Close())
	}
}

// A failed sync ends a feed that waits for it, when everything durable was
// delivered.
func TestFeedEndsWithTheFailure(t *testing.T) {
	faulty := faultfs.New(memfs.New())
	db := openTest(t, historyTestOptions(faulty))
	must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), nil, commit.Sync))
	f, err := db.Feed(1)
	must(t, err)
	faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Sticky: true, Err: syscall.EIO})
	must(t, db.Commits().Set(nil, []byte{0}, []byte("b"), nil, commit.Async))
	if c, err := f.Next(t.Context()); err != nil || c.Last != 1 {
		t.Fatalf("got %v, %v", c, err)
	}
	for range 2 {
		if _, err := f.Next(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v", err)
		}
	}
	must(t, f.Close())
	db.Close() // fails, too
}

// A read-only database delivers what its files hold and then ends. It changes
// nothing.
func TestFeedOfAReadOnlyDatabase(t *testing.T) {
	fs := memfs.New()
	db := openTest(t, historyTestOptions(fs))
	fillFile(t, db, "a", 10)
	fill(t, db, "b", 10)
	must(t, db.SyncLog(context.Background()))
	crashed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	want := mustReadFeed(t, db, 1)
	must(t, db.Close())
	for _, disk := range []*memfs.FS{fs, crashed} {
		opts := testOptions(disk)
		opts.ReadOnly = true
		db := openTest(t, opts)
		ops := 0
		disk.SetHook(func(op vfs.Op) error {
			if vfs.OpMutations.Has(op.Kind) {
				ops++
			}
			return nil
		})
		if lines := mustReadFeed(t, db, 1); !slices.Equal(lines, want) {
			t.Errorf("got %d commits, want %d", len(lines), len(want))
		}
		f, err := db.Feed(21)
		must(t, err)
		if _, err := f.Next(context.Background()); !errors.Is(err, feed.ErrEnd) {
			t.Errorf("behind the last commit: %v", err)
		}
		must(t, f.Close())
		must(t, db.Close())
		disk.SetHook(nil)
		if ops != 0 {
			t.Errorf("%d operations that change something", ops)
		}
	}
}

// What a killed process has handed to the operating system is replayed into
// tables, which are durable before anybody has synced that log. Another crash
// must not leave the tables without their history.
func TestHistoryOfAKilledProcess(t *testing.T) {
	fs := memfs.New()
	faulty := faultfs.New(fs)
	opts := historyTestOptions(faulty)
	opts.MemtableBytes *= 8
	db := openTest(t, opts)
	faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Sticky: true, Ignore: true})
	faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO})
	for i := range 600 { // more than a memtable
		must(t, db.Commits().Set(nil, []byte{0}, fmt.Appendf(nil, "%03d", i), make([]byte, 100), commit.Buffered))
	}
	db.Close() // leaves the log, which is written and not synced
	var crashes crashStates
	fs.SetHook(func(op vfs.Op) error {
		if vfs.OpMutations.Has(op.Kind) {
			crashed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
			crashes.add(crashState{fs: crashed, where: op.String()})
		}
		return nil
	})
	db = openTest(t, historyTestOptions(fs))
	fs.SetHook(nil)
	judged := crashes.judge(t)
	if n := uint64(db.reads.VisibleSeq()); n == 0 || judged < 10 {
		t.Errorf("%d writes and %d states: the test needs more", n, judged)
	}
	must(t, db.Close())
}
