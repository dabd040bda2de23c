package bolt

import "errors"

// The errors of bbolt, which mean here what they mean there.
var (
	ErrDatabaseNotOpen    = errors.New("database not open")
	ErrTimeout            = errors.New("timeout")
	ErrTxNotWritable      = errors.New("tx not writable")
	ErrTxClosed           = errors.New("tx closed")
	ErrDatabaseReadOnly   = errors.New("database is in read-only mode")
	ErrBucketNotFound     = errors.New("bucket not found")
	ErrBucketExists       = errors.New("bucket already exists")
	ErrBucketNameRequired = errors.New("bucket name required")
	ErrKeyRequired        = errors.New("key required")
	ErrKeyTooLarge        = errors.New("key too large")
	ErrValueTooLarge      = errors.New("value too large")
	ErrIncompatibleValue  = errors.New("incompatible value")
	ErrSameBuckets        = errors.New("the source and target are the same bucket")
	ErrDifferentDB        = errors.New("the source and target buckets are in different database files")
)

// errManaged is what a transaction of View, Update or Batch answers that is ended by its function.
var errManaged = errors.New("a transaction of View, Update or Batch ends with its function")

// errLayout says that a row of the keyspace was not written by this package.
var errLayout = errors.New("the keyspace has a row that is none of a bucket")
