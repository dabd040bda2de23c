package lightning

import (
	"iter"

	"github.com/lightningdb/lightning/internal/engine"
)

// IterOptions bound an iterator. The zero value means all keys.
type IterOptions struct {
	// Lower is the smallest key shown; nil: no bound.
	Lower []byte
	// Upper is the smallest key not shown; nil: no bound.
	Upper []byte
	// Prefix, if not nil, leaves only keys that begin with it, within the
	// bounds.
	Prefix []byte
}

// ScanOptions are the options of Scan.
type ScanOptions struct {
	IterOptions
	// Reverse makes the rows come in descending order of their keys.
	Reverse bool
}

// Iterator walks the keys of a range in bytewise order, in both directions. It
// shows the database as it was when the iterator was made: writes, flushes and
// compactions since then do not change what it shows. Next and Prev allocate
// nothing.
//
// A new iterator stands before the first row: Next moves to it. The positioning
// calls return whether they landed on a row; where they did not, Err tells an
// end from an error. After Next has passed the last row, Prev returns to it, and
// the other way round.
//
// An Iterator is used by one goroutine at a time and must be closed. It holds
// the files and memory that it shows.
type Iterator struct {
	inner  *engine.Iterator // nil in a transaction
	tx     *txIterator      // nil outside of one
	prefix []byte           // of the keyspace
	buf    []byte           // for the keys to seek to
}

// First moves to the first row.
func (it *Iterator) First() bool {
	if it.tx != nil {
		return it.tx.usable() && it.tx.cursor.First()
	}
	return it.inner.First()
}

// Last moves to the last row.
func (it *Iterator) Last() bool {
	if it.tx != nil {
		return it.tx.usable() && it.tx.cursor.Last()
	}
	return it.inner.Last()
}

// SeekGE moves to the first row whose key is greater than or equal to key.
func (it *Iterator) SeekGE(key []byte) bool {
	if it.tx != nil {
		return it.tx.usable() && it.tx.cursor.SeekGE(it.full(key))
	}
	return it.inner.SeekGE(it.full(key))
}

// SeekLT moves to the last row whose key is less than key.
func (it *Iterator) SeekLT(key []byte) bool {
	if it.tx != nil {
		return it.tx.usable() && it.tx.cursor.SeekLT(it.full(key))
	}
	return it.inner.SeekLT(it.full(key))
}

func (it *Iterator) full(key []byte) []byte {
	it.buf = append(append(it.buf[:0], it.prefix...), key...)
	return it.buf
}

// Next moves to the next row.
func (it *Iterator) Next() bool {
	if it.tx != nil {
		return it.tx.usable() && it.tx.cursor.Next()
	}
	return it.inner.Next()
}

// Prev moves to the previous row.
func (it *Iterator) Prev() bool {
	if it.tx != nil {
		return it.tx.usable() && it.tx.cursor.Prev()
	}
	return it.inner.Prev()
}

// Valid reports whether the iterator stands on a row.
func (it *Iterator) Valid() bool {
	if it.tx != nil {
		return it.tx.valid()
	}
	return it.inner.Valid()
}

// Key returns the key of the row, or nil. The slice is the iterator's and
// valid until it moves or is closed.
func (it *Iterator) Key() []byte {
	if it.tx == nil {
		return it.inner.Key()
	}
	if !it.tx.valid() {
		return nil
	}
	return it.tx.cursor.Key()[len(it.prefix):]
}

// Value returns the value of the row, or nil. The slice is the iterator's and
// valid until it moves or is closed.
func (it *Iterator) Value() []byte {
	if it.tx == nil {
		return it.inner.Value()
	}
	if !it.tx.valid() {
		return nil
	}
	return it.tx.cursor.Value()
}

// Err returns the error that stopped the iterator: a *CorruptionError where a
// file is damaged, ErrClosed when the database was closed, ErrTxEnded when its
// transaction was, ErrHandleClosed after Close; nil when it merely reached an
// end.
func (it *Iterator) Err() error {
	if it.tx != nil {
		return it.tx.failure()
	}
	return it.inner.Err()
}

// Close releases what the iterator holds and returns Err, so that a loop that
// only checks Close sees every error. A second call returns ErrHandleClosed.
func (it *Iterator) Close() error {
	if it.tx != nil {
		return it.tx.close()
	}
	return it.inner.Close()
}

// scan calls fn with the rows and closes the iterator.
func (it *Iterator) scan(reverse bool, fn func(rows iter.Seq2[[]byte, []byte]) error) (err error) {
	defer func() { // also where fn panics: someone above may recover
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	return fn(it.rows(reverse))
}

// rows is the range-over-func form of the iterator.
func (it *Iterator) rows(reverse bool) iter.Seq2[[]byte, []byte] {
	start, step := it.First, it.Next
	if reverse {
		start, step = it.Last, it.Prev
	}
	return func(yield func(key, value []byte) bool) {
		for ok := start(); ok; ok = step() {
			if !yield(it.Key(), it.Value()) {
				return
			}
		}
	}
}
