package lightning

import (
	"runtime"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/internal/view"
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
	// KeysOnly leaves the values out, which are nil: those that are kept apart
	// (TreeOptions.BlobBytes) are not read, and operands are not applied, so that a key is
	// shown, too, which a *MergeError keeps from being read.
	KeysOnly bool
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
// the files and memory that it shows. A call that comes while another goroutine is in
// one does nothing, and Err and Close return ErrConcurrentUse from then on. The zero
// Iterator has no rows, and is as one of a database that was closed.
type Iterator struct {
	rows   rows        // nil: that of the zero Iterator
	inUse  *inuse.Word // its own, or that of its transaction
	inTx   bool        // it is that of a transaction
	tx     *begun      // which is not forgotten while the iterator is not; nil if it ends by itself
	prefix []byte      // of the keyspace
	buf    []byte      // for the keys to seek to
	short  [40]byte

	cleanup runtime.Cleanup // closes the rows if the iterator is forgotten
}

// newIterator returns an iterator over rows of a space that belong to those who have entered a
// word. The rows do not lead back to the iterator: so the collector finds it when it is forgotten.
func newIterator(s *space, rows rows, word *inuse.Word) *Iterator {
	it := &Iterator{rows: rows, inUse: word, prefix: s.prefix}
	it.buf = it.short[:0]
	it.cleanup = runtime.AddCleanup(it, forgottenRows.close, forgottenRows{s.engine.Reads(), rows, word})
	return it
}

// forgottenRows are what an iterator has left behind that was not closed.
type forgottenRows struct {
	reads *view.Reader
	rows  rows
	word  *inuse.Word
}

func (f forgottenRows) close() {
	view.NoteForgotten(f.reads, view.KindIterator, f.rows.Opened())
	_ = closeRows(f.rows, f.word) // there is nobody to tell
}

// rows is what an Iterator walks: those of the engine or, in a transaction, those
// with its writes over them. It is positioned with the engine's keys, while Key has
// no prefix; key, value and expiry are nil or 0 where it stands on no row. Valid and
// what is said of the row may be asked for while another goroutine is in, if the
// answers are thrown away.
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
	Opened() view.Opened
}

// enter begins a move; the zero Iterator has none.
func (it *Iterator) enter() bool { return it.inUse != nil && it.inUse.Enter() }

// leave ends a move that has landed, or not.
func (it *Iterator) leave(landed bool) bool {
	it.inUse.Leave()
	return landed
}

// First moves to the first row.
func (it *Iterator) First() bool { return it.enter() && it.leave(it.rows.First()) }

// Last moves to the last row.
func (it *Iterator) Last() bool { return it.enter() && it.leave(it.rows.Last()) }

// SeekGE moves to the first row whose key is greater than or equal to key.
func (it *Iterator) SeekGE(key []byte) bool {
	return it.enter() && it.leave(it.rows.SeekGE(it.full(key)))
}

// SeekLT moves to the last row whose key is less than key.
func (it *Iterator) SeekLT(key []byte) bool {
	return it.enter() && it.leave(it.rows.SeekLT(it.full(key)))
}

func (it *Iterator) full(key []byte) []byte {
	it.buf = append(append(it.buf[:0], it.prefix...), key...)
	return it.buf
}

// Next moves to the next row.
func (it *Iterator) Next() bool { return it.enter() && it.leave(it.rows.Next()) }

// Prev moves to the previous row.
func (it *Iterator) Prev() bool { return it.enter() && it.leave(it.rows.Prev()) }

// Valid reports whether the iterator stands on a row.
func (it *Iterator) Valid() bool {
	if it.rows == nil {
		return false
	}
	turn := it.inUse.Turn()
	valid := it.rows.Valid()
	return !it.inUse.Moved(turn) && valid
}

// Key returns the key of the row, or nil. The slice belongs to the database: it is
// valid until the iterator moves or is closed, and must not be written to.
func (it *Iterator) Key() []byte {
	switch {
	case it.rows == nil:
		return nil
	case it.inTx:
		return it.inTurn(it.rows.Key)
	}
	turn := it.inUse.Turn()
	key := it.rows.Key()
	if it.inUse.Moved(turn) {
		return nil
	}
	return key
}

// Value returns the value of the row, or nil. The slice belongs to the database: it
// is valid until the iterator moves or is closed, and must not be written to.
func (it *Iterator) Value() []byte {
	switch {
	case it.rows == nil:
		return nil
	case it.inTx:
		return it.inTurn(it.rows.Value)
	}
	turn := it.inUse.Turn()
	value := it.rows.Value()
	if it.inUse.Moved(turn) {
		return nil
	}
	return value
}

// inTurn returns a part of a row of a transaction, which may be a copy that is made
// now.
func (it *Iterator) inTurn(part func() []byte) []byte {
	if !it.inUse.Enter() {
		return nil
	}
	defer it.inUse.Leave()
	return part()
}

// ExpiresAt returns when the row expires, the zero time if never.
func (it *Iterator) ExpiresAt() time.Time {
	if it.rows == nil {
		return time.Time{}
	}
	turn := it.inUse.Turn()
	expiry := it.rows.Expiry()
	if it.inUse.Moved(turn) {
		return time.Time{}
	}
	return asTime(expiry)
}

// Err returns the error that stopped the iterator: a *CorruptionError where a
// file is damaged, ErrClosed when the database was closed, ErrTxEnded when its
// transaction was, ErrRolledBack when RollbackTo has taken back what it shows,
// ErrHandleClosed after Close, ErrConcurrentUse when several goroutines
// have used it, or its transaction, at a time; nil when it merely reached an end.
func (it *Iterator) Err() error {
	if it.rows == nil {
		return ErrClosed
	}
	if !it.inUse.Enter() {
		return ErrConcurrentUse
	}
	defer it.inUse.Leave()
	if err := it.inUse.Err(); err != nil {
		return err
	}
	return it.rows.Err()
}

// Close releases what the iterator holds and returns Err, so that a loop that
// only checks Close sees every error. A second call returns ErrHandleClosed. While
// another goroutine is in a call, the iterator is closed when that one ends.
func (it *Iterator) Close() error {
	if it.rows == nil {
		return ErrClosed
	}
	it.cleanup.Stop()
	return closeRows(it.rows, it.inUse)
}

// closeRows closes rows that belong to those who have entered a word, now or when
// the one who is in leaves.
func closeRows(rows rows, word *inuse.Word) error {
	if !word.Enter() {
		word.WhenFree(func() { _ = rows.Close() })
		return ErrConcurrentUse
	}
	defer word.Leave()
	err := rows.Close()
	if misused := word.Err(); misused != nil {
		return misused
	}
	return err
}
