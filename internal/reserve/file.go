package reserve

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"

	"github.com/lightningdb/lightning/vfs"
)

// file is the file of a Reserve, whose lock its user holds; only heldBytes may be
// loaded, and freeBytes called, without.
//
// Nothing in the file is ever read, and no order of writes matters: what a crash
// leaves of it is looked at by its length and by the space that it has.
type file struct {
	fs        vfs.FS
	dir       string
	readOnly  bool     // it is only looked at
	f         vfs.File // nil: none yet
	heldBytes atomic.Int64
}

func (h *file) path() string { return filepath.Join(h.dir, Name) }

// find opens the file that is there, if one is. One with holes, such as a copy, holds
// less than it seems to: it begins anew.
func (h *file) find() error {
	info, err := h.fs.Stat(h.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", Name, err)
	}
	has, known := vfs.AllocatedBytes(info)
	whole := !known || has >= info.Size()
	if h.readOnly {
		if whole {
			h.heldBytes.Store(info.Size())
		}
		return nil
	}
	if h.f, err = h.fs.OpenReadWrite(h.path()); err != nil {
		return fmt.Errorf("open %s: %w", Name, err)
	}
	h.heldBytes.Store(info.Size())
	if !whole {
		return h.cut(0)
	}
	return nil
}

// open makes the file if there is none, or none any more under its name.
func (h *file) open() error {
	_, err := h.fs.Stat(h.path())
	switch {
	case err == nil && h.f != nil:
		return nil
	case err == nil:
		return h.find()
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look at %s: %w", Name, err)
	}
	_ = h.close() // with it goes the space of a file that was removed
	h.heldBytes.Store(0)
	if h.f, err = h.fs.Create(h.path()); err != nil {
		return fmt.Errorf("create %s: %w", Name, err)
	}
	return nil
}

// grow makes the file larger, with its space; on failure it stays as it was. Where
// the file system is known to have less, nothing is tried.
func (h *file) grow(sizeBytes int64) error {
	held := h.heldBytes.Load()
	if sizeBytes-held > h.freeBytes() {
		return fmt.Errorf("extend %s to %d bytes: %w", Name, sizeBytes, vfs.ErrNoSpace)
	}
	err := h.f.Preallocate(sizeBytes)
	if err == nil {
		err = h.fillUnlessReserved(held, sizeBytes)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("extend %s to %d bytes: %w", Name, sizeBytes, err), h.f.Truncate(held))
	}
	h.heldBytes.Store(sizeBytes)
	return nil
}

// fillUnlessReserved writes to [from, to) if the file has not the space for it, as
// where the file system cannot reserve.
func (h *file) fillUnlessReserved(from, to int64) error {
	info, err := h.fs.Stat(h.path())
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
		if _, err := h.f.WriteAt(chunk[:min(int64(len(chunk)), to-at)], at); err != nil {
			return err
		}
	}
	return h.f.SyncData() // where space is allocated late, it is now
}

// cut makes the file smaller. Some file systems free space only when the change is
// durable.
func (h *file) cut(sizeBytes int64) error {
	if err := h.f.Truncate(sizeBytes); err != nil {
		return fmt.Errorf("cut %s: %w", Name, err)
	}
	h.heldBytes.Store(sizeBytes)
	_ = h.f.Sync() // nothing depends on it
	return nil
}

// close closes the file, which keeps its space.
func (h *file) close() error {
	if h.f == nil {
		return nil
	}
	err := h.f.Close()
	h.f = nil
	return err
}

// freeBytes is how much the file system has left, as far as it tells.
func (h *file) freeBytes() int64 {
	free, err := h.fs.FreeBytes(h.dir)
	if err != nil {
		return math.MaxInt64 / 2
	}
	return int64(min(free, math.MaxInt64/2))
}
