package bolt

import (
	"errors"

	"github.com/lightningdb/lightning"
)

// Tx is a transaction. It must be ended, with Commit or Rollback.
type Tx struct {
	db       *DB
	inner    *lightning.Tx
	rows     *lightning.Tx // in the keyspace; nil: there is none
	writable bool
	managed  bool // by View, Update or Batch, which end it
	ended    bool
	root     Bucket
	writes   uint64          // counts what was written, for cursors
	gone     map[number]bool // buckets that it has deleted
	cursors  []*Cursor       // that have an iterator
	onCommit []func()
	failure  error // the first read that has failed
}

// DB returns the database of the transaction.
func (tx *Tx) DB() *DB { return tx.db }

// Writable reports whether the transaction may write.
func (tx *Tx) Writable() bool { return tx.writable }

// Err returns the error of the first read that has failed, and returned nothing for it; nil if none
// has. Commit, View and Update return it as well.
func (tx *Tx) Err() error {
	if tx.failure != nil {
		return tx.failure
	}
	return tx.inner.Err()
}

// note remembers an error that a verb cannot return.
func (tx *Tx) note(err error) {
	if err != nil && tx.failure == nil {
		tx.failure = err
	}
}

// usable says why the transaction cannot read, or write.
func (tx *Tx) usable(toWrite bool) error {
	switch {
	case tx.ended:
		return ErrTxClosed
	case toWrite && !tx.writable:
		return ErrTxNotWritable
	}
	return nil
}

// Cursor returns a cursor over the buckets of the root. Its values are nil.
func (tx *Tx) Cursor() *Cursor { return tx.root.Cursor() }

// Bucket returns a bucket of the root, nil if there is none.
func (tx *Tx) Bucket(name []byte) *Bucket { return tx.root.Bucket(name) }

// CreateBucket makes a bucket in the root.
func (tx *Tx) CreateBucket(name []byte) (*Bucket, error) { return tx.root.CreateBucket(name) }

// CreateBucketIfNotExists returns a bucket of the root, making it if there is none.
func (tx *Tx) CreateBucketIfNotExists(name []byte) (*Bucket, error) {
	return tx.root.CreateBucketIfNotExists(name)
}

// DeleteBucket removes a bucket of the root with all in it.
func (tx *Tx) DeleteBucket(name []byte) error { return tx.root.DeleteBucket(name) }

// MoveBucket moves a bucket from one bucket into another; nil is the root.
func (tx *Tx) MoveBucket(child []byte, src, dst *Bucket) error {
	if src == nil {
		src = &tx.root
	}
	if dst == nil {
		dst = &tx.root
	}
	return src.MoveBucket(child, dst)
}

// ForEach calls fn with each bucket of the root, in order, until it returns an error.
func (tx *Tx) ForEach(fn func(name []byte, b *Bucket) error) error {
	return tx.root.ForEachBucket(func(name []byte) error { return fn(name, tx.root.Bucket(name)) })
}

// Inspect describes all buckets.
func (tx *Tx) Inspect() BucketStructure { return tx.root.Inspect() }

// OnCommit has fn called after the transaction has committed.
func (tx *Tx) OnCommit(fn func()) { tx.onCommit = append(tx.onCommit, fn) }

// Commit makes what was written take effect, durably unless Options.NoSync, and ends the
// transaction.
func (tx *Tx) Commit() error {
	if tx.managed {
		return errManaged
	}
	if err := tx.usable(true); err != nil {
		return err
	}
	if err := tx.Err(); err != nil {
		tx.end()
		return err
	}
	tx.closeCursors()
	err := tx.inner.Commit()
	tx.end()
	if err != nil {
		return err
	}
	for _, fn := range tx.onCommit {
		fn()
	}
	return nil
}

// Rollback drops what was written, and ends the transaction.
func (tx *Tx) Rollback() error {
	if tx.managed {
		return errManaged
	}
	if tx.ended {
		return ErrTxClosed
	}
	tx.end()
	return nil
}

// end ends the transaction, if nobody has yet.
func (tx *Tx) end() {
	if tx.ended {
		return
	}
	tx.ended, tx.managed = true, false
	tx.closeCursors()
	tx.inner.Rollback()
	if tx.writable {
		<-tx.db.writer
	}
}

func (tx *Tx) closeCursors() {
	for _, c := range tx.cursors {
		c.close()
	}
	tx.cursors = nil
}

// get returns a stored row; nil if there is none.
func (tx *Tx) get(key []byte) ([]byte, error) {
	if tx.rows == nil {
		return nil, nil
	}
	row, err := tx.rows.Get(key)
	if errors.Is(err, lightning.ErrNotFound) {
		return nil, nil
	}
	return row, err
}

// put and remove write rows.
func (tx *Tx) put(key, row []byte) error {
	tx.writes++
	return tx.rows.Put(key, row)
}

func (tx *Tx) remove(key []byte) error {
	tx.writes++
	return tx.rows.Delete(key)
}

// nextNumber gives out a number for a bucket.
func (tx *Tx) nextNumber() (number, error) {
	row, err := tx.get([]byte{kindNext})
	if err != nil {
		return 0, err
	}
	last := rootNumber
	if row != nil {
		if last, err = decodeNumber(row); err != nil {
			return 0, err
		}
	}
	return last + 1, tx.put([]byte{kindNext}, encodeNumber(last+1))
}
