package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// heldLocks holds the resolved paths that this process has locked. The kernel's
// lock alone is not enough: some network file systems grant every lock, and one
// who deleted the lock file would lock a new file of the same name. It is the
// one piece of state shared by the whole process, as the thing it models is.
var heldLocks = struct {
	sync.Mutex
	names map[string]struct{}
}{names: map[string]struct{}{}}

func (osFS) Lock(name string) (io.Closer, error) {
	key, err := resolve(name)
	if err != nil {
		return nil, err
	}
	heldLocks.Lock()
	defer heldLocks.Unlock()
	if _, held := heldLocks.names[key]; held {
		return nil, lockedError(name)
	}
	f, err := openLocked(name)
	if err != nil {
		return nil, translate(err)
	}
	heldLocks.names[key] = struct{}{}
	return &osLock{file: f, key: key}, nil
}

// openLocked opens and locks the file. Between the two someone may replace the
// file by another of the same name; a lock on a file nobody else will open
// excludes nobody, so then it starts over.
func openLocked(name string) (*os.File, error) {
	for {
		f, err := openFile(name, os.O_RDWR|os.O_CREATE)
		if err != nil {
			return nil, err
		}
		if err := lockFile(f, name); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		same, err := isNamed(f, name)
		if same {
			return f, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// isNamed reports whether name still is the name of the open file f.
func isNamed(f *os.File, name string) (bool, error) {
	ours, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ours, named), err
}

// resolve gives one spelling to a path, so that a lock is found again when the
// directory is reached through a symbolic link.
func resolve(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

// osLock is a held lock. Closing it a second time does nothing.
type osLock struct {
	file *os.File
	key  string
	once sync.Once
}

func (l *osLock) Close() error {
	var err error
	l.once.Do(func() {
		heldLocks.Lock()
		defer heldLocks.Unlock()
		delete(heldLocks.names, l.key)
		// The kernel drops its lock with the last descriptor of the file, and a
		// process that this one is just starting may have a copy of ours until
		// it runs its program. So the lock is given back by name first.
		err = errors.Join(unlockFile(l.file), l.file.Close())
	})
	return err
}
