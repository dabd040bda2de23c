package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/vfs"
)

// This file puts a healed file in the place of one of whose sectors some are lost and made good
// by parity. The new file has the same name and the same bytes, those that were written once: it is
// written under another name, made durable, verified, and takes the place of the old one by a
// rename. So the manifest needs to know nothing, and a crash leaves the one or the other. Who
// reads the old file goes on, and so does a checkpoint that has a link to it.

// HealName is the name of a file that is to take the place of a table, of which there is one at a
// time. What a crash has left of it means nothing.
const HealName = "HEAL.tmp"

// errNotHealed says that a file which was made good is not what was written once.
var errNotHealed = errors.New("healed file is not what was written")

// Heal rewrites the file of a table from its parity. It does nothing where nobody has the table
// any more. Where it fails the old file is there as before. It is called by one goroutine at a time.
func Heal(ctx context.Context, s *Store, num base.FileNum) (done bool, err error) {
	t := borrow(s, num)
	if t == nil {
		return false, nil
	}
	defer giveBack(s, t)
	r, err := t.openApart()
	if err != nil {
		return false, err
	}
	defer r.Close()
	if !r.HasParity() {
		return false, fmt.Errorf("table %s has no parity", TableName(num))
	}
	temp := filepath.Join(s.cfg.Dir, HealName)
	if err = makeDurable(s.cfg.FS, temp, r.Rewrite); err == nil {
		err = t.verifyHealed(ctx, temp)
	}
	if err == nil {
		err = s.cfg.FS.Rename(temp, s.path(t.Meta))
	}
	if err != nil {
		_ = s.cfg.FS.Remove(temp) // what stays is written over by the next one
		return false, fmt.Errorf("heal table %s: %w", TableName(num), err)
	}
	if f := t.file.Load(); f != nil {
		f.Renew()
	}
	if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
		return false, fmt.Errorf("heal table %s: %w", TableName(num), err)
	}
	return true, nil
}

// makeDurable makes a file of what write writes.
func makeDurable(fsys vfs.FS, name string, write func(dst vfs.File) error) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.SyncData()
	}
	return errors.Join(err, f.Close())
}

// verifyHealed proves that a file is the table, and has lost nothing.
func (t *Table) verifyHealed(ctx context.Context, name string) error {
	s := t.store
	f, err := s.cfg.FS.Open(name)
	if err != nil {
		return err
	}
	lost := false
	o := readerOptions(s, t.Meta, nil)
	o.Name, o.Damaged = HealName, nil
	o.Lost = func(*base.CorruptionError) { lost = true }
	r, err := sstable.OpenReader(f, o)
	if err != nil {
		return err
	}
	sum, err := r.Verify(ctx)
	err = errors.Join(err, r.LostParity(), r.Close())
	if err == nil && (lost || deviation(t.Meta, &sum) != nil) {
		err = errNotHealed
	}
	return err
}

// borrow returns a table that the manifest names, with a reference on it; nil if it does not.
func borrow(s *Store, num base.FileNum) *Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.live[num]
	if t == nil {
		t = s.kept[num]
	}
	if t == nil {
		t = s.blobs[num]
	}
	if t != nil {
		t.refs.Add(1)
	}
	return t
}

// giveBack gives back what borrow has returned.
func giveBack(s *Store, t *Table) {
	s.mu.Lock()
	var unused []*Table
	if s.blobs[t.Meta.Num] == t {
		unused = s.blobs.giveBack(t, nil)
	} else if t.refs.Add(-1) == 0 {
		unused = append(unused, t)
	}
	s.mu.Unlock()
	s.Dispose(unused)
}
