// Package external writes and reads tables that belong to no database: files of records in the
// order of their keys, made by any program and taken into a database by a bulk load.
//
// They have the format of the tables of a database, docs/format/sst.md, with zero for the id of
// the database, 1 for their number, keys of the default keyspace and sequence numbers of zero.
// A file has its name only when it is whole and durable: until then the name ends in .tmp.
//
// A Writer and a Table belong to one goroutine each.
package external

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/vfs"
)

// ErrKeyOrder says that a key is not behind the one before it.
var ErrKeyOrder = errors.New("key is not behind the one before it")

// errForeign says that a table has what nobody can have written with a Writer.
var errForeign = errors.New("record of a table that belongs to a database")

const (
	fileNum = 1
	// prefix is that of the default keyspace: keys of tables are not empty.
	prefix = 0

	tempSuffix = ".tmp"
)

// Writer writes one table. After an error of the file nothing more can be written.
type Writer struct {
	fs     vfs.FS
	path   string
	inner  *sstable.Writer
	key    []byte // of the last record
	closed bool
}

// Create begins a table, which takes the place of what is at path when it is finished.
func Create(fs vfs.FS, path string) (*Writer, error) {
	f, err := fs.Create(path + tempSuffix)
	if err != nil {
		return nil, fmt.Errorf("create table %s: %w", path, err)
	}
	return &Writer{fs: fs, path: path, inner: sstable.NewWriter(f, sstable.WriterOptions{
		FileNum: fileNum, Compression: compress.Fast,
	})}, nil
}

// Add appends a record, which is copied. One that is not in order is refused and changes
// nothing.
func (w *Writer) Add(kind base.Kind, key, value []byte) error {
	if w.closed {
		return base.ErrInvalidHandle
	}
	if len(w.key) > 0 && bytes.Compare(key, w.key[1:]) <= 0 {
		return fmt.Errorf("table %s: %w: %q after %q", w.path, ErrKeyOrder, key, w.key[1:])
	}
	w.key = append(append(w.key[:0], prefix), key...)
	if err := w.inner.Add(w.key, base.MakeTrailer(0, kind), value); err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	return nil
}

// Finish makes the table durable, under its name.
func (w *Writer) Finish() error {
	if w.closed {
		return base.ErrInvalidHandle
	}
	if _, err := w.inner.Finish(nil, nil); err != nil {
		_ = w.Close() // the first error is the one to report
		return fmt.Errorf("%s: %w", w.path, err)
	}
	w.closed = true
	err := w.fs.Rename(w.path+tempSuffix, w.path)
	if err != nil {
		_ = w.fs.Remove(w.path + tempSuffix) // as before
		return fmt.Errorf("name table %s: %w", w.path, err)
	}
	if err := w.fs.SyncDir(filepath.Dir(w.path)); err != nil {
		return fmt.Errorf("sync directory of table %s: %w", w.path, err)
	}
	return nil
}

// Close gives up a table that was not finished, and its file. It may be called more than once.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	err := w.inner.Abort()
	if removeErr := w.fs.Remove(w.path + tempSuffix); err == nil {
		err = removeErr
	}
	if err != nil {
		return fmt.Errorf("give up table %s: %w", w.path, err)
	}
	return nil
}

// Table is one that was finished, by whoever.
type Table struct {
	path   string
	reader *sstable.Reader
}

// Open opens a table.
func Open(fs vfs.FS, path string) (*Table, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", path, err)
	}
	r, err := sstable.OpenReader(f, sstable.ReaderOptions{Name: path, FileNum: fileNum})
	if err != nil {
		return nil, err
	}
	return &Table{path, r}, nil
}

// Verify reads the whole file and checks all that can be checked.
func (t *Table) Verify(ctx context.Context) error {
	found, err := t.reader.Verify(ctx)
	if err == nil && (found.RangeDeletes > 0 || found.Deletes > 0 || found.LargestSeq > 0) {
		return fmt.Errorf("table %s: %w", t.path, errForeign)
	}
	return err
}

// Each calls fn with each record, in the order of their keys. Slices are valid until fn
// returns. An error of fn ends it.
func (t *Table) Each(ctx context.Context, fn func(kind base.Kind, key, value []byte) error) error {
	it := t.reader.NewIter(sstable.IterOptions{NoFill: true})
	defer it.Close()
	n := 0
	for rec := it.First(); rec != nil; rec = it.Next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		kind := rec.Trailer.Kind()
		if len(rec.Key) == 0 || rec.Key[0] != prefix || rec.Trailer.Seq() != 0 || kind != base.KindSet && kind != base.KindSetExpiring {
			return fmt.Errorf("table %s: key %q: %w", t.path, rec.Key, errForeign)
		}
		if err := fn(kind, rec.Key[1:], rec.Value); err != nil {
			return err
		}
	}
	return it.Err()
}

// Close closes the file.
func (t *Table) Close() error { return t.reader.Close() }
