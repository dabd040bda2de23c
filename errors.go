package lightning

import (
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
)

// The errors of the library, for errors.Is. Most come wrapped in a sentence
// that says what and where.
var (
	// ErrNotFound says that there is no such key.
	ErrNotFound = base.ErrNotFound
	// ErrClosed says that the database was closed.
	ErrClosed = base.ErrClosed
	// ErrHandleClosed says that an iterator or snapshot was closed before.
	ErrHandleClosed = base.ErrInvalidHandle
	// ErrLocked says that another opener, in this process or another, has the
	// database.
	ErrLocked = base.ErrLocked
	// ErrReadOnly says that the database was opened with Options.ReadOnly.
	ErrReadOnly = base.ErrReadOnly
	// ErrNotDatabase says that a directory holds something else, or nothing
	// where a database had to exist.
	ErrNotDatabase = engine.ErrNotDatabase
	// ErrCorrupted matches every *CorruptionError.
	ErrCorrupted = base.ErrCorrupted
	// ErrNoSpace says that the disk is full. Where a write fails with it
	// before anything was written, it can be tried again.
	ErrNoSpace = vfs.ErrNoSpace
	// ErrLeaked is what Close returns, in addition to closing, when iterators
	// or snapshots were left open.
	ErrLeaked = view.ErrLeaked

	// ErrGap matches every *GapError.
	ErrGap = feed.ErrGap
	// ErrChangesAhead says that DB.Changes was to begin at a write that is not
	// even the next one: whoever asks knows writes that this database does not
	// have.
	ErrChangesAhead = feed.ErrChangesAhead

	// ErrEmptyKey says that a key has no bytes.
	ErrEmptyKey = errors.New("key is empty")
	// ErrKeyTooLarge says that a key has more than MaxKeyBytes.
	ErrKeyTooLarge = errors.New("key is too large")
	// ErrValueTooLarge says that a value has more than MaxValueBytes.
	ErrValueTooLarge = errors.New("value is too large")
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

// FormatError says that a file was written in a format that this version of
// the library does not know: a newer version has to open the database.
type FormatError struct {
	File    string
	Version uint32 // needed to read the file
	Known   uint32 // the newest this library reads
	err     error
}

func (e *FormatError) Error() string { return e.err.Error() }

func (e *FormatError) Unwrap() error { return e.err }

// CorruptionError says that stored bytes are not what was written. Reads that
// do not need those bytes go on working. It matches ErrCorrupted.
type CorruptionError struct {
	File   string // base name of the damaged file
	Offset int64  // where the damage begins; -1 where it is the whole file
	Kind   string // what is damaged, e.g. "data block", "wal group"
	// Lo and Hi bound the stored keys that are affected, [Lo, Hi), each with
	// the prefix of its keyspace; nil where unknown.
	Lo, Hi []byte
	err    error
}

func (e *CorruptionError) Error() string { return e.err.Error() }

// Is makes errors.Is(err, ErrCorrupted) true.
func (e *CorruptionError) Is(target error) bool { return target == ErrCorrupted }

func (e *CorruptionError) Unwrap() error { return e.err }

// GapError says that DB.Changes cannot deliver the changes from number From on,
// and where it can go on. Everything before From was delivered. It matches
// ErrGap; where damage is the reason, and not HistoryOptions, it matches
// ErrCorrupted too.
type GapError struct {
	From   uint64 // the first write that is missing
	Oldest uint64 // the next one that is there, or that will be
	err    error
}

func (e *GapError) Error() string { return e.err.Error() }

// Is makes errors.Is(err, ErrGap) true.
func (e *GapError) Is(target error) bool { return target == ErrGap }

func (e *GapError) Unwrap() error { return e.err }

// Corruptions returns every corruption that err tells of: Open reports all
// damage it finds at once.
func Corruptions(err error) []*CorruptionError {
	var out []*CorruptionError
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case nil:
		case *CorruptionError:
			walk(e.err) // all that was found, of which e describes the first
		case *base.CorruptionError:
			out = append(out, publicCorruption(e, e))
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

func publicCorruption(e *base.CorruptionError, whole error) *CorruptionError {
	return &CorruptionError{File: e.File, Offset: e.Offset, Kind: e.Kind, Lo: e.Lo, Hi: e.Hi, err: whole}
}

// public turns the engine's error types into the ones of this package; all
// others pass. It is called where an error leaves the library.
func public(err error) error {
	if err == nil || err == base.ErrNotFound {
		return err
	}
	var gap *feed.GapError
	if errors.As(err, &gap) {
		return &GapError{From: uint64(gap.From), Oldest: uint64(gap.Oldest), err: publicGap(gap)}
	}
	var damage *base.CorruptionError
	if errors.As(err, &damage) {
		return publicCorruption(damage, err)
	}
	var failed *merge.Error
	if errors.As(err, &failed) {
		return &MergeError{Operator: failed.Operator, Key: failed.Key, err: err}
	}
	var unknown *keyspace.UnknownOperatorError
	if errors.As(err, &unknown) {
		return &UnknownOperatorError{Operator: unknown.Operator, Keyspace: unknown.Keyspace, err: err}
	}
	var format *base.FormatError
	if errors.As(err, &format) {
		return &FormatError{File: format.File, Version: format.Version, Known: format.Known, err: err}
	}
	return err
}

// publicGap makes the damage behind a gap a public one.
func publicGap(gap *feed.GapError) error {
	var damage *base.CorruptionError
	if errors.As(gap.Err, &damage) {
		return publicCorruption(damage, gap)
	}
	return gap
}

func checkKey(key []byte) error {
	if n := len(key); n > 0 && n <= MaxKeyBytes {
		return nil
	}
	if len(key) == 0 {
		return ErrEmptyKey
	}
	return fmt.Errorf("%w: %d bytes, the limit is %d", ErrKeyTooLarge, len(key), MaxKeyBytes)
}

func checkValue(value []byte) error {
	if len(value) <= MaxValueBytes {
		return nil
	}
	return fmt.Errorf("%w: %d bytes, the limit is %d", ErrValueTooLarge, len(value), MaxValueBytes)
}

// checkBound checks a bound of a range; nil means that there is none.
func checkBound(key []byte) error {
	if len(key) <= MaxKeyBytes {
		return nil
	}
	return fmt.Errorf("%w: bound of %d bytes, the limit is %d", ErrKeyTooLarge, len(key), MaxKeyBytes)
}
