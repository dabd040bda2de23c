package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// heldLocks holds the locks of this process: the directory, whatever path leads to
// it, and the name in it. The kernel's lock alone is not enough: some network file
// systems grant every lock, and one who deleted the lock file would lock a new file
// of the same name. It is the one piece of state shared by the whole process, as
// the thing it models is.
var heldLocks = struct {
	sync.Mutex
	all []*osLock
}{}

// Lock locks a file and leaves its directory alone: there may be other lock files
// in it.
func (osFS) Lock(name string) (io.Closer, error) {
	d, err := holdDir(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(d, filepath.Base(name), name, false)
	if err != nil {
		return nil, errors.Join(translate(err), d.Close())
	}
	lock.ownDir = true
	return lock, nil
}

// takeLock locks the file that is called rel in a directory, and the directory as
// well if that is wanted.
func takeLock(d *osDir, rel, name string, andDir bool) (*osLock, error) {
	heldLocks.Lock()
	defer heldLocks.Unlock()
	for _, l := range heldLocks.all {
		if l.rel == rel && os.SameFile(l.d.info, d.info) {
			return nil, lockedError(name)
		}
	}
	l := &osLock{d: d, rel: rel, name: name}
	if andDir {
		if err := d.flock(true); err != nil {
			return nil, err
		}
		l.andDir = true
	}
	var err error
	if l.file, err = openLocked(d, rel, name); err != nil {
		if andDir {
			err = errors.Join(err, d.unflock())
		}
		return nil, err
	}
	heldLocks.all = append(heldLocks.all, l)
	return l, nil
}

// flock locks the directory itself, for everybody who holds it through d. The
// caller holds heldLocks.
func (d *osDir) flock(exclusive bool) error {
	if d.locks == 0 {
		if err := lockDir(d.self, exclusive); errors.Is(err, ErrLocked) {
			return lockedError(d.name)
		} else if err != nil {
			return err
		}
	}
	d.locks++
	return nil
}

// unflock gives back what flock took. The caller holds heldLocks.
func (d *osDir) unflock() error {
	if d.locks--; d.locks > 0 {
		return nil
	}
	return unlockDir(d.self)
}

// openLocked opens and locks the file. Between the two someone may replace the
// file by another of the same name; a lock on a file nobody else will open
// excludes nobody, so then it starts over.
func openLocked(d *osDir, rel, name string) (*os.File, error) {
	for {
		f, err := d.root.OpenFile(rel, os.O_RDWR|os.O_CREATE, fileMode)
		if err != nil {
			return nil, named("open", name, err)
		}
		if err := lockFile(f, name); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		same, err := d.isNamed(f, rel)
		if same {
			return f, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

// isNamed reports whether rel still is the name of the open file f.
func (d *osDir) isNamed(f *os.File, rel string) (bool, error) {
	ours, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := d.root.Stat(rel)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ours, there), err
}

// osLock is a held lock. Closing it a second time does nothing.
type osLock struct {
	d      *osDir
	rel    string
	name   string // as it was given
	file   *os.File
	andDir bool // the directory is locked as well
	ownDir bool // and is to be closed with the lock
	once   sync.Once
}

// Held implements Holder.
func (l *osLock) Held() error {
	same, err := l.d.isNamed(l.file, l.rel)
	switch {
	case err != nil:
		return named("stat", l.name, err)
	case !same:
		return lostError(l.name)
	}
	return nil
}

func lostError(name string) error {
	return fmt.Errorf("%w: %s was removed or replaced", ErrLockLost, name)
}

func (l *osLock) Close() error {
	var err error
	l.once.Do(func() {
		heldLocks.Lock()
		defer heldLocks.Unlock()
		heldLocks.all = slices.DeleteFunc(heldLocks.all, func(o *osLock) bool { return o == l })
		// The kernel drops its lock with the last descriptor of the file, and a
		// process that this one is just starting may have a copy of ours until
		// it runs its program. So the lock is given back by name first.
		err = errors.Join(unlockFile(l.file), l.file.Close())
		if l.andDir {
			err = errors.Join(err, l.d.unflock())
		}
		if l.ownDir {
			err = errors.Join(err, l.d.Close())
		}
	})
	return err
}

// osShare is a shared lock of a directory.
type osShare struct {
	d    *osDir
	once sync.Once
}

func (s *osShare) Close() (err error) {
	s.once.Do(func() {
		heldLocks.Lock()
		defer heldLocks.Unlock()
		err = s.d.unflock()
	})
	return err
}
