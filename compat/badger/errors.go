package badger

import "errors"

// The errors of Badger, which mean here what they mean there.
var (
	ErrKeyNotFound    = errors.New("key not found")
	ErrConflict       = errors.New("transaction conflict, please retry")
	ErrReadOnlyTxn    = errors.New("no sets or deletes are allowed in a read-only transaction")
	ErrDiscardedTxn   = errors.New("this transaction has been discarded, create a new one")
	ErrEmptyKey       = errors.New("key cannot be empty")
	ErrZeroBandwidth  = errors.New("bandwidth must be greater than zero")
	ErrNoRewrite      = errors.New("nothing is there to be collected")
	ErrInvalidRequest = errors.New("invalid request")
	ErrDBClosed       = errors.New("database is closed")
)

// errRow says that a row of the keyspace was not written by this package.
var errRow = errors.New("the keyspace has a row without user meta")
