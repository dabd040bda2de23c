package watchfs

import (
	"math/bits"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestEveryOperationIsAnnounced does each operation once, and looks that the hook
// had it before the file system.
func TestEveryOperationIsAnnounced(t *testing.T) {
	var seen []vfs.OpKind
	fsys := New(memfs.New(), func(kind vfs.OpKind, name string) {
		if name == "" {
			t.Errorf("%s without a name", kind)
		}
		seen = append(seen, kind)
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(fsys.MkdirAll("/d"))
	f, err := fsys.Create("/d/a")
	must(err)
	must(f.Preallocate(10))
	_, err = f.WriteAt([]byte("data"), 0)
	must(err)
	must(f.(vfs.WritebackFile).StartWriteback(0, 1))
	must(f.SyncData())
	must(f.Sync())
	must(f.Truncate(4))
	must(f.Close())
	must(fsys.SyncDir("/d"))
	f, err = fsys.Open("/d/a")
	must(err)
	text := make([]byte, 4)
	_, err = f.ReadAt(text, 0)
	must(err)
	if size, err := f.Size(); size != 4 || err != nil || string(text) != "data" {
		t.Fatalf("read %q of %d bytes: %v", text, size, err)
	}
	must(f.Close())
	f, err = fsys.OpenReadWrite("/d/a")
	must(err)
	must(f.Close())
	must(fsys.Rename("/d/a", "/d/b"))
	must(fsys.Link("/d/b", "/d/c"))
	_, err = fsys.Stat("/d/b")
	must(err)
	_, err = fsys.List("/d")
	must(err)
	must(fsys.Remove("/d/b"))
	_, err = fsys.FreeBytes("/d")
	must(err)
	lock, err := fsys.Lock("/d/LOCK")
	must(err)
	must(lock.Close())
	if _, err := fsys.Open("/d/b"); err == nil {
		t.Fatal("a file that is gone was opened")
	}
	for kind := vfs.OpKind(1); kind <= vfs.OpAll; kind <<= 1 {
		if !slices.Contains(seen, kind) {
			t.Errorf("no %s was announced", kind)
		}
	}
	if all := bits.OnesCount32(uint32(vfs.OpAll)); all != 20 {
		t.Errorf("there are %d kinds of operations; watch the new ones", all)
	}
}

// What is read by descriptor is announced as well, and has one only if the file under it
// has.
func TestDescriptorsAreAnnounced(t *testing.T) {
	seen := 0
	before := func(kind vfs.OpKind, _ string) {
		if kind == vfs.OpRead {
			seen++
		}
	}
	for _, c := range []struct {
		fsys vfs.FS
		want bool
	}{{memfs.New(), false}, {vfs.OS, runtime.GOOS == "linux"}} {
		f, err := New(c.fsys, before).Create(filepath.Join(t.TempDir(), "a"))
		if err != nil && !c.want {
			f, err = New(c.fsys, before).Create("a")
		}
		if err != nil {
			t.Fatal(err)
		}
		seen = 0
		called := false
		file, ok := f.(vfs.DescriptorFile)
		if ok = ok && file.WithDescriptor(func(int) { called = seen == 1 }); ok != c.want || called != c.want {
			t.Errorf("%T: %v, called after it was announced %v; want %v", c.fsys, ok, called, c.want)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
