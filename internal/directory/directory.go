// Package directory makes the directory of a database, holds it and keeps others out of
// it. It has no state: what is held and locked belongs to the caller.
package directory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/vfs"
)

// LockName is that of the file on which the lock is.
const LockName = "LOCK"

// Access is what the caller wants to do there.
type Access struct {
	ReadOnly  bool
	MustExist bool // a database, in a directory that is there
}

// ErrNotDatabase says that a directory holds something else, or nothing where
// a database was expected.
var ErrNotDatabase = errors.New("not a database")

// Hold makes the directory of a database if that is allowed, and holds it: from
// then on the database is in the directory that was found here, whatever becomes of
// the path.
func Hold(vfsys vfs.FS, dir string, a Access) (held vfs.Dir, err error) {
	if dir == "" {
		return nil, fmt.Errorf("%w: the name of the directory is empty", ErrNotDatabase)
	}
	info, err := vfsys.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return nil, fmt.Errorf("%w: %s is a file", ErrNotDatabase, dir)
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open %s: %w", dir, err)
	case a.ReadOnly || a.MustExist:
		return nil, fmt.Errorf("%w: %w", ErrNotDatabase, err)
	default:
		if err := Create(vfsys, dir); err != nil {
			return nil, err
		}
	}
	if held, err = vfs.Hold(vfsys, dir); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	if err := check(vfsys, held, dir, a, info == nil); err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return held, nil
}

// HoldDamaged holds a directory to read what is left of a database in it, of which nothing
// needs to be sound.
func HoldDamaged(vfsys vfs.FS, dir string) (vfs.Dir, error) {
	if dir == "" {
		return nil, fmt.Errorf("%w: the name of the directory is empty", ErrNotDatabase)
	}
	info, err := vfsys.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrNotDatabase, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", dir, err)
	case !info.IsDir():
		return nil, fmt.Errorf("%w: %s is a file", ErrNotDatabase, dir)
	}
	held, err := vfs.Hold(vfsys, dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return held, nil
}

// check looks whether a directory holds a database or may become one.
func check(vfsys vfs.FS, held vfs.Dir, dir string, a Access, isNew bool) error {
	exists, err := manifest.Exists(held, dir)
	switch {
	case err != nil:
		return fmt.Errorf("open %s: %w", dir, err)
	case exists || isNew:
		return nil
	case a.ReadOnly || a.MustExist:
		return fmt.Errorf("%w: %s", ErrNotDatabase, dir)
	}
	if err := refuseForeign(held, dir); err != nil {
		return err
	}
	return Create(vfsys, dir)
}

// Lock takes the lock of a directory.
func Lock(held vfs.Dir, dir string, readOnly bool) (lock io.Closer, err error) {
	name := filepath.Join(dir, LockName)
	_, err = held.Stat(name)
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		lock, err = held.Share() // a writer would have made the file, and a reader makes none
	} else {
		lock, err = held.Lock(name)
		if readOnly && errors.Is(err, vfs.ErrReadOnly) {
			lock, err = held.Share() // nobody can write to such a medium
		}
	}
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return nil, fmt.Errorf("%w: %s", base.ErrLocked, dir)
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return lock, nil
}

// Create makes the database's directory, and its name durable: a synced write
// in a directory that a crash takes away is lost all the same. An earlier,
// interrupted open may have made the directory, so its entry is synced even if
// it is there. When a sync fails, a later one of the same names would prove
// nothing, so what was made is rolled back, for the next open to make anew.
func Create(vfsys vfs.FS, path string) error {
	var made []string
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if _, err := vfsys.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		made = append(made, dir)
	}
	err := vfsys.MkdirAll(path)
	for i := 0; i < max(len(made), 1) && err == nil; i++ {
		dir := filepath.Clean(path)
		if i < len(made) {
			dir = made[i]
		}
		err = vfsys.SyncDir(filepath.Dir(dir))
	}
	if err == nil {
		return nil
	}
	dangling := ""
	for _, dir := range made {
		if _, statErr := vfsys.Stat(dir); statErr == nil {
			_ = vfsys.Remove(dir) // the error that is reported came first
		} else {
			dangling = dir // the outermost, if there is something of that name
		}
	}
	if errors.Is(err, fs.ErrExist) && dangling != "" {
		return fmt.Errorf("%w: %s is a symbolic link that leads nowhere", ErrNotDatabase, dangling)
	}
	return fmt.Errorf("make directory: %w", err)
}

// refuseForeign returns an error when a directory without a manifest holds
// files that are not the beginnings of a database.
func refuseForeign(vfsys vfs.FS, path string) error {
	names, err := vfsys.List(path)
	if err != nil {
		return nil // it does not exist yet
	}
	for _, name := range names {
		_, isManifest := manifest.ParseFileName(name)
		known := name == LockName || name == "lost+found" || isManifest ||
			strings.HasPrefix(name, manifest.CurrentName)
		if !known {
			return fmt.Errorf("%w: %s holds %q but no database", ErrNotDatabase, path, name)
		}
	}
	return nil
}
