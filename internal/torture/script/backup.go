package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lightningdb/lightning/backup"
)

// VaultDir is where scripts have their backups, and restoredDir where they restore them.
const (
	VaultDir    = "vault"
	restoredDir = "restored"
)

// backup makes a backup and restores it: it must hold what the database does. Older ones are
// deleted.
func (s *Session) backup(h *History) error {
	ctx, target := context.Background(), backup.DirOn(s.Options.FS, VaultDir)
	h.BeginBackup()
	info, err := s.DB.Backup(ctx, target, backup.Options{})
	if err != nil {
		return err
	}
	if err := s.drill(target, info.ID, h.Now); err != nil {
		return fmt.Errorf("backup %s: %w", info.ID, err)
	}
	_, err = backup.Prune(ctx, target, backup.Keep{Last: 1}, backup.PruneOptions{})
	if errors.Is(err, backup.ErrTargetBusy) { // an operation that has failed could not give its lease back
		return nil
	}
	if err == nil {
		h.EndBackup()
	}
	return err
}

// drill restores a backup, the newest if id is empty, and compares it with what is allowed.
func (s *Session) drill(target backup.Target, id string, allowed func() Allowed) error {
	if err := Discard(s.Options.FS, restoredDir); err != nil { // of an operation that has failed
		return err
	}
	o := backup.RestoreOptions{FS: s.Options.FS, ID: id}
	if _, err := backup.Restore(context.Background(), target, restoredDir, o); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := s.readCopy(restoredDir, allowed); err != nil {
		return fmt.Errorf("what was restored: %w", err)
	}
	return Discard(s.Options.FS, restoredDir)
}

// judgeBackups looks at what a crash has left of backups: those that are listed are whole, and the
// last that was complete is there, or a newer one.
func (s *Session) judgeBackups(allowed func() Allowed) error {
	if _, err := s.Options.FS.Stat(VaultDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	target := backup.DirOn(s.Options.FS, VaultDir)
	infos, err := backup.List(context.Background(), target)
	if err != nil && !errors.Is(err, backup.ErrNotBackups) { // the crash came before it was any
		return err
	}
	a := allowed()
	switch {
	case len(infos) == 0 && a.kept:
		return fmt.Errorf("%w: a complete backup is gone", ErrState)
	case len(infos) == 0:
		return nil
	case a.backups == nil:
		return fmt.Errorf("%w: there are %d, and none was made", ErrState, len(infos))
	}
	report, err := backup.Check(context.Background(), target, backup.CheckOptions{})
	if err != nil {
		return err
	}
	if len(report.Damage) > 0 {
		return fmt.Errorf("%w: damage: %v", ErrState, report.Damage)
	}
	return s.drill(target, "", func() Allowed { return *allowed().backups })
}
