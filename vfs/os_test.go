package vfs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
)

const lockPathVariable = "VFS_TEST_LOCK_PATH"

// TestMain makes the test binary the second process of the lock test.
func TestMain(m *testing.M) {
	name := os.Getenv(lockPathVariable)
	if name == "" {
		os.Exit(leak.Run(m))
	}
	_, err := vfs.OS.Lock(name)
	switch {
	case err == nil:
		os.Exit(10)
	case errors.Is(err, vfs.ErrLocked):
		os.Exit(11)
	}
	os.Exit(12)
}

func TestLockAgainstOtherProcess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	self, err := os.Executable()
	must(t, err)
	other := func() int {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), lockPathVariable+"="+name)
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return exit.ExitCode()
	}
	if code := other(); code != 10 {
		t.Fatalf("the lock of nobody: exit code %d", code)
	}
	held, err := vfs.OS.Lock(name) // the other process ended without a Close
	must(t, err)
	if code := other(); code != 11 {
		t.Fatalf("the lock held here: exit code %d", code)
	}
	f, err := vfs.OS.Open(name)
	must(t, err)
	must(t, f.Close()) // drops the locks of a process that has the classic kind
	if code := other(); code != 11 {
		t.Fatalf("the lock held here, after a look at the file: exit code %d", code)
	}
	must(t, held.Close())
	if code := other(); code != 10 {
		t.Fatalf("the released lock: exit code %d", code)
	}
}

func TestLockThroughLink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	held, err := vfs.OS.Lock(filepath.Join(dir, "LOCK"))
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, "LOCK"))) // leaves the table alone to decide
	_, err = vfs.OS.Lock(filepath.Join(link, "LOCK"))
	wantError(t, err, vfs.ErrLocked)
	must(t, held.Close())
}

func TestFullDevice(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	f, err := vfs.OS.OpenReadWrite("/dev/full")
	must(t, err)
	_, err = f.WriteAt([]byte("x"), 0)
	wantError(t, err, vfs.ErrNoSpace)
	wantError(t, err, syscall.ENOSPC)
	must(t, f.Close())
}

func BenchmarkOSWriteAndSyncData(b *testing.B) {
	f, err := vfs.OS.Create(filepath.Join(b.TempDir(), "a"))
	must(b, err)
	must(b, f.Preallocate(4<<20))
	must(b, f.Sync())
	p := make([]byte, 512)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		if _, err := f.WriteAt(p, i%8192*512); err != nil {
			b.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
	}
	must(b, f.Close())
}
