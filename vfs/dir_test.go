package vfs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// hold holds a directory until the test is over.
func hold(t *testing.T, fsys vfs.FS, dir string) vfs.Dir {
	t.Helper()
	d, err := vfs.Hold(fsys, dir)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

// A held directory is the same one after the working directory has changed, after
// it was renamed, and after another took its name.
func TestHeldDirectoryStays(t *testing.T) {
	for _, moved := range []string{"chdir", "renamed", "link"} {
		t.Run(moved, func(t *testing.T) {
			here, there := t.TempDir(), t.TempDir()
			t.Chdir(here)
			must(t, os.Mkdir(filepath.Join(here, "db"), 0o755))
			must(t, os.Mkdir(filepath.Join(there, "db"), 0o755))
			name := "db"
			if moved == "link" {
				name = "link"
				if err := os.Symlink("db", name); err != nil {
					t.Skip("no symbolic links here:", err)
				}
			}
			d := hold(t, vfs.OS, name)
			must(t, create(t, d, filepath.Join(name, "a"), "ours").Close())
			ours := filepath.Join(here, "db")
			switch moved {
			case "chdir":
				t.Chdir(there)
			case "renamed":
				ours = filepath.Join(here, "elsewhere")
				must(t, os.Rename("db", ours))
				must(t, os.Mkdir("db", 0o755))
			case "link":
				must(t, os.Remove("link"))
				must(t, os.Symlink(filepath.Join(there, "db"), "link"))
			}
			if got := readFile(t, d, filepath.Join(name, "a")); got != "ours" {
				t.Errorf("read %q", got)
			}
			must(t, create(t, d, filepath.Join(name, "b"), "too").Close())
			must(t, d.Rename(filepath.Join(name, "b"), filepath.Join(name, "c")))
			must(t, d.MkdirAll(filepath.Join(name, "sub")))
			must(t, d.SyncDir(name))
			must(t, d.Remove(filepath.Join(name, "a")))
			lock, err := d.Lock(filepath.Join(name, "LOCK"))
			must(t, err)
			must(t, lock.Close())
			names, err := d.List(name)
			must(t, err)
			entries, err := os.ReadDir(ours)
			must(t, err)
			if got := strings.Join(names, " "); got != "LOCK c sub" || len(entries) != 3 {
				t.Errorf("it holds %q, and %v is at its place", got, entries)
			}
			if info, err := d.Stat(name); err != nil || info.Name() != name || !info.IsDir() {
				t.Errorf("it is %v, %v", info, err)
			}
		})
	}
}

// Errors name files as the caller does, and what lies outside cannot be reached.
func TestHeldDirectoryErrors(t *testing.T) {
	parent := t.TempDir()
	t.Chdir(parent)
	must(t, os.Mkdir("db", 0o755))
	must(t, os.WriteFile("outside", nil, 0o644))
	d := hold(t, vfs.OS, "./db")
	_, openErr := d.Open("db/missing")
	_, statErr := d.Stat("db/missing")
	for _, err := range []error{
		openErr, statErr, d.Remove("db/missing"), d.Rename("db/missing", "db/other"),
		d.SyncDir("db/missing"),
	} {
		wantError(t, err, fs.ErrNotExist)
		if !strings.Contains(err.Error(), filepath.Join("db", "missing")) {
			t.Errorf("%v does not name the file as the caller did", err)
		}
	}
	for _, name := range []string{"outside", "db/../outside", "missing", filepath.Join(parent, "db", "x")} {
		_, err := d.Create(name)
		wantError(t, err, fs.ErrInvalid)
		wantError(t, d.Rename("db/x", name), fs.ErrInvalid)
	}
	if err := os.Symlink("../outside", "db/link"); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if f, err := d.Open("db/link"); err == nil {
		t.Errorf("%v was opened through a link that leads out", f)
	}
}

// Whoever holds the directory with a lock keeps out those who come later, although
// the lock file is gone; those who share keep out nobody who shares.
func TestHeldDirectoryLock(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "LOCK")
	a, b, c := hold(t, vfs.OS, dir), hold(t, vfs.OS, dir), hold(t, vfs.OS, dir)
	lock, err := a.Lock(name)
	must(t, err)
	must(t, os.Remove(name))
	_, err = b.Lock(filepath.Join(dir, "OTHER"))
	wantError(t, err, vfs.ErrLocked)
	_, err = b.Share()
	wantError(t, err, vfs.ErrLocked)
	must(t, lock.Close())
	must(t, lock.Close())
	shared, err := b.Share()
	must(t, err)
	again, err := c.Share()
	must(t, err)
	_, err = a.Lock(name)
	wantError(t, err, vfs.ErrLocked)
	must(t, shared.Close())
	must(t, shared.Close())
	must(t, again.Close())
	lock, err = a.Lock(name)
	must(t, err)
	must(t, lock.Close())
}

// A lock whose file was removed or replaced says so.
func TestLostLock(t *testing.T) {
	onMemory := memfs.New()
	must(t, onMemory.MkdirAll("/d"))
	osDir := t.TempDir()
	for where, at := range map[string]struct {
		fsys vfs.FS
		dir  string
	}{
		"os": {vfs.OS, osDir}, "held": {hold(t, vfs.OS, osDir), osDir}, "memfs": {onMemory, "/d"},
		"faultfs": {hold(t, faultfs.New(vfs.OS), osDir), osDir},
	} {
		t.Run(where, func(t *testing.T) {
			name := filepath.Join(at.dir, where)
			lock, err := at.fsys.Lock(name)
			must(t, err)
			defer func() { must(t, lock.Close()) }()
			holder := lock.(vfs.Holder)
			must(t, holder.Held())
			must(t, at.fsys.Remove(name))
			wantError(t, holder.Held(), vfs.ErrLockLost)
			must(t, create(t, at.fsys, name, "").Close())
			wantError(t, holder.Held(), vfs.ErrLockLost)
		})
	}
}
