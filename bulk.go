package lightning

import (
	"cmp"
	"context"
	"runtime"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/bulk"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/external"
	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
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
	fs    vfs.FS // of tables
	inner *bulk.Loader
	inUse inuse.Word
	buf   []byte // for values that expire

	cleanup runtime.Cleanup // closes it if it is forgotten
}

func newBulkLoader(db *DB, s *space) (*BulkLoader, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	inner, err := bulk.New(s.ctx, s.engine, s.info, s.prefix)
	if err != nil {
		return nil, err
	}
	l := &BulkLoader{space: s, fs: db.opts.FS, inner: inner}
	opened := view.Opened{At: clock.System.Now()}
	l.cleanup = runtime.AddCleanup(l, func(inner *bulk.Loader) {
		view.NoteForgotten(s.engine.Reads(), view.KindLoader, opened)
		inner.Close()
	}, inner)
	return l, nil
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
	return l.add(key, value, expiry)
}

// add adds a record that was checked. Its caller is in.
func (l *BulkLoader) add(key, value []byte, expiry base.Instant) error {
	if expiry == 0 {
		return l.inner.Add(base.KindSet, key, value)
	}
	l.buf = append(base.AppendExpiry(l.buf[:0], expiry), value...)
	return l.inner.Add(base.KindSetExpiring, key, l.buf)
}

// AddTable adds the records of a table that a TableWriter made, as Put and PutUntil would. All
// of the file is checked first: one that is damaged, or is no such table, is an error, and
// nothing of it is added. Any later error ends the load. Tables of one load may overlap, and
// come beside records; it is fast where all come in the order of their keys.
func (l *BulkLoader) AddTable(ctx context.Context, path string) error {
	expiry, err := l.space.orNone().defaultExpiry()
	if err != nil {
		return err
	}
	if err := l.space.orNone().usable(); err != nil {
		return err
	}
	if ctx == nil {
		return errNilContext
	}
	if err := l.inUse.Begin(); err != nil {
		return err
	}
	defer l.inUse.Leave()
	table, err := external.Open(l.fs, path)
	if err != nil {
		return err
	}
	defer table.Close() // it was read alone
	if err := table.Verify(ctx); err != nil {
		return err
	}
	err = table.Each(ctx, func(kind base.Kind, key, value []byte) error {
		return l.addStored(kind, key, value, expiry)
	})
	if err != nil {
		l.inner.Close()
	}
	return err
}

// addStored adds a record of a table, which expires at an instant if it does not say.
func (l *BulkLoader) addStored(kind base.Kind, key, value []byte, expiry base.Instant) error {
	if err := l.space.check(key); err != nil {
		return err
	}
	user := value
	if kind == base.KindSetExpiring {
		stored, err := base.Decode(base.MakeTrailer(0, kind), value)
		if err != nil {
			return err
		}
		user, expiry = stored.Value, stored.Expiry
		if err := l.space.checkExpires(); err != nil {
			return err
		}
	}
	if err := l.space.checkValue(key, user); err != nil {
		return err
	}
	return l.add(key, user, expiry)
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
	l.cleanup.Stop()
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
	l.cleanup.Stop()
	if !l.inUse.TryEnter() {
		l.inUse.WhenFree(l.inner.Close)
		return ErrConcurrentUse
	}
	defer l.inUse.Leave()
	l.inner.Close()
	return nil
}
