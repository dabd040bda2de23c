package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// This file holds a directory of the operating system.

func (osFS) OpenDir(dir string) (Dir, error) {
	d, err := holdDir(dir)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// osDir is a directory that is held. Names are looked up relative to root; self is
// the directory as a file, to sync, lock and identify it.
type osDir struct {
	name string // clean, as it was given
	// prefix is what the names begin with that filepath.Join makes of it.
	prefix string
	root   *os.Root
	self   *os.File
	info   fs.FileInfo // of self

	locks int // on the directory itself; under heldLocks
}

func holdDir(dir string) (*osDir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &osDir{name: filepath.Clean(dir), root: root}
	d.prefix = strings.TrimSuffix(d.name, string(filepath.Separator)) + string(filepath.Separator)
	if d.self, err = root.Open("."); err == nil {
		d.info, err = d.self.Stat()
	}
	if err != nil {
		return nil, errors.Join(named("open", dir, err), d.Close())
	}
	return d, nil
}

// Close closes the directory, a second time without effect.
func (d *osDir) Close() error {
	err := d.root.Close()
	if d.self == nil {
		return err
	}
	if closeErr := d.self.Close(); !errors.Is(closeErr, os.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	return err
}

// rel returns a name as it is in the directory.
func (d *osDir) rel(op, name string) (string, error) {
	if rest, ok := strings.CutPrefix(name, d.prefix); ok && filepath.IsLocal(rest) && filepath.Clean(rest) == rest {
		return rest, nil // as nearly all are
	}
	rel, err := filepath.Rel(d.name, name)
	if err != nil || !filepath.IsLocal(rel) {
		return "", outside(op, name)
	}
	return rel, nil
}

// in runs do with a name as it is in the directory.
func (d *osDir) in(op, name string, do func(rel string) error) error {
	rel, err := d.rel(op, name)
	if err != nil {
		return err
	}
	return translate(named(op, name, do(rel)))
}

// named says in an error which file it is about by the name that the caller knows.
func named(op, name string, err error) error {
	if err == nil {
		return nil
	}
	switch e := err.(type) {
	case *fs.PathError:
		err = e.Err
	case *os.LinkError:
		err = e.Err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (d *osDir) open(op, name string, flag int) (file File, err error) {
	err = d.in(op, name, func(rel string) error {
		f, err := d.root.OpenFile(rel, flag, fileMode)
		if err != nil {
			return err
		}
		file, err = notDirectory(f)
		return err
	})
	return file, err
}

func (d *osDir) Create(name string) (File, error) {
	return d.open("create", name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (d *osDir) Open(name string) (File, error) { return d.open("open", name, os.O_RDONLY) }

func (d *osDir) OpenReadWrite(name string) (File, error) { return d.open("open", name, os.O_RDWR) }

func (d *osDir) Rename(oldName, newName string) error {
	return d.inBoth("rename", oldName, newName, d.root.Rename)
}

func (d *osDir) Link(oldName, newName string) error {
	return d.inBoth("link", oldName, newName, d.root.Link)
}

// inBoth is in for what takes two names.
func (d *osDir) inBoth(op, oldName, newName string, do func(oldRel, newRel string) error) error {
	oldRel, err := d.rel(op, oldName)
	if err != nil {
		return err
	}
	newRel, err := d.rel(op, newName)
	if err != nil {
		return err
	}
	err = do(oldRel, newRel)
	if e, ok := err.(*os.LinkError); ok {
		err = &os.LinkError{Op: op, Old: oldName, New: newName, Err: e.Err}
	}
	return translate(err)
}

func (d *osDir) Remove(name string) error { return d.in("remove", name, d.root.Remove) }

func (d *osDir) MkdirAll(dir string) error {
	return d.in("mkdir", dir, func(rel string) error { return d.root.MkdirAll(rel, dirMode) })
}

func (d *osDir) List(dir string) (names []string, err error) {
	err = d.in("open", dir, func(rel string) error {
		f, err := d.root.Open(rel)
		if err != nil {
			return err
		}
		names, err = f.Readdirnames(-1)
		return errors.Join(err, f.Close())
	})
	slices.Sort(names)
	return names, err
}

func (d *osDir) Stat(name string) (info fs.FileInfo, err error) {
	err = d.in("stat", name, func(rel string) error {
		info, err = d.root.Stat(rel)
		return err
	})
	if err == nil && info.Name() == "." {
		info = namedInfo{info, filepath.Base(d.name)}
	}
	return info, err
}

// namedInfo is a description under another name.
type namedInfo struct {
	fs.FileInfo
	name string
}

func (i namedInfo) Name() string { return i.name }

func (d *osDir) SyncDir(dir string) error {
	return d.in("sync", dir, func(rel string) error {
		if rel == "." {
			return syncOpenDir(d.self)
		}
		f, err := d.root.Open(rel)
		if err != nil {
			return err
		}
		return errors.Join(syncOpenDir(f), f.Close())
	})
}

func (d *osDir) FreeBytes(dir string) (free uint64, err error) {
	err = d.in("free space", dir, func(rel string) error {
		f, err := d.root.Open(rel)
		if err != nil {
			return err
		}
		free, err = freeBytes(f)
		return errors.Join(err, f.Close())
	})
	return free, err
}

func (d *osDir) Lock(name string) (io.Closer, error) {
	rel, err := d.rel("lock", name)
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(d, rel, name, true)
	if err != nil {
		return nil, translate(err)
	}
	return lock, nil
}

func (d *osDir) Share() (io.Closer, error) {
	heldLocks.Lock()
	defer heldLocks.Unlock()
	if err := d.flock(false); err != nil {
		return nil, err
	}
	return &osShare{d: d}, nil
}
