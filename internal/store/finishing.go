package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/vfs"
)

// finishing makes tables that are written durable, and reads them back, while the next ones are
// written, one at a time: the disk and the writer need not wait for each other. It is used by
// one goroutine, which must wait at its end, whatever else has gone wrong.
type finishing struct {
	store *Store
	ctx   context.Context
	file  vfs.File // of the table that was written last, and not begun
	begun []*manifest.FileMeta
	done  chan error // of the table that is under way; nil: there is none
}

// begin begins with the table that was written last. It returns what was wrong with the one
// before.
func (f *finishing) begin(meta *manifest.FileMeta) error {
	if err := f.wait(); err != nil || f.file == nil {
		return err
	}
	f.begun = append(f.begun, meta)
	file, done := f.file, make(chan error, 1)
	f.file, f.done = nil, done
	go func() { done <- f.finish(file, meta) }()
	return nil
}

func (f *finishing) finish(file vfs.File, meta *manifest.FileMeta) error {
	err := file.SyncData()
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("sync table %s: %w", TableName(meta.Num), err)
	}
	return f.store.verifyOutput(f.ctx, meta)
}

// wait waits until all tables that were begun are finished, or one cannot be.
func (f *finishing) wait() error {
	if f.done == nil {
		return nil
	}
	err := <-f.done
	f.done = nil
	return err
}

// end gives up what was not begun, and waits for the rest.
func (f *finishing) end() error {
	err := f.wait()
	if f.file != nil {
		err = errors.Join(err, f.file.Close())
		f.file = nil
	}
	return err
}

// syncDir makes the names of all tables durable.
func (f *finishing) syncDir() error {
	if err := f.store.cfg.FS.SyncDir(f.store.cfg.Dir); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// announce tells of all tables, which are durable now.
func (f *finishing) announce() {
	for _, meta := range f.begun {
		f.store.cfg.Events.TableCreated(info(meta))
	}
}

// info describes a table for those who listen.
func info(meta *manifest.FileMeta) event.TableInfo {
	return event.TableInfo{File: TableName(meta.Num), SizeBytes: meta.SizeBytes, Records: meta.Count}
}

// finishedLater is a file that is synced and closed by a finishing.
type finishedLater struct {
	vfs.File
	finishing *finishing
	synced    bool // SyncData was called
}

// SyncData implements vfs.File.
func (f *finishedLater) SyncData() error {
	f.synced = true
	return nil
}

// Close implements vfs.File.
func (f *finishedLater) Close() error {
	if !f.synced {
		return f.File.Close()
	}
	f.finishing.file = f.File
	return nil
}
