package base

import (
	"errors"
	"fmt"
)

// The errors that cross rooms. The public package re-exports the ones a user
// can meet.
var (
	ErrNotFound  = errors.New("not found")
	ErrClosed    = errors.New("database is closed")
	ErrLocked    = errors.New("database is in use by another opener")
	ErrReadOnly  = errors.New("database is read-only")
	ErrCorrupted = errors.New("corruption")

	ErrValueTooLarge = errors.New("value is too large")
	// ErrInUse is returned by operations on an iterator, snapshot or batch
	// that was closed or committed before.
	ErrInvalidHandle = errors.New("handle is closed")
	// ErrHandleExpired is returned by those that were open for longer than they may be.
	ErrHandleExpired = errors.New("handle has expired: it was open for longer than Options.HandleAge")
)

// CorruptionError says that stored bytes are not what was written: in which
// file, where, and what is wrong with them. Reads that do not need those bytes go
// on working. It matches ErrCorrupted under errors.Is.
type CorruptionError struct {
	File   string // base name of the damaged file
	Offset int64  // where the damaged piece begins; -1 where it is the whole file
	Length int64  // bytes of the damaged piece; 0 where unknown
	Kind   string // what the piece is: "data block", "wal group", "missing file"
	// Lo and Hi bound the stored keys that are affected, [Lo, Hi), each with the
	// prefix of its keyspace; nil where unknown.
	Lo, Hi []byte
	Err    error // the finding, e.g. "checksum mismatch"
}

func (e *CorruptionError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("corruption in %s: %s: %v", e.File, e.Kind, e.Err)
	}
	return fmt.Sprintf("corruption in %s: %s at offset %d: %v", e.File, e.Kind, e.Offset, e.Err)
}

// Is makes errors.Is(err, ErrCorrupted) true.
func (e *CorruptionError) Is(target error) bool { return target == ErrCorrupted }

// Unwrap returns the finding.
func (e *CorruptionError) Unwrap() error { return e.Err }

// FormatError says that a file was written in a format that this version of
// the code does not know: a newer version has to open it.
type FormatError struct {
	File    string
	Version uint32 // needed to read the file
	Known   uint32 // the newest this code reads
	KeyID   uint32 // of the encryption key; 0 where it is not encrypted
}

func (e *FormatError) Error() string {
	if e.KeyID != 0 {
		return fmt.Sprintf("%s is encrypted with key %d; this program reads no encrypted files",
			e.File, e.KeyID)
	}
	return fmt.Sprintf("%s has format version %d; this program reads versions up to %d",
		e.File, e.Version, e.Known)
}
