package lightning

import (
	"cmp"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/bulk"
	"github.com/lightningdb/lightning/internal/inuse"
)

// BulkLoader writes many records to a keyspace at once, past the log and the memory of the
// database, all or none. Nothing of it can be seen until Commit has returned; then all of it
// is there, and on stable storage. It is fast for many records, most of all where they come in
// the order of their keys; those are written once, where they stay. Others are sorted in
// temporary files first, which takes the same space on the disk again until Commit.
//
// Of several records of a key the last one counts, and it counts more than what the database
// has of the key when Commit is called, whenever that was written: a load does not look at what
// others write, and never meets a conflict. A time to live runs from Put. Loads of several
// keyspaces are commits of their own.
//
// A BulkLoader has the memory of a memtable, and that of up to three of the largest values. It
// is used by one goroutine at a time and must be closed.
type BulkLoader struct {
	space *space
	inner *bulk.Loader
	inUse inuse.Word
	buf   []byte // for values that expire
}

func newBulkLoader(s *space) (*BulkLoader, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	inner, err := bulk.New(s.engine, s.info, s.prefix)
	if err != nil {
		return nil, err
	}
	return &BulkLoader{space: s, inner: inner}, nil
}

// Put adds a record. Key and value are copied. After an error of a file nothing of the load will
// be written.
func (l *BulkLoader) Put(key, value []byte) error {
	expiry, err := l.space.orNone().defaultExpiry()
	if err != nil {
		return err
	}
	return l.put(key, value, expiry)
}

// PutUntil adds a record that expires at an instant, as Batch.PutUntil does.
func (l *BulkLoader) PutUntil(key, value []byte, expiresAt time.Time) error {
	expiry, err := l.space.orNone().expiryAt(expiresAt)
	if err != nil {
		return err
	}
	return l.put(key, value, expiry)
}

func (l *BulkLoader) put(key, value []byte, expiry base.Instant) error {
	if err := l.space.orNone().check(key); err != nil {
		return err
	}
	if err := l.space.checkValue(key, value); err != nil {
		return err
	}
	if err := l.inUse.Begin(); err != nil {
		return err
	}
	defer l.inUse.Leave()
	if expiry == 0 {
		return l.inner.Add(base.KindSet, key, value)
	}
	l.buf = append(base.AppendExpiry(l.buf[:0], expiry), value...)
	return l.inner.Add(base.KindSetExpiring, key, l.buf)
}

// Commit makes all records visible and durable, and ends the load. After an error there are
// none of them, but where the manifest could not be written, as Metrics.Health says then: the
// next Open tells. ErrConcurrentUse says that several goroutines have used the loader at a
// time, so that records may be missing.
func (l *BulkLoader) Commit() error {
	if l.inner == nil {
		return ErrClosed
	}
	if err := l.inUse.Begin(); err != nil {
		return err
	}
	defer l.inUse.Leave()
	if err := cmp.Or(l.inUse.Err(), l.space.usable()); err != nil {
		l.inner.Close()
		return err
	}
	return l.inner.Commit()
}

// Close gives up what was not committed, and its files. It may be called more than once, and
// deferred.
func (l *BulkLoader) Close() error {
	if l == nil || l.inner == nil {
		return ErrClosed
	}
	if !l.inUse.TryEnter() {
		l.inUse.WhenFree(l.inner.Close)
		return ErrConcurrentUse
	}
	defer l.inUse.Leave()
	l.inner.Close()
	return nil
}
