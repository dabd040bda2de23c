package txn

import (
	"errors"
	"fmt"
)

// ErrConflict is matched by every *ConflictError.
var ErrConflict = errors.New("transaction conflict")

// ConflictError says that a transaction cannot be committed, because another
// one has changed what it read, or, under snapshot isolation, what it wrote.
type ConflictError struct {
	// Key is what was changed, or the first key of an interval that was:
	// [Key, End). End is nil where it is one key.
	Key, End []byte
}

func (e *ConflictError) Error() string {
	if e.End == nil {
		return fmt.Sprintf("transaction conflict: key %q was changed by a later commit", e.Key)
	}
	return fmt.Sprintf("transaction conflict: [%q, %q) was changed by a later commit", e.Key, e.End)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
