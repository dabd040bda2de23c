package memfs_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// failNext makes the next operation of the given kinds fail.
func failNext(fsys *memfs.FS, kinds vfs.OpKind) {
	fsys.SetHook(func(op vfs.Op) error {
		if kinds.Has(op.Kind) {
			fsys.SetHook(nil)
			return syscall.EIO
		}
		return nil
	})
}

func TestFailedSyncs(t *testing.T) {
	for name, c := range map[string]struct {
		mode           memfs.SyncFailure
		before, after  string // with a failed sync of f in between
		seen, possible string
	}{
		"keep":             {memfs.FailKeep, "put:f@0=B", "", "B", "A|B"},
		"keep, sync":       {memfs.FailKeep, "put:f@0=B", "sync:f", "B", "A|B"},
		"keep, rewrite":    {memfs.FailKeep, "put:f@0=B", "put:f@0=C sync:f", "C", "C"},
		"keep, other":      {memfs.FailKeep, "put:f@0=BB", "put:f@1=C sync:f", "BC", "AC|BC"},
		"keep, append":     {memfs.FailKeep, "put:f@1=B", "sync:f", "AB", "A|A.|AB"},
		"keep, two":        {memfs.FailKeep, "put:f@1=B", "put:f@2=C sync:f", "ABC", "A.C|ABC"},
		"keep, cut":        {memfs.FailKeep, "cut:f=0", "sync:f", "", "|A"},
		"keep, cut, again": {memfs.FailKeep, "put:f@0=BBB", "cut:f=512 sync:f", "B", "A|B"},
		"keep, regrown":    {memfs.FailKeep, "cut:f=0 grow:f=512", "sync:f", ".", ".|A"},
		"keep, pending":    {memfs.FailKeep, "put:f@0=B", "put:f@0=C", "C", "A|B|C"},
		"keep, part of append": {memfs.FailKeep, "put:f@1=BB", "put:f@1=C sync:f", "ACB",
			"AC.|ACB"},
		"keep, cut, grow": {memfs.FailKeep, "put:f@0=BBB", "cut:f=512 sync:f grow:f=1536 sync:f",
			"B..", "A..|B.."},
		"keep, nothing":   {memfs.FailKeep, "", "", "A", "A"},
		"keep, no effect": {memfs.FailKeep, "put:f@1=B cut:f=512", "", "A", "A"},
		"revert":          {memfs.FailRevert, "put:f@0=BB", "", "A", "A"},
		"revert, sync":    {memfs.FailRevert, "put:f@0=BB", "sync:f", "A", "A"},
		"revert, append":  {memfs.FailRevert, "put:f@0=BB", "put:f@1=C", "AC", "A|A.|AC"},
		"revert, nothing": {memfs.FailRevert, "", "", "A", "A"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := memfs.New()
			fsys.SetSyncFailure(c.mode)
			script(t, fsys, "new:f=A sync:f dir:/ "+c.before)
			failNext(fsys, vfs.OpSyncData)
			if err := step(fsys, "sync:f"); !errors.Is(err, syscall.EIO) {
				t.Fatalf("the sync returned %v", err)
			}
			script(t, fsys, c.after)
			expect(t, fsys, "f="+c.seen)
			var want []string
			for state := range strings.SplitSeq(c.possible, "|") {
				want = append(want, "f="+state)
			}
			if got := allStates(t, fsys); !slices.Equal(got, want) {
				t.Fatalf("possible %q, want %q", got, want)
			}
			checkPolicies(t, fsys, want)
		})
	}
}

func TestFailedSyncOfDirectory(t *testing.T) {
	for name, c := range map[string]struct{ before, after, possible string }{
		"create":            {"new:g=B sync:g", "", "f=A|f=A g=B"},
		"create, sync":      {"new:g=B sync:g", "dir:/", "f=A|f=A g=B"},
		"create, remove":    {"new:g=B sync:g", "rm:g dir:/", "f=A"},
		"rename, sync":      {"mv:f,h", "dir:/", "f=A|h=A"},
		"rename, half":      {"mv:f,h", "new:f=B sync:f dir:/", "f=B|f=B h=A"},
		"remove, sync":      {"rm:f", "dir:/", "|f=A"},
		"remove, new, sync": {"rm:f", "new:f=B sync:f dir:/", "f=B"},
		"other":             {"new:g=B sync:g", "new:h=C sync:h dir:/", "f=A g=B h=C|f=A h=C"},
		"across":            {"mk:d dir:/ mv:f,d/f", "dir:d dir:/", "d/ d/f=A|d/ f=A"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := memfs.New()
			script(t, fsys, "new:f=A sync:f dir:/ "+c.before)
			failNext(fsys, vfs.OpSyncDir)
			if err := step(fsys, "dir:/"); !errors.Is(err, syscall.EIO) {
				t.Fatalf("the sync returned %v", err)
			}
			script(t, fsys, c.after)
			got, want := allStates(t, fsys), strings.Split(c.possible, "|")
			if !slices.Equal(got, want) {
				t.Fatalf("possible %q, want %q", got, want)
			}
			checkPolicies(t, fsys, want)
		})
	}
}

// TestEveryOperationCanFail fails each kind once and checks that it changed
// nothing, and that the next one works.
func TestEveryOperationCanFail(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f=A sync:f dir:/")
	f, err := fsys.OpenReadWrite("f")
	must(t, err)
	name := map[vfs.OpKind]func() error{
		vfs.OpCreate:        func() error { _, err := fsys.Create("g"); return err },
		vfs.OpOpen:          func() error { _, err := fsys.Open("f"); return err },
		vfs.OpOpenReadWrite: func() error { _, err := fsys.OpenReadWrite("f"); return err },
		vfs.OpRename:        func() error { return fsys.Rename("f", "g") },
		vfs.OpRemove:        func() error { return fsys.Remove("f") },
		vfs.OpMkdirAll:      func() error { return fsys.MkdirAll("d") },
		vfs.OpList:          func() error { _, err := fsys.List("/"); return err },
		vfs.OpStat:          func() error { _, err := f.Size(); return err },
		vfs.OpSyncDir:       func() error { return fsys.SyncDir("/") },
		vfs.OpLock:          func() error { _, err := fsys.Lock("f"); return err },
		vfs.OpFreeBytes:     func() error { _, err := fsys.FreeBytes("/"); return err },
		vfs.OpRead:          func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err },
		vfs.OpWrite:         func() error { _, err := f.WriteAt([]byte("x"), 0); return err },
		vfs.OpTruncate:      func() error { return f.Truncate(0) },
		vfs.OpSync:          func() error { return f.Sync() },
		vfs.OpSyncData:      func() error { return f.SyncData() },
		vfs.OpPreallocate:   func() error { return f.Preallocate(9000) },
	}
	for kind, do := range name {
		failNext(fsys, kind)
		before := fsys.Ops()
		if err := do(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s returned %v", kind, err)
		}
		if fsys.Ops() != before+1 {
			t.Errorf("%s counted as %d operations", kind, fsys.Ops()-before)
		}
	}
	failNext(fsys, vfs.OpStat)
	if _, err := fsys.Stat("f"); !errors.Is(err, syscall.EIO) {
		t.Errorf("Stat returned %v", err)
	}
	expect(t, fsys, "f=A")
	if fsys.UsedBytes() != 4096 {
		t.Errorf("%d bytes in use", fsys.UsedBytes())
	}
	failNext(fsys, vfs.OpClose)
	if err := f.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Close returned %v", err)
	}
	if _, err := f.Size(); err == nil {
		t.Error("a failed Close left the file open")
	}
	for kind, do := range map[vfs.OpKind]func() error{
		vfs.OpCreate: name[vfs.OpCreate], vfs.OpRename: name[vfs.OpRename], vfs.OpLock: name[vfs.OpLock],
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestHookSeesOperations(t *testing.T) {
	fsys := memfs.New()
	var got []string
	fsys.SetHook(func(op vfs.Op) error { got = append(got, op.String()); return nil })
	script(t, fsys, "new:f=AB cut:f=7 mv:f,g dir:/")
	want := []string{"#1 create f", "#2 write f [0,1024)", "#3 close f", "#4 open-read-write f",
		"#5 truncate f 7", "#6 close f", "#7 rename f g", "#8 sync-dir /"}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
	crashed := fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	script(t, crashed, "rm:g")
	if len(got) != len(want) || crashed.Ops() != 1 {
		t.Fatalf("the copy has the hook or the count of the original: %d", crashed.Ops())
	}
}

func TestCapacity(t *testing.T) {
	const pages = 10
	fsys := memfs.New()
	fsys.SetCapacity(pages*4096 + 100)
	f, err := fsys.Create("f")
	must(t, err)
	used := func(want int64) {
		t.Helper()
		free, err := fsys.FreeBytes("/")
		must(t, err)
		if fsys.UsedBytes() != want*4096 || free != uint64(pages-want)*4096 {
			t.Fatalf("%d bytes used, %d free; want %d pages used", fsys.UsedBytes(), free, want)
		}
	}
	wantFull := func(err error) {
		t.Helper()
		if !errors.Is(err, vfs.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v instead of no space", err)
		}
	}
	must(t, f.Preallocate(4*4096))
	used(4)
	_, err = f.WriteAt(bytes.Repeat([]byte{'y'}, 2*4096), 3*4096) // one page reserved, one new
	must(t, err)
	used(5)
	must(t, f.Truncate(1<<30)) // a hole takes nothing
	used(5)
	wantFull(f.Preallocate(11 * 4096))
	used(5)
	n, err := f.WriteAt(bytes.Repeat([]byte{'x'}, 6*4096), 8*4096-10)
	wantFull(err)
	if n != 4*4096+10 {
		t.Fatalf("%d bytes fit", n)
	}
	used(10)
	n, err = f.WriteAt([]byte("xy"), 1<<20)
	wantFull(err)
	if n != 0 {
		t.Fatalf("%d bytes fit", n)
	}
	_, err = f.WriteAt([]byte("x"), 8*4096)
	must(t, err) // in place
	crashed := fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	if crashed.UsedBytes() != fsys.UsedBytes() {
		t.Fatalf("the copy uses %d bytes", crashed.UsedBytes())
	}
	must(t, f.Truncate(6*4096))
	used(5)
	must(t, fsys.Remove("f"))
	used(5)
	must(t, f.Close())
	used(0)
	fsys.SetCapacity(0)
	script(t, fsys, "new:g="+strings.Repeat("A", 100))
}

// TestTwoNamesAfterCrash has a chain of renames of which only the second
// survives, so that the file is found under two names.
func TestTwoNamesAfterCrash(t *testing.T) {
	fsys := memfs.New()
	script(t, fsys, "new:f=A sync:f dir:/ mv:f,g mv:g,h")
	states, _ := fsys.CrashStates(100)
	found := false
	for state := range states {
		if describeFS(t, state) != "f=A h=A" {
			continue
		}
		found = true
		script(t, state, "rm:f put:h@0=B")
		expect(t, state, "h=B")
		if state.UsedBytes() != 4096 {
			t.Fatalf("%d bytes used", state.UsedBytes())
		}
	}
	if !found {
		t.Fatal("there is no such state")
	}
}

func TestRevertGivesSpaceBack(t *testing.T) {
	fsys := memfs.New()
	fsys.SetSyncFailure(memfs.FailRevert)
	script(t, fsys, "new:f=A sync:f put:f@100=B")
	if fsys.UsedBytes() != 2*4096 {
		t.Fatalf("%d bytes used", fsys.UsedBytes())
	}
	failNext(fsys, vfs.OpSyncData)
	if step(fsys, "sync:f") == nil {
		t.Fatal("the sync succeeded")
	}
	if fsys.UsedBytes() != 4096 {
		t.Fatalf("%d bytes used after the revert", fsys.UsedBytes())
	}
}

func TestLocksEndInACrash(t *testing.T) {
	fsys := memfs.New()
	_, err := fsys.Lock("LOCK")
	must(t, err)
	crashed := fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	_, err = crashed.Lock("LOCK")
	must(t, err)
	if _, err := fsys.Lock("LOCK"); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("the original says %v", err)
	}
}

func TestFileTooLarge(t *testing.T) {
	fsys := memfs.New()
	f, err := fsys.Create("f")
	must(t, err)
	const large = 1 << 60
	_, err = f.WriteAt([]byte("x"), large)
	for _, err := range []error{err, f.Truncate(large), f.Preallocate(large)} {
		if err == nil {
			t.Error("a size of 2^60 was accepted")
		}
	}
	_, err = f.WriteAt([]byte("x"), 5<<30)
	must(t, err)
	if size, err := f.Size(); size != 5<<30+1 || err != nil {
		t.Error(size, err)
	}
}
