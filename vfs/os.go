package vfs

import (
	"errors"
	"io/fs"
	"os"
	"slices"
)

// The file system of the operating system. It holds no state of its own; what
// differs between platforms is in the files named after them: openFile,
// syncFileData, preallocate, syncOpenDir, freeBytes, lockFile, lockDir, openFilesMax,
// isTooManyFiles and isNoSpace.
//
// Interrupted calls and writes that the system cut short are continued at the
// offset where they stopped (package os does both); nothing else is retried,
// because repeating a failed write or sync can hide a loss.

// OS is the file system of the operating system.
var OS FS = osFS{}

type osFS struct{}

// OpenFilesMax returns how many files this process may have open at once, 0 where
// that is not known.
func OpenFilesMax() int { return openFilesMax() }

var errIsDirectory = errors.New("is a directory")

const (
	fileMode = 0o644
	dirMode  = 0o755
)

func (osFS) Create(name string) (File, error) {
	return open("create", name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (osFS) Open(name string) (File, error) { return open("open", name, os.O_RDONLY) }

func (osFS) OpenReadWrite(name string) (File, error) { return open("open", name, os.O_RDWR) }

// open refuses directories, which some systems would open for reading.
func open(op, name string, flag int) (File, error) {
	f, err := openFile(name, flag)
	if err != nil {
		return nil, translate(err)
	}
	file, err := notDirectory(f)
	return file, named(op, name, err)
}

func notDirectory(f *os.File) (File, error) {
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errIsDirectory
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return osFile{f}, nil
}

func (osFS) Rename(oldName, newName string) error { return translate(os.Rename(oldName, newName)) }

func (osFS) Link(oldName, newName string) error { return translate(os.Link(oldName, newName)) }

func (osFS) Remove(name string) error { return translate(os.Remove(name)) }

func (osFS) MkdirAll(dir string) error { return translate(os.MkdirAll(dir, dirMode)) }

func (osFS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

func (osFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return translate(err)
	}
	return translate(errors.Join(syncOpenDir(d), d.Close()))
}

func (osFS) FreeBytes(dir string) (uint64, error) {
	d, err := os.Open(dir)
	if err != nil {
		return 0, named("free space", dir, err)
	}
	free, err := freeBytes(d)
	return free, named("free space", dir, errors.Join(err, d.Close()))
}

// osFile is an open file; package os makes it safe for concurrent use, Close
// included.
type osFile struct{ f *os.File }

func (o osFile) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }

func (o osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := o.f.WriteAt(p, off)
	return n, translate(err)
}

func (o osFile) Close() error { return translate(o.f.Close()) }

func (o osFile) Size() (int64, error) {
	info, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (o osFile) Truncate(size int64) error { return translate(o.f.Truncate(size)) }

func (o osFile) Sync() error { return translate(o.f.Sync()) }

func (o osFile) SyncData() error { return translate(syncFileData(o.f)) }

func (o osFile) Preallocate(size int64) error {
	if size < 0 {
		return &fs.PathError{Op: "preallocate", Path: o.f.Name(), Err: fs.ErrInvalid}
	}
	have, err := o.Size()
	if err == nil && size > 0 {
		err = preallocate(o.f, have, size)
	}
	return translate(err)
}

// extend sets the length of f, which has `have` bytes, to at least size.
func extend(f *os.File, have, size int64) error {
	if have >= size {
		return nil
	}
	return f.Truncate(size)
}
