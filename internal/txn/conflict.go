package txn

import (
	"errors"
	"fmt"
)

// ErrConflict is matched by every *ConflictError.
var ErrConflict = errors.New("transaction conflict")

// ConflictError says why a transaction could not be committed: another commit has
// changed what it read or, under snapshot isolation, what it wrote. Nothing was
// written; the transaction can be run again.
type ConflictError struct {
	// Key is what was changed, or the begin of the range [Key, End) in which
	// something was. End is nil where it is one key. Both have the prefix of
	// their keyspace.
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
