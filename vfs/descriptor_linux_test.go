package vfs_test

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning/vfs"
)

// A descriptor is that of the file, of one that was opened through a held directory too,
// and stays open while it is in use, whoever closes the file meanwhile.
func TestDescriptor(t *testing.T) {
	dir := t.TempDir()
	held, err := vfs.Hold(vfs.OS, dir)
	must(t, err)
	for _, fsys := range []vfs.FS{vfs.OS, held} {
		f := create(t, fsys, filepath.Join(dir, "a"), "abcdef")
		file, ok := f.(vfs.DescriptorFile)
		if !ok {
			t.Fatalf("%T has no descriptor", f)
		}
		used := file.WithDescriptor(func(fd int) {
			must(t, f.Close())
			p := make([]byte, 3)
			if n, err := unix.Pread(fd, p, 2); n != 3 || err != nil || string(p) != "cde" {
				t.Errorf("%d, %v: %q", n, err, p)
			}
		})
		if !used {
			t.Error("no descriptor")
		}
		if file.WithDescriptor(func(int) { t.Error("called") }) {
			t.Error("a closed file has a descriptor")
		}
	}
	must(t, held.Close())
}
