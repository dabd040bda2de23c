package lightning

import (
	"iter"
	"time"

	"github.com/lightningdb/lightning/internal/base"
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
	rows   rows
	prefix []byte // of the keyspace
	buf    []byte // for the keys to seek to
}

// rows is what an Iterator walks: those of the engine or, in a transaction, those
// with its writes over them. It is positioned with the engine's keys, while Key has
// no prefix; key, value and expiry are nil or 0 where it stands on no row.
type rows interface {
	First() bool
	Last() bool
	SeekGE(key []byte) bool
	SeekLT(key []byte) bool
	Next() bool
	Prev() bool
	Valid() bool
	Key() []byte
	Value() []byte
	Expiry() base.Instant
	Err() error
	Close() error
}

// First moves to the first row.
func (it *Iterator) First() bool { return it.rows.First() }

// Last moves to the last row.
func (it *Iterator) Last() bool { return it.rows.Last() }

// SeekGE moves to the first row whose key is greater than or equal to key.
func (it *Iterator) SeekGE(key []byte) bool { return it.rows.SeekGE(it.full(key)) }

// SeekLT moves to the last row whose key is less than key.
func (it *Iterator) SeekLT(key []byte) bool { return it.rows.SeekLT(it.full(key)) }

func (it *Iterator) full(key []byte) []byte {
	it.buf = append(append(it.buf[:0], it.prefix...), key...)
	return it.buf
}

// Next moves to the next row.
func (it *Iterator) Next() bool { return it.rows.Next() }

// Prev moves to the previous row.
func (it *Iterator) Prev() bool { return it.rows.Prev() }

// Valid reports whether the iterator stands on a row.
func (it *Iterator) Valid() bool { return it.rows.Valid() }

// Key returns the key of the row, or nil. The slice belongs to the database: it is
// valid until the iterator moves or is closed, and must not be written to.
func (it *Iterator) Key() []byte { return it.rows.Key() }

// Value returns the value of the row, or nil. The slice belongs to the database: it
// is valid until the iterator moves or is closed, and must not be written to.
func (it *Iterator) Value() []byte { return it.rows.Value() }

// ExpiresAt returns when the row expires, the zero time if never.
func (it *Iterator) ExpiresAt() time.Time { return asTime(it.rows.Expiry()) }

// Err returns the error that stopped the iterator: a *CorruptionError where a
// file is damaged, ErrClosed when the database was closed, ErrTxEnded when its
// transaction was, ErrHandleClosed after Close; nil when it merely reached an
// end.
func (it *Iterator) Err() error { return it.rows.Err() }

// Close releases what the iterator holds and returns Err, so that a loop that
// only checks Close sees every error. A second call returns ErrHandleClosed.
func (it *Iterator) Close() error { return it.rows.Close() }

// scan calls fn with the rows and closes the iterator.
func (it *Iterator) scan(reverse bool, fn func(rows iter.Seq2[[]byte, []byte]) error) (err error) {
	defer func() { // also where fn panics: someone above may recover
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	if fn == nil {
		return errNilFunction
	}
	return fn(it.sequence(reverse))
}

// sequence is the range-over-func form of the iterator.
func (it *Iterator) sequence(reverse bool) iter.Seq2[[]byte, []byte] {
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
