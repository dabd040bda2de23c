package vfs_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning/vfs"
)

// What was written can be sent to the disk, of a file that was opened through a held directory
// too; of a file that knows no such thing, nothing is, and nothing is wrong.
func TestStartWriteback(t *testing.T) {
	dir := t.TempDir()
	held, err := vfs.Hold(vfs.OS, dir)
	must(t, err)
	for _, fsys := range []vfs.FS{vfs.OS, held} {
		f := create(t, fsys, filepath.Join(dir, "a"), "abcdef")
		file, ok := f.(vfs.WritebackFile)
		if !ok {
			t.Fatalf("%T cannot be sent to the disk", f)
		}
		must(t, errors.Join(file.StartWriteback(0, 3), file.StartWriteback(3, 1<<20), file.StartWriteback(6, 0)))
		must(t, errors.Join(f.SyncData(), f.Close()))
		if err := file.StartWriteback(0, 3); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("a closed file: %v", err)
		}
	}
	must(t, held.Close())
	pipe := filepath.Join(dir, "pipe")
	must(t, unix.Mkfifo(pipe, 0o600))
	f, err := vfs.OS.OpenReadWrite(pipe)
	must(t, err)
	must(t, errors.Join(f.(vfs.WritebackFile).StartWriteback(0, 1), f.Close()))
}
