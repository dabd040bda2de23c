package directory

import (
	"errors"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Who may only read, or wants a database that is there, makes none; others make the
// directory, and its name durable.
func TestHold(t *testing.T) {
	fs := memfs.New()
	for _, a := range []Access{{ReadOnly: true}, {MustExist: true}} {
		if _, err := Hold(fs, "a/b", a); !errors.Is(err, ErrNotDatabase) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	if _, err := fs.Stat("a"); err == nil {
		t.Error("a directory was made")
	}
	held, err := Hold(fs, "a/b", Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepNone}).Stat("a/b"); err != nil {
		t.Errorf("after a crash: %v", err)
	}
}

// A directory of somebody else's files does not become a database.
func TestHoldRefusesForeignFiles(t *testing.T) {
	fs := memfs.New()
	if err := fs.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create("d/notes.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(fs, "d", Access{}); !errors.Is(err, ErrNotDatabase) {
		t.Errorf("got %v", err)
	}
	if _, err := Hold(fs, "d/notes.txt", Access{}); !errors.Is(err, ErrNotDatabase) {
		t.Errorf("a file: %v", err)
	}
}

// One holder has the lock; readers make no file for it.
func TestLock(t *testing.T) {
	fs := memfs.New()
	held, err := Hold(fs, "d", Access{})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	share, err := Lock(held, "d", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat("d/" + LockName); err == nil {
		t.Error("a reader has made the file")
	}
	if err := share.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err := Lock(held, "d", false)
	if err != nil {
		t.Fatal(err)
	}
	var second vfs.Dir
	if second, err = Hold(fs, "d", Access{}); err == nil {
		_, err = Lock(second, "d", false)
		defer second.Close()
	}
	if !errors.Is(err, base.ErrLocked) {
		t.Errorf("a second lock: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}
