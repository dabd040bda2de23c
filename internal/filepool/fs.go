package filepool

import (
	"errors"

	"github.com/lightningdb/lightning/vfs"
)

// FS is the file system of a database beside the pool: whatever else is opened
// comes first, and files of the pool are closed for it where the process can open
// no more.
type FS struct {
	vfs.FS
	Pool *Pool
}

// retry does what opens a file, once more for each file that the pool gives up.
func retry[T any](p *Pool, own int, open func() (T, error)) (T, error) {
	for {
		opened, err := open()
		if err == nil || !errors.Is(err, vfs.ErrTooManyFiles) || !p.makeRoom(own) {
			return opened, err
		}
	}
}

// Create is vfs.FS.Create.
func (f *FS) Create(name string) (vfs.File, error) {
	return retry(f.Pool, 0, func() (vfs.File, error) { return f.FS.Create(name) })
}

// Open is vfs.FS.Open.
func (f *FS) Open(name string) (vfs.File, error) {
	return retry(f.Pool, 0, func() (vfs.File, error) { return f.FS.Open(name) })
}

// OpenReadWrite is vfs.FS.OpenReadWrite.
func (f *FS) OpenReadWrite(name string) (vfs.File, error) {
	return retry(f.Pool, 0, func() (vfs.File, error) { return f.FS.OpenReadWrite(name) })
}

// List is vfs.FS.List, which opens the directory.
func (f *FS) List(dir string) ([]string, error) {
	return retry(f.Pool, 0, func() ([]string, error) { return f.FS.List(dir) })
}

// FreeBytes is vfs.FS.FreeBytes, which opens the directory.
func (f *FS) FreeBytes(dir string) (uint64, error) {
	return retry(f.Pool, 0, func() (uint64, error) { return f.FS.FreeBytes(dir) })
}

// SyncDir is vfs.FS.SyncDir, which may open the directory. That it could not be
// opened says nothing of what is durable.
func (f *FS) SyncDir(dir string) error {
	_, err := retry(f.Pool, 0, func() (struct{}, error) { return struct{}{}, f.FS.SyncDir(dir) })
	return err
}
