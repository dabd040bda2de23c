package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// The rules that every file system of this repository keeps. Each case gets a
// new file system and an empty directory in it.

func eachFS(t *testing.T, run func(t *testing.T, fsys vfs.FS, dir string)) {
	t.Run("os", func(t *testing.T) { run(t, vfs.OS, t.TempDir()) })
	t.Run("memfs", func(t *testing.T) {
		fsys := memfs.New()
		must(t, fsys.MkdirAll("/some/dir"))
		run(t, fsys, "/some/dir")
	})
	t.Run("memfs-relative", func(t *testing.T) { run(t, memfs.New(), ".") })
	t.Run("held", func(t *testing.T) {
		dir := t.TempDir()
		run(t, hold(t, vfs.OS, dir), dir)
	})
	t.Run("faultfs-held", func(t *testing.T) {
		dir := t.TempDir()
		run(t, hold(t, faultfs.New(vfs.OS), dir), dir)
	})
	t.Run("faultfs", func(t *testing.T) { run(t, faultfs.New(vfs.OS), t.TempDir()) })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got error %v, want one that matches %q", err, target)
	}
}

func create(t testing.TB, fsys vfs.FS, name, data string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	if n, err := f.WriteAt([]byte(data), 0); err != nil || n != len(data) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(data), err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func readAll(t testing.TB, f vfs.File) string {
	t.Helper()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); int64(n) != size || err != nil && err != io.EOF {
		t.Fatalf("read %d of %d bytes: %v", n, size, err)
	}
	return string(b)
}

func readFile(t testing.TB, fsys vfs.FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	return readAll(t, f)
}

func TestReadAndWrite(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "hello world")
		b := make([]byte, 5)
		if n, err := f.ReadAt(b, 6); n != 5 || err != nil || string(b) != "world" {
			t.Fatalf("read %q, %d, %v", b, n, err)
		}
		if n, err := f.ReadAt(b, 8); n != 3 || err != io.EOF {
			t.Fatalf("read over the end: %d, %v", n, err)
		}
		if n, err := f.ReadAt(b, 100); n != 0 || err != io.EOF {
			t.Fatalf("read behind the end: %d, %v", n, err)
		}
		_, err := f.WriteAt([]byte("far"), 10000)
		must(t, err)
		want := "hello world" + string(make([]byte, 10000-11)) + "far"
		if got := readAll(t, f); got != want {
			t.Fatal("the gap before a far write is not zeroes")
		}
		if _, err := f.ReadAt(b, -1); err == nil {
			t.Fatal("a negative offset was read")
		}
		if _, err := f.WriteAt(b, -1); err == nil {
			t.Fatal("a negative offset was written")
		}
		if n, err := f.WriteAt(nil, 20000); n != 0 || err != nil {
			t.Fatal("an empty write", n, err)
		}
		if size, err := f.Size(); size != 10003 || err != nil {
			t.Fatal("an empty write changed the size", size, err)
		}
		must(t, f.Sync())
		must(t, f.SyncData())
	})
}

func TestTruncateAndPreallocate(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "0123456789")
		must(t, f.Truncate(4))
		must(t, f.Truncate(6))
		if got := readAll(t, f); got != "0123\x00\x00" {
			t.Fatalf("got %q", got)
		}
		must(t, f.Preallocate(5))
		if size, _ := f.Size(); size != 6 {
			t.Fatal("preallocating less than there is changed the size", size)
		}
		must(t, f.Preallocate(100_000))
		if got := readAll(t, f); got != "0123"+string(make([]byte, 100_000-4)) {
			t.Fatal("preallocated space is not zeroes")
		}
		if err := f.Truncate(-1); err == nil {
			t.Fatal("a negative size was accepted")
		}
		must(t, f.Truncate(0))
		if size, _ := f.Size(); size != 0 {
			t.Fatal("truncating left bytes", size)
		}
	})
}

// What was written takes space, what was cut off takes none, and a hole does not
// count as space: a file that only was extended is told from one with its space.
func TestAllocatedBytes(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "a")
		const sizeBytes = 1 << 20
		f := create(t, fsys, name, strings.Repeat("x", sizeBytes))
		must(t, f.Sync()) // some allocate late
		allocated := func() int64 {
			info, err := fsys.Stat(name)
			must(t, err)
			n, known := vfs.AllocatedBytes(info)
			if !known {
				t.Error("it is not known")
			}
			return n
		}
		if n := allocated(); n < sizeBytes {
			t.Errorf("%d bytes take %d", sizeBytes, n)
		}
		must(t, f.Truncate(0))
		must(t, f.Truncate(sizeBytes))
		if n := allocated(); n >= sizeBytes && runtime.GOOS != "windows" {
			t.Errorf("a hole of %d bytes takes %d", sizeBytes, n)
		}
		must(t, f.Close())
	})
}

// What a FileInfo does not tell, nobody knows.
func TestAllocatedBytesUnknown(t *testing.T) {
	info, err := fs.Stat(fstest.MapFS{"a": {Data: []byte("abc")}}, "a")
	must(t, err)
	if n, known := vfs.AllocatedBytes(info); known && runtime.GOOS != "windows" {
		t.Errorf("got %d", n)
	}
}

func TestCreateTruncates(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "a")
		before := create(t, fsys, name, "old and long")
		after := create(t, fsys, name, "new")
		if got := readAll(t, before); got != "new" {
			t.Fatalf("the first handle sees %q, it should be the same file", got)
		}
		if got := readAll(t, after); got != "new" {
			t.Fatalf("got %q", got)
		}
	})
}

func TestOpenModes(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "a")
		_, err := fsys.Open(name)
		wantError(t, err, fs.ErrNotExist)
		_, err = fsys.OpenReadWrite(name)
		wantError(t, err, fs.ErrNotExist)
		_, err = fsys.Create(filepath.Join(dir, "missing", "a"))
		wantError(t, err, fs.ErrNotExist)
		create(t, fsys, name, "data")

		r, err := fsys.Open(name)
		must(t, err)
		if _, err := r.WriteAt([]byte("x"), 0); err == nil {
			t.Error("a file opened for reading was written")
		}
		if err := r.Truncate(0); err == nil {
			t.Error("a file opened for reading was truncated")
		}
		must(t, r.Close())
		w, err := fsys.OpenReadWrite(name)
		must(t, err)
		_, err = w.WriteAt([]byte("D"), 0)
		must(t, err)
		if got := readAll(t, w); got != "Data" {
			t.Fatalf("got %q", got)
		}
		must(t, w.Close())
		for _, open := range []func(string) (vfs.File, error){
			fsys.Open, fsys.OpenReadWrite, fsys.Create,
		} {
			if f, err := open(dir); err == nil {
				t.Errorf("a directory was opened as the file %v", f)
			}
		}
	})
}

func TestClosedFile(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "data")
		must(t, f.Close())
		_, err := f.ReadAt(make([]byte, 1), 0)
		wantError(t, err, fs.ErrClosed)
		_, err = f.WriteAt([]byte("x"), 0)
		wantError(t, err, fs.ErrClosed)
		_, err = f.Size()
		wantError(t, err, fs.ErrClosed)
		wantError(t, f.Truncate(0), fs.ErrClosed)
		wantError(t, f.Preallocate(1), fs.ErrClosed)
		wantError(t, f.Sync(), fs.ErrClosed)
		wantError(t, f.SyncData(), fs.ErrClosed)
		wantError(t, f.Close(), fs.ErrClosed)
	})
}

func TestRename(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		wantError(t, fsys.Rename(a, b), fs.ErrNotExist)
		fa := create(t, fsys, a, "from a")
		fb := create(t, fsys, b, "from b")
		must(t, fsys.Rename(a, b))
		must(t, fsys.SyncDir(dir))
		if got := readFile(t, fsys, b); got != "from a" {
			t.Fatalf("got %q", got)
		}
		_, err := fsys.Stat(a)
		wantError(t, err, fs.ErrNotExist)
		_, err = fa.WriteAt([]byte("F"), 0)
		must(t, err)
		if got := readFile(t, fsys, b); got != "From a" {
			t.Fatalf("the handle lost its file in the rename: %q", got)
		}
		if got := readAll(t, fb); got != "from b" {
			t.Fatalf("the replaced file changed under its handle: %q", got)
		}
		must(t, fsys.Rename(b, b))
		wantError(t, fsys.Rename(b, filepath.Join(dir, "missing", "b")), fs.ErrNotExist)
	})
}

func TestLink(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		wantError(t, fsys.Link(a, b), fs.ErrNotExist)
		fa := create(t, fsys, a, "first")
		must(t, fsys.Link(a, b))
		must(t, fsys.SyncDir(dir))
		_, err := fa.WriteAt([]byte("F"), 0)
		must(t, err)
		if got := readFile(t, fsys, b); got != "First" {
			t.Fatalf("through its second name the file has %q", got)
		}
		if got := linkCount(t, fsys, a); got != 2 && got != 0 {
			t.Fatalf("a file of two names has %d", got)
		}
		create(t, fsys, filepath.Join(dir, "c"), "First")
		infos := map[string]fs.FileInfo{}
		for _, name := range []string{"a", "b", "c"} {
			infos[name], err = fsys.Stat(filepath.Join(dir, name))
			must(t, err)
		}
		if !vfs.SameFile(infos["a"], infos["b"]) || vfs.SameFile(infos["a"], infos["c"]) {
			t.Fatal("two names of one file are not told from two files")
		}
		wantError(t, fsys.Link(a, b), fs.ErrExist)
		wantError(t, fsys.Link(a, filepath.Join(dir, "missing", "b")), fs.ErrNotExist)
		must(t, fsys.Remove(a))
		if got := readFile(t, fsys, b); got != "First" {
			t.Fatalf("without its first name the file has %q", got)
		}
		if got := linkCount(t, fsys, b); got != 1 && got != 0 {
			t.Fatalf("a file of one name has %d", got)
		}
	})
}

func linkCount(t testing.TB, fsys vfs.FS, name string) int {
	t.Helper()
	info, err := fsys.Stat(name)
	must(t, err)
	return vfs.LinkCount(info)
}

func TestRenameDirectories(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		must(t, fsys.MkdirAll(filepath.Join(a, "sub")))
		must(t, create(t, fsys, filepath.Join(a, "f"), "data").Close())
		must(t, create(t, fsys, filepath.Join(dir, "file"), "data").Close())
		must(t, fsys.Rename(a, b))
		if got := readFile(t, fsys, filepath.Join(b, "f")); got != "data" {
			t.Fatalf("got %q", got)
		}
		if fsys.Rename(b, filepath.Join(b, "sub", "b")) == nil {
			t.Error("a directory was moved into itself")
		}
		if fsys.Rename(filepath.Join(dir, "file"), b) == nil {
			t.Error("a directory was replaced by a file")
		}
		must(t, fsys.MkdirAll(filepath.Join(a, "full")))
		if fsys.Rename(b, a) == nil {
			t.Error("a directory with entries was replaced")
		}
	})
}

func TestRemove(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "sub", "a")
		wantError(t, fsys.Remove(name), fs.ErrNotExist)
		must(t, fsys.MkdirAll(filepath.Dir(name)))
		f := create(t, fsys, name, "data")
		if fsys.Remove(filepath.Dir(name)) == nil {
			t.Fatal("a directory with entries was removed")
		}
		must(t, fsys.Remove(name))
		_, err := f.WriteAt([]byte("more"), 4)
		must(t, err)
		must(t, f.Sync())
		if got := readAll(t, f); got != "datamore" {
			t.Fatalf("the removed file changed under its handle: %q", got)
		}
		g := create(t, fsys, name, "other")
		if got := readAll(t, f); got != "datamore" {
			t.Fatalf("the removed file is mixed up with its successor: %q", got)
		}
		must(t, g.Close())
		must(t, fsys.Remove(name))
		must(t, fsys.Remove(filepath.Dir(name)))
	})
}

func TestDirectories(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		sub := filepath.Join(dir, "x", "y")
		must(t, fsys.MkdirAll(sub))
		must(t, fsys.MkdirAll(sub))
		for _, name := range []string{"c", "a", "b"} {
			must(t, create(t, fsys, filepath.Join(sub, name), name).Close())
		}
		names, err := fsys.List(sub)
		must(t, err)
		if !slices.Equal(names, []string{"a", "b", "c"}) {
			t.Fatalf("listed %q", names)
		}
		_, err = fsys.List(filepath.Join(dir, "missing"))
		wantError(t, err, fs.ErrNotExist)
		if fsys.MkdirAll(filepath.Join(sub, "a", "z")) == nil {
			t.Error("a directory was made below a file")
		}
		if _, err := fsys.List(filepath.Join(sub, "a")); err == nil {
			t.Error("a file was listed")
		}
		info, err := fsys.Stat(filepath.Join(sub, "a"))
		must(t, err)
		if info.Name() != "a" || info.Size() != 1 || info.IsDir() || info.Mode().IsDir() {
			t.Errorf("stat of a file says %v", info)
		}
		info, err = fsys.Stat(sub)
		must(t, err)
		if info.Name() != "y" || !info.IsDir() || !info.Mode().IsDir() {
			t.Errorf("stat of a directory says %v", info)
		}
		free, err := fsys.FreeBytes(dir)
		if err != nil || free == 0 {
			t.Errorf("free space %d, %v", free, err)
		}
		_, err = fsys.FreeBytes(filepath.Join(dir, "missing"))
		wantError(t, err, fs.ErrNotExist)
		must(t, fsys.SyncDir(sub))
	})
}

func TestLock(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		held, err := fsys.Lock(name)
		must(t, err)
		_, err = fsys.Lock(name)
		wantError(t, err, vfs.ErrLocked)
		_, err = fsys.Lock(filepath.Join(dir, ".", "LOCK"))
		wantError(t, err, vfs.ErrLocked)
		other, err := fsys.Lock(filepath.Join(dir, "OTHER"))
		must(t, err)
		must(t, held.Close())
		must(t, held.Close())
		again, err := fsys.Lock(name)
		must(t, err)
		must(t, held.Close()) // must not drop the lock that someone else has now
		_, err = fsys.Lock(name)
		wantError(t, err, vfs.ErrLocked)
		must(t, again.Close())
		must(t, other.Close())
		_, err = fsys.Lock(filepath.Join(dir, "missing", "LOCK"))
		wantError(t, err, fs.ErrNotExist)
	})
}

func TestLockOutlivesItsFile(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		held, err := fsys.Lock(name)
		must(t, err)
		must(t, fsys.Remove(name))
		_, err = fsys.Lock(name)
		wantError(t, err, vfs.ErrLocked)
		must(t, held.Close())
	})
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		shared := create(t, fsys, filepath.Join(dir, "shared"), "")
		const workers, rounds, pieceBytes = 4, 20, 1000
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				piece := bytes.Repeat([]byte{byte('a' + w)}, pieceBytes)
				own := filepath.Join(dir, fmt.Sprint("own", w))
				for range rounds {
					_, err := shared.WriteAt(piece, int64(w*pieceBytes))
					got := make([]byte, pieceBytes)
					_, readErr := shared.ReadAt(got, int64(w*pieceBytes))
					f, createErr := fsys.Create(own)
					if err := errors.Join(err, readErr, createErr); err != nil {
						t.Error(err)
						return
					}
					if !bytes.Equal(got, piece) {
						t.Error("a write of another place changed this one")
					}
					_, err = fsys.List(dir)
					err = errors.Join(err, f.Close(), shared.SyncData(),
						fsys.Rename(own, own+".new"), fsys.Remove(own+".new"))
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}
