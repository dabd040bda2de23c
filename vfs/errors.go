package vfs

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked is matched by the error of FS.Lock when someone, in this
	// process or another, holds the lock.
	ErrLocked = errors.New("locked by another opener")
	// ErrLockLost is matched by the error of Holder.Held when the lock file is not
	// what its name leads to any more.
	ErrLockLost = errors.New("lock lost")
	// ErrNoSpace is matched by every error that means the file system is full
	// or the user's quota is used up, whatever the platform calls it.
	ErrNoSpace = errors.New("no space left")
	// ErrTooManyFiles is matched by every error that means that the process, or the
	// system, can open no more files.
	ErrTooManyFiles = errors.New("too many open files")
	// ErrReadOnly is matched by every error that means that the file system
	// is mounted read-only.
	ErrReadOnly = errors.New("read-only file system")
)

// platformError makes an error of the platform match one of ours while it
// keeps its own text and chain.
type platformError struct{ err, kind error }

func (e *platformError) Error() string        { return e.err.Error() }
func (e *platformError) Is(target error) bool { return target == e.kind }
func (e *platformError) Unwrap() error        { return e.err }

// translate turns an error of the operating system into one that callers can
// test without knowing the platform.
func translate(err error) error {
	switch {
	case err == nil:
	case isNoSpace(err):
		return &platformError{err, ErrNoSpace}
	case isTooManyFiles(err):
		return &platformError{err, ErrTooManyFiles}
	case isReadOnly(err):
		return &platformError{err, ErrReadOnly}
	}
	return err
}

func lockedError(name string) error { return fmt.Errorf("lock %s: %w", name, ErrLocked) }
