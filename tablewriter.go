package lightning

import (
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/external"
	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/vfs"
)

// TableWriter writes records to a file of its own, which BulkLoader.AddTable takes into a
// database: for data that is made where the database is not, such as by the jobs of a cluster.
// Records come in the order of their keys. The file belongs to no database and no keyspace, and
// may be added to many. It is written to path with ".tmp" behind it, and has its name once
// Finish has made it durable.
//
// A TableWriter has some mebibytes of memory, and that of the largest value. It is used by one
// goroutine at a time and must be closed.
type TableWriter struct {
	inner *external.Writer
	inUse inuse.Word
	buf   []byte // for values that expire
}

// TableOptions are the options of a table.
type TableOptions struct {
	// FS is the file system that holds the table. Default vfs.OS.
	FS vfs.FS
}

// CreateTable begins a table, which takes the place of what is at path when it is finished.
func CreateTable(path string, opts *TableOptions) (*TableWriter, error) {
	fs := vfs.OS
	if opts != nil && opts.FS != nil {
		fs = opts.FS
	}
	inner, err := external.Create(fs, path)
	if err != nil {
		return nil, err
	}
	return &TableWriter{inner: inner}, nil
}

// Put appends a record. Key and value are copied. Its key must be behind that of the one
// before, or it is refused with ErrKeyOrder, and others can follow.
func (w *TableWriter) Put(key, value []byte) error { return w.put(key, value, 0) }

// PutUntil appends a record that expires at an instant, as Batch.PutUntil does; the zero time is
// as Put.
func (w *TableWriter) PutUntil(key, value []byte, expiresAt time.Time) error {
	expiry, err := new(space).expiryAt(expiresAt)
	if err != nil {
		return err
	}
	return w.put(key, value, expiry)
}

func (w *TableWriter) put(key, value []byte, expiry base.Instant) error {
	if w == nil || w.inner == nil {
		return ErrHandleClosed
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if err := checkValue(value); err != nil {
		return err
	}
	if err := w.inUse.Begin(); err != nil {
		return err
	}
	defer w.inUse.Leave()
	if expiry == 0 {
		return w.inner.Add(base.KindSet, key, value)
	}
	w.buf = append(base.AppendExpiry(w.buf[:0], expiry), value...)
	return w.inner.Add(base.KindSetExpiring, key, w.buf)
}

// Finish makes the table durable under its name, and ends the writer. A table has one record at
// least. After an error there is no new file at its path, but where its name alone could not be
// made durable. ErrConcurrentUse says that several
// goroutines have used the writer at a time, so that records may be missing.
func (w *TableWriter) Finish() error {
	if w == nil || w.inner == nil {
		return ErrHandleClosed
	}
	if err := w.inUse.Begin(); err != nil {
		return err
	}
	defer w.inUse.Leave()
	if err := w.inUse.Err(); err != nil {
		_ = w.inner.Close() // the first error is the one to report
		return err
	}
	return w.inner.Finish()
}

// Close gives up a table that was not finished, and its file. It may be called more than once,
// and deferred.
func (w *TableWriter) Close() error {
	if w == nil || w.inner == nil {
		return ErrHandleClosed
	}
	if !w.inUse.TryEnter() {
		w.inUse.WhenFree(func() { _ = w.inner.Close() })
		return ErrConcurrentUse
	}
	defer w.inUse.Leave()
	return w.inner.Close()
}
