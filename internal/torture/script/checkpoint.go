package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/lightningdb/lightning/vfs"
)

// copyDir is where scripts have the checkpoint that they have just taken.
const copyDir = "copy"

// checkpoint takes a checkpoint and looks at it: it must hold what the database does.
func (s *Session) checkpoint(h *History) error {
	fsys := s.Options.FS
	if err := Discard(fsys, copyDir); err != nil { // of an operation that has failed
		return err
	}
	h.BeginCopy()
	if err := s.DB.Checkpoint(context.Background(), copyDir); err != nil {
		return err
	}
	if err := s.readCopy(copyDir, h.Now); err != nil {
		return fmt.Errorf("the checkpoint: %w", err)
	}
	return Discard(fsys, copyDir)
}

// readCopy reads a checkpoint of a session, or a restored backup, and compares it with what is allowed.
func (s *Session) readCopy(dir string, allowed func() Allowed) (err error) {
	second := NewSession(s.Options)
	second.dir = dir
	second.Options.MustExist = true
	if err := second.Open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.Close()) }()
	found, err := second.Read()
	if err != nil {
		return err
	}
	if err := allowed().Check(found); err != nil {
		return err
	}
	return second.checkChanges(found)
}

// judgeCopy looks at what a crash has left of a checkpoint: all or nothing. It may be of an
// operation before, which a fault has kept from removing it.
func (s *Session) judgeCopy(allowed func() Allowed) error {
	if _, err := s.Options.FS.Stat(copyDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := s.readCopy(copyDir, func() Allowed { return allowed().OfCopy() }); err != nil {
		return fmt.Errorf("the checkpoint: %w", err)
	}
	return nil
}

// Discard removes a database that is closed, or what is left of one. It loses its name first,
// durably: so no crash leaves a part of it there.
func Discard(fsys vfs.FS, dir string) error {
	gone := dir + ".gone"
	if err := removeFiles(fsys, gone); err != nil {
		return err
	}
	err := fsys.Rename(dir, gone)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(dir))
	}
	if err != nil {
		return err
	}
	return removeFiles(fsys, gone)
}

func removeFiles(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if err == nil {
			err = fsys.Remove(filepath.Join(dir, name))
		}
	}
	if err != nil {
		return err
	}
	return fsys.Remove(dir)
}
