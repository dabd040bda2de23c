package lightning

import (
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/external"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/loan"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/session"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
)

// The errors of the library, for errors.Is. Most come wrapped in a sentence
// that says what and where.
var (
	// ErrNotFound says that there is no such key.
	ErrNotFound = base.ErrNotFound
	// ErrClosed says that the database was closed, or never opened.
	ErrClosed = base.ErrClosed
	// ErrHandleClosed says that an iterator or snapshot was closed before.
	ErrHandleClosed = base.ErrInvalidHandle
	// ErrHandleExpired says that an iterator, snapshot or transaction was open for longer than
	// Options.HandleAge.
	ErrHandleExpired = base.ErrHandleExpired
	// ErrKeyOrder says that a key for a TableWriter is not behind the one before it.
	ErrKeyOrder = external.ErrKeyOrder
	// ErrConcurrentUse says that a transaction, an iterator, a batch or the rows of a
	// Scan were used by several goroutines, or loops within one another, at the same
	// time. What was called last has done nothing.
	ErrConcurrentUse = inuse.ErrConcurrentUse
	// ErrLocked says that another opener, in this process or another, has the
	// database.
	ErrLocked = base.ErrLocked
	// ErrLockLost says that the lock file of an open database was removed or
	// replaced. Somebody may have taken the database for one that is not in use, so
	// from then on every write is refused with it, and Close returns it; what was
	// acknowledged is safe. Opened again, the database goes on.
	ErrLockLost = vfs.ErrLockLost
	// ErrReadOnly says that the database was opened with Options.ReadOnly. It is
	// matched by ErrTxReadOnly as well.
	ErrReadOnly = base.ErrReadOnly
	// ErrNotDatabase says that a directory holds something else, or nothing
	// where a database had to exist.
	ErrNotDatabase = directory.ErrNotDatabase
	// ErrCorrupted matches every *CorruptionError.
	ErrCorrupted = base.ErrCorrupted
	// ErrNoSpace says that the disk is full. Where a write fails with it
	// before anything was written, it can be tried again. Writes that only delete go
	// on meanwhile; see Metrics.Health.ReserveErr.
	ErrNoSpace = vfs.ErrNoSpace
	// ErrLeaked is what Close returns, in addition to closing, when iterators,
	// snapshots or transactions were left open.
	ErrLeaked = view.ErrLeaked

	// ErrGap matches every *GapError.
	ErrGap = feed.ErrGap
	// ErrChangesAhead says that DB.Changes was to begin at a write that is not
	// even the next one: whoever asks knows writes that this database does not
	// have.
	ErrChangesAhead = feed.ErrChangesAhead

	// ErrNilArgument says that a function, a context or a keyspace is nil that a
	// call cannot do without.
	ErrNilArgument = errors.New("argument is nil")
	// ErrKeyTooLarge says that a key has more than MaxKeyBytes.
	ErrKeyTooLarge = errors.New("key is too large")
	// ErrValueTooLarge says that a value has more than MaxValueBytes.
	ErrValueTooLarge = base.ErrValueTooLarge
	// ErrBatchTooLarge says that a batch would pass MaxBatchBytes.
	ErrBatchTooLarge = batch.ErrTooLarge
	// ErrInvalidRange says that a range ends before it begins.
	ErrInvalidRange = errors.New("range ends before it begins")

	// ErrKeyspaceNotFound says that there is no keyspace of that name.
	ErrKeyspaceNotFound = keyspace.ErrNotFound
	// ErrKeyspaceDropped says that the keyspace was dropped after the handle
	// to it was made.
	ErrKeyspaceDropped = keyspace.ErrDropped
	// ErrForeignKeyspace says that a handle belongs to another database than
	// the batch or snapshot it was used with.
	ErrForeignKeyspace = errors.New("keyspace belongs to another database")
	// ErrKeyspaceDiffers says that a keyspace exists with other options than
	// the ones asked for.
	ErrKeyspaceDiffers = keyspace.ErrDiffers
	// ErrKeyspaceName says that a name cannot be that of a keyspace.
	ErrKeyspaceName = errors.New("keyspace name must have 1 to 1024 bytes")
	// ErrKeyspaceReserved says that a name begins with "lightning.", and so is one of
	// the library's own: see KeyspaceOptions.Reserved.
	ErrKeyspaceReserved = errors.New(`keyspace names that begin with "lightning." are the library's`)

	// ErrTooManyConflicts matches every *TooManyConflictsError.
	ErrTooManyConflicts = session.ErrTooManyConflicts
	// ErrTTL says that a time to live is not positive, or ends after the year 2262.
	ErrTTL = errors.New("time to live is out of range")
	// ErrNoExpiry says that keys in a keyspace with a merge operator cannot expire:
	// what an operand is applied to would depend on when it is looked at.
	ErrNoExpiry = errors.New("keys of a keyspace with a merge operator do not expire")

	// ErrSliceWritten matches every *SliceError.
	ErrSliceWritten = loan.ErrWritten

	// ErrMerge matches every *MergeError.
	ErrMerge = merge.ErrMerge
	// ErrMergeRefused says that the merge operator of a keyspace refuses an operand or
	// a value: nothing was written.
	ErrMergeRefused = errors.New("merge operator refuses it")
	// ErrNoMergeOperator says that a keyspace has no merge operator. The default
	// keyspace never has one.
	ErrNoMergeOperator = errors.New("keyspace has no merge operator")
	// ErrNotInteger says that a value that was to be counted up is none of 8 bytes.
	ErrNotInteger = errors.New("value is no integer of 8 bytes")
	// ErrUnknownOperator matches every *UnknownOperatorError.
	ErrUnknownOperator = keyspace.ErrUnknownOperator

	// ErrTxEnded says that a transaction was committed or rolled back before.
	ErrTxEnded = session.ErrEnded
	// ErrTxReadOnly says that a transaction that only reads, such as that of DB.View,
	// was to write.
	ErrTxReadOnly = session.ErrReadOnly
	// ErrConflict matches every *ConflictError.
	ErrConflict = txn.ErrConflict
	// ErrDeadlock says that a lock was refused, because its holder waits, perhaps
	// through others, for this transaction. It should be rolled back and run again.
	ErrDeadlock = txn.ErrDeadlock
	// ErrLockTimeout says that a lock was not free within TxOptions.LockTimeout.
	ErrLockTimeout = txn.ErrLockTimeout
	// ErrSavepoint says that a savepoint was given up: by Release of it or of an
	// earlier one, or by going back to an earlier one.
	ErrSavepoint = session.ErrSavepoint
	// ErrRolledBack is the error of an iterator of a transaction when RollbackTo has
	// taken back writes that it shows.
	ErrRolledBack = session.ErrRolledBack
)

// errRowsKept says that somebody has kept what a Scan gave to his function.
var errRowsKept = fmt.Errorf("%w: rows of a Scan that has ended", ErrHandleClosed)

// What of a call is nil.
var (
	errNilFunction = fmt.Errorf("%w: a function is needed", ErrNilArgument)
	errNilReader   = fmt.Errorf("%w: a reader is needed", ErrNilArgument)
	errNilContext  = fmt.Errorf("%w: a context is needed", ErrNilArgument)
	errNilKeyspace = fmt.Errorf("%w: a keyspace is needed", ErrNilArgument)
)

// The limits of the data model.
const (
	MaxKeyBytes   = base.MaxKeyBytes
	MaxValueBytes = base.MaxValueBytes
	MaxBatchBytes = base.MaxBatchBytes
)

// OptionError says which option has a value that it cannot have.
type OptionError struct {
	Field string // e.g. "Tree.BlockBytes"
	Value string
	Rule  string // what it can be
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("option %s is %s: must be %s", e.Field, e.Value, e.Rule)
}

// The errors that carry more than a sentence, for errors.As. Each stands under its
// name here and says in its fields what and where.
type (
	// CorruptionError says that stored bytes are not what was written: in File,
	// at Offset (-1 where it is the whole file), what is damaged in Kind, and the
	// stored keys that are affected, [Lo, Hi), as far as they are known. Reads
	// that do not need those bytes go on working. It matches ErrCorrupted.
	CorruptionError = base.CorruptionError
	// FormatError says that a file, File, was written in a format that this
	// version of the library does not know: a newer one has to open the database.
	// Version is the one that is needed, Known the newest that this one reads.
	FormatError = base.FormatError
	// GapError says that DB.Changes cannot deliver the changes from number From
	// on, and can go on at Oldest. Everything before From was delivered. It
	// matches ErrGap; where damage is the reason, and not LogArchiveOptions, it
	// matches ErrCorrupted too.
	GapError = feed.GapError
	// ConflictError says why a transaction could not be committed: another commit
	// has changed what it read or, under SnapshotIsolation, what it wrote: Key, or
	// something in [Key, End). Nothing was written; the transaction can be run
	// again, as DB.Update does. It matches ErrConflict.
	ConflictError = txn.ConflictError
	// TooManyConflictsError says that an Update was given up after Tries attempts in
	// Time, since each met a conflict; it unwraps to that of the last, a
	// *ConflictError that names the key, or ErrDeadlock. It matches
	// ErrTooManyConflicts.
	TooManyConflictsError = session.TooManyConflictsError
	// MergeError says that Operator could not apply the operands of Key, and with
	// Unwrap why. They are kept, and the key cannot be read until it is overwritten
	// or deleted. It matches ErrMerge.
	MergeError = merge.Error
	// SliceError says that a slice was written to that Verb had lent, at byte Offset of
	// SizeBytes, and by Stack who had called. Late means that the slice was not valid
	// any more: somebody has kept it. Only Options.Debug.CheckSlices finds it. It
	// matches ErrSliceWritten.
	SliceError = loan.Error
	// UnknownOperatorError says that Keyspace needs a merge operator, Operator,
	// that Options.MergeOperators does not have: its data cannot be read without.
	// It matches ErrUnknownOperator.
	UnknownOperatorError = keyspace.UnknownOperatorError
)

// Corruptions returns every corruption that err tells of: Open reports all
// damage it finds at once.
func Corruptions(err error) []*CorruptionError {
	var out []*CorruptionError
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case nil:
		case *CorruptionError:
			out = append(out, e)
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		default:
			walk(errors.Unwrap(err))
		}
	}
	walk(err)
	return out
}
