// Package store owns the tables of a database: their files, their open readers,
// and the trees that they make.
//
// A table is opened when somebody first needs it, and written in one place
// (write.go). Trees count references on their tables, and read states on their
// tree; when nobody holds a table any more it is closed, and its file is deleted
// if the manifest has given it up.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/aio"
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/vfs"
)

// Config says where the tables are and how new ones are written.
type Config struct {
	FS        vfs.FS
	Dir       string
	Files     *filepool.Pool // has the tables open
	DBID      base.DBID
	IO        *aio.Reader
	Cache     *framecache.Cache
	Epochs    *epoch.Domain
	Keyspaces *keyspace.Registry
	Events    *event.Sink
	// Memory and Later are for large values: see sstable.ReaderOptions.
	Memory *offheap.Accountant
	Later  func(task func())
	// Lost, which may be nil, is told of each sector of a table that is lost and that parity
	// makes good.
	Lost func(table base.FileNum, err *base.CorruptionError)

	BlockBytes    int
	FilterBits    int
	ParityPercent int   // of tables that are not temporary; 0: they have none
	BlobFileBytes int64 // the size at which blob tables end
	MergeBytes    int64 // that the inputs of a merge read ahead together, about
}

// Store is the tables of one database. All methods are safe for concurrent use.
// Its lock is never held during I/O, and no other is taken under it.
type Store struct {
	cfg Config

	// next is the next file number; tables, logs and all else share them.
	next atomic.Uint64

	mu    ranked.Mutex[ranked.Tables]
	live  map[base.FileNum]*Table // that the manifest has in the tree
	blobs blobTables
	kept  map[base.FileNum]*Table // that it names for the log archive
	// unreadable are those of them whose file could not be opened when somebody
	// last needed it, and why.
	unreadable map[base.FileNum]error
}

// New returns a store without tables.
func New(cfg Config) *Store {
	return &Store{cfg: cfg, live: map[base.FileNum]*Table{}, blobs: blobTables{}, kept: map[base.FileNum]*Table{}, unreadable: map[base.FileNum]error{}}
}

// SkipFileNums makes sure that only numbers from next on are given out.
func (s *Store) SkipFileNums(next base.FileNum) { s.next.Store(uint64(next)) }

// NewFileNum gives out a file number.
func (s *Store) NewFileNum() base.FileNum { return base.FileNum(s.next.Add(1) - 1) }

// NextFileNum returns a number above all that were given out.
func (s *Store) NextFileNum() base.FileNum { return base.FileNum(s.next.Load()) }

// Named reports whether the manifest names the table.
func (s *Store) Named(n base.FileNum) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[n] != nil || s.kept[n] != nil || s.blobs[n] != nil
}

// table returns the table of a file, making it where nobody has it yet. The caller
// holds s.mu.
func (s *Store) table(meta *manifest.FileMeta) *Table {
	if t := s.live[meta.Num]; t != nil {
		return t
	}
	if t := s.kept[meta.Num]; t != nil {
		return t
	}
	t := &Table{Meta: meta, store: s}
	s.blobs.hold(t, true)
	return t
}

// Keep returns the tables of files that are kept for the log archive, with a
// reference on each: whatever becomes of them in the tree, the files stay until
// ForgetKept.
func (s *Store) Keep(files []*manifest.FileMeta) []*Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	tables := make([]*Table, len(files))
	for i, meta := range files {
		t := s.table(meta)
		t.refs.Add(1)
		s.kept[meta.Num] = t
		tables[i] = t
	}
	return tables
}

// ForgetKept notes that the log archive keeps tables no more. What the tree does
// not have goes when nobody reads it any more; see Unref.
func (s *Store) ForgetKept(tables []*Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tables {
		delete(s.kept, t.Meta.Num)
		if s.live[t.Meta.Num] == nil {
			t.obsolete.Store(true)
			s.blobs.unname(t)
		}
	}
}

// Unref gives back the references that Keep took.
func (s *Store) Unref(tables []*Table) {
	var unused []*Table
	for _, t := range tables {
		if t.refs.Add(-1) == 0 {
			unused = append(unused, t)
		}
	}
	s.Dispose(unused)
}

// GiveUp notes that the tree no longer has tables: their files go when nobody
// reads them any more, unless the log archive keeps them.
func (s *Store) GiveUp(gone []manifest.LevelNum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range gone {
		if t := s.live[f.Num]; t != nil {
			if s.kept[f.Num] == nil {
				t.obsolete.Store(true)
				s.blobs.unname(t)
			}
			delete(s.live, f.Num)
			delete(s.unreadable, f.Num)
		}
	}
}

// opened notes how the opening of a table's file went. It is tried again whenever
// somebody needs the table.
func (s *Store) opened(n base.FileNum, err error) {
	s.mu.Lock()
	before := s.unreadable[n]
	if err == nil {
		delete(s.unreadable, n)
	} else if s.live[n] != nil || s.blobs[n] != nil {
		s.unreadable[n] = err
	}
	s.mu.Unlock()
	if err != nil && before == nil {
		s.cfg.Events.TableUnreadable(TableName(n), err)
	}
}

// Unreadable returns how many tables there are whose file could not be opened when
// somebody last needed it, and what was wrong with the oldest of them.
func (s *Store) Unreadable() (count int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := base.FileNum(math.MaxUint64)
	for n := range s.unreadable {
		oldest = min(oldest, n)
	}
	return len(s.unreadable), s.unreadable[oldest]
}

// Remove deletes a file of the database.
func (s *Store) Remove(name string) error {
	if err := s.cfg.FS.Remove(filepath.Join(s.cfg.Dir, name)); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// RemoveOutputs deletes tables that never became part of the database. What
// cannot be deleted is an orphan, which the next open removes.
func (s *Store) RemoveOutputs(files []*manifest.FileMeta) {
	s.mu.Lock()
	blobs := s.blobs.fresh(files)
	s.mu.Unlock()
	for _, num := range blobs {
		s.removeOutput(num)
	}
	for _, meta := range files {
		s.removeOutput(meta.Num)
	}
}

// removeOutput deletes a table that may not even have been made.
func (s *Store) removeOutput(n base.FileNum) {
	if err := s.Remove(TableName(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Events.CleanupFailed(TableName(n), err)
	}
}

// Dispose closes tables that nobody holds and deletes the files of those that
// were given up. A file that cannot be deleted is left for the next open.
func (s *Store) Dispose(tables []*Table) {
	for _, t := range tables {
		if r := t.reader.Load(); r != nil {
			if err := r.Close(); err != nil {
				s.cfg.Events.CleanupFailed(TableName(t.Meta.Num), err)
			}
		}
		if t.obsolete.Load() {
			if err := s.Remove(TableName(t.Meta.Num)); err != nil {
				s.cfg.Events.CleanupFailed(TableName(t.Meta.Num), err)
			} else {
				s.cfg.Events.TableDeleted(info(t.Meta))
			}
		}
		s.mu.Lock()
		unused := s.blobs.release(t)
		for _, blob := range unused {
			delete(s.unreadable, blob.Meta.Num)
		}
		s.mu.Unlock()
		s.Dispose(unused)
	}
}

// IsOrphan reports whether a table that no manifest names is what a crash left
// of unfinished work of this database.
func (s *Store) IsOrphan(n base.FileNum) bool {
	f, err := s.cfg.FS.Open(filepath.Join(s.cfg.Dir, TableName(n)))
	if err != nil {
		return false
	}
	defer f.Close()
	return sstable.IsOrphan(f, s.cfg.DBID, n)
}
