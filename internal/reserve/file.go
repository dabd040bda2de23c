package reserve

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"

	"github.com/lightningdb/lightning/vfs"
)

// This file is what a Reserve does with its file. All of it is called with the lock.
//
// Nothing in the file is ever read, and no order of writes matters: what a crash
// leaves of it is looked at by its length and by the space that it has.

func (r *Reserve) path() string { return filepath.Join(r.cfg.Dir, Name) }

// find opens the file that is there, if one is. One with holes, such as a copy, holds
// less than it seems to: it begins anew.
func (r *Reserve) find() error {
	info, err := r.cfg.FS.Stat(r.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", Name, err)
	}
	has, known := vfs.AllocatedBytes(info)
	whole := !known || has >= info.Size()
	if r.cfg.ReadOnly {
		if whole {
			r.held.Store(info.Size())
		}
		return nil
	}
	if r.f, err = r.cfg.FS.OpenReadWrite(r.path()); err != nil {
		return fmt.Errorf("open %s: %w", Name, err)
	}
	r.held.Store(info.Size())
	if !whole {
		return r.cut(0)
	}
	return nil
}

// open makes the file if there is none, or none any more under its name.
func (r *Reserve) open() error {
	_, err := r.cfg.FS.Stat(r.path())
	switch {
	case err == nil && r.f != nil:
		return nil
	case err == nil:
		return r.find()
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look at %s: %w", Name, err)
	}
	if r.f != nil {
		_ = r.f.Close() // with it goes the space of a file that was removed
		r.f = nil
		r.held.Store(0)
	}
	if r.f, err = r.cfg.FS.Create(r.path()); err != nil {
		return fmt.Errorf("create %s: %w", Name, err)
	}
	return nil
}

// grow makes the file larger, with its space; on failure it stays as it was. Where
// the file system is known to have less, nothing is tried.
func (r *Reserve) grow(sizeBytes int64) error {
	held := r.HeldBytes()
	if sizeBytes-held > r.freeBytes() {
		return fmt.Errorf("extend %s to %d bytes: %w", Name, sizeBytes, vfs.ErrNoSpace)
	}
	err := r.f.Preallocate(sizeBytes)
	if err == nil {
		err = r.fillUnlessReserved(held, sizeBytes)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("extend %s to %d bytes: %w", Name, sizeBytes, err), r.f.Truncate(held))
	}
	r.held.Store(sizeBytes)
	return nil
}

// fillUnlessReserved writes to [from, to) if the file has not the space for it, as
// where the file system cannot reserve.
func (r *Reserve) fillUnlessReserved(from, to int64) error {
	info, err := r.cfg.FS.Stat(r.path())
	if err != nil {
		return err
	}
	if has, known := vfs.AllocatedBytes(info); known && has >= to {
		return nil
	}
	// Zeroes would take no space where files are compressed.
	var seed [32]byte
	noise, chunk := rand.NewChaCha8(seed), make([]byte, 256<<10)
	for at := from; at < to; at += int64(len(chunk)) {
		_, _ = noise.Read(chunk) // never fails
		if _, err := r.f.WriteAt(chunk[:min(int64(len(chunk)), to-at)], at); err != nil {
			return err
		}
	}
	return r.f.SyncData() // where space is allocated late, it is now
}

// cut makes the file smaller. Some file systems free space only when the change is
// durable.
func (r *Reserve) cut(sizeBytes int64) error {
	if err := r.f.Truncate(sizeBytes); err != nil {
		return fmt.Errorf("cut %s: %w", Name, err)
	}
	r.held.Store(sizeBytes)
	_ = r.f.Sync() // nothing depends on it
	return nil
}

// freeBytes is how much the file system has left, as far as it tells.
func (r *Reserve) freeBytes() int64 {
	free, err := r.cfg.FS.FreeBytes(r.cfg.Dir)
	if err != nil {
		return math.MaxInt64 / 2
	}
	return int64(min(free, math.MaxInt64/2))
}
