package vfs

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked is matched by the error of FS.Lock when someone, in this
	// process or another, holds the lock.
	ErrLocked = errors.New("locked by another opener")
	// ErrNoSpace is matched by every error that means the file system is full
	// or the user's quota is used up, whatever the platform calls it.
	ErrNoSpace = errors.New("no space left")
)

// spaceError makes an out-of-space error of the platform match ErrNoSpace
// while it keeps its own text and chain.
type spaceError struct{ err error }

func (e *spaceError) Error() string        { return e.err.Error() }
func (e *spaceError) Is(target error) bool { return target == ErrNoSpace }
func (e *spaceError) Unwrap() error        { return e.err }

// translate turns an error of the operating system into one that callers can
// test without knowing the platform.
func translate(err error) error {
	if err != nil && isNoSpace(err) {
		return &spaceError{err}
	}
	return err
}

func lockedError(name string) error { return fmt.Errorf("lock %s: %w", name, ErrLocked) }
