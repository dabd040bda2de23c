package health

import (
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/vfs"
)

// WatchedFS is the database's file system. It poisons the database when the
// sync of a directory fails: the names that were waiting for it, whichever
// worker made them, may be lost although they are still there to see, and a
// later sync that succeeds says nothing about them. So syncs go one at a time,
// and after a failure all fail; no edit of the manifest can name a file whose
// name is in doubt.
type WatchedFS struct {
	vfs.FS
	Health *Health
	mu     ranked.Mutex[ranked.DirectorySync]
}

// SyncDir is vfs.FS.SyncDir.
func (f *WatchedFS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.Health.Err(); err != nil {
		return err
	}
	err := f.FS.SyncDir(dir)
	if err != nil {
		f.Health.Poison("directory", err)
	}
	return err
}
