package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/vfs"
)

// temporarySuffix is what is added to the name of the database for the directory in which a
// temporary checkpoint is: beside it, so that there can be links.
const temporarySuffix = ".backup"

// Temporary takes a checkpoint that is needed for a while only, of the same history, and returns where
// it is and a function that removes it. There is one of a database at a time; what a crash has left of one goes with
// the next.
func (t *Taker) Temporary(ctx context.Context) (_ Result, dir string, done func() error, err error) {
	room := filepath.Clean(t.WAL.Dir) + temporarySuffix
	if err := directory.Create(t.Outer, room); err != nil {
		return Result{}, "", nil, err
	}
	lock, err := t.Outer.Lock(filepath.Join(room, directory.LockName))
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return Result{}, "", nil, fmt.Errorf("%w: another backup of this database is being made, in %s", base.ErrLocked, room)
	case err != nil:
		return Result{}, "", nil, fmt.Errorf("lock %s: %w", room, err)
	}
	dir = filepath.Join(room, "checkpoint")
	done = func() error {
		err := removeFlat(t.Outer, dir)
		if err == nil {
			err = t.Outer.Remove(filepath.Join(room, directory.LockName))
		}
		err = errors.Join(err, lock.Close())
		if err == nil {
			_ = t.Outer.Remove(room) // unless the next one is there already
		}
		return err
	}
	if err := removeFlat(t.Outer, dir); err != nil {
		return Result{}, "", nil, errors.Join(err, lock.Close())
	}
	r, err := t.take(ctx, dir, base.DBID{}, nil)
	if err != nil {
		return Result{}, "", nil, errors.Join(err, done())
	}
	return r, dir, done, nil
}

// removeFlat removes a directory with checkpoints' files in it, if it is there.
func removeFlat(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for i := 0; err == nil && i < len(names); i++ {
		if !IsFile(names[i]) && names[i] != directory.LockName {
			return fmt.Errorf("%w: %s holds %q, which is of no checkpoint", directory.ErrTargetExists, dir, names[i])
		}
		err = fsys.Remove(filepath.Join(dir, names[i]))
	}
	if err == nil {
		err = fsys.Remove(dir)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}
