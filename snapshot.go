package lightning

import (
	"context"
	"iter"
	"time"

	"github.com/lightningdb/lightning/internal/view"
)

// Snapshot is a view of the database at one moment. It has the read verbs of
// DB and is safe for concurrent use. It must be closed: until then the
// versions that it sees cannot be dropped. It comes from DB.Snapshot or
// Keyspace.Snapshot: the zero Snapshot is as one of a database that was closed.
type Snapshot struct {
	inner *view.Snapshot
	space space
}

// In returns a view of the same moment whose verbs read the keyspace k. Both
// are closed by closing either one.
func (s *Snapshot) In(k *Keyspace) *Snapshot {
	seen := s.space.in(k)
	if seen.refusal == nil {
		seen.info = nil // what was seen stays readable when it is dropped later
	}
	return &Snapshot{inner: s.inner, space: seen}
}

// Seq returns the sequence number of the newest write that the snapshot sees.
func (s *Snapshot) Seq() uint64 {
	if s.inner == nil {
		return 0
	}
	return uint64(s.inner.Seq())
}

// Get is DB.Get as of the snapshot: the value belongs to the caller.
func (s *Snapshot) Get(key []byte) ([]byte, error) {
	value, err := s.AppendGet(nil, key)
	if err == nil && value == nil {
		value = []byte{}
	}
	return value, err
}

// AppendGet is DB.AppendGet as of the snapshot.
func (s *Snapshot) AppendGet(dst, key []byte) ([]byte, error) {
	if err := s.space.check(key); err != nil {
		return dst, err
	}
	var stack [keyStackBytes]byte
	return s.inner.AppendGet(dst, s.space.key(stack[:0], key))
}

// GetFunc is DB.GetFunc as of the snapshot. The value is valid until fn returns, and
// must not be written to.
func (s *Snapshot) GetFunc(key []byte, fn func(value []byte) error) error {
	if err := s.space.check(key); err != nil {
		return err
	}
	if fn == nil {
		return errNilFunction
	}
	var stack [keyStackBytes]byte
	return s.inner.GetFunc(s.space.key(stack[:0], key), s.space.lender.Func("GetFunc", fn))
}

// GetReader is DB.GetReader as of the snapshot, which must stay open as long as the reader is used.
func (s *Snapshot) GetReader(key []byte) (*ValueReader, error) {
	if s.inner == nil {
		return nil, ErrClosed
	}
	return newValueReader(&s.space, s.inner, key)
}

// Has is DB.Has as of the snapshot.
func (s *Snapshot) Has(key []byte) (bool, error) {
	return found(s.GetFunc(key, func([]byte) error { return nil }))
}

// MultiGet is DB.MultiGet as of the snapshot. The value is valid until fn returns,
// and must not be written to.
func (s *Snapshot) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	return s.space.multiGet(s.inner, keys, fn)
}

// ExpiresAt is DB.ExpiresAt as of the snapshot.
func (s *Snapshot) ExpiresAt(key []byte) (time.Time, error) {
	if err := s.space.check(key); err != nil {
		return time.Time{}, err
	}
	expiry, err := s.inner.Expiry(s.space.key(nil, key))
	return asTime(expiry), err
}

// Iterator is DB.Iterator as of the snapshot. It stays usable when the
// snapshot is closed.
func (s *Snapshot) Iterator(o IterOptions) (*Iterator, error) { return s.space.iterator(s.inner, o) }

// Scan is DB.Scan as of the snapshot. Key and value are valid for one turn of the
// loop, and must not be written to.
func (s *Snapshot) Scan(o ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error {
	return s.space.scan(s.inner, o, fn)
}

// Count is DB.Count as of the snapshot.
func (s *Snapshot) Count(ctx context.Context, lo, hi []byte) (int64, error) {
	return count(ctx, lo, hi, s.Scan)
}

// Close gives the snapshot up. A second call returns ErrHandleClosed.
func (s *Snapshot) Close() error {
	if s.inner == nil {
		return ErrClosed
	}
	return s.inner.Close()
}
