package damage

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// dir is where every specimen lives on its file system.
const dir = "db"

// inDir is the path of a file of the database.
func inDir(name string) string { return filepath.Join(dir, name) }

// image is the files of a database at rest, by base name. Images are shared:
// neither the map nor the bytes are changed once it was taken; whoever wants
// another one clones the map and replaces a file.
type image map[string][]byte

// takeImage reads all files of a database.
func takeImage(fsys vfs.FS) (image, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	m := image{}
	for _, name := range names {
		if m[name], err = readFile(fsys, name); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return m, nil
}

func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(inDir(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); int64(n) < size || err != nil && err != io.EOF {
		return nil, fmt.Errorf("%d of %d bytes: %w", n, size, err)
	}
	return b, nil
}

// mount puts the files on a disk.
func (m image) mount() (*memfs.FS, error) {
	fsys := memfs.New()
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, err
	}
	for _, name := range m.names() {
		if err := writeFile(fsys, name, m[name]); err != nil {
			return nil, err
		}
	}
	return fsys, nil
}

// writeFile makes a file with the given content, in place of one that exists.
func writeFile(fsys vfs.FS, name string, content []byte) error {
	f, err := fsys.Create(inDir(name))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(content, 0)
	return err
}

// names returns the names by kind and then in order, so that walks repeat for a
// seed: which of two files of different kinds gets the lower number is up to the
// scheduler of goroutines.
func (m image) names() []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(kind(a), kind(b)), cmp.Compare(a, b))
	})
}

// with returns a copy in which a file has other content.
func (m image) with(name string, content []byte) image {
	c := maps.Clone(m)
	c[name] = content
	return c
}

// without returns a copy that lacks a file.
func (m image) without(name string) image {
	c := maps.Clone(m)
	delete(c, name)
	return c
}

// kind is the kind of a file: its extension, or its name where it has none.
func kind(name string) string {
	if ext := filepath.Ext(name); ext != "" {
		return ext
	}
	return name
}

// The kinds of files that a database has.
const (
	kindTable    = ".sst"
	kindLog      = ".wal"
	kindManifest = ".manifest"
	kindCurrent  = "CURRENT"
	kindLock     = "LOCK"
)
