package directory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
)

// partialSuffix is what the name ends with of a directory that is not finished.
const partialSuffix = ".partial"

// ErrTargetExists says that there is something where a directory was to come to be. It
// matches fs.ErrExist.
var ErrTargetExists = fmt.Errorf("target: %w", fs.ErrExist)

// Staged is a directory that is there as a whole or not at all. It is made beside its target,
// as TARGET.partial, with a lock in it, and gets the name of the target when everything in it
// is durable. What a crash leaves under the other name goes with the next one of the same
// target. It is used by one goroutine.
type Staged struct {
	// Path is where its files are until it has its name.
	Path string

	fs     vfs.FS
	target string
	isOwn  func(name string) bool
	lock   io.Closer // nil once it is given back
	named  bool
}

// Stage makes a directory. The target must not be there, or be an empty directory, which is
// removed. isOwn reports which files may be removed that an earlier one has left.
func Stage(fsys vfs.FS, target string, isOwn func(name string) bool) (*Staged, error) {
	if target == "" {
		return nil, fmt.Errorf("%w: the name of the target is empty", fs.ErrInvalid)
	}
	target = filepath.Clean(target)
	if err := vacate(fsys, target); err != nil {
		return nil, err
	}
	s := &Staged{Path: target + partialSuffix, fs: fsys, target: target, isOwn: isOwn}
	if err := Create(fsys, s.Path); err != nil {
		return nil, err
	}
	var err error
	s.lock, err = fsys.Lock(filepath.Join(s.Path, LockName))
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return nil, fmt.Errorf("%w: %s is just being written", base.ErrLocked, s.Path)
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", s.Path, err)
	}
	if err := s.clear(); err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	return s, nil
}

// vacate makes sure that nothing is under a name.
func vacate(fsys vfs.FS, target string) error {
	info, err := fsys.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for %s: %w", target, err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is a file", ErrTargetExists, target)
	}
	names, err := fsys.List(target)
	switch {
	case err != nil:
		return fmt.Errorf("list %s: %w", target, err)
	case len(names) > 0:
		return fmt.Errorf("%w: %s is not empty", ErrTargetExists, target)
	}
	if err := fsys.Remove(target); err != nil {
		return fmt.Errorf("make room for %s: %w", target, err)
	}
	return nil
}

// clear removes what an unfinished one has left, and nothing else.
func (s *Staged) clear() error {
	names, err := s.fs.List(s.Path)
	if err != nil {
		return fmt.Errorf("list %s: %w", s.Path, err)
	}
	for _, name := range names {
		if name == LockName {
			continue
		}
		if !s.isOwn(name) {
			return fmt.Errorf("%w: %s holds %q, which nobody here has put there", ErrTargetExists, s.Path, name)
		}
		if err := s.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes a file of the directory, if it is there.
func (s *Staged) Remove(name string) error {
	err := s.fs.Remove(filepath.Join(s.Path, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", filepath.Join(s.Path, name), err)
	}
	return nil
}

func (s *Staged) unlock() error {
	lock := s.lock
	s.lock = nil
	if lock == nil {
		return nil
	}
	return lock.Close()
}

// Abandon removes what was made, as far as that is possible. After Finish it does nothing.
func (s *Staged) Abandon() {
	if s.named || s.lock == nil { // without the lock, somebody else may be writing there
		return
	}
	if s.clear() == nil {
		_ = s.Remove(LockName)
		_ = s.unlock()
		_ = s.fs.Remove(s.Path) // else the next one finds it
	}
	_ = s.unlock()
}

// Finish gives the directory, in which all is durable, its name. Where the error is of the
// very last step, it may have it already.
func (s *Staged) Finish() error {
	if runtime.GOOS == "windows" { // where a directory with open files in it cannot be renamed
		if err := s.unlock(); err != nil {
			return err
		}
	}
	if err := s.fs.Rename(s.Path, s.target); err != nil {
		return fmt.Errorf("give %s its name: %w", s.target, err)
	}
	s.named = true
	if err := s.unlock(); err != nil {
		return err
	}
	if err := s.fs.SyncDir(filepath.Dir(s.target)); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
