package faultfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantEIO(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v, want the injected error", err)
	}
}

// newFile makes an empty synced file in a synced directory.
func newFile(t *testing.T, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	must(t, f.Sync())
	must(t, fsys.SyncDir("/"))
	return f
}

func write(f vfs.File, data string) error {
	_, err := f.WriteAt([]byte(data), 0)
	return err
}

func text(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	must(t, f.Close())
	return string(b)
}

func TestNthOperation(t *testing.T) {
	for name, c := range map[string]struct {
		rule faultfs.Rule
		want []bool // whether writes 1 to 5 fail
	}{
		"first":          {faultfs.Rule{}, []bool{true, false, false, false, false}},
		"third":          {faultfs.Rule{Nth: 3}, []bool{false, false, true, false, false}},
		"from the third": {faultfs.Rule{Nth: 3, Sticky: true}, []bool{false, false, true, true, true}},
		"all":            {faultfs.Rule{Sticky: true}, []bool{true, true, true, true, true}},
		"never reached":  {faultfs.Rule{Nth: 6}, []bool{false, false, false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := faultfs.New(memfs.New())
			c.rule.Kinds, c.rule.Err = vfs.OpWrite, syscall.EIO
			rule := fsys.Add(c.rule)
			f := newFile(t, fsys, "f")
			fired := int64(0)
			for i, fails := range c.want {
				err := write(f, "x")
				if errors.Is(err, syscall.EIO) != fails {
					t.Fatalf("write %d: %v", i+1, err)
				}
				if fails {
					fired++
				}
			}
			if rule.Seen() != 5 || rule.Fired() != fired {
				t.Fatalf("seen %d, fired %d", rule.Seen(), rule.Fired())
			}
		})
	}
}

func TestNamePatterns(t *testing.T) {
	fsys := faultfs.New(memfs.New())
	fsys.Add(faultfs.Rule{Name: "*.wal", Sticky: true, Err: syscall.EIO})
	fsys.Add(faultfs.Rule{Name: "[", Sticky: true, Err: syscall.ENOSPC})
	newFile(t, fsys, "a.sst")
	_, err := fsys.Create("d/b.wal")
	wantEIO(t, err)
	wantEIO(t, fsys.Rename("a.sst", "c.wal"))
	wantEIO(t, fsys.Rename("c.wal", "a.sst"))
	must(t, fsys.Rename("a.sst", "b.sst"))
}

func TestDisarmAndReset(t *testing.T) {
	fsys := faultfs.New(memfs.New())
	one := fsys.Add(faultfs.Rule{Kinds: vfs.OpMkdirAll, Sticky: true, Err: syscall.EIO})
	wantEIO(t, fsys.MkdirAll("a"))
	one.Disarm()
	must(t, fsys.MkdirAll("a"))
	if one.Seen() != 1 {
		t.Fatalf("a disarmed rule counted to %d", one.Seen())
	}
	fsys.Add(faultfs.Rule{Err: syscall.EIO, Sticky: true})
	wantEIO(t, fsys.MkdirAll("b"))
	fsys.Reset()
	must(t, fsys.MkdirAll("b"))
}

// TestEveryKind fails each operation once, not done and done.
func TestEveryKind(t *testing.T) {
	for _, done := range []bool{false, true} {
		under := memfs.New()
		fsys := faultfs.New(under)
		must(t, fsys.MkdirAll("d"))
		f := newFile(t, fsys, "f")
		must(t, write(f, "0123456789"))
		newFile(t, fsys, "g")
		for _, c := range []struct {
			kind  vfs.OpKind
			do    func() error
			state func() bool // whether it was done
		}{
			{vfs.OpCreate, func() error { _, err := fsys.Create("new"); return err },
				func() bool { _, err := under.Stat("new"); return err == nil }},
			{vfs.OpOpen, func() error { _, err := fsys.Open("f"); return err }, nil},
			{vfs.OpOpenReadWrite, func() error { _, err := fsys.OpenReadWrite("f"); return err }, nil},
			{vfs.OpRename, func() error { return fsys.Rename("g", "h") },
				func() bool { _, err := under.Stat("h"); return err == nil }},
			{vfs.OpMkdirAll, func() error { return fsys.MkdirAll("m") },
				func() bool { _, err := under.Stat("m"); return err == nil }},
			{vfs.OpRemove, func() error { return fsys.Remove("d") },
				func() bool { _, err := under.Stat("d"); return err != nil }},
			{vfs.OpList, func() error { _, err := fsys.List("/"); return err }, nil},
			{vfs.OpStat, func() error { _, err := fsys.Stat("f"); return err }, nil},
			{vfs.OpStat, func() error { _, err := f.Size(); return err }, nil},
			{vfs.OpFreeBytes, func() error { _, err := fsys.FreeBytes("/"); return err }, nil},
			{vfs.OpLock, func() error { _, err := fsys.Lock("LOCK"); return err }, nil},
			{vfs.OpRead, func() error { _, err := f.ReadAt(make([]byte, 3), 0); return err }, nil},
			{vfs.OpWrite, func() error { return write(f, "abc") },
				func() bool { return text(t, under, "f") == "abc3456789" }},
			{vfs.OpTruncate, func() error { return f.Truncate(5) },
				func() bool { return len(text(t, under, "f")) == 5 }},
			{vfs.OpPreallocate, func() error { return f.Preallocate(30) },
				func() bool { return len(text(t, under, "f")) == 30 }},
			{vfs.OpSyncDir, func() error { return fsys.SyncDir("/") }, nil},
			{vfs.OpWriteback, func() error { return f.(vfs.WritebackFile).StartWriteback(0, 5) }, nil},
		} {
			rule := fsys.Add(faultfs.Rule{Kinds: c.kind, Err: syscall.EIO, Done: done})
			wantEIO(t, c.do())
			if c.state != nil && c.state() != done {
				t.Errorf("%s with Done=%v was done: %v", c.kind, done, c.state())
			}
			if rule.Fired() != 1 {
				t.Errorf("%s fired %d times", c.kind, rule.Fired())
			}
			if err := c.do(); err != nil && (!done || !errors.Is(err, fs.ErrNotExist)) {
				t.Errorf("the next %s: %v", c.kind, err)
			}
		}
		fsys.Add(faultfs.Rule{Kinds: vfs.OpClose, Err: syscall.EIO, Done: done})
		wantEIO(t, f.Close())
		if _, err := f.Size(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("a failed Close left the file open: %v", err)
		}
		fsys.Add(faultfs.Rule{Kinds: vfs.OpRemove, Err: syscall.EIO, Done: done})
		if err := fsys.Remove("missing"); errors.Is(err, fs.ErrNotExist) != done {
			t.Errorf("an operation that fails anyway: %v", err)
		}
	}
}

// TestDoneOpenClosesTheFile sees an open handle by the space that its removed
// file keeps.
func TestDoneOpenClosesTheFile(t *testing.T) {
	under := memfs.New()
	fsys := faultfs.New(under)
	f := newFile(t, fsys, "f")
	must(t, errors.Join(write(f, "data"), f.Close()))
	fsys.Add(faultfs.Rule{Kinds: vfs.OpOpen, Err: syscall.EIO, Done: true})
	_, err := fsys.Open("f")
	wantEIO(t, err)
	must(t, fsys.Remove("f"))
	if under.UsedBytes() != 0 {
		t.Fatal("a handle stayed open")
	}
}

func TestShortTransfers(t *testing.T) {
	for _, c := range []struct {
		rule    faultfs.Rule
		n       int
		wantErr error
	}{
		{faultfs.Rule{Short: true, ShortBytes: 4}, 4, nil},
		{faultfs.Rule{Short: true}, 0, nil},
		{faultfs.Rule{Short: true, ShortBytes: 100}, 6, nil},
		{faultfs.Rule{Short: true, ShortBytes: -1, Err: syscall.EIO}, 0, syscall.EIO},
		{faultfs.Rule{Short: true, ShortBytes: 2, Err: vfs.ErrNoSpace}, 2, vfs.ErrNoSpace},
		{faultfs.Rule{Err: syscall.EIO}, 0, syscall.EIO},
		{faultfs.Rule{Err: syscall.EIO, Done: true}, 6, syscall.EIO},
	} {
		under := memfs.New()
		fsys := faultfs.New(under)
		f := newFile(t, fsys, "f")
		c.rule.Kinds = vfs.OpWrite | vfs.OpRead
		fsys.Add(c.rule)
		n, err := f.WriteAt([]byte("abcdef"), 0)
		want := c.wantErr
		if want == nil {
			want = io.ErrShortWrite
		}
		if n != c.n || !errors.Is(err, want) || text(t, under, "f") != "abcdef"[:c.n] {
			t.Errorf("%+v: write %d, %v", c.rule, n, err)
		}
		must(t, write(f, "abcdef"))
		fsys.Add(c.rule)
		if want == io.ErrShortWrite {
			want = io.ErrUnexpectedEOF
		}
		p := make([]byte, 6)
		if n, err = f.ReadAt(p, 0); n != c.n || !errors.Is(err, want) || string(p[:n]) != "abcdef"[:n] {
			t.Errorf("%+v: read %d, %v", c.rule, n, err)
		}
	}
	fsys := faultfs.New(memfs.New())
	f := newFile(t, fsys, "f")
	fsys.Add(faultfs.Rule{Kinds: vfs.OpRead, Short: true, ShortBytes: 4})
	if n, err := f.ReadAt(make([]byte, 6), 0); n != 0 || err != io.EOF {
		t.Errorf("a short read of an empty file: %d, %v", n, err)
	}
	fsys.Add(faultfs.Rule{Kinds: vfs.OpTruncate, Short: true}) // has no effect there
	must(t, f.Truncate(1))
}

// TestIgnoredSyncs checks that a lying sync leaves nothing durable.
func TestIgnoredSyncs(t *testing.T) {
	for kind, lost := range map[vfs.OpKind]string{
		vfs.OpSync: "f", vfs.OpSyncData: "f", vfs.OpSyncDir: "g",
	} {
		under := memfs.New()
		fsys := faultfs.New(under)
		f := newFile(t, fsys, "f")
		rule := fsys.Add(faultfs.Rule{Kinds: kind, Ignore: true})
		must(t, write(f, "data"))
		if kind == vfs.OpSync {
			must(t, f.Sync())
		} else {
			must(t, f.SyncData())
		}
		g, err := fsys.Create("g")
		must(t, err)
		must(t, errors.Join(write(g, "data"), g.SyncData(), fsys.SyncDir("/")))
		crashed := under.Crash(memfs.CrashOptions{})
		if rule.Fired() != 1 {
			t.Fatalf("%s fired %d times", kind, rule.Fired())
		}
		switch lost {
		case "f":
			if got := text(t, crashed, "f"); got != "" {
				t.Errorf("%s: the ignored sync kept %q", kind, got)
			}
		case "g":
			if _, err := crashed.Stat("g"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the ignored sync of the directory kept the file: %v", err)
			}
		}
	}
}

// TestFailedSyncsReachMemfs checks that a failed sync has the effect that the
// in-memory file system is set to, which a later sync does not repair.
func TestFailedSyncsReachMemfs(t *testing.T) {
	for mode, seen := range map[memfs.SyncFailure]string{
		memfs.FailKeep: "new", memfs.FailRevert: "",
	} {
		under := memfs.New()
		under.SetSyncFailure(mode)
		fsys := faultfs.New(under)
		f := newFile(t, fsys, "f")
		must(t, write(f, "new"))
		must(t, newFile(t, under, "other").Close())
		fsys.Add(faultfs.Rule{Kinds: vfs.OpAnySync, Err: syscall.EIO})
		wantEIO(t, f.Sync())
		must(t, f.Sync())
		if got := text(t, under, "f"); got != seen {
			t.Errorf("mode %d: readers see %q", mode, got)
		}
		if got := text(t, under.Crash(memfs.CrashOptions{}), "f"); got != "" {
			t.Errorf("mode %d: durable is %q", mode, got)
		}
	}
	under := memfs.New()
	fsys := faultfs.New(under)
	_, err := fsys.Create("f")
	must(t, err)
	fsys.Add(faultfs.Rule{Kinds: vfs.OpSyncDir, Err: syscall.EIO})
	wantEIO(t, fsys.SyncDir("/"))
	must(t, fsys.SyncDir("/"))
	if _, err := under.Crash(memfs.CrashOptions{}).Stat("f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second sync of the directory repaired the first: %v", err)
	}
}

func TestDoneSync(t *testing.T) {
	under := memfs.New()
	fsys := faultfs.New(under)
	f := newFile(t, fsys, "f")
	must(t, write(f, "new"))
	fsys.Add(faultfs.Rule{Kinds: vfs.OpSync, Err: syscall.EIO, Done: true})
	wantEIO(t, f.Sync())
	if got := text(t, under.Crash(memfs.CrashOptions{}), "f"); got != "new" {
		t.Fatalf("durable is %q", got)
	}
}

// TestCompose checks the order of rules and that Before always runs.
func TestCompose(t *testing.T) {
	fsys := faultfs.New(memfs.New())
	f := newFile(t, fsys, "f")
	var seen []string
	note := func(op vfs.Op) { seen = append(seen, op.String()) }
	first := fsys.Ops()
	fsys.Add(faultfs.Rule{Kinds: vfs.OpWrite, Sticky: true, Before: note})
	fsys.Add(faultfs.Rule{Kinds: vfs.OpWrite, Nth: 2, Err: syscall.EIO})
	fsys.Add(faultfs.Rule{Kinds: vfs.OpWrite, Sticky: true, Err: vfs.ErrNoSpace, Before: note})
	if err := write(f, "a"); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatal(err)
	}
	wantEIO(t, write(f, "bc"))
	if first != 3 || len(seen) != 4 || seen[0] != "#4 write f [0,1)" || seen[3] != "#5 write f [0,2)" {
		t.Fatalf("%d operations before, then %q", first, seen)
	}
}

func TestCounts(t *testing.T) {
	fsys := faultfs.New(memfs.New())
	f := newFile(t, fsys, "f")
	for range 3 {
		must(t, write(f, "x"))
	}
	must(t, f.SyncData())
	got := []int64{fsys.Ops(), fsys.Count(vfs.OpWrite), fsys.Count(vfs.OpAnySync), fsys.Count(vfs.OpAll)}
	if !slices.Equal(got, []int64{7, 3, 3, 7}) {
		t.Fatalf("counts %d", got)
	}
}

func TestConcurrentUse(t *testing.T) {
	fsys := faultfs.New(memfs.New())
	f := newFile(t, fsys, "f")
	rule := fsys.Add(faultfs.Rule{Kinds: vfs.OpWrite, Nth: 100, Err: syscall.EIO})
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if write(f, "x") != nil {
					mu.Lock()
					failed++
					mu.Unlock()
				}
				_ = fsys.Count(vfs.OpAll)
			}
		})
	}
	wg.Wait()
	if failed != 1 || rule.Fired() != 1 || rule.Seen() != 200 {
		t.Fatalf("%d writes failed, the rule saw %d and fired %d times", failed, rule.Seen(), rule.Fired())
	}
}
