package damage

import (
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/lightningdb/lightning/vfs"
)

// flippedFS shows an image in which one file is damaged. The image is shared by
// any number of them; the damaged file is a copy of its own, which its owner
// changes between two openings and puts right again: so a flip costs a byte
// and not a copy. Every read of the database under test is a read of these
// bytes. It refuses all that would change a file, as a medium that cannot be
// written to does.
//
// Not safe for changes while a database is open on it; reads are as concurrent
// as the engine likes.
type flippedFS struct {
	image   image
	file    string
	content []byte // of file
	// failing makes every read fail that meets [failingFrom, failingTo) of the
	// file, to learn who depends on it.
	failing                error
	failingFrom, failingTo int64
	// onRead, if not nil, is told of every read.
	onRead func(name string, offset int64, length int)
}

// flip returns a file system with a private copy of one file of an image.
func flip(m image, file string) *flippedFS {
	return &flippedFS{image: m, file: file, content: append([]byte(nil), m[file]...)}
}

// mounted returns f itself: nothing that is done to it leaves a trace.
func (f *flippedFS) mounted() (vfs.FS, error) { return f, nil }

func (f *flippedFS) lookUp(op, name string) ([]byte, error) {
	if filepath.Dir(name) == dir {
		base := filepath.Base(name)
		if b, ok := f.image[base]; ok {
			if base == f.file {
				b = f.content
			}
			return b, nil
		}
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func (f *flippedFS) Open(name string) (vfs.File, error) {
	b, err := f.lookUp("open", name)
	if err != nil {
		return nil, err
	}
	return &flippedFile{fs: f, name: filepath.Base(name), content: b}, nil
}

func (f *flippedFS) List(name string) ([]string, error) {
	if name != dir {
		return nil, &fs.PathError{Op: "list", Path: name, Err: fs.ErrNotExist}
	}
	return slices.Sorted(maps.Keys(f.image)), nil
}

func (f *flippedFS) Stat(name string) (fs.FileInfo, error) {
	if name == dir {
		return fileInfo{name: dir, mode: fs.ModeDir}, nil
	}
	b, err := f.lookUp("stat", name)
	if err != nil {
		return nil, err
	}
	return fileInfo{name: filepath.Base(name), size: int64(len(b))}, nil
}

// Lock takes no lock: each flippedFS has one opener.
func (f *flippedFS) Lock(string) (io.Closer, error) { return &flippedFile{}, nil }

func (f *flippedFS) Create(name string) (vfs.File, error)        { return nil, refused("create", name) }
func (f *flippedFS) OpenReadWrite(name string) (vfs.File, error) { return nil, refused("open", name) }
func (f *flippedFS) Rename(name, _ string) error                 { return refused("rename", name) }
func (f *flippedFS) Link(name, _ string) error                   { return refused("link", name) }
func (f *flippedFS) Remove(name string) error                    { return refused("remove", name) }
func (f *flippedFS) MkdirAll(name string) error                  { return refused("mkdir", name) }
func (f *flippedFS) SyncDir(name string) error                   { return refused("sync", name) }
func (f *flippedFS) FreeBytes(string) (uint64, error)            { return 0, nil }

func refused(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: vfs.ErrReadOnly}
}

// flippedFile is an open file; its bytes are those of the file system.
type flippedFile struct {
	fs      *flippedFS
	name    string
	content []byte
}

func (f *flippedFile) ReadAt(p []byte, off int64) (int, error) {
	if f.fs.onRead != nil {
		f.fs.onRead(f.name, off, len(p))
	}
	if f.fs.failing != nil && f.name == f.fs.file && off < f.fs.failingTo && off+int64(len(p)) > f.fs.failingFrom {
		return 0, f.fs.failing
	}
	if off < 0 || off >= int64(len(f.content)) {
		return 0, io.EOF
	}
	n := copy(p, f.content[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *flippedFile) Size() (int64, error)               { return int64(len(f.content)), nil }
func (f *flippedFile) Close() error                       { return nil }
func (f *flippedFile) WriteAt([]byte, int64) (int, error) { return 0, vfs.ErrReadOnly }
func (f *flippedFile) Truncate(int64) error               { return vfs.ErrReadOnly }
func (f *flippedFile) Sync() error                        { return vfs.ErrReadOnly }
func (f *flippedFile) SyncData() error                    { return vfs.ErrReadOnly }
func (f *flippedFile) Preallocate(int64) error            { return vfs.ErrReadOnly }

// fileInfo describes a file of an image.
type fileInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }
