package engine

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

// This file is about the directory of a database: making it, and keeping others
// out of it.

const lockName = "LOCK"

// ErrNotDatabase says that a directory holds something else, or nothing where
// a database was expected.
var ErrNotDatabase = errors.New("not a database")

// lockDir makes the directory if that is allowed and takes its lock; nil where a
// reader needs none.
func lockDir(dir string, opts *Options) (io.Closer, error) {
	vfsys := opts.FS
	info, statErr := vfsys.Stat(dir)
	if statErr == nil && !info.IsDir() {
		return nil, fmt.Errorf("%w: %s is a file", ErrNotDatabase, dir)
	}
	exists, err := manifest.Exists(vfsys, dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	if !exists {
		if opts.ReadOnly || opts.MustExist {
			if statErr != nil {
				return nil, fmt.Errorf("%w: %w", ErrNotDatabase, statErr)
			}
			return nil, fmt.Errorf("%w: %s", ErrNotDatabase, dir)
		}
		if err := refuseForeign(vfsys, dir); err != nil {
			return nil, err
		}
		if err := makeDir(vfsys, dir); err != nil {
			return nil, fmt.Errorf("make directory: %w", err)
		}
	}
	name := filepath.Join(dir, lockName)
	if _, err := vfsys.Stat(name); opts.ReadOnly && errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a writer would have made it, and a reader makes no files
	}
	lock, err := vfsys.Lock(name)
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return nil, fmt.Errorf("%w: %s", base.ErrLocked, dir)
	case opts.ReadOnly && errors.Is(err, vfs.ErrReadOnly):
		return nil, nil // nobody can write to such a medium
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return lock, nil
}

// makeDir makes the database's directory, and its name durable: a synced write
// in a directory that a crash takes away is lost all the same. An earlier,
// interrupted open may have made the directory, so its entry is synced even if
// it is there. When a sync fails, a later one of the same names would prove
// nothing, so what was made is rolled back, for the next open to make anew.
func makeDir(vfsys vfs.FS, path string) error {
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
	if err != nil {
		for _, dir := range made {
			_ = vfsys.Remove(dir) // the error that is reported came first
		}
	}
	return err
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
		known := name == lockName || name == "lost+found" || isManifest ||
			strings.HasPrefix(name, manifest.CurrentName)
		if !known {
			return fmt.Errorf("%w: %s holds %q but no database", ErrNotDatabase, path, name)
		}
	}
	return nil
}
