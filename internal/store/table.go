package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/vfs"
)

// Table is an SST file: its description and, once it was needed, its open
// reader. Trees that hold the file count as references, and so does the log
// archive.
//
// reader is opened at most once, under mu; after that it is read without a
// lock by anyone who holds a reference or is in an epoch guard entered while
// one was held. Whoever needs a table that another is just opening waits for
// that file, and for nothing else.
type Table struct {
	Meta *manifest.FileMeta

	store  *Store
	refs   atomic.Int32
	reader atomic.Pointer[sstable.Reader]
	mu     ranked.Mutex[ranked.TableOpen]
	file   atomic.Pointer[filepool.File] // that reader reads

	// obsolete is set, before the last reference goes, when the manifest no
	// longer names the file, neither in the tree nor for the log archive.
	obsolete atomic.Bool

	blobs []*Table // that hold values of it
	named int      // of a blob table: how many tables of the manifest have values in it; under Store.mu
}

const tableSuffix = ".sst"

// TableName returns the name of a table's file.
func TableName(n base.FileNum) string { return base.FileName(n, tableSuffix) }

// ParseTableName returns the number of the table that a file name is of.
func ParseTableName(name string) (base.FileNum, bool) {
	return base.ParseFileName(name, tableSuffix)
}

// Reader returns the table's reader, opening the file when the caller is the
// first to ask.
func (t *Table) Reader() (*sstable.Reader, error) {
	if r := t.reader.Load(); r != nil {
		return r, nil
	}
	return t.open()
}

func (t *Table) open() (*sstable.Reader, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.reader.Load(); r != nil {
		return r, nil
	}
	noted := func(err error) { t.store.opened(t.Meta.Num, openError(t.Meta, err)) }
	r, f, err := t.store.openPooled(t.Meta, noted)
	t.store.opened(t.Meta.Num, err)
	if err != nil {
		return nil, err
	}
	t.file.Store(f)
	t.reader.Store(r)
	return r, nil
}

// openPooled opens a table as one of those that are closed for others. noted is as
// filepool.Pool.Open has it.
func (s *Store) openPooled(meta *manifest.FileMeta, noted func(err error)) (*sstable.Reader, *filepool.File, error) {
	f, err := s.cfg.Files.Open(s.path(meta), noted)
	r, err := s.openReader(meta, f, err, s.cfg.Cache)
	return r, f, err
}

func (s *Store) path(meta *manifest.FileMeta) string {
	return filepath.Join(s.cfg.Dir, TableName(meta.Num))
}

// openReader opens a table whose file was opened, or could not be.
func (s *Store) openReader(meta *manifest.FileMeta, f vfs.ReadFile, err error, cache *framecache.Cache) (
	*sstable.Reader, error) {
	if err := openError(meta, err); err != nil {
		return nil, err
	}
	return sstable.OpenReader(f, readerOptions(s, meta, cache))
}

// readerOptions says which table a file of the store should be.
func readerOptions(s *Store, meta *manifest.FileMeta, cache *framecache.Cache) sstable.ReaderOptions {
	o := sstable.ReaderOptions{
		Name:      TableName(meta.Num),
		DBID:      s.cfg.DBID,
		FileNum:   meta.Num,
		SizeBytes: int64(meta.SizeBytes),
		SeqBase:   meta.SeqBase,
		Lo:        meta.Lo,
		Hi:        meta.Hi,
		IO:        s.cfg.IO,
		Cache:     cache,
		Epochs:    s.cfg.Epochs,
		Memory:    s.cfg.Memory,
		Later:     s.cfg.Later,
		Damaged:   s.cfg.Events.Damaged,
	}
	if s.cfg.Lost != nil {
		o.Lost = func(err *base.CorruptionError) { s.cfg.Lost(meta.Num, err) }
	}
	return o
}

// openError says what it means that the file of a table could not be opened; nil if it
// could.
func openError(meta *manifest.FileMeta, err error) error {
	name := TableName(meta.Num)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &base.CorruptionError{
			File: name, Offset: -1, Kind: "table", Lo: bytes.Clone(meta.Lo), Hi: bytes.Clone(meta.Hi), Err: err,
		}
	}
	return fmt.Errorf("open table %s: %w", name, err)
}

// Get returns the newest version of a key that is not newer than seq, if it is in the
// table, and notes the range tombstones over it. The caller is in an epoch guard as long
// as it uses the value.
func (t *Table) Get(l *Lookup, seq base.SeqNum) (tr base.Trailer, value []byte, found bool, err error) {
	r := t.reader.Load()
	if r == nil {
		if r, err = t.open(); err != nil {
			return 0, nil, false, err
		}
	}
	if t.deletesAround(l.Key) {
		covering, err := r.Covering(l.Key, l.Seq)
		if err != nil {
			return 0, nil, false, err
		}
		l.Covering = max(l.Covering, covering)
	}
	may, err := r.MayContain(l.Hash)
	if err != nil || !may {
		return 0, nil, false, err
	}
	tr, value, found, err = r.Get(l.Key, l.Hash, seq)
	if found && tr.Kind() == base.KindBlob {
		return t.value(l, tr, value)
	}
	return tr, value, found, err
}

// Overlaps reports whether the table's span meets [lo, hi); nil is no bound.
func (t *Table) Overlaps(lo, hi []byte) bool {
	return (lo == nil || string(t.Meta.Hi) > string(lo)) && (hi == nil || string(t.Meta.Lo) < string(hi))
}

// FirstEndingAfter returns the index of the first of some sorted tables whose
// span ends after key, len(tables) if there is none.
func FirstEndingAfter(tables []*Table, key []byte) int {
	lo, hi := 0, len(tables)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(tables[mid].Meta.Hi, key) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// Run shows sorted tables that overlap nowhere to iterate.Level.
type Run struct {
	Tables []*Table
	Read   sstable.IterOptions
	// Apart says that values which are elsewhere stay there: their records are KindBlob.
	Apart bool
}

// Len returns the number of tables.
func (r *Run) Len() int { return len(r.Tables) }

// Lo returns where the span of a table begins.
func (r *Run) Lo(i int) []byte { return r.Tables[i].Meta.Lo }

// Hi returns where it ends.
func (r *Run) Hi(i int) []byte { return r.Tables[i].Meta.Hi }

// Open returns an iterator over a table.
func (r *Run) Open(i int) (base.Iterator, error) {
	if !r.Apart {
		return r.Tables[i].NewIter(r.Read)
	}
	reader, err := r.Tables[i].Reader()
	if err != nil {
		return nil, err
	}
	return reader.NewIter(r.Read), nil
}

var _ iterate.Files = (*Run)(nil)
