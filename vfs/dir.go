package vfs

import (
	"fmt"
	"io"
	"io/fs"
)

// Dirs is implemented by file systems that can hold a directory: the one that a
// path leads to now, whatever becomes of the path and of the working directory.
type Dirs interface {
	// OpenDir holds an existing directory.
	OpenDir(dir string) (Dir, error)
}

// Dir is a directory that is held, as the file system that it is. Names are those
// that lead to it when it was opened, filepath.Join(dir, name), and errors say
// them so; but they are looked up in the directory itself, wherever it is by then.
// Other names fail with fs.ErrInvalid, and names whose symbolic links lead out of
// the directory with an error. Files stay open when it is closed.
//
// Lock takes the directory too, where the system can lock one: it keeps out who
// holds the directory through another Dir, whatever became of the lock file. Where
// it cannot, the lock file has to do.
type Dir interface {
	FS
	io.Closer
	// Share keeps out those who take a Lock through another Dir, and makes no
	// file; it keeps out no others who share. Where the system cannot lock a
	// directory it does nothing. A Dir is shared or locked, not both.
	Share() (io.Closer, error)
}

// Holder is implemented by locks that can tell whether they still are what they
// were: those of OS and of the testing file systems.
type Holder interface {
	// Held returns nil while the lock file is there under its name, and an error
	// that matches ErrLockLost once it was removed or replaced: from then on
	// another may hold a lock of that name. Other errors say that it cannot be
	// told now.
	Held() error
}

// Hold opens dir, which exists. A file system that cannot hold a directory goes on
// looking names up as paths.
func Hold(fsys FS, dir string) (Dir, error) {
	if d, ok := fsys.(Dirs); ok {
		return d.OpenDir(dir)
	}
	return pathDir{fsys}, nil
}

// pathDir is a directory of a file system that cannot hold one.
type pathDir struct{ FS }

// FailSyncDir passes on what a testing file system does in a failed sync.
func (d pathDir) FailSyncDir(dir string) {
	if failer, ok := d.FS.(interface{ FailSyncDir(dir string) }); ok {
		failer.FailSyncDir(dir)
	}
}

func (pathDir) Close() error { return nil }

func (pathDir) Share() (io.Closer, error) { return noLock{}, nil }

type noLock struct{}

func (noLock) Close() error { return nil }

func outside(op, name string) error {
	err := fmt.Errorf("%w: it is not in the directory that is held", fs.ErrInvalid)
	return &fs.PathError{Op: op, Path: name, Err: err}
}
