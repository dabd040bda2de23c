//go:build unix

package vfs

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLockOutlivesNoCopy closes a lock while a copy of its descriptor is open.
// A process that starts another one has such a copy for a moment, between fork
// and exec. The lock was once held until the copy was gone, so that a database
// which was closed and opened again at once was now and then in use by "another
// opener".
func TestLockOutlivesNoCopy(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	held, err := OS.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	lock := held.(*osLock)
	var fd int
	err = withFD(lock.file, "dup", func(own uintptr) (err error) {
		fd, err = unix.Dup(int(own))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OS.Lock(name)
	if err != nil {
		t.Fatalf("the lock was closed, and a copy of its descriptor still holds it: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
